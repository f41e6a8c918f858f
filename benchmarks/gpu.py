"""On a GPU, in half precision: 🤗 Transformers with its weights, its fused forward pass, and this program, with rollout.

The first table is of one pass through the model, beside the milliseconds that AST's documentation gives for an A100, eager
and fused. The second is of the product: `inspect` from the waveform to the map, and `evaluate` from files to the table.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import read_audio
from ast_demo.data import LabelledClips, ReadingOptions, read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.inspection import inspect_batch
from ast_demo.models import Checkpoint, load_checkpoint
from ast_demo.runtime import choose_device
from ast_demo.settings import Settings
from benchmarks.measure import read_arguments, report, spread, take_turns
from benchmarks.subjects import base_folder

_A100_MS: dict[int, tuple[float | str, float | str]] = {
    1: (27, 6), 2: (12, 6), 4: (21, 8), 8: (40, 14), 32: ("–", "–"),
}  # fmt: skip
_CLIPS = 2000


def finished(run: Callable[[], object]) -> Callable[[], None]:
    """A route that ends when the GPU has."""

    def timed() -> None:
        run()
        torch.cuda.synchronize()

    return timed


def textbook(model: Any, inputs: Tensor) -> Tensor:
    """Rollout by full products of the weights that eager attention returns, (batch, tokens)."""
    identity = torch.eye(1214, device=inputs.device)
    product = identity
    for attention in model(inputs, output_attentions=True).attentions:
        product = (attention.float().mean(dim=1) + identity) / 2 @ product
    return product[:, :2].mean(dim=1)


def passes(checkpoint: Checkpoint, rounds: int) -> Iterator[dict[str, object]]:
    """Milliseconds of one batch through the model, a row for each size."""
    from ast_demo.inference import explain

    device = checkpoint.device.name
    eager, fused = (copy.deepcopy(checkpoint.model).to(device, torch.bfloat16) for _ in range(2))
    model: Any
    for model, kind in ((eager, "eager"), (fused, "sdpa")):
        model.set_attn_implementation(kind)
    for batch, (a100_eager, a100_fused) in _A100_MS.items():
        values = torch.randn(batch, 1024, 128)
        inputs = values.to(device, torch.bfloat16)
        with torch.inference_mode():
            routes = {
                "eager with rollout": finished(partial(textbook, eager, inputs)),
                "fused alone": finished(partial(fused, inputs)),
                "this program, with rollout": finished(partial(explain, checkpoint.fast("bfloat16"), values)),
            }
            seconds = take_turns(routes, rounds)
        told = {name: spread([1000 * one for one in own]) for name, own in seconds.items()}
        yield {
            "batch": batch,
            **{f"{name}, ms": own for name, own in told.items()},
            "A100 eager, ms": a100_eager,
            "A100 fused, ms": a100_fused,
        }


def product(checkpoint: Checkpoint, rounds: int) -> Iterator[dict[str, object]]:
    """`inspect` of batches, and `evaluate` of files: clips a second."""
    samples = read_labelled_clips("samples", ReadingOptions())
    waveforms = [read_audio(clip.source) for clip in samples.clips if isinstance(clip.source, Path)]
    for batch in _A100_MS:
        clips = [waveforms[number % len(waveforms)] for number in range(batch)]
        (own,) = take_turns({"inspect": finished(partial(inspect_batch, clips, checkpoint))}, rounds).values()
        yield {
            "of": f"inspect, batch {batch}",
            "ms": spread([1000 * one for one in own]),
            "clips a second": batch / np.median(own),
        }
    many = replace(samples, clips=_repeat(samples, _CLIPS))
    labels = {label: checkpoint.facts.labels[number] for number, label in enumerate(samples.labels)}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        name = checkpoint.facts.name
        evaluate(many, [name], lambda _: checkpoint, Path(folder), label_map=labels, explain=False)
        seconds = time.perf_counter() - began
    yield {"of": f"evaluate, {_CLIPS} clips", "ms": f"{1000 * seconds:.0f}", "clips a second": _CLIPS / seconds}


def _repeat(samples: LabelledClips, n: int) -> Any:
    return tuple(
        replace(
            samples.clips[number % len(samples.clips)],
            name=f"{number}-{samples.clips[number % len(samples.clips)].name}",
        )
        for number in range(n)
    )


def main() -> None:
    arguments = read_arguments(__doc__ or "", rounds=20)
    if not choose_device("auto").is_gpu:
        print("This machine has no GPU that torch can use: nothing was measured.")
        return
    checkpoint = load_checkpoint(base_folder(), Settings(precision="bfloat16"))
    gpu = str(checkpoint.device)
    report("gpu", list(passes(checkpoint, arguments.rounds)), arguments.output, gpu=gpu)
    report("gpu-product", list(product(checkpoint, arguments.rounds)), arguments.output, gpu=gpu)


if __name__ == "__main__":
    main()
