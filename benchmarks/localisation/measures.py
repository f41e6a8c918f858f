"""How well a map over time agrees with where an event was put."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ast_demo.features import FRAME_S, HOP_S
from ast_demo.inspection import Inspection

MEASURES = ("pointing", "auc", "iou")
_RESAMPLES = 2000


def columns_of(inspection: Inspection, span_s: tuple[float, float]) -> np.ndarray:
    """Which columns of patches have their middle in a stretch of time, (n_time,); the nearest where none has."""
    _, grid = inspection.fed
    first = (grid.patch_size - 1) / 2 * HOP_S + FRAME_S / 2
    middles = first + np.arange(grid.n_time) * grid.time_stride * HOP_S
    inside = (middles >= span_s[0]) & (middles <= span_s[1])
    if not inside.any():
        inside[np.abs(middles - np.mean(span_s)).argmin()] = True
    return inside


def measure(over_time: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Agreement of a map over time (n_time,) with the columns of an event (n_time,).

    pointing: whether the highest column lies in the event. auc: the chance that a column of the event is higher than
    one outside, ties counting half. iou: columns above the middle between the lowest and the highest, and those of
    the event: how many are both, of how many are either.
    """
    event, rest = over_time[inside][:, None], over_time[~inside][None]
    marked = over_time > (over_time.min() + over_time.max()) / 2
    return {
        "pointing": float(inside[over_time.argmax()]),
        "auc": float(((event > rest) + 0.5 * (event == rest)).mean()),
        "iou": float((marked & inside).sum() / (marked | inside).sum()),
    }


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean, and the 95 % interval of the mean when the clips are drawn again with replacement."""
    numbers = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(len(numbers), size=(_RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(axis=1), [2.5, 97.5])
    return float(numbers.mean()), float(low), float(high)
