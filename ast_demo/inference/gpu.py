"""AST's layers on a GPU: in half precision with rollout from what fused attention leaves behind, or in single precision.

Fused attention returns no weights, and all heads' weights would take longer to write and read than all the rest. It
does return the logarithm of each row's sum, and that is enough. Rollout needs r · A for a few row vectors r; with
scores s and row sums exp(l), column j of it is the sum over i of r_i · exp(s_ij − l_i). That is attention the other
way round, of the keys to the queries with the values r_i · exp(−l_i), but for its own row sums, exp(m_j), which it
returns as well: multiply by them. So the rows of all depths go through the same fused kernel, as the columns of its
values, and no weights are ever written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ast_demo.inference.layer import attend, run_layer
from ast_demo.inference.rollout import carry_rows

_LARGEST = 80.0  # e to the power of it is still a number in single precision, and in bfloat16


@dataclass(frozen=True)
class FusedAttention:
    """What is left of the attention of one layer.

    Attributes:
        query, key: (batch, heads, tokens, size). Of the last layer, the query has the tokens that are read only.
        log_sums: (batch, heads, tokens of the query), logarithm of the sum of each row of exp(scores).
        scaling: Of the scores.
    """

    query: Tensor
    key: Tensor
    log_sums: Tensor
    scaling: float

    def weights_of(self, token: int) -> Tensor:
        """What a token of the query attends to, the mean of the heads, (batch, tokens) float32."""
        scores = self.query[:, :, token, None].float() * self.scaling @ self.key.float().mT
        return scores.softmax(dim=-1).mean(dim=1)[:, 0]


def run_layers_fused(
    layers: Sequence[Any],
    hidden: Tensor,
    head_sums: Sequence[Tensor | None],
    read: Tensor,
    left: list[FusedAttention] | None = None,
) -> Tensor:
    """Run all layers with fused attention.

    Args:
        layers: `ASTLayer`s.
        hidden: (batch, tokens, size).
        head_sums: None of each layer: fused attention leaves no weights.
        read: (n,) the tokens whose rows of the last layer are read.
        left: Where to put what is left of each layer's attention, the first first.

    Returns:
        (batch, rows that are read, size).
    """
    if any(total is not None for total in head_sums):
        raise ValueError("fused attention leaves no sums over heads: `explain` has the rollout without them")

    def attend_fused(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, FusedAttention]:
        attended, log_sums = fused_attention(query, key, value, scaling)
        return attended, FusedAttention(query, key, log_sums, scaling)

    for number, layer in enumerate(layers, start=1):
        hidden, attention = run_layer(layer, hidden, attend_fused, read if number == len(layers) else None)
        if left is not None:
            left.append(attention)
    return hidden


def run_layers(layers: Sequence[Any], hidden: Tensor, head_sums: Sequence[Tensor | None], read: Tensor) -> Tensor:
    """Run all layers by plain operations, of which a GPU does all clips and heads at once; as `layers_float32.run_layers`."""

    def attend_only(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        return nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling), None

    for number, (layer, total) in enumerate(zip(layers, head_sums, strict=True), start=1):
        way = attend_only if total is None else attend
        hidden, weights = run_layer(layer, hidden, way, read if number == len(layers) else None)
        if total is not None:
            torch.sum(weights, dim=1, out=total)
        del weights  # the largest there is: let go before the next layer's are made
    return hidden


def roll_out_fused(left: Sequence[FusedAttention], start: Tensor, read: Tensor) -> Tensor:
    """Rollout from a distribution over tokens, (tokens,) float32, at every depth: (batch, n_layers, tokens) float32."""

    def attend_back(rows: Tensor, depth: int) -> Tensor:
        return multiply_rows(rows[..., read] if depth == len(left) - 1 else rows, left[depth])

    return carry_rows(start.repeat(len(left[0].key), len(left), 1), attend_back)


def multiply_rows(rows: Tensor, left: FusedAttention) -> Tensor:
    """Rows times the mean of the heads' attention.

    Args:
        rows: (batch, n, tokens of the query) float32.

    Returns:
        (batch, n, tokens) float32.
    """
    query, key, log_sums = left.query, left.key, left.log_sums
    # Any number may be taken from all logarithms and given back: here, so that no exponential overflows, as long as
    # the sums of a head's rows differ by less than e^160 in all.
    middle = log_sums.mean(dim=-1, keepdim=True)
    weighted = rows.mT[:, None] * torch.exp((middle - log_sums).clamp(-_LARGEST, _LARGEST))[..., None]
    size = query.shape[-1]  # the kernels want values as wide as the heads
    parts = []
    for part in weighted.split(size, dim=-1):
        values = nn.functional.pad(part, (0, size - part.shape[-1])).to(query.dtype).contiguous()
        output, own_sums = fused_attention(key, query, values, left.scaling)
        summed = output.float() * torch.exp((own_sums - middle).clamp(-_LARGEST, _LARGEST))[..., None]
        parts.append(summed.mean(dim=1)[..., : part.shape[-1]].mT)
    return torch.cat(parts, dim=1)


def fused_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention (batch, heads, tokens, size), and the logarithm of each row's sum of exponentials (batch, heads, tokens)."""
    if query.is_cuda:
        flash: Any = torch.ops.aten._scaled_dot_product_flash_attention
        output, log_sums, *_ = flash(query, key, value, scale=scaling)
    else:
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, log_sums = flash(query, key, value, scale=scaling)
    return output, log_sums.float()
