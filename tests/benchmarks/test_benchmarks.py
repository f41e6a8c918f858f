"""What the benchmarks share: turns, ratios, peak memory, the table. What they measure is no test's business."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.measure import Spread, describe_machine, flop_rates, peak_memory_mb, ratios, report, spread, take_turns
from benchmarks.subjects import sample_clips
from benchmarks.summary import write_summary


def test_routes_take_turns() -> None:
    calls: list[str] = []
    seconds = take_turns({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=3)
    assert calls == [*"abc", *"abc", *"bca", *"cab"]  # one that does not count, then nobody is always the first
    assert {name: len(own) for name, own in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(one >= 0 for own in seconds.values() for one in own)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is twice as slow in one round changes no ratio."""
    assert ratios([1, 2, 1, 1], [3, 6, 3, 3]) == Spread(3, 3, 3)
    assert spread([1, 2, 3, 4, 5]) == Spread(3, 2, 4)
    assert spread([7]) == Spread(7, 7, 7)
    assert flop_rates([0.5], size=100) == [4e7]  # of ten products


def hold(megabytes: int) -> Callable[[], object]:
    kept = np.ones(50 << 17)  # 50 MB that were there before

    def run() -> float:
        return float(np.ones(megabytes << 17).sum() + kept[0])

    return run


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux, which tells a process's peak")
def test_peak_memory_is_what_a_route_adds() -> None:
    assert peak_memory_mb(hold, 200) == pytest.approx(200, abs=20)


def test_clips_to_measure_with() -> None:
    clips = sample_clips(130)  # more than there are samples
    assert {len(clip.samples) for clip in clips} == {164_080}
    assert len({clip.samples.tobytes() for clip in clips}) == 130


def test_the_table_and_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"route": "one", "seconds": spread([1.0, 2.0, 3.0])}, {"route": "other", "error": 1.5e-7}]
    report("some", rows, tmp_path / "results", limit_s=0.25)
    title, heading, first, second, fact = capsys.readouterr().out.splitlines()
    assert title.startswith("some on ")
    assert heading.split() == ["route", "seconds", "error"]
    assert first.split() == ["one", "2", "(1.5–2.5)"]
    assert second.split() == ["other", "1.5e-07"]
    assert fact == "limit s: 0.25"
    content = json.loads((tmp_path / "results" / "some.json").read_text())
    assert content["rows"][0]["seconds"] == {"median": 2, "low": 1.5, "high": 2.5}
    assert (content["benchmark"], content["limit_s"], content["machine"]["threads"]) == (
        "some",
        0.25,
        torch.get_num_threads(),
    )
    assert describe_machine().keys() == {"processor", "instructions", "threads", "torch"}


def explained() -> dict[str, Any]:
    def row(route: str, seconds: float, memory: float | None) -> dict[str, Any]:
        times = {"median": 3.6 / seconds, "low": 3.5 / seconds, "high": 3.7 / seconds}
        told = {"median": seconds, "low": seconds, "high": seconds}
        return {
            "route": route,
            "seconds": told,
            "× faster than the textbook": times,
            "MB above the model": memory,
        }

    rows = [row("textbook, float32", 3.6, 990.0), row("forward alone, float32", 1.5, None)]
    rows.append(row("explained, float32", 1.8, 81.4))
    machine = {"processor": "Some CPU", "threads": 2, "instructions": ["avx2"], "torch": "2"}
    return {"machine": machine, "rows": rows, "limit_s_float32": {"median": 1.4, "low": 1.4, "high": 1.4}}


def test_the_readme_gets_its_table_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "speed.md").write_text(
        "before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n", encoding="utf-8"
    )
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "explain.json").write_text(json.dumps(explained()))
    for _ in range(2):  # again, and it is the same
        write_summary(tmp_path / "results")
        text = (tmp_path / "docs" / "speed.md").read_text(encoding="utf-8")
        assert text.startswith("before\n<!-- speed -->\n![")
        assert text.endswith("<!-- /speed -->\nafter\n")
        assert "old" not in text
        assert (
            "| scores and rollout of a clip, float32 | 1.80 s, 81 MB | the textbook's way: 3.60 s, 990 MB | **2.0 ×** (1.9–2.1) |"
            in text
        )
        assert "Some CPU, 2 threads, avx2" in text
    with Image.open(tmp_path / "assets" / "speed.png") as picture:
        assert picture.width > 1000
