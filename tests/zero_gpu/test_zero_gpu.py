"""Where 🤗 Spaces runs the model's calls in another process, all answers are the same. See `spaces.py` beside this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ast_demo.audio import read_audio
from ast_demo.checkpoints import default_checkpoint, load_checkpoint
from ast_demo.evaluation import evaluate
from ast_demo.inspection import inspect, inspect_patch, summarise
from ast_demo.labelled_clips import read_labelled_clips
from tests.clips import REPOSITORY, sample_clips
from tests.public.caller import DONE, call, upload
from tests.served import App
from tests.tiny import save_tiny
from tests.tiny_sequence import save_sequence_model

STUB = Path(__file__).parent
CLIP = sample_clips(20)[3]
SCRIPT = """
import spaces  # as app.py does, before torch
import json, sys
from ast_demo.audio import read_audio
from ast_demo.checkpoints import load_checkpoint
from ast_demo.inspection import inspect, inspect_patch

if __name__ == "__main__":
    clip, grid, sequence = sys.argv[1:]
    waveform = read_audio(clip)
    first = inspect(waveform, load_checkpoint(grid))
    patch = inspect_patch(first, load_checkpoint(grid), 2, 3)
    second = inspect(waveform, load_checkpoint(sequence))
    print(json.dumps([one.tolist() for one in (
        first.prediction.logits, first.rollout.final, patch.rollout.final, patch.attention[-1],
        second.prediction.logits, second.rollout.final)]))
"""


def calls_of(log: Path) -> tuple[set[int], list[str]]:
    """The processes that calls ran in, and what was called."""
    lines = [line.split(" ") for line in log.read_text().splitlines()]
    return {int(pid) for pid, _ in lines}, [name for _, name in lines]


def test_each_call_of_a_model_can_run_in_another_process(tmp_path: Path) -> None:
    grid, sequence = save_tiny(tmp_path / "grid"), save_sequence_model("wav2vec2", tmp_path / "sequence")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {
        "PYTHONPATH": f"{STUB}{os.pathsep}{REPOSITORY}",
        "STUB_SPACES_LOG": str(tmp_path / "log"),
    }
    done = subprocess.run(
        [sys.executable, str(script), str(CLIP), str(grid), str(sequence)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    waveform = read_audio(CLIP)
    first, second = inspect(waveform, load_checkpoint(grid)), inspect(waveform, load_checkpoint(sequence))
    patch = inspect_patch(first, load_checkpoint(grid), 2, 3)
    expected = (
        first.prediction.logits, first.rollout.final, patch.rollout.final, patch.attention[-1],
        second.prediction.logits, second.rollout.final,
    )  # fmt: skip
    for got, one in zip(json.loads(done.stdout), expected, strict=True):
        assert one.ravel().tolist() == pytest.approx(
            [x for row in got for x in row] if one.ndim == 2 else got, abs=1e-5
        )
    pids, called = calls_of(tmp_path / "log")
    assert len(pids) == 1
    assert called == ["ast_demo.fast_ast.run_elsewhere"] * 2 + ["ast_demo.sequence_models._call"]


def test_the_page_works_so_too(start_app: Callable[..., App], tmp_path: Path) -> None:
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for number, path in enumerate(sample_clips(6)):
            zipped.write(path, f"{path.parent.name}/{number}{path.suffix}")
    log = tmp_path / "log"
    app = start_app(PYTHONPATH=str(STUB), STUB_SPACES_LOG=str(log))
    name = default_checkpoint()
    with httpx.Client(base_url=app.url, timeout=120, trust_env=False) as client:
        sent = {"path": upload(client, CLIP.name, CLIP.read_bytes()), "meta": {"_type": "gradio.FileData"}}
        kind, (inspected,) = call(client, "inspect", [sent, name])
        assert kind == DONE
        zipped = {"path": upload(client, archive.name, archive.read_bytes()), "meta": {"_type": "gradio.FileData"}}
        kind, (evaluated,) = call(client, "evaluate", [zipped, [name]])
        assert kind == DONE
    expected = summarise(inspect(read_audio(CLIP), load_checkpoint(name)))
    scores = {one["label"]: one["score"] for one in expected["predictions"]}
    assert {one["label"]: one["score"] for one in inspected["predictions"]} == pytest.approx(scores, abs=1e-5)
    metrics = evaluate(read_labelled_clips(archive), [name], load_checkpoint, tmp_path / "expected").metrics[name]
    assert evaluated["checkpoints"][name]["accuracy"] == metrics["accuracy"]
    pids, called = calls_of(log)
    assert len(pids) == 1
    assert app.process.pid not in pids
    assert set(called) == {"ast_demo.fast_ast.run_elsewhere"}
