"""Checkpoints as ONNX, run by onnxruntime in a process that has nothing of this program, beside the program itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ast_demo.audio import read_audio
from ast_demo.cli import main
from ast_demo.errors import CheckpointError, DataError
from ast_demo.export import export_onnx
from ast_demo.inspection import inspect, inspect_batch
from ast_demo.models import load_checkpoint, shipped_names
from tests.clips import noise, sample_clips, waveform
from tests.reference import exact_attentions
from tests.tiny import BASE_WIDTH, LABELS, build_model, save
from tests.tiny_sequence import save_sequence_model

RUN = """
import sys
import numpy, onnxruntime
model, clips, results = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
names = [output.name for output in session.get_outputs()]
assert names[0] == "logits" and [one.name for one in session.get_inputs()] == ["samples"]
found = {}
for number, samples in numpy.load(clips).items():
    for name, values in zip(names, session.run(None, {"samples": samples})):
        found[f"{name} {number}"] = values
numpy.savez(results, **found)
assert not {"torch", "ast_demo", "transformers"} & set(sys.modules)
"""


def run_elsewhere(model: Path, clips: list[np.ndarray], output: str = "logits") -> list[np.ndarray]:
    """What a model gives for each of some batches (clips, n)."""
    given, results = model.with_suffix(".clips.npz"), model.with_suffix(".results.npz")
    np.savez(given, *clips)
    subprocess.run([sys.executable, "-I", "-c", RUN, model, given, results], check=True, cwd=model.parent)
    found = np.load(results)
    return [found[f"{output} arr_{number}"] for number in range(len(clips))]


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_checkpoint(name: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(name)
    full, small, *_ = export_onnx(checkpoint, tmp_path)
    clips = [read_audio(path) for path in sample_clips(100)]
    expected = np.stack([inspect(clip, checkpoint).prediction.logits for clip in clips])
    exact, rounded = (
        np.concatenate(run_elsewhere(model, [clip.samples[None] for clip in clips])) for model in (full, small)
    )
    np.testing.assert_allclose(exact, expected, atol=1e-4)  # as promised
    assert (rounded.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.99
    assert np.abs(rounded - expected).max() > 1e-3  # it is another model
    assert small.stat().st_size < 0.6 * full.stat().st_size


def test_the_published_width(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(build_model(**BASE_WIDTH), tmp_path / "base"))
    clips = [read_audio(path) for path in sample_clips(2)]
    full, *_ = export_onnx(checkpoint, tmp_path / "onnx")
    for clip, logits in zip(clips, run_elsewhere(full, [clip.samples[None] for clip in clips]), strict=True):
        np.testing.assert_allclose(logits[0], inspect(clip, checkpoint).prediction.logits, atol=1e-4)


def test_every_length_batches_embeddings_and_attention(tmp_path: Path, tiny_folder: Path) -> None:
    """Less than a frame, less than the input, just the input, more than that; alone and two at once."""
    checkpoint = load_checkpoint(tiny_folder)
    window = 88 * 160 + 400
    full, *_ = export_onnx(checkpoint, tmp_path, attention=True)
    lengths = (400, 559, 560, 5000, window - 1, window, window + 160, 40_000)
    clips = [[waveform(noise(n / 16_000, seed)[:n]) for seed in (n, n + 1)] for n in lengths]
    batches = [np.stack([clip.samples for clip in pair]) for pair in clips]
    results = [run_elsewhere(full, batches, output) for output in ("logits", "embedding", "attention")]
    for pair, *found in zip(clips, *results, strict=True):
        for inspection, logits, embedding, attention in zip(inspect_batch(pair, checkpoint), *found, strict=True):
            np.testing.assert_allclose(logits, inspection.prediction.logits, atol=1e-4)
            np.testing.assert_allclose(embedding, inspection.prediction.embedding, atol=1e-4)
            _, exact = exact_attentions(checkpoint.model, inspection.fed[0].values)
            np.testing.assert_allclose(attention, exact.mean(axis=1), atol=1e-4)
    (nothing,) = run_elsewhere(full, [np.zeros((1, 300), np.float32)])
    assert np.isfinite(nothing).all()


def test_the_readme_and_the_labels(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command line, and as its README says."""
    monkeypatch.setattr(sys, "argv", ["ast_demo", "export", str(tiny_folder), "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.int8.onnx", "labels.json", "README.md"}
    told = json.loads((tmp_path / "labels.json").read_text())
    assert told == {"labels": list(LABELS), "activation": "softmax", "sampling_rate": 16_000}
    for name in ("model.onnx", "model.int8.onnx"):
        content = (tmp_path / name).read_bytes()
        assert b'"softmax"' in content
        assert all(label.encode() in content for label in LABELS)
        assert b"/ast_demo/" not in content  # where this program lies is nobody's business
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    clip = waveform(noise(0.7))
    soundfile.write(tmp_path / "clip.wav", clip.samples, 16_000, subtype="FLOAT")
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == inspect(clip, load_checkpoint(tiny_folder)).prediction.top(1)[0][0]


def test_what_cannot_be_written_gets_a_sentence(tmp_path: Path, tiny_folder: Path) -> None:
    sequence = load_checkpoint(save_sequence_model("wav2vec2", tmp_path / "wav2vec2"))
    with pytest.raises(CheckpointError, match="'wav2vec2' has no patch grid, and only Audio Spectrogram Transformers"):
        export_onnx(sequence, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="Cannot write to the folder"):
        export_onnx(load_checkpoint(tiny_folder), tmp_path / "file" / "out")
