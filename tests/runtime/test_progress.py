"""Where long work stands: its speed, the time left, and how often it is told."""

from __future__ import annotations

import pytest

from ast_demo.runtime.progress import Progress, measure_progress, tell_now_and_then


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(0, 10, 0, 3.0), "0 of 10 clips"),
        (Progress(3, 10, 0, 6.0), "3 of 10 clips, 0.5 clips a second, about 14 s left"),
        (Progress(7, 10, 5, 4.0), "7 of 10 clips, 0.5 clips a second, about 6 s left"),
        (Progress(10, 1000, 0, 10.0), "10 of 1000 clips, 1.0 clips a second, about 16 min left"),
        (Progress(10, 10, 0, 5.0), "10 of 10 clips, 2.0 clips a second"),
    ],
)
def test_where_work_stands_in_words(progress: Progress, words: str) -> None:
    assert progress.in_words() == words


def test_what_an_earlier_run_has_done_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 104.0])
    monkeypatch.setattr("ast_demo.runtime.progress.time.monotonic", lambda: next(clock))
    at = measure_progress()
    assert at(90, 100).left_s is None
    assert at(94, 100).left_s == pytest.approx(6.0)


def test_long_work_is_told_now_and_then_and_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 4.0, 4.5])
    monkeypatch.setattr("ast_demo.runtime.progress.time.monotonic", lambda: next(clock))
    said: list[str] = []
    tell = tell_now_and_then(said.append, "masks")
    for done in range(1, 5):
        tell(done, 4)
    assert said == ["2 of 4 masks, 0.3 masks a second, about 6 s left", "4 of 4 masks, 0.7 masks a second"]


def test_of_quick_work_nothing_is_told() -> None:
    said: list[str] = []
    tell = tell_now_and_then(said.append, every_s=60)
    for done in range(1, 5):
        tell(done, 4)
    assert said == []
