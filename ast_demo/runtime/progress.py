"""How far long work is and how long it will still take: the same words on the page and on the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Tell = Callable[[int, int], None]  # what work calls with (done, total)
_MINUTES_FROM_S = 120


@dataclass(frozen=True)
class Progress:
    """Where long work stands.

    Attributes:
        done, total: In pieces of work.
        began_with: Pieces that were done before the clock ran: what an earlier run has done takes no time now.
        seconds: Since then.
    """

    done: int
    total: int
    began_with: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Pieces a second; 0 as long as none was done."""
        return (self.done - self.began_with) / max(self.seconds, 1e-6)

    @property
    def left_s(self) -> float | None:
        """Seconds until all is done, at this speed; None as long as there is none."""
        return (self.total - self.done) / self.per_second if self.per_second > 0 else None

    def in_words(self, what: str = "clips") -> str:
        """Such as `3 of 10 clips, 0.5 clips a second, about 14 s left`."""
        told = f"{self.done} of {self.total} {what}"
        if self.left_s is None:
            return told
        told += f", {self.per_second:.1f} {what} a second"
        if self.done >= self.total:
            return told
        minutes = self.left_s / 60
        return (
            f"{told}, about {f'{minutes:.0f} min' if self.left_s >= _MINUTES_FROM_S else f'{self.left_s:.0f} s'} left"
        )


def measure_progress() -> Callable[[int, int], Progress]:
    """Start the clock; what is returned tells where work stands, from (done, total)."""
    began = time.monotonic()
    first: int | None = None

    def at(done: int, total: int) -> Progress:
        nonlocal first
        first = done if first is None else first
        return Progress(done, total, first, time.monotonic() - began)

    return at


def tell_now_and_then(say: Callable[[str], None], what: str = "clips", every_s: float = 2.0) -> Tell:
    """For the command line: what work calls, which says at most every so many seconds where it stands, and at its end.

    Of work that takes less than that, nothing is said.
    """
    at = measure_progress()
    told_s: float | None = None

    def tell(done: int, total: int) -> None:
        nonlocal told_s
        now = at(done, total)
        if now.seconds - (told_s or 0) >= every_s or (done == total and told_s is not None):
            told_s = now.seconds
            say(now.in_words(what))

    return tell
