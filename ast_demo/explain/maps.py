"""Where a score rests, on the patch grid: one type for every method, and the maps that need no more of the model.

Rollout comes with the inspection. Energy and random maps need no model at all: they are the controls that every
other map has to beat before it says anything about the model. A checkpoint without a patch grid has maps of a
single row, over time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.audio import find_silence
from ast_demo.inspection import Inspection


@dataclass(frozen=True)
class RelevanceMap:
    """One map of one clip.

    Attributes:
        values: (n_frequency, n_time) float32, row 0 the lowest band; (1, n_tokens) without a patch grid. High is
            relevant. Below 0, where a method tells it, is what speaks against the label.
        method: How it was made: a key of `METHODS`.
        label: What it is a map of; None where the method gives the same map for every label.
        against: The label that it was set against, where it is the difference of two.
        special_share: Share that rests on the special tokens, 0 to 1; 0 for methods that know no tokens.
    """

    values: np.ndarray
    method: str
    label: str | None = None
    against: str | None = None
    special_share: float = 0.0

    @property
    def shares(self) -> np.ndarray:
        """What speaks for the label, (n_frequency, n_time), as shares of 1; equal shares where nothing does."""
        positive = np.maximum(self.values, 0)
        total = float(positive.sum(dtype=np.float64))
        return positive / total if total > 0 else np.full_like(positive, 1 / positive.size)

    @property
    def over_time(self) -> np.ndarray:
        """Mean of each column, (n_time,)."""
        return self.values.mean(axis=0)


def rollout_map(inspection: Inspection) -> RelevanceMap:
    """Attention rollout through all layers."""
    rollout = inspection.rollout
    return RelevanceMap(rollout.final, "rollout", special_share=float(rollout.special_share[-1]))


def energy_map(inspection: Inspection) -> RelevanceMap:
    """Loudness: how far the log-mel of each patch lies, on average, above the quietest bin of the clip; padding is 0.

    Without a patch grid, the level of the samples in each token's stretch of time above that of the quietest.
    """
    if inspection.spectrogram is None:
        return RelevanceMap(_energy_over_time(inspection)[None], "energy")
    spectrogram, grid = inspection.fed
    level = np.zeros_like(spectrogram.values)
    clip = spectrogram.values[: spectrogram.clip_frames]
    level[: spectrogram.clip_frames] = (clip - clip.min()) * spectrogram.settings.scale
    boxes = np.lib.stride_tricks.sliding_window_view(level.T, (grid.patch_size, grid.patch_size))
    boxes = boxes[:: grid.frequency_stride, :: grid.time_stride]
    return RelevanceMap(boxes.mean(axis=(2, 3), dtype=np.float64).astype(np.float32), "energy")


def random_map(inspection: Inspection, seed: int) -> RelevanceMap:
    """Even noise between 0 and 1 on the whole grid."""
    values = np.random.default_rng(seed).random(inspection.rollout.final.shape, dtype=np.float32)
    return RelevanceMap(values, "random")


def padding_share(relevance: RelevanceMap, inspection: Inspection) -> float:
    """Share of what speaks for the label that rests on padding, 0 to 1; each patch counts with its share of padding."""
    return float(relevance.shares.sum(axis=0) @ inspection.layout.padding_of_columns(len(inspection.waveform.samples)))


def silence_share(relevance: RelevanceMap, inspection: Inspection) -> float:
    """Share of what speaks for the label that rests on silence within the clip (see `find_silence`), 0 to 1.

    Each patch counts with the share of its frames that are silent; padding is none of them.

    Raises:
        CheckpointError: The checkpoint has no patch grid.
    """
    spectrogram, grid = inspection.fed
    silent = np.zeros(grid.n_frames)
    silent[: spectrogram.clip_frames] = find_silence(inspection.waveform)[: spectrogram.clip_frames]
    seen = np.lib.stride_tricks.sliding_window_view(silent, grid.patch_size)[:: grid.time_stride]
    return float(relevance.shares.sum(axis=0) @ seen.mean(axis=1)[: grid.n_time])


def _energy_over_time(inspection: Inspection) -> np.ndarray:
    n_tokens = inspection.rollout.final.shape[-1]
    samples = inspection.waveform.samples
    clip_s = min(inspection.waveform.duration_s, inspection.input_s)
    n_clip = max(1, min(n_tokens, round(n_tokens * clip_s / inspection.input_s)))
    heard = samples[: max(n_clip, round(len(samples) * clip_s / inspection.waveform.duration_s))]
    power = [float(np.square(part, dtype=np.float64).mean()) for part in np.array_split(heard, n_clip)]
    level = np.log(np.maximum(power, 1e-12))
    return np.pad(level - level.min(), (0, n_tokens - n_clip)).astype(np.float32)
