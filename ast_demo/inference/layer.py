"""One layer of 🤗 Transformers' AST by plain operations: for gradients, for GPUs, and to be written down as a graph.

What computes fast on a processor is in `layers_float32` and `layers_bfloat16`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

# Query, key, value (batch, heads, tokens, size) and the scaling of the scores: what is attended, and what is left beside it.
Attend = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Any]]


def attend(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention, and its weights (batch, heads, tokens of the query, tokens)."""
    weights = (query * scaling @ key.mT).softmax(dim=-1)
    return weights @ value, weights


def run_layer(layer: Any, hidden: Tensor, attention: Attend = attend, read: Tensor | None = None) -> tuple[Tensor, Any]:
    """One layer.

    Args:
        layer: An `ASTLayer`.
        hidden: (batch, tokens, size); is left alone.
        read: (n,) the tokens whose rows are read; all by default.

    Returns:
        Its output, (batch, rows that are read, size), and what the attention leaves.
    """
    part = layer.attention
    normed = layer.layernorm_before(hidden)
    rows = normed
    if read is not None:
        rows, hidden = normed[:, read], hidden[:, read]
    query, key, value = (
        project(given).unflatten(-1, (part.num_attention_heads, -1)).transpose(1, 2)
        for project, given in ((part.q_proj, rows), (part.k_proj, normed), (part.v_proj, normed))
    )
    attended, left = attention(query, key, value, part.scaling)
    hidden = hidden + part.o_proj(attended.transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.layernorm_after(hidden)), left
