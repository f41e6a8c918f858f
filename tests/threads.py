"""The same at once, by two who share a model."""

from __future__ import annotations

import threading
from collections.abc import Callable


def at_once(work: Callable[[int], object]) -> None:
    """Run work(0) and work(1), each in a thread that waits for the other to begin."""
    start = threading.Barrier(2)

    def run(which: int) -> None:
        start.wait()
        work(which)

    threads = [threading.Thread(target=run, args=[which]) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
