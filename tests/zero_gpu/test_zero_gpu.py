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

from ast_demo.audio.decoding import read_audio
from ast_demo.data.reading import read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.explain.faithfulness import STAGES, measure_trust
from ast_demo.explain.methods import explain
from ast_demo.export.summaries import summarise
from ast_demo.inspection.inspection import inspect, inspect_patch
from ast_demo.models.loading import default_checkpoint, load_checkpoint
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
from ast_demo.models import load_checkpoint
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
# What asks a model hundreds of times, or for gradients, stays on the processors.
MAPS = """
import spaces
import json, sys
from tests.zero_gpu.test_zero_gpu import maps_and_cards

if __name__ == "__main__":
    print(json.dumps(maps_and_cards(*sys.argv[1:])))
"""


def maps_and_cards(clip: str | Path, *references: str | Path) -> list:
    """Of each checkpoint and map: its values, the gap of its trust card, and what is kept under shuffled weights."""
    found = []
    for reference in references:
        checkpoint = load_checkpoint(reference)
        inspection = inspect(read_audio(clip), checkpoint)
        for method in ("relevance", "perturbation", "rollout"):
            relevance = explain(inspection, checkpoint, method)
            card = measure_trust(relevance, inspection, checkpoint)
            found.append([relevance.values.ravel().tolist(), card.of_map.gap, list(card.kept_under_random_weights)])
    return found


def calls_of(log: Path) -> tuple[set[int], list[str]]:
    """The processes that calls ran in, and what was called."""
    lines = [line.split(" ") for line in log.read_text().splitlines()]
    return {int(pid) for pid, _ in lines}, [name for _, name in lines]


def run_with_stub(program: str, folder: Path, *arguments: Path) -> list:
    """What a program prints as JSON where `spaces` is the stub; its calls are in `folder / "log"`."""
    script = folder / "script.py"
    script.write_text(program)
    environment = os.environ | {
        "PYTHONPATH": f"{STUB}{os.pathsep}{REPOSITORY}",
        "STUB_SPACES_LOG": str(folder / "log"),
    }
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_call_of_a_model_can_run_in_another_process(tmp_path: Path) -> None:
    grid, sequence = save_tiny(tmp_path / "grid"), save_sequence_model("wav2vec2", tmp_path / "sequence")
    got_all = run_with_stub(SCRIPT, tmp_path, CLIP, grid, sequence)
    waveform = read_audio(CLIP)
    first, second = inspect(waveform, load_checkpoint(grid)), inspect(waveform, load_checkpoint(sequence))
    patch = inspect_patch(first, load_checkpoint(grid), 2, 3)
    expected = (
        first.prediction.logits, first.rollout.final, patch.rollout.final, patch.attention[-1],
        second.prediction.logits, second.rollout.final,
    )  # fmt: skip
    for got, one in zip(got_all, expected, strict=True):
        assert one.ravel().tolist() == pytest.approx(
            [x for row in got for x in row] if one.ndim == 2 else got, abs=1e-5
        )
    pids, called = calls_of(tmp_path / "log")
    assert len(pids) == 1
    assert called == ["ast_demo.inference.forward.run_elsewhere"] * 2 + ["ast_demo.models.sequence_models._call"]


def test_maps_and_their_trust_cards_are_the_same(tmp_path: Path) -> None:
    references = save_tiny(tmp_path / "grid"), save_sequence_model("wav2vec2", tmp_path / "sequence")
    found = run_with_stub(MAPS, tmp_path, CLIP, *references)
    for (values, gap, kept), here in zip(found, maps_and_cards(CLIP, *references), strict=True):
        assert values == pytest.approx(here[0], abs=1e-4)
        assert gap == pytest.approx(here[1], abs=1e-4)
        assert kept == pytest.approx(here[2], abs=1e-2)  # of ranks: some may change places
    _, called = calls_of(tmp_path / "log")
    # The clip itself; and for the rollout's card once more, to compare with, and once for each stage of shuffled weights.
    once = 2 + len(STAGES)
    assert (
        called == ["ast_demo.inference.forward.run_elsewhere"] * once + ["ast_demo.models.sequence_models._call"] * once
    )


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
    assert set(called) == {"ast_demo.inference.forward.run_elsewhere"}
