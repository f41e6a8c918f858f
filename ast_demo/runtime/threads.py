"""Several threads that compute at once, each with a share of the processor."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
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


def share_out(work: Callable[[int, int], None], length: int) -> None:
    """Do a length of work in parts, one on each thread that this one computes with.

    Those are PyTorch's own where they are GNU OpenMP's: between two of its operations they wait without sleeping, and
    would keep other threads from the processor.

    Args:
        work: Does a part, from a start to a stop; for more than a moment without Python's global lock.
    """
    n_threads = torch.get_num_threads()
    parts = slices(length, max(1, -(-length // n_threads)))
    openmp = _gnu_openmp()
    if len(parts) <= 1:
        for part in parts:
            work(part.start, part.stop)
        return
    if openmp is None:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: work(part.start, part.stop), parts))
        return
    errors: list[BaseException] = []

    def take(_: object) -> None:
        try:
            for part in parts[openmp.omp_get_thread_num() :: openmp.omp_get_num_threads()]:
                work(part.start, part.stop)
        except BaseException as error:  # there is nobody to raise it to in this thread
            errors.append(error)

    openmp.GOMP_parallel(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(take), None, n_threads, 0)
    if errors:
        raise errors[0]


def slices(length: int, step: int) -> list[slice]:
    """A length in steps, the last of which may be shorter."""
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


@cache
def _gnu_openmp() -> ctypes.CDLL | None:
    """The OpenMP that PyTorch brings and has loaded, where it is GNU's."""
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return ctypes.CDLL(str(found[0])) if found else None
