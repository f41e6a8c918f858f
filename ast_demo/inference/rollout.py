"""Rollout from the head means of a model's layers, as rows over tokens. What it means is in `inspection.rollout`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor


def roll_out(layers: Sequence[Tensor], start: Tensor) -> Tensor:
    """Rollout from a distribution over tokens, at every depth.

    Args:
        layers: Head means of one clip, (tokens, tokens) each, first layer first, or sums over heads: rows are scaled
            to a sum of 1. Of the last, only the rows of tokens to start from are read.
        start: (tokens,), sums to 1: where to start from in the last layer's output.

    Returns:
        (n_layers, tokens): at [d], `start · Â_d … Â_0`. Each sums to 1.
    """
    return carry_rows(start.repeat(len(layers), 1), lambda rows, depth: rows @ layers[depth].to(rows.dtype))


def carry_rows(rows: Tensor, attend: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Rollout, whatever is known of the attention.

    Instead of multiplying matrices of all tokens, carry only the wanted row from the last layer to the first; the
    rows of all depths travel together.

    Args:
        rows: (..., n_layers, tokens): for each depth where to start from; is overwritten.
        attend: Multiplies some of the rows by the attention of a layer, which may be sums over heads.

    Returns:
        The same: at [..., d, :] what arrives through the layers d to 0. Each sums to 1.
    """
    for depth in reversed(range(rows.shape[-2])):
        attended = attend(rows[..., depth:, :], depth)
        attended /= attended.sum(dim=-1, keepdim=True)  # sums over heads; and what bfloat16 rounds off
        rows[..., depth:, :] = (attended + rows[..., depth:, :]) / 2
    return rows
