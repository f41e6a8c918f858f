"""One clip and one checkpoint: what the model was fed, what it says, and where its attention flowed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ast_demo.audio import Waveform
from ast_demo.errors import CheckpointError
from ast_demo.features import PatchGrid, Spectrogram, TimeAxis, TokenLayout, compute_spectrograms
from ast_demo.inference import Precision
from ast_demo.inspection.rollout import Rollout, rollout_of_clip
from ast_demo.models import (
    Checkpoint,
    CheckpointFacts,
    Prediction,
    run_sequence_model,
    run_spectrograms,
    to_scores,
)
from ast_demo.runtime import CPU

_SHORT_S = 0.25  # shorter than any of the shipped digits
_MOSTLY_PADDING = 0.95


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
        device: Where it computed, in words.
        device_note: As `precision_note`.
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
    device: str = str(CPU)
    device_note: str = ""

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
    def layout(self) -> TokenLayout:
        """How the tokens of the rollout, and of every other map, lie."""
        return self.checkpoint.grid or TimeAxis(self.rollout.final.shape[-1], self.input_s)

    @property
    def padding_share(self) -> float:
        """Share of the input that is padding, 0 to 1."""
        if self.spectrogram is not None:
            return self.spectrogram.padding_share
        return max(0.0, 1 - self.waveform.duration_s / self.input_s)

    @property
    def computed(self) -> str:
        """How long it took, where and in what, and why not as the settings ask for."""
        notes = " ".join(self.computing_notes)
        return f"in {self.seconds:.2f} s, {self.precision}, on {self.device}. {notes}".rstrip(". ")

    @property
    def computing_notes(self) -> tuple[str, ...]:
        """Why it was not computed as the settings ask for, a sentence each."""
        return tuple(filter(None, [self.device_note, self.precision_note]))

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
    if not waveforms:
        return []
    precision = precision or checkpoint.precision
    spectrograms = compute_spectrograms(waveforms, facts.input)
    output = run_spectrograms(checkpoint, spectrograms, precision)
    rollouts = [
        rollout_of_clip(rows, facts.grid, len(waveform.samples))
        for rows, waveform in zip(output.rollout, waveforms, strict=True)
    ]
    seconds = (time.perf_counter() - began) / len(waveforms)
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
            str(checkpoint.device),
            checkpoint.device_note,
        )
        for waveform, spectrogram, logits, embedding, rollout in zip(
            waveforms, spectrograms, output.logits, output.embeddings, rollouts, strict=True
        )
    ]


def _inspect_sequence(waveform: Waveform, checkpoint: Checkpoint) -> Inspection:
    """One clip through a checkpoint without a patch grid."""
    began = time.perf_counter()
    facts = checkpoint.facts
    logits, embedding, rows, input_s = run_sequence_model(checkpoint, waveform)
    rollout = rollout_of_clip(rows, TimeAxis(rows.shape[-1], input_s), len(waveform.samples))
    prediction = Prediction(facts.labels, to_scores(logits, facts.activation), logits, embedding)
    seconds = time.perf_counter() - began
    computed = (checkpoint.precision, checkpoint.precision_note, str(checkpoint.device), checkpoint.device_note)
    return Inspection(waveform, facts, None, prediction, rollout, input_s, seconds, *computed)


def inspect_patch(inspection: Inspection, checkpoint: Checkpoint, frequency: int, time: int) -> PatchInspection:
    """Look at the clip from one patch. The model runs again on the same spectrogram: its attention is not kept.

    Raises:
        IndexError: There is no such patch in the grid.
        CheckpointError: The checkpoint has no patch grid.
    """
    spectrogram, grid = inspection.fed
    token = grid.token(frequency, time)
    output = run_spectrograms(checkpoint, [spectrogram], inspection.precision, token)
    assert output.attention is not None  # there is a token
    rollout = rollout_of_clip(output.rollout[0], grid, len(inspection.waveform.samples))
    return PatchInspection(frequency, time, rollout, grid.to_map(output.attention[0]))
