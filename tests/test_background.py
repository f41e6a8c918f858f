"""Long work in the page: its news, its result, its errors, and its end when nobody listens."""

from __future__ import annotations

import threading

import pytest

from ast_demo.errors import CheckpointError
from ast_demo.ui.background import Done, Tell, follow


def test_news_and_the_result_at_last() -> None:
    def work(tell: Tell) -> str:
        for done in range(1, 4):
            tell(done, 3)
        return "result"

    *news, last = follow(work)
    assert last == Done("result")
    assert news == sorted(news) and all(total == 3 for _, total in news)  # some may be skipped, none comes late


def test_what_the_work_raises_is_raised_here() -> None:
    def work(tell: Tell) -> None:
        raise CheckpointError("no such label")

    with pytest.raises(CheckpointError, match="no such label"):
        list(follow(work))


def test_the_work_ends_when_nobody_listens() -> None:
    heard, ended = threading.Event(), threading.Event()

    def work(tell: Tell) -> None:
        try:
            tell(0, 10)
            assert heard.wait(60)
            tell(1, 10)
            raise AssertionError("the work goes on")
        finally:
            ended.set()

    news = follow(work)
    assert next(news) == (0, 10)
    news.close()
    heard.set()
    assert ended.wait(60)
