"""Attention rollout from the head means of a model's layers.

Rollout (Abnar & Zuidema 2020, arXiv 2005.00928) follows the information through the layers: in each layer the
attention, averaged over the heads, and the residual connection count half each, Â = (A + I) / 2, and the layers
are multiplied, Â_L … Â_1. AST's classifier reads the mean of the two special tokens, so the map is the mean of
their two rows over the columns of the patches.

Rollout tells where information flowed, not why a label won: it is the same map for every label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ast_demo.features import PatchGrid


@dataclass(frozen=True)
class Rollout:
    """Rollout of one clip at every depth.

    Attributes:
        maps: (n_layers, n_frequency, n_time) float32; `maps[d]` goes through the layers 0 to d. Row 0 is the lowest
            band. What is missing to a sum of 1 rests on the special tokens.
        special_share: (n_layers,) share that rests on the special tokens.
        padding_share: (n_layers,) share that rests on padding: each patch counts with the part of its frames that
            is padding.
    """

    maps: np.ndarray
    special_share: np.ndarray
    padding_share: np.ndarray

    @property
    def final(self) -> np.ndarray:
        """The map through all layers, (n_frequency, n_time)."""
        return self.maps[-1]


def roll_out(layers: list[Tensor], start: Tensor) -> Tensor:
    """Rollout from a distribution over tokens, at every depth.

    Instead of multiplying matrices of all tokens, carry only the wanted row from the last layer to the first; the
    rows of all depths travel together.

    Args:
        layers: Head means of one clip, (tokens, tokens) each, first layer first, or sums over heads: rows are scaled
            to a sum of 1. Of the last, only the rows of tokens to start from are read.
        start: (tokens,), sums to 1: where to start from in the last layer's output.

    Returns:
        (n_layers, tokens): at [d], `start · Â_d … Â_0`. Each sums to 1.
    """
    rows = start.repeat(len(layers), 1)
    for depth in reversed(range(len(layers))):
        attended = rows[depth:] @ layers[depth].to(rows.dtype)
        attended /= attended.sum(dim=1, keepdim=True)  # sums over heads; and what bfloat16 rounds off
        rows[depth:] = (attended + rows[depth:]) / 2
    return rows


def rollout_of_clip(layers: list[Tensor], grid: PatchGrid, clip_frames: int, token: int | None = None) -> Rollout:
    """Rollout of one clip, from what the classifier reads (the mean of the special tokens) or from one token.

    Args:
        layers: Head means of the clip, or sums over heads, (tokens, tokens) each.
        grid: The checkpoint's patch grid.
        clip_frames: Frames of the spectrogram that come from the clip; the others are padding.
        token: Start from this token instead.
    """
    start = torch.zeros(grid.n_tokens)
    if token is None:
        start[: grid.n_special] = 1 / grid.n_special
    else:
        start[token] = 1
    rows = roll_out(layers, start).numpy()
    maps = to_grid(rows, grid)
    padding = padding_of_columns(grid, clip_frames)
    return Rollout(maps, rows[:, : grid.n_special].sum(axis=1), (maps.sum(axis=1) * padding).sum(axis=1))


def rollout_over_time(layers: list[Tensor], clip_share: float) -> Rollout:
    """Rollout of a model that reads the sound as a sequence, and classifies by the mean of all its tokens.

    Args:
        layers: Head means of the clip, (tokens, tokens) each.
        clip_share: Share of the input that is clip; above 1 where the clip goes on beyond it.

    Returns:
        Maps with one row, (n_layers, 1, tokens); no special tokens.
    """
    n_tokens = layers[0].shape[-1]
    rows = roll_out(layers, torch.full((n_tokens,), 1 / n_tokens)).numpy()
    padding = 1 - np.clip(clip_share * n_tokens - np.arange(n_tokens), 0, 1)
    return Rollout(rows[:, None, :], np.zeros(len(layers), np.float32), (rows * padding).sum(axis=1))


def to_grid(rows: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """Rows over tokens (…, tokens) to maps over patches (…, n_frequency, n_time): special tokens are dropped."""
    return rows[..., grid.n_special :].reshape(*rows.shape[:-1], grid.n_frequency, grid.n_time)


def padding_of_columns(grid: PatchGrid, clip_frames: int) -> np.ndarray:
    """Share of padding in the frames that each column of patches sees, (n_time,)."""
    starts = np.arange(grid.n_time) * grid.time_stride
    return np.clip(starts + grid.patch_size - clip_frames, 0, grid.patch_size) / grid.patch_size
