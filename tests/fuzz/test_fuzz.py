"""A short run of what `python -m tests.fuzz` does at length."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tests.fuzz.inputs import inputs
from tests.fuzz.run import attack


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    first, second = (list(islice(inputs(7, tmp_path / name), 20)) for name in ("a", "b"))
    assert [one.kind for one in first] == [one.kind for one in second]
    assert [one.data[:1] for one in first] == [one.data[:1] for one in second]
    other = list(islice(inputs(8, tmp_path / "c"), 20))
    assert [one.data[:1] for one in first] != [one.data[:1] for one in other]


def test_hostile_inputs_get_sentences_and_leave_nothing(tmp_path: Path) -> None:
    report = attack(60, 2026, tmp_path)
    assert report.problems == []
    assert len(report.outcomes) == 60
    assert any("a sentence" in outcome for outcome in report.outcomes)
    assert any("an answer" in outcome for outcome in report.outcomes)
