"""Explaining one clip: this program beside the way of every notebook, eager attention and full matrix products.

The limit is the arithmetic of one forward pass at the rate of matrix products that the machine reaches in the same
run and precision. Everyone has the same weights and the same clip, from its samples to the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.inference import Precision
from ast_demo.inspection import Inspection, inspect
from ast_demo.runtime import has_bfloat16
from benchmarks.measure import flop_rates, multiply, peak_memory_mb, ratios, read_arguments, report, spread, take_turns
from benchmarks.subjects import GFLOP_PER_FORWARD, base_checkpoint, base_folder, sample_clips

_ALL_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def textbook(model: Any, extractor: Any, clip: Waveform) -> tuple[Tensor, Tensor]:
    """Scores (n_labels,), and the rollout (n_frequency · n_time,) of what the classifier reads, by full products."""
    with torch.inference_mode():
        inputs = extractor(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        output = model(**inputs, output_attentions=True)
        identity = torch.eye(output.attentions[0].shape[-1])
        product = identity
        for attention in output.attentions:
            layer = 0.5 * attention[0].mean(dim=0) + 0.5 * identity
            product = layer / layer.sum(dim=1, keepdim=True) @ product
        return output.logits[0].sigmoid(), product[:2].mean(dim=0)[2:]


def prepare_textbook() -> Callable[[], object]:
    model = ASTForAudioClassification.from_pretrained(base_folder(), attn_implementation="eager").eval()
    extractor = ASTFeatureExtractor.from_pretrained(base_folder())
    (clip,) = sample_clips(1)
    _touch(model)
    return lambda: textbook(model, extractor, clip)


def prepare_ours(precision: Precision) -> Callable[[], object]:
    checkpoint = base_checkpoint()
    (clip,) = sample_clips(1)
    _touch(checkpoint.model)
    checkpoint.fast(precision)
    return lambda: inspect(clip, checkpoint, precision)


def prepare_forward(precision: Precision) -> Callable[[], object]:
    """🤗 Transformers' own forward pass with its fast attention, on features that are ready: no map at all."""
    dtype = getattr(torch, precision)
    model = ASTForAudioClassification.from_pretrained(base_folder(), dtype=dtype).eval()
    (clip,) = sample_clips(1)
    inspection = inspect(clip, base_checkpoint(), "float32")
    inputs = torch.from_numpy(inspection.fed[0].values[None]).to(dtype)
    return torch.inference_mode()(lambda: model(inputs))


def compare_precisions(n_clips: int) -> dict[str, object]:
    """How near bfloat16 is to float32, and float32 to the textbook."""
    checkpoint, clips = base_checkpoint(), sample_clips(n_clips)
    eager = ASTForAudioClassification.from_pretrained(base_folder(), attn_implementation="eager").eval()
    exact = [inspect(clip, checkpoint, "float32") for clip in clips]
    scores, rollout = textbook(eager, ASTFeatureExtractor.from_pretrained(base_folder()), clips[0])
    facts: dict[str, object] = {
        "float32_rollout_error": float(np.abs(exact[0].rollout.final.ravel() - rollout.numpy()).max()),
        "float32_score_error": float(np.abs(exact[0].prediction.scores - scores.numpy()).max()),
    }
    near = [inspect(clip, checkpoint, "bfloat16") for clip in clips]
    pairs = list(zip(near, exact, strict=True))
    return facts | {
        "clips": n_clips,
        "bfloat16_score_error": max(
            float(np.abs(one.prediction.scores - other.prediction.scores).max()) for one, other in pairs
        ),
        "bfloat16_same_top_5": sum(_top_5(one) == _top_5(other) for one, other in pairs),
        # Between the fifth and the sixth score: what lies nearer than rounding moves scores has no order to keep.
        "largest_gap_where_top_5_differ": max(
            (_gap_after_5(other) for one, other in pairs if _top_5(one) != _top_5(other)), default=None
        ),
        "bfloat16_rollout_correlation_below_1_by": max(
            1 - float(np.corrcoef(one.rollout.final.ravel(), other.rollout.final.ravel())[0, 1]) for one, other in pairs
        ),
    }


def _top_5(inspection: Inspection) -> set[str]:
    return {label for label, _ in inspection.prediction.top(5)}


def _gap_after_5(inspection: Inspection) -> float:
    best = inspection.prediction.top(6)
    return best[4][1] - best[5][1]


def _touch(model: torch.nn.Module) -> None:
    """Read all weights once: what a file lends to memory only when it is read should not count as the route's."""
    for parameter in model.parameters():
        parameter.sum()


def main() -> None:
    arguments = read_arguments(__doc__ or "", rounds=5, clips=20)
    precisions = _ALL_PRECISIONS if has_bfloat16() else _ALL_PRECISIONS[:1]
    routes: dict[str, Callable[[], object]] = {"textbook, float32": prepare_textbook()}
    for precision in precisions:
        routes[f"products, {precision}"] = multiply(getattr(torch, precision))
        routes[f"forward alone, {precision}"] = prepare_forward(precision)
        routes[f"explained, {precision}"] = prepare_ours(precision)
    seconds = take_turns(routes, arguments.rounds)
    memory = {"textbook, float32": peak_memory_mb(prepare_textbook)}
    for precision in precisions:
        memory[f"explained, {precision}"] = peak_memory_mb(prepare_ours, precision)
    rows, limits = [], {}
    for name in (name for name in routes if not name.startswith("products")):
        kind = name.split(", ")[1]
        limit = [GFLOP_PER_FORWARD * 1e9 / rate for rate in flop_rates(seconds[f"products, {kind}"])]
        limits[f"limit_s_{kind}"] = spread(limit)
        rows.append(
            {
                "route": name,
                "seconds": spread(seconds[name]),
                "× faster than the textbook": ratios(seconds[name], seconds["textbook, float32"]),
                "× the limit": ratios(limit, seconds[name]),
                "× forward alone": ratios(seconds[f"forward alone, {kind}"], seconds[name]),
                "MB above the model": memory.get(name),
            }
        )
    report("explain", rows, arguments.output, **limits, **compare_precisions(arguments.clips))


if __name__ == "__main__":
    main()
