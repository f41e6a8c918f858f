"""Long work in a thread of its own, that ends when the visitor stops it or leaves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ast_demo.runtime import Tell

Result = TypeVar("Result")


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The last thing that `follow` gives."""

    result: Result


class _StoppedError(Exception):
    """Nobody listens any more."""


def follow(work: Callable[[Tell], Result]) -> Iterator[tuple[int, int] | Done[Result]]:
    """Run work that tells how far it is: (done, total) again and again, the newest only, and its result at last.

    When the caller stops listening, the work ends the next time that it tells how far it is. What it raises is
    raised here.
    """
    news: queue.Queue[object] = queue.Queue()
    left = threading.Event()

    def tell(done: int, total: int) -> None:
        if left.is_set():
            raise _StoppedError
        news.put((done, total))

    def run() -> None:
        try:
            news.put(Done(work(tell)))
        except _StoppedError:
            pass
        except BaseException as error:  # told by the thread that listens
            news.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            one = news.get()
            while isinstance(one, tuple) and not news.empty():
                one = news.get()
            if isinstance(one, BaseException):
                raise one
            if isinstance(one, Done):
                yield one
                return
            assert isinstance(one, tuple)
            yield one
    finally:
        left.set()
