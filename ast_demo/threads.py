"""Several threads that compute at once, each with a share of the processor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 8  # each holds what its item takes in memory


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """A function of each item, in the order of the items, several at a time.

    Threads that share each step of one item wait for one another at the end of it. With an item each, they need not:
    on two cores, clips take three quarters of the time. Who takes no more results closes the generator.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, _MOST_WORKERS)
    if n_workers == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_workers, initializer=use_threads, initargs=(n_threads // n_workers,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def use_threads(n: int) -> None:
    """Let this thread compute with so many from now on; others are not touched."""
    torch.get_num_threads()  # PyTorch sets a new thread up when it is first asked for something
    ThreadpoolController().select(user_api="openmp").limit(limits=n)
