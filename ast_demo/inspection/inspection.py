"""One clip and one checkpoint: what the model was fed, what it says, and where its attention flowed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import Waveform
from ast_demo.errors import CheckpointError
from ast_demo.features import PatchGrid, Spectrogram, compute_spectrograms
from ast_demo.inference import Answer, Precision, run, run_elsewhere
from ast_demo.inspection.rollout import Rollout, rollout_of_clip, rollout_over_time, to_grid
from ast_demo.models import Activation, Checkpoint, CheckpointFacts, run_sequence_model
from ast_demo.runtime import is_lent

_SHORT_S = 0.25  # shorter than any of the shipped digits
_MOSTLY_PADDING = 0.95


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
        spectrogram: What the model was fed; None for a checkpoint without a patch grid.
        rollout: On the patch grid; without one, over time only: a single row of as many columns as there are tokens.
        input_s: Seconds of sound that the input has room for.
        seconds: Time from the waveform to the rollout.
        precision: Number format that the model computed in.
        precision_note: Why that is not what the settings ask for, in a sentence; empty where it is.
    """

    waveform: Waveform
    checkpoint: CheckpointFacts
    spectrogram: Spectrogram | None
    prediction: Prediction
    rollout: Rollout
    input_s: float
    seconds: float
    precision: Precision
    precision_note: str = ""

    @property
    def fed(self) -> tuple[Spectrogram, PatchGrid]:
        """The spectrogram and its patches.

        Raises:
            CheckpointError: The checkpoint has no patch grid.
        """
        if self.spectrogram is None or self.checkpoint.grid is None:
            raise CheckpointError(f"{self.checkpoint.name!r} has no patch grid: it reads the sound as a sequence.")
        return self.spectrogram, self.checkpoint.grid

    @property
    def padding_share(self) -> float:
        """Share of the input that is padding, 0 to 1."""
        if self.spectrogram is not None:
            return self.spectrogram.padding_share
        return max(0.0, 1 - self.waveform.duration_s / self.input_s)

    @property
    def input_note(self) -> str:
        """That the sound fills next to nothing of the input, where so; else nothing."""
        if self.waveform.duration_s >= _SHORT_S and self.padding_share < _MOSTLY_PADDING:
            return ""
        return (
            f"Only {self.waveform.duration_s:.2g} s of sound: {self.padding_share:.0%} of what {self.checkpoint.name} was "
            "fed is padding. Its scores may mean little."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before the scores are believed, a sentence each: of the recording, and of the input."""
        return (*self.waveform.notes, *filter(None, [self.input_note]))

    @property
    def truncated_s(self) -> float:
        """Seconds at the end of the clip that the checkpoint never gets."""
        if self.spectrogram is not None:
            return self.spectrogram.truncated_s
        return max(0.0, self.waveform.duration_s - self.input_s)


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


def inspect(waveform: Waveform, checkpoint: Checkpoint, precision: Precision | None = None) -> Inspection:
    """Show one clip to one checkpoint, and keep everything that explains the answer: a batch of one."""
    (inspection,) = inspect_batch([waveform], checkpoint, precision)
    return inspection


def inspect_batch(
    waveforms: Sequence[Waveform], checkpoint: Checkpoint, precision: Precision | None = None
) -> list[Inspection]:
    """Show clips to one checkpoint, in one pass through the model; memory grows with their number.

    A clip gets the same answer as alone, but for the rounding of sums that are taken in another order. The seconds
    of each are its share of the whole time.

    Args:
        precision: What to compute in, if not in what was chosen for the checkpoint when it was loaded.
    """
    began = time.perf_counter()
    facts = checkpoint.facts
    if not (facts.input and facts.grid):  # its clips differ in length, and it is not made for speed
        return [_inspect_sequence(waveform, checkpoint) for waveform in waveforms]
    precision = precision or checkpoint.precision
    spectrograms = compute_spectrograms(waveforms, facts.input)
    answers = _run(checkpoint, spectrograms, precision)
    rollouts = [
        rollout_of_clip(layers, facts.grid, spectrogram.clip_frames)
        for (_, _, layers), spectrogram in zip(answers, spectrograms, strict=True)
    ]
    seconds = (time.perf_counter() - began) / max(len(waveforms), 1)
    return [
        Inspection(
            waveform,
            facts,
            spectrogram,
            Prediction(facts.labels, to_scores(logits, facts.activation), logits, embedding),
            rollout,
            facts.input.duration_s,
            seconds,
            precision,
            checkpoint.precision_note,
        )
        for waveform, spectrogram, (logits, embedding, _), rollout in zip(
            waveforms, spectrograms, answers, rollouts, strict=True
        )
    ]


def _inspect_sequence(waveform: Waveform, checkpoint: Checkpoint) -> Inspection:
    """One clip through a checkpoint without a patch grid."""
    began = time.perf_counter()
    facts = checkpoint.facts
    logits, embedding, layers, input_s = run_sequence_model(checkpoint, waveform)
    rollout = rollout_over_time(layers, waveform.duration_s / input_s)
    prediction = Prediction(facts.labels, to_scores(logits, facts.activation), logits, embedding)
    seconds = time.perf_counter() - began
    computed_in = (checkpoint.precision, checkpoint.precision_note)
    return Inspection(waveform, facts, None, prediction, rollout, input_s, seconds, *computed_in)


def inspect_patch(inspection: Inspection, checkpoint: Checkpoint, frequency: int, time: int) -> PatchInspection:
    """Look at the clip from one patch. The model runs again on the same spectrogram: its attention is not kept.

    Raises:
        IndexError: There is no such patch in the grid.
        CheckpointError: The checkpoint has no patch grid.
    """
    spectrogram, grid = inspection.fed
    token = grid.token(frequency, time)
    ((_, _, layers),) = _run(checkpoint, [spectrogram], inspection.precision, token)
    rollout = rollout_of_clip(layers, grid, spectrogram.clip_frames, token)
    attention = torch.stack([layer[token] for layer in layers]).float() / checkpoint.facts.n_heads
    return PatchInspection(frequency, time, rollout, to_grid(attention.numpy(), grid))


def to_scores(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Logits (…, n_labels) to scores: softmax over the labels, or a sigmoid for each."""
    if activation == "sigmoid":
        with np.errstate(over="ignore"):  # 1 / infinity is the right answer
            return 1 / (1 + np.exp(-logits.astype(np.float64)))
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _run(
    checkpoint: Checkpoint, spectrograms: Sequence[Spectrogram], precision: Precision, token: int | None = None
) -> list[tuple[np.ndarray, np.ndarray, list[Tensor]]]:
    """Of each clip: logits (n_labels,), embedding (hidden_size,), and each layer's head sums (tokens, tokens)."""
    if not spectrograms:
        return []
    inputs = np.stack([spectrogram.values for spectrogram in spectrograms])
    if is_lent(run_elsewhere):
        logits, embeddings, *head_sums = map(torch.from_numpy, run_elsewhere(checkpoint.model, inputs, token))
        answer = Answer(logits, embeddings, head_sums)
    else:
        answer = run(checkpoint.fast(precision), torch.from_numpy(inputs), token=token)
    return [
        (answer.logits[i].numpy(), answer.embeddings[i].numpy(), [layer[i] for layer in answer.head_sums])
        for i in range(len(spectrograms))
    ]


def summarise(inspection: Inspection) -> dict[str, object]:
    """An inspection as a JSON object: facts and scores, without the arrays. Null is what a model without a grid lacks."""
    facts, spectrogram, rollout = inspection.checkpoint, inspection.spectrogram, inspection.rollout
    grid = facts.grid
    return {
        "clip": inspection.waveform.name,
        "checkpoint": facts.name,
        "activation": facts.activation,
        "activation_reason": facts.activation_reason,
        "predictions": to_list(inspection.prediction.top()),
        "start_s": inspection.waveform.start_s,
        "duration_s": round(inspection.waveform.duration_s, 4),
        "original_rate": inspection.waveform.original_rate,
        "channels": inspection.waveform.channels,
        "notes": list(inspection.notes),
        "frames": spectrogram and spectrogram.clip_frames,
        "input_frames": facts.input and facts.input.n_frames,
        "input_s": inspection.input_s,
        "mean": facts.input and facts.input.mean,
        "std": facts.input and facts.input.std,
        "padding_share": inspection.padding_share,
        "truncated_s": inspection.truncated_s,
        "patch_grid": grid and {"frequency": grid.n_frequency, "time": grid.n_time},
        "rollout_on_padding": float(rollout.padding_share[-1]),
        "rollout_on_special_tokens": float(rollout.special_share[-1]),
        "precision": inspection.precision,
        "precision_note": inspection.precision_note,
        "seconds": round(inspection.seconds, 4),
    }


def to_list(top: Sequence[tuple[str, float]]) -> list[dict[str, object]]:
    """Labels and scores as they are written to JSON."""
    return [{"label": label, "score": score} for label, score in top]
