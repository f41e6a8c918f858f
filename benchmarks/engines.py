"""Scores alone, without rollout, by other engines: `python -m benchmarks.engines`.

From the samples of a clip to its logits: this program; onnxruntime with the file that `export` writes, in single precision and with
8-bit weights; OpenVINO with the first of these, where it is installed; and `torch.compile` of the model of 🤗 Transformers. An engine
would be worth a choice of `AST_DEMO_PRECISION` if it were 1.3 × as fast with the same winner on 99.5 % of the clips.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch

from ast_demo.audio import Waveform, read_audio
from ast_demo.data import list_samples
from ast_demo.export import export_onnx
from ast_demo.features import compute_spectrograms
from ast_demo.inference import run
from ast_demo.models import Checkpoint, default_checkpoint, load_checkpoint
from benchmarks.measure import ratios, read_arguments, report, spread, take_turns
from benchmarks.subjects import base_checkpoint
from benchmarks.subjects import sample_clips as long_clips

Engine = Callable[[list[Waveform]], np.ndarray]  # clips of one length to logits (clips, labels)


def main() -> None:
    asked = read_arguments((__doc__ or "").splitlines()[0], rounds=7, clips=60)
    samples = [read_audio(sample.path) for sample in list_samples()]
    subjects = {
        "AST-base": (base_checkpoint(), long_clips(asked.clips), (1, 4)),
        default_checkpoint(): (load_checkpoint(default_checkpoint()), samples, (1,)),
    }
    rows: list[dict[str, object]] = []
    for name, (checkpoint, clips, sizes) in subjects.items():
        with TemporaryDirectory() as folder:
            engines = make_engines(checkpoint, Path(folder))
            own = winners(engines["this program"], clips)
            same = {one: float((winners(engine, clips) == own).mean()) for one, engine in engines.items()}
            for size in sizes:
                rows += measure(name, engines, clips[:size], same, asked.rounds)
    report("engines", rows, asked.output)


def measure(
    name: str, engines: Mapping[str, Engine], clips: list[Waveform], same: Mapping[str, float], rounds: int
) -> list[dict[str, object]]:
    seconds = take_turns({one: partial(engine, clips) for one, engine in engines.items()}, rounds)
    return [
        {
            "checkpoint": name,
            "batch": len(clips),
            "engine": one,
            "ms a clip": spread([1000 * value / len(clips) for value in taken]),
            "× as fast as this program": ratios(taken, seconds["this program"]),
            "same winner": same[one],
        }
        for one, taken in seconds.items()
    ]


def winners(engine: Engine, clips: list[Waveform]) -> np.ndarray:
    return np.array([engine([clip])[0].argmax() for clip in clips])


def make_engines(checkpoint: Checkpoint, folder: Path) -> dict[str, Engine]:
    facts = checkpoint.facts
    assert facts.input is not None
    fast, settings = checkpoint.fast("float32"), facts.input
    compiled: Any = torch.compile(checkpoint.model)

    def spectrograms(clips: list[Waveform]) -> torch.Tensor:
        return torch.from_numpy(np.stack([one.values for one in compute_spectrograms(clips, settings)]))

    def compiled_logits(clips: list[Waveform]) -> np.ndarray:
        with torch.inference_mode():
            return compiled(spectrograms(clips)).logits.numpy()

    full, small, *_ = export_onnx(checkpoint, folder)
    engines: dict[str, Engine] = {
        "this program": lambda clips: run(fast, spectrograms(clips), sums=False).logits.numpy(),
        "onnxruntime": _onnxruntime(full),
        "onnxruntime, 8-bit weights": _onnxruntime(small),
        "torch.compile": compiled_logits,
    }
    if importlib.util.find_spec("openvino"):
        engines["OpenVINO"] = _openvino(full)
    return engines


def _stack(clips: list[Waveform]) -> np.ndarray:
    return np.stack([clip.samples for clip in clips])


def _onnxruntime(path: Path) -> Engine:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda clips: session.run(["logits"], {"samples": _stack(clips)})[0]


def _openvino(path: Path) -> Engine:
    import openvino

    model = openvino.Core().compile_model(path, "CPU")
    return lambda clips: model({"samples": _stack(clips)})[model.output("logits")]


if __name__ == "__main__":
    main()
