"""Work that runs ahead keeps its order and its bound, tells its errors, and ends when nobody wants it any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ast_demo.runtime.prefetch import read_ahead


def test_all_items_come_in_their_order() -> None:
    assert list(read_ahead(range(50), 3)) == list(range(50))


def test_no_more_than_asked_for_is_made_ahead() -> None:
    made: list[int] = []
    two_more = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if len(made) == 4:  # the one that was taken, two that wait, one that finds no room
                two_more.set()
            yield number

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    assert two_more.wait(30)
    assert made == [0, 1, 2, 3]
    ahead.close()
    assert made == [0, 1, 2, 3]


def test_an_error_comes_after_the_items_before_it() -> None:
    ahead = read_ahead((1 // number for number in (1, 1, 0)), 1)
    assert [next(ahead), next(ahead)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_its_thread_ends_when_it_is_closed() -> None:
    before = threading.active_count()
    ahead = read_ahead(iter(int, 1), 1)  # has no end
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
