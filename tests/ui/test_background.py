"""Long work in the page: its news, its result, its errors, and its end when nobody listens."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ast_demo.errors import CheckpointError
from ast_demo.inspection.comparison import Comparison
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.ui.background import Done, Tell, follow
from ast_demo.ui.compare.events import follow_comparison
from tests.clips import noise, waveform
from tests.waiting import wait_for


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


class Loads:
    """In the place of a cache: which checkpoints were asked for; each may be had once it is let through."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.asked, self.open = checkpoint, [], threading.Event()  # type: ignore[var-annotated]

    def load(self, reference: str) -> Checkpoint:
        self.asked.append(reference)
        assert self.open.wait(60)
        return self.checkpoint


def test_a_comparison_that_nobody_waits_for_asks_for_no_further_checkpoint(tiny: Checkpoint) -> None:
    loads: Any = Loads(tiny)
    before = set(threading.enumerate())
    news = follow_comparison(waveform(noise(0.61)), ["a", "b", "c"], loads)
    assert next(news) == 0
    news.close()  # as Gradio does when the visitor has left
    loads.open.set()
    assert wait_for(lambda: not set(threading.enumerate()) - before, 60)
    assert loads.asked == ["a"]


def test_a_comparison_that_is_waited_for_ends(tiny: Checkpoint) -> None:
    loads: Any = Loads(tiny)
    loads.open.set()
    *done, last = follow_comparison(waveform(noise(0.61)), ["a", "b", "c"], loads)
    assert done == sorted(done) and set(done) <= {0, 1, 2}  # some may be skipped
    assert isinstance(last, Comparison) and len(last.inspections) == 3
