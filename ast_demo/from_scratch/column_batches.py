"""Batches of which the model is shown some columns of the patch grid only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ast_demo.features import InputSettings, PatchGrid
from ast_demo.finetuning import Augmentation, Batch, ClipSampler, Placed, SpectrogramBatches, TrainingClip
from ast_demo.from_scratch.options import Stage


class ColumnBatches(SpectrogramBatches):
    """As its base class, with `columns` in the stages that show some columns only.

    `columns` is (batch, time_columns) int64: those of the patch grid that are shown of each clip.
    """

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        sampler: ClipSampler,
        settings: InputSettings,
        how: Augmentation,
        seed: int,
        grid: PatchGrid,
        stages: Sequence[Stage],
    ) -> None:
        super().__init__(clips, sampler, settings, how, seed)
        self._grid = grid
        self._shown = [stage.time_columns or grid.n_time for stage in stages for _ in range(stage.steps)]

    def __getitem__(self, index: int) -> Batch:
        batch, placed, rng = self.draw(index)
        if self._shown and self._shown[index] < self._grid.n_time:
            columns = [choose_columns(event, self._grid, self._shown[index], rng) for event in placed]
            batch["columns"] = torch.from_numpy(np.stack(columns))
        return batch


def choose_columns(placed: Placed, grid: PatchGrid, n_columns: int, rng: np.random.Generator) -> np.ndarray:
    """Columns of the patch grid to show: most of them around the event, the others from anywhere; (n_columns,)."""
    first = placed.start // grid.time_stride
    last = min(grid.n_time, -(-placed.stop // grid.time_stride))
    if last - first <= n_columns:
        shown = np.arange(first, last)
    else:  # a window of a long event, where it is loud
        loudness = placed.values[placed.start : placed.stop].mean(axis=1)
        centres = np.flatnonzero(loudness >= np.quantile(loudness, 0.6 if rng.random() < 0.7 else 0.0))
        centre = (placed.start + int(rng.choice(centres))) // grid.time_stride
        width = n_columns if rng.random() < 0.5 else n_columns // 2
        low = int(np.clip(centre - rng.integers(width), first, last - width))
        shown = np.arange(low, low + width)
    others = np.setdiff1d(np.arange(grid.n_time), shown)
    return np.sort(np.concatenate((shown, rng.choice(others, n_columns - len(shown), replace=False))))
