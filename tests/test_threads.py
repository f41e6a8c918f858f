"""Work in several threads: in order, on a share of the processor each, over when nobody listens."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
import torch

from ast_demo import threads
from ast_demo.threads import map_in_threads, use_threads


@pytest.fixture(autouse=True)
def _two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_more_than_one_thread() -> None:
    together = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int, int]:
        together.wait()  # nobody gets past it alone
        time.sleep(0.01 * (number % 3))
        return number, threading.get_ident(), torch.get_num_threads()

    results = list(map_in_threads(work, range(10)))
    assert [number for number, _, _ in results] == list(range(10))
    assert len({thread for _, thread, _ in results}) == 2
    assert {n for _, _, n in results} == {1}  # of two threads each has one
    assert torch.get_num_threads() == 2


def test_with_one_thread_the_caller_works() -> None:
    torch.set_num_threads(1)
    assert set(map_in_threads(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


def test_more_threads_than_workers_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_MOST_WORKERS", 2)
    torch.set_num_threads(5)
    assert set(map_in_threads(lambda _: torch.get_num_threads(), range(4))) == {2}


def test_few_run_ahead_and_none_when_it_is_closed() -> None:
    begun: list[int] = []
    with closing(map_in_threads(begun.append, range(1000))) as results:
        next(results)
        time.sleep(0.1)
    assert 1 <= len(begun) <= 4
    time.sleep(0.1)
    assert len(begun) <= 4


def test_what_goes_wrong_is_raised_here() -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    results = map_in_threads(fail, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)


def test_a_limit_is_for_one_thread_alone() -> None:
    seen: list[int] = []

    def limited() -> None:
        use_threads(1)
        seen.append(torch.get_num_threads())

    for work in (limited, lambda: seen.append(torch.get_num_threads())):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [*seen, torch.get_num_threads()] == [1, 2, 2]
