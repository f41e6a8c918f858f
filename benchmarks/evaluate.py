"""Evaluating labelled clips with AST-base, beside 🤗 `pipeline`: `python -m benchmarks.evaluate`.

Both start from the same WAV files. This program also decodes to a row with the sound as FLAC, the rollout, the facts
of the clip and pictures, and writes it to Parquet; the pipeline gives scores. The limit is the time that the
multiplications of a forward pass take at the rate of a plain matrix product, measured in turns with the others.

`--agreement N` counts on how many of N clips, and of the shipped samples with the shipped checkpoints, bfloat16 and
float32 have the same winner. `--memory 1` measures the memory of 500 and of 5,000 clips with a tiny model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.data import LabelledClip, LabelledClips, list_samples
from ast_demo.evaluation import EvaluationConfig, Work, evaluate, evaluate_here, make_folder
from ast_demo.inspection import inspect_batch
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from benchmarks.measure import flop_rates, multiply, peak_memory_mb, ratios, read_arguments, report, spread, take_turns
from benchmarks.subjects import GFLOP_PER_FORWARD, base_folder, sample_clips

_FEW, _MANY = 500, 5000  # clips, of which memory is compared


def main() -> None:
    asked = read_arguments(__doc__.splitlines()[0], clips=8, rounds=3, agreement=0, memory=0)
    rows: list[dict[str, object]] = []
    facts: dict[str, object] = {}
    with scratch() as folder:
        clips = write_clips(folder / "clips", sample_clips(asked.clips))
        load = CheckpointCache(Settings(precision="auto")).load
        precision = load(str(base_folder())).precision
        dtype = getattr(torch, precision)
        routes = {
            f"this program, {precision}": evaluation_of(clips, load, folder),
            "🤗 pipeline, batch 1": pipeline_of(clips, 1),
            "🤗 pipeline, batch 8": pipeline_of(clips, 8),
            "limit": multiply(dtype),
        }
        seconds = take_turns(routes, asked.rounds)
        own, *others, limit = seconds.values()
        limits = [len(clips) * 1e9 * GFLOP_PER_FORWARD / rate for rate in flop_rates(limit)]
        for name, taken in zip(list(routes)[:-1], (own, *others), strict=True):
            rows.append(
                {
                    "route": name,
                    "seconds a clip": spread([one / len(clips) for one in taken]),
                    "times as long as this program": ratios(own, taken),
                    "times the limit": ratios(limits, taken),
                }
            )
        facts["limit_seconds_a_clip"] = spread([one / len(clips) for one in limits])
        if asked.agreement:
            facts |= agreements(asked.agreement)
        if asked.memory:
            facts["memory_mb"] = {n: peak_memory_mb(tiny_evaluation, n) for n in (_FEW, _MANY)}
    report("evaluate", rows, asked.output, clips=len(clips), rounds=asked.rounds, **facts)


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ast-demo-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_clips(folder: Path, waveforms: list[Waveform]) -> list[LabelledClip]:
    """WAV files, all with one label."""
    folder.mkdir(parents=True)
    clips = []
    for number, waveform in enumerate(waveforms):
        path = folder / f"{number:05d}.wav"
        soundfile.write(path, waveform.samples, SAMPLE_RATE)
        clips.append(LabelledClip(path.name, path, ("Speech",)))
    return clips


def evaluation_of(clips: list[LabelledClip], load: Any, folder: Path) -> Callable[[], object]:
    """All that is done for each clip; what is done once at the end of an evaluation is not."""
    numbers = count()

    def run() -> None:
        output = folder / f"output-{next(numbers)}"
        make_folder(output)
        evaluate_here(
            Work(((0, tuple(clips)),), EvaluationConfig((str(base_folder()),)), output), load, lambda done: None
        )

    return run


def pipeline_of(clips: list[LabelledClip], batch_size: int) -> Callable[[], object]:
    from transformers import pipeline

    classify: Any = pipeline("audio-classification", model=str(base_folder()), device="cpu")

    def run() -> None:
        sounds = (
            {"raw": soundfile.read(str(clip.source), dtype="float32")[0], "sampling_rate": SAMPLE_RATE}
            for clip in clips
        )
        assert len(list(classify(sounds, batch_size=batch_size))) == len(clips)

    return run


def agreements(n: int) -> dict[str, object]:
    """Share of the clips on which bfloat16 has the winner of float32."""
    shipped = [read_audio(sample.path) for sample in list_samples()]
    same: dict[str, object] = {}
    for name, reference, waveforms in (
        ("AST-base, random weights", str(base_folder()), sample_clips(n)),
        ("sounds-and-digits-16-16", "sounds-and-digits-16-16", shipped),
        ("sounds-and-digits-10-10", "sounds-and-digits-10-10", shipped),
    ):
        checkpoint = CheckpointCache(Settings()).load(reference)
        winners = []
        for precision in ("float32", "bfloat16"):
            inspections = [one for w in waveforms for one in inspect_batch([w], checkpoint, precision)]
            winners.append([one.prediction.top(1)[0][0] for one in inspections])
        equal = np.mean([one == other for one, other in zip(*winners, strict=True)])
        same[name] = {"clips": len(waveforms), "same_winner": float(equal), "winners": len(set(winners[0]))}
    return {"agreement": same}


def tiny_evaluation(n: int) -> Callable[[], object]:
    """An evaluation of n clips of 5 s of noise, whose FLAC is as large as sounds get, with a model that takes no time."""
    from transformers import ASTConfig, ASTForAudioClassification

    folder = Path(tempfile.mkdtemp(prefix="ast-demo-benchmark-"))
    config = ASTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32, max_length=64)
    config.id2label, config.label2id = {0: "Speech", 1: "Music"}, {"Speech": 0, "Music": 1}
    torch.manual_seed(0)
    ASTForAudioClassification(config).save_pretrained(folder / "model")
    extractor = {"feature_extractor_type": "ASTFeatureExtractor", "max_length": 64}
    (folder / "model" / "preprocessor_config.json").write_text(json.dumps(extractor))
    noise = np.random.default_rng(0).standard_normal((50, 5 * SAMPLE_RATE)).clip(-3, 3) * 0.1
    noise *= np.linspace(0.1, 1, len(noise))[:, None]
    files = write_clips(folder / "clips", [Waveform(row.astype(np.float32), "noise", SAMPLE_RATE, 1) for row in noise])
    clips = LabelledClips(
        "noise", tuple(LabelledClip(f"{i}.wav", files[i % len(files)].source, ("Speech",)) for i in range(n))
    )
    load = CheckpointCache(Settings()).load

    def run() -> None:
        try:
            evaluate(clips, [str(folder / "model")], load, folder / "output")
        finally:
            shutil.rmtree(folder)

    return run


if __name__ == "__main__":
    main()
