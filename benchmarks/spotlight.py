"""From the click to Spotlight's table of 400 clips, when a process is ready ahead; and what an inspection notices of it."""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ast_demo.data import SAMPLES_FOLDER, LabelledClips, read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.inspection import inspect
from ast_demo.models import load_checkpoint, shipped_names
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers
from benchmarks.measure import read_arguments, report, spread
from benchmarks.subjects import sample_clips


def evaluate_samples(n_clips: int) -> Path:
    """Folder of an evaluation of so many clips, the shipped samples again and again; later runs find it again."""
    folder = Path(tempfile.gettempdir()) / "ast-demo-benchmarks" / f"evaluation-{n_clips}"
    if not (folder / "metrics.json").is_file():
        samples = read_labelled_clips(SAMPLES_FOLDER).clips
        clips = [replace(samples[i % len(samples)], name=f"clip {i}") for i in range(n_clips)]
        evaluate(LabelledClips("samples", tuple(clips)), shipped_names()[-1:], load_checkpoint, folder)
    return folder


def wait_until_ready(viewers: Viewers) -> None:
    """Until the process that is ready ahead has nothing more to start."""
    viewers.prepare()
    process = viewers._spare
    if process is None or not process.wait_until_ready():
        raise RuntimeError("Spotlight's server does not start.")


def open_in_spotlight(viewers: Viewers, folder: Path) -> None:
    """Until the table's columns have come through Spotlight's own interface."""
    viewer = viewers.find(viewers.open(folder).strip("/").split("/")[-1])
    assert viewer is not None
    assert viewer.process is not None
    for path in ("", "api/table/"):
        with urllib.request.urlopen(f"http://127.0.0.1:{viewer.process.port}/{path}") as answer:
            assert answer.read()


def main() -> None:
    arguments = read_arguments(__doc__ or "", clips=400, rounds=2)
    folder = evaluate_samples(arguments.clips)
    checkpoint, (clip,) = load_checkpoint(shipped_names()[-1]), sample_clips(1)
    inspect(clip, checkpoint)
    clicks, starts, alone, meanwhile = [], [], [], []
    for _ in range(arguments.rounds):
        alone += [_seconds(lambda: inspect(clip, checkpoint)) for _ in range(5)]
        viewers = Viewers(Settings())
        try:
            began = time.perf_counter()
            viewers.prepare()
            meanwhile += [_seconds(lambda: inspect(clip, checkpoint)) for _ in range(5)]
            wait_until_ready(viewers)
            starts.append(time.perf_counter() - began)
            clicks.append(_seconds(partial(open_in_spotlight, viewers, folder)))
        finally:
            viewers.close_all()
    rows: list[dict[str, object]] = [
        {"what": f"click to Spotlight, {arguments.clips} clips", "seconds": spread(clicks)},
        {"what": "starting it ahead, which an evaluation does while it runs", "seconds": spread(starts)},
        {"what": "an inspection", "seconds": spread(alone)},
        {"what": "an inspection while it starts", "seconds": spread(meanwhile)},
    ]
    report("spotlight", rows, arguments.output)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
