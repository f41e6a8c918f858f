"""A short run of what `python -m tests.fuzz` does at length."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tests.fuzz.inputs import inputs
from tests.fuzz.run import attack
from tests.fuzz.siege import besiege
from tests.fuzz.strangers import KINDS, Place, strangers


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    first, second = (list(islice(inputs(7, tmp_path / name), 20)) for name in ("a", "b"))
    assert [one.kind for one in first] == [one.kind for one in second]
    assert [one.data[:1] for one in first] == [one.data[:1] for one in second]
    other = list(islice(inputs(8, tmp_path / "c"), 20))
    assert [one.data[:1] for one in first] != [one.data[:1] for one in other]


def test_so_it_does_with_strangers(tmp_path: Path) -> None:
    place = Place(tmp_path, "127.0.0.1:9", tmp_path / "marker", {})
    first, second, other = (list(islice(strangers(seed, place), len(KINDS))) for seed in (7, 7, 8))
    assert [(one.kind, one.route, one.body) for one in first] == [(one.kind, one.route, one.body) for one in second]
    assert [(one.kind, one.route, one.body) for one in first] != [(one.kind, one.route, one.body) for one in other]
    assert len({one.kind.split(" ")[0] for one in first}) >= len(KINDS) - 1


def test_hostile_inputs_get_sentences_and_leave_nothing(tmp_path: Path) -> None:
    report = attack(60, 2026, tmp_path, of_strangers=2 * len(KINDS))
    assert report.problems == []
    assert len(report.outcomes) == 60 + 2 * len(KINDS)
    assert any("a sentence" in outcome for outcome in report.outcomes)
    assert any("an answer" in outcome for outcome in report.outcomes)


def test_an_honest_visitor_is_served_beside_them(tmp_path: Path) -> None:
    seen = besiege(["trees", "bombs"], tmp_path, seconds=5, attackers=3)
    assert seen.problems == []
    assert [one.kind for one in seen.sieges] == ["trees", "bombs"]
    assert all(one.sent > 3 and one.inspections_s and one.health_s for one in seen.sieges)
