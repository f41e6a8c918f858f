"""Run it: `python -m benchmarks.localisation`. Prints a table, and writes localisation.json and localisation.png."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from ast_demo.explain import METHODS, explain
from ast_demo.inspection import inspect
from ast_demo.models import Checkpoint, load_checkpoint, shipped_names
from benchmarks.localisation.measures import MEASURES, columns_of, interval, measure
from benchmarks.localisation.picture import draw
from benchmarks.localisation.two_events import TwoEvents, list_clips, make_clips

_RANKS = ("winner", "runner-up")

Results = dict[str, dict[str, dict[str, list[float]]]]  # method, rank, measure: a number for each clip


def main() -> None:
    """Parse, run every checkpoint, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.localisation", description=__doc__)
    parser.add_argument("--checkpoint", action="append", help="the shipped ones by default")
    parser.add_argument("--clips", type=int, default=200, help="two-event clips for each checkpoint")
    parser.add_argument(
        "--recordings",
        type=Path,
        default=os.environ.get("AST_DEMO_TEST_DATA"),
        metavar="FOLDER",
        help="of public recordings, see CONTRIBUTING, of which the held-out ones are taken; AST_DEMO_TEST_DATA by default; "
        "the shipped samples without",
    )
    parser.add_argument("--output", type=Path, default=Path("localisation"), help="folder of the JSON and the picture")
    asked = parser.parse_args()
    data = "recordings" if asked.recordings else "samples"
    clips = list_clips(asked.recordings)
    summary: dict[str, object] = {"data": data, "clips": asked.clips, "checkpoints": {}}
    asked.output.mkdir(parents=True, exist_ok=True)
    for name in asked.checkpoint or shipped_names():
        began = time.monotonic()
        checkpoint = load_checkpoint(name)
        results = run(checkpoint, make_clips(checkpoint, clips, asked.clips))
        numbers = summarise(results)
        summary["checkpoints"][name] = numbers  # type: ignore[index]
        print(f"\n{name}, {asked.clips} clips of two events ({data}), {time.monotonic() - began:.0f} s\n")
        print(table(numbers))
        (asked.output / "localisation.json").write_text(json.dumps(summary, indent=2) + "\n")
    (asked.output / "localisation.png").write_bytes(draw(summary["checkpoints"]))  # type: ignore[arg-type]


def run(checkpoint: Checkpoint, clips: list[TwoEvents]) -> Results:
    """Every map of both events of every clip, measured."""
    results: Results = {}
    for number, clip in enumerate(clips):
        inspection = inspect(clip.waveform, checkpoint)
        prepared = {
            row.key: row.prepare(inspection, checkpoint, None) for row in METHODS.values() if row.prepare is not None
        }
        for rank, label, span_s in zip(_RANKS, clip.labels, clip.spans_s, strict=True):
            inside = columns_of(inspection, span_s)
            for method in METHODS:
                one = explain(inspection, checkpoint, method, label, prepared=prepared.get(method), seed=number)
                for name, value in measure(one.over_time, inside).items():
                    results.setdefault(one.method, {}).setdefault(rank, {}).setdefault(name, []).append(value)
        if (number + 1) % 20 == 0:
            print(f"{number + 1} of {len(clips)} clips", file=sys.stderr)
    return results


def summarise(results: Results) -> dict[str, dict[str, dict[str, tuple[float, float, float]]]]:
    """Mean and 95 % interval of each number."""
    return {
        method: {rank: {name: interval(values) for name, values in by.items()} for rank, by in ranks.items()}
        for method, ranks in results.items()
    }


def table(numbers: dict[str, dict[str, dict[str, tuple[float, float, float]]]]) -> str:
    """The summary as a Markdown table."""
    heads = [f"{rank}: {name}" for rank in _RANKS for name in MEASURES]
    lines = ["| map | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for method, ranks in numbers.items():
        cells = []
        for rank in _RANKS:
            for name in MEASURES:
                mean, low, high = ranks[rank][name]
                scale, unit = (100, " %") if name == "pointing" else (1, "")
                digits = 0 if name == "pointing" else 2
                cells.append(f"{scale * mean:.{digits}f}{unit} ({scale * low:.{digits}f}–{scale * high:.{digits}f})")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
