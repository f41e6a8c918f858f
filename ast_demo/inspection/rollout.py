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

from ast_demo.features import TokenLayout


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


def rollout_of_clip(layers: list[Tensor], layout: TokenLayout, n_samples: int, token: int | None = None) -> Rollout:
    """Rollout of one clip, from what the classifier reads (special tokens, or the mean of all) or from one token.

    Args:
        layers: Head means of the clip, or sums over heads, (tokens, tokens) each.
        layout: How the tokens lie.
        n_samples: Length of the clip; what the input has room for beyond it is padding.
        token: Start from this token instead.
    """
    start = torch.from_numpy(layout.read_by_classifier())
    if token is not None:
        start = torch.zeros_like(start)
        start[token] = 1
    rows = roll_out(layers, start).numpy()
    maps = layout.to_map(rows)
    padding = layout.padding_of_columns(n_samples)
    return Rollout(maps, rows[:, : layout.n_special].sum(axis=1), (maps.sum(axis=1) * padding).sum(axis=1))
