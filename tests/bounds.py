"""How far from exact a result may be: a stated multiple of how far the library's own route is, on this input and machine.

A number of digits that one processor keeps, another does not: they add up in another order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

TIMES = 4.0


def assert_exact(got: ArrayLike, exact: ArrayLike, library: ArrayLike, times: float = TIMES) -> None:
    """Assert that the largest error is at most so many times that of the library.

    Args:
        got: Of the program, in the precision it computes in.
        exact: The reference, computed in double precision.
        library: The library's own route, in the precision of the program. It counts as wrong by one rounding of the
            largest number at least: where there are few numbers, it may be right by luck.
    """
    ours, reference, theirs = (np.asarray(values) for values in (got, exact, library))
    assert reference.dtype == np.float64, "the reference has to be finer than what it judges"
    assert ours.shape == reference.shape == theirs.shape
    rounding = np.finfo(np.float32).eps * np.abs(reference).max(initial=0)
    error, allowed = np.abs(ours - reference).max(initial=0), max(rounding, np.abs(theirs - reference).max(initial=0))
    assert error <= times * allowed, f"an error of {error:.3g}, which is {error / allowed:.1f} × {allowed:.3g}"
