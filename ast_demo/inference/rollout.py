"""Rollout from the head means of a model's layers, as rows over tokens. What it means is in `inspection.rollout`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def roll_out(layers: Sequence[Tensor], start: Tensor) -> Tensor:
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
