"""One clip and one checkpoint: what the model was fed, what it says, and where its attention flowed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ast_demo.attention import HeadMeans, Rollout, rollout_of_clip, to_grid
from ast_demo.audio import Waveform
from ast_demo.checkpoints import Activation, Checkpoint, CheckpointFacts
from ast_demo.spectrogram import Spectrogram, compute_spectrograms


@dataclass(frozen=True)
class Prediction:
    """What a checkpoint says about a clip.

    Attributes:
        labels: In the order of the scores.
        scores: (n_labels,) after the activation, 0 to 1.
        logits: (n_labels,) before it.
        embedding: (hidden_size,) what the classifier reads: the mean of the special tokens after the last layer norm.
    """

    labels: tuple[str, ...]
    scores: np.ndarray
    logits: np.ndarray
    embedding: np.ndarray

    def top(self, k: int | None = None) -> list[tuple[str, float]]:
        """The k best (label, score), best first; all of them without k."""
        best = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.labels[i], float(self.scores[i])) for i in best]


@dataclass(frozen=True)
class Inspection:
    """One clip through one checkpoint. It holds no weights, so keeping one keeps no model in memory.

    Attributes:
        seconds: Time from the waveform to the rollout.
        precision: Number format that the model computed in.
    """

    waveform: Waveform
    checkpoint: CheckpointFacts
    spectrogram: Spectrogram
    prediction: Prediction
    rollout: Rollout
    seconds: float
    precision: str


@dataclass(frozen=True)
class PatchInspection:
    """One patch of an inspected clip.

    Attributes:
        frequency, time: Its place in the grid.
        rollout: Rollout that starts from its token.
        attention: (n_layers, n_frequency, n_time) what its token attends to in each layer, averaged over heads.
    """

    frequency: int
    time: int
    rollout: Rollout
    attention: np.ndarray


def inspect(waveform: Waveform, checkpoint: Checkpoint) -> Inspection:
    """Show one clip to one checkpoint, and keep everything that explains the answer."""
    began = time.perf_counter()
    facts = checkpoint.facts
    (spectrogram,) = compute_spectrograms([waveform], facts.input)
    layers = HeadMeans()
    logits, embedding = _run(checkpoint, spectrogram, layers)
    rollout = rollout_of_clip([layer[0] for layer in layers.layers], facts.grid, spectrogram.clip_frames)
    prediction = Prediction(facts.labels, to_scores(logits, facts.activation), logits, embedding)
    return Inspection(
        waveform, facts, spectrogram, prediction, rollout, seconds=time.perf_counter() - began, precision="float32"
    )


def inspect_patch(inspection: Inspection, checkpoint: Checkpoint, frequency: int, time: int) -> PatchInspection:
    """Look at the clip from one patch. The model runs again on the same spectrogram: its attention is not kept.

    Raises:
        IndexError: There is no such patch in the grid.
    """
    grid = checkpoint.facts.grid
    token = grid.token(frequency, time)
    collected = HeadMeans()
    _run(checkpoint, inspection.spectrogram, collected)
    layers = [layer[0] for layer in collected.layers]
    rollout = rollout_of_clip(layers, grid, inspection.spectrogram.clip_frames, token)
    attention = to_grid(torch.stack([layer[token] for layer in layers]).numpy(), grid)
    return PatchInspection(frequency, time, rollout, attention)


def to_scores(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Logits (…, n_labels) to scores: softmax over the labels, or a sigmoid for each."""
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-logits.astype(np.float64)))
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@torch.inference_mode()
def _run(checkpoint: Checkpoint, spectrogram: Spectrogram, collector: HeadMeans) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n_labels,) and embedding (hidden_size,) of one clip; head means go to the collector."""
    model: Any = checkpoint.model
    inputs = torch.from_numpy(spectrogram.values[None])
    embedding = model.audio_spectrogram_transformer(inputs, rollout=collector).pooler_output
    logits = model.classifier(embedding)
    return logits[0].numpy(), embedding[0].numpy()


def summarise(inspection: Inspection) -> dict[str, object]:
    """An inspection as a JSON object: facts and scores, without the arrays."""
    facts, spectrogram, rollout = inspection.checkpoint, inspection.spectrogram, inspection.rollout
    return {
        "clip": inspection.waveform.name,
        "checkpoint": facts.name,
        "activation": facts.activation,
        "activation_reason": facts.activation_reason,
        "predictions": _listed(inspection.prediction.top()),
        "duration_s": round(inspection.waveform.duration_s, 4),
        "original_rate": inspection.waveform.original_rate,
        "channels": inspection.waveform.channels,
        "notes": list(inspection.waveform.notes),
        "frames": spectrogram.clip_frames,
        "input_frames": facts.input.n_frames,
        "mean": facts.input.mean,
        "std": facts.input.std,
        "padding_share": spectrogram.padding_share,
        "truncated_s": spectrogram.truncated_s,
        "patch_grid": {"frequency": facts.grid.n_frequency, "time": facts.grid.n_time},
        "rollout_on_padding": float(rollout.padding_share[-1]),
        "rollout_on_special_tokens": float(rollout.special_share[-1]),
        "precision": inspection.precision,
        "seconds": round(inspection.seconds, 4),
    }


def _listed(top: Sequence[tuple[str, float]]) -> list[dict[str, object]]:
    return [{"label": label, "score": score} for label, score in top]
