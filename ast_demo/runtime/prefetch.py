"""Work that runs ahead of those who wait for it, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item], most: int) -> Generator[Item, None, None]:
    """The same items in the same order, made in the background, at most so many ahead of the one that is asked for.

    What making them raises is raised here. When the generator is closed, the thread ends with the item that it is at;
    close it (`contextlib.closing`) where it may not be used up.
    """
    made: queue.Queue[tuple[str, Item | Exception | None]] = queue.Queue(most)
    closed = threading.Event()

    def put(kind: str, value: Item | Exception | None = None) -> bool:
        while not closed.is_set():
            try:
                made.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end")
        except Exception as error:  # told to the thread that waits
            put("error", error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, Exception)
                raise value
            yield value  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
