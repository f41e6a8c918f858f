"""Batches whose targets are, in part, what another checkpoint says of them: distillation (Hinton et al. 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ast_demo.errors import DataError
from ast_demo.features import InputSettings
from ast_demo.from_scratch.options import ScratchOptions
from ast_demo.models import Checkpoint, to_scores


class DistilledBatches(Dataset):
    """Batches of spectrograms, with a teacher's scores mixed into their `labels`.

    The teacher hears the whole of what was drawn, mixed, noisy and masked as it is, also where the model that
    learns is shown some columns of it only.

    Args:
        batches: A `SpectrogramBatches`.
        teacher: Any AST.
        labels: Of the model that learns, in the order of its head.
        settings: What the batches are normalised by.
        options: How much the teacher's scores weigh.

    Raises:
        DataError: The teacher has other labels, or reads another number of mel bins or frames.
    """

    def __init__(
        self,
        batches: Any,
        teacher: Checkpoint,
        labels: tuple[str, ...],
        settings: InputSettings,
        options: ScratchOptions,
    ) -> None:
        facts = teacher.facts
        if set(facts.labels) != set(labels):
            raise DataError(f"Expected a teacher with the labels of the data; {facts.name!r} has others.")
        if facts.input is None or (facts.input.n_mels, facts.input.n_frames) != (settings.n_mels, settings.n_frames):
            raise DataError(
                f"Expected a teacher that reads {settings.n_frames} frames of {settings.n_mels} mel bins; "
                f"{facts.name!r} does not."
            )
        self._batches, self._teacher, self._options = batches, teacher, options
        self._settings, self._input = settings, facts.input
        self._order = [facts.labels.index(label) for label in labels]

    def __len__(self) -> int:
        return len(self._batches)

    @torch.no_grad()
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        batch = self._batches[index]
        heard = self._settings.denormalise(batch["input_values"])
        with torch.autocast("cpu", torch.bfloat16, enabled=self._options.bfloat16):
            logits = self._teacher.model(self._input.normalise(heard)).logits.float()
        scores = torch.from_numpy(to_scores(logits.numpy(), self._teacher.facts.activation)[:, self._order]).float()
        return {**batch, "labels": torch.lerp(batch["labels"], scores, self._options.teacher_share)}
