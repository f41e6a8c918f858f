"""What the table of an evaluation says of one clip and one checkpoint, by the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from ast_demo.data import LabelledClip, match_key
from ast_demo.explain import MapFacts, Mistake
from ast_demo.figures import map_thumbnail
from ast_demo.inspection import Inspection

# Class relevance for the label that was predicted, and for the one that is true.
PICTURES_OF_A_MISTAKE = ("relevance_predicted", "relevance_true")
# Of the map that speaks for a wrong prediction, see `mistakes.MapFacts`.
OF_EACH_MAP = (
    "fall_by_map",
    "fall_by_loudness",
    "fall_by_chance",
    "map_on_padding",
    "map_on_silence",
    "silence_share",
    "map_like_loudness",
    "map_on_special_tokens",
)


def column(field: str, checkpoint: str) -> str:
    """Name of a column that belongs to one checkpoint."""
    return f"{field} ({checkpoint})"


def columns_of(inspection: Inspection, clip: LabelledClip, label_map: Mapping[str, str]) -> dict[str, Any]:
    """What the table says of a clip and one checkpoint."""
    prediction, facts = inspection.prediction, inspection.checkpoint
    true = true_labels(clip, inspection, label_map)
    top = prediction.top(3)
    order = np.argsort(-prediction.scores, kind="stable")
    best = int(order[0])
    margin = float(prediction.scores[order[0]] - prediction.scores[order[1]]) if len(order) > 1 else 1.0
    # A prediction that is one of the clip's labels is spelled as the data spell it.
    spelled = dict(zip(true, clip.labels, strict=True))
    values = {
        "prediction": spelled.get(best, _spelling(prediction.labels[best], label_map)),
        "confidence": float(prediction.scores[best]),
        "correct": best in true,
        "loss": _loss(prediction.logits, true, facts.activation),
        "margin": margin,
        "entropy_bits": _entropy(prediction.scores),
        "top_3": ", ".join(f"{label} {score:.1%}" for label, score in top),
        "padding_share": inspection.padding_share,
        "truncated_s": inspection.truncated_s,
        "window_start_s": inspection.waveform.start_s,  # of what is pictured; the scores are of all windows
        "rollout_on_padding": float(inspection.rollout.padding_share[-1]),
        "scores": prediction.scores.astype(np.float32),
        "embedding": prediction.embedding.astype(np.float32),
    }
    return {column(field, facts.name): value for field, value in values.items()}


def columns_of_mistake(inspection: Inspection, mistake: Mistake | None) -> dict[str, Any]:
    """What the table says of why a prediction is wrong; empty cells where nothing was explained."""
    values: dict[str, Any] = dict.fromkeys((*(one.name for one in fields(MapFacts)), *PICTURES_OF_A_MISTAKE))
    if mistake is not None:
        values |= asdict(mistake.facts)
        for name, relevance in zip(PICTURES_OF_A_MISTAKE, (mistake.predicted, mistake.true), strict=True):
            values[name] = relevance and map_thumbnail(inspection, relevance)
    return {column(field, inspection.checkpoint.name): value for field, value in values.items()}


def describe_trust(row: Any, name: str) -> str:
    """What is known of the map of a wrong prediction, each number beside its controls; nothing if there is no map."""
    fall, loudness, chance, padding, silence, even = (
        row.get(column(field, name))
        for field in (*OF_EACH_MAP[:3], "map_on_padding", "map_on_silence", "silence_share")
    )
    if fall is None or fall != fall:
        return ""
    return (
        f"Without the tenth of the clip that is highest on its map, the score falls by {100 * fall:.0f} points (without "
        f"the loudest tenth by {100 * loudness:.0f}, without a random one by {100 * chance:.0f}). {padding:.0%} of the "
        f"map rests on padding (of an even map {row[column('padding_share', name)]:.0%}), {silence:.0%} on silence "
        f"({even:.0%})."
    )


def true_labels(clip: LabelledClip, inspection: Inspection, label_map: Mapping[str, str]) -> list[int]:
    """Places of the clip's labels among the checkpoint's."""
    keys = [match_key(label) for label in inspection.prediction.labels]
    return [keys.index(label_key(label, label_map)) for label in clip.labels]


def label_key(label: str, label_map: Mapping[str, str]) -> str:
    mapped = {match_key(name): match_key(other) for name, other in label_map.items()}
    return mapped.get(match_key(label), match_key(label))


def _spelling(label: str, label_map: Mapping[str, str]) -> str:
    """A checkpoint's label as the data call it."""
    return {match_key(other): name for name, other in label_map.items()}.get(match_key(label), label)


def _loss(logits: np.ndarray, true: Sequence[int], activation: str) -> float:
    """Cross-entropy of the one label, or the mean binary cross-entropy over all labels, in nats."""
    values = logits.astype(np.float64)
    if activation == "softmax" and len(true) == 1:
        return float(np.logaddexp.reduce(values) - values[true[0]])
    target = np.zeros(len(values))
    target[list(true)] = 1
    return float((np.logaddexp(0, values) - target * values).mean())


def _entropy(scores: np.ndarray) -> float:
    """Of the scores scaled to a sum of 1, in bits."""
    shares = scores / scores.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())
