"""Work in several threads: in order, on a share of the processor each, over when nobody listens."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
import torch

from ast_demo.runtime import threads
from ast_demo.runtime.threads import map_in_threads, share_out, use_threads


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


@pytest.fixture(params=["PyTorch's own threads", "others"])
def _whose_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "others":
        monkeypatch.setattr(threads, "_gnu_openmp", lambda: None)
    elif threads._gnu_openmp() is None:
        pytest.skip(reason="this PyTorch does not bring GNU's OpenMP")


@pytest.mark.usefixtures("_whose_threads")
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_every_part_is_done_once(length: int) -> None:
    done: list[int] = []
    share_out(lambda start, stop: done.extend(range(start, stop)), length)
    assert sorted(done) == list(range(length))


@pytest.mark.usefixtures("_whose_threads")
def test_parts_are_done_at_the_same_time() -> None:
    together, seen = threading.Barrier(2, timeout=30), set()

    def work(start: int, stop: int) -> None:
        together.wait()  # nobody gets past it alone
        seen.add(threading.get_ident())

    share_out(work, 100)
    assert len(seen) == 2


@pytest.mark.usefixtures("_whose_threads")
def test_what_goes_wrong_in_a_part_is_raised() -> None:
    def work(start: int, stop: int) -> None:
        if start:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        share_out(work, 2)
    done: list[tuple[int, int]] = []
    share_out(lambda *part: done.append(part), 2)  # and the threads go on
    assert len(done) == 2


@pytest.mark.usefixtures("_whose_threads")
def test_several_share_out_at_once() -> None:
    totals = [0, 0, 0]

    def add(index: int) -> None:
        lock = threading.Lock()

        def work(start: int, stop: int) -> None:
            with lock:
                totals[index] += sum(range(start, stop))

        for _ in range(50):
            share_out(work, 101)

    visitors = [threading.Thread(target=add, args=(index,)) for index in range(3)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert totals == [50 * 5050] * 3
