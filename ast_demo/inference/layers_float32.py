"""AST's layers in single precision, exact to rounding, on the model's own weights. See `forward`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from ast_demo.runtime import share_out, slices

Weigh = Callable[[Tensor, Tensor, bool], None]

# So many tokens go through the matrices together, or one clip: enough for large products, few enough to take little memory.
_TOKENS_AT_A_TIME = 2560
# Weights of so many bytes are in work at a time. With queries, keys and values of a clip of the published size, they take as much
# memory as its inner layer does later.
_WEIGHT_BYTES_AT_A_TIME = 7_400_000
# So many tokens are normalized or activated at a time: what that writes stays in the cache, and takes little memory.
_ROWS_AT_A_TIME = 101


def run_layers(
    layers: Sequence[Any], hidden: Tensor, head_sums: Sequence[Tensor | None], read: Tensor, weigh: Weigh
) -> Tensor:
    """Run all layers.

    Args:
        layers: `ASTLayer`s.
        hidden: (batch, tokens, size), one behind the other in memory; is overwritten.
        head_sums: For each layer what becomes the sum of the heads' weights, (batch, tokens, tokens), of the last layer
            (batch, rows that are read, tokens); or None.
        read: (n,) the tokens whose rows of the last layer are read.
        weigh: `weigh_by_kernel`, or `weigh_by_operations`.

    Returns:
        (batch, rows that are read, size).
    """
    # What is large is there once, for all layers: what comes and goes would leave holes that nothing else fits in.
    together = min(len(hidden), clips_together(hidden, _TOKENS_AT_A_TIME)) * hidden.shape[1]
    size, inner = hidden.shape[2], layers[0].mlp.fc1.out_features
    beside_heads = max(together * size, _WEIGHT_BYTES_AT_A_TIME // hidden.itemsize)
    room = hidden.new_empty(max(3 * hidden.numel() + beside_heads, together * (inner + size)))
    for number, (layer, total) in enumerate(zip(layers, head_sums, strict=True), start=1):
        hidden = _run_layer(layer, hidden, room, total, read if number == len(layers) else None, weigh)
    return hidden


def _run_layer(
    layer: Any, hidden: Tensor, room: Tensor, total: Tensor | None, read: Tensor | None, weigh: Weigh
) -> Tensor:
    """One layer, in place; or of the rows that are read only.

    Args:
        room: For queries, keys and values of all clips, and a projection of some or weights; or for the inner layer of some
            and what it is made from.
    """
    attention = layer.attention
    batch, tokens, _ = hidden.shape
    heads = room[: 3 * hidden.numel()].view(3, batch, attention.num_attention_heads, tokens, -1)
    beside = room[heads.numel() :]
    groups = slices(batch, clips_together(hidden, _TOKENS_AT_A_TIME))
    for clips in groups:
        _project(layer, hidden[clips], heads[:, clips], beside)
    query, key, value = heads
    if read is not None:
        query, hidden = query[:, :, read], hidden[:, read]
    if total is None:
        query = nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
    else:
        _attend(query.mul_(attention.scaling), key, value, total, beside, weigh)
    attended = key.view(-1)[: hidden.numel()].view_as(hidden)  # nobody reads keys any more
    attended.view(*hidden.shape[:2], -1, query.shape[3]).copy_(query.transpose(1, 2))
    _add(attention.o_proj, attended.flatten(0, 1), hidden.view(-1, hidden.shape[2]))
    for clips in groups:
        _add_mlp(layer, hidden[clips].view(-1, hidden.shape[2]), room)
    return hidden


def _project(layer: Any, hidden: Tensor, heads: Tensor, room: Tensor) -> None:
    """Of (clips, tokens, size), queries, keys and values, (3, clips, heads, tokens, size)."""
    attention = layer.attention
    projected, normed = room[: hidden.numel()].view(-1, hidden.shape[2]), heads[0].view(-1, hidden.shape[2])
    _normalize(layer.layernorm_before, hidden.flatten(0, 1), normed)
    # Queries last, as they take the place of what they are made from.
    for part, linear in ((heads[2], attention.v_proj), (heads[1], attention.k_proj), (heads[0], attention.q_proj)):
        _write(linear, normed, projected)
        of_tokens = part.transpose(1, 2)
        of_tokens.copy_(projected.view(of_tokens.shape))


def _add_mlp(layer: Any, rows: Tensor, room: Tensor) -> None:
    """Add the inner layer's output, (n, size)."""
    n_inner = len(rows) * layer.mlp.fc1.out_features
    expanded, normed = room[:n_inner].view(len(rows), -1), room[n_inner:][: rows.numel()].view_as(rows)
    _normalize(layer.layernorm_after, rows, normed)
    _write(layer.mlp.fc1, normed, expanded)
    for few in expanded.split(_ROWS_AT_A_TIME):
        _activate(layer.mlp.activation_fn, few)
    _add(layer.mlp.fc2, expanded, rows)


def _normalize(norm: nn.LayerNorm, rows: Tensor, normed: Tensor) -> None:
    """Write the norm where it shall be."""
    for few, place in zip(rows.split(_ROWS_AT_A_TIME), normed.split(_ROWS_AT_A_TIME), strict=True):
        place.copy_(norm(few))


def _write(linear: nn.Linear, inputs: Tensor, out: Tensor) -> None:
    """A linear layer's output, written where it shall be."""
    if linear.bias is None:
        torch.mm(inputs, linear.weight.mT, out=out)
    else:
        torch.addmm(linear.bias, inputs, linear.weight.mT, out=out)


def _add(linear: nn.Linear, inputs: Tensor, total: Tensor) -> None:
    """Add a linear layer's output."""
    total.addmm_(inputs, linear.weight.mT)
    if linear.bias is not None:
        total += linear.bias


def _activate(activation: nn.Module, values: Tensor) -> None:
    """In place."""
    if isinstance(activation, GELUActivation):
        torch.ops.aten.gelu_(values)
    else:
        values.copy_(activation(values))


def _attend(query: Tensor, key: Tensor, value: Tensor, total: Tensor, memory: Tensor, weigh: Weigh) -> None:
    """Attention, of so many heads at a time as there are threads, and some rows or some clips.

    Args:
        query, key, value: (batch, heads, tokens, size); the query, which is scaled and may have fewer tokens, becomes what
            is attended.
        total: (batch, tokens of the query, tokens), which becomes the sum of the heads' weights.
        memory: For weights.
    """
    batch, n_heads, rows, _ = query.shape
    tokens = key.shape[2]
    heads_at_once = min(n_heads, torch.get_num_threads())
    room = max(1, _WEIGHT_BYTES_AT_A_TIME // (query.itemsize * heads_at_once * tokens))
    n_rows, n_clips = min(rows, room), min(batch, max(1, room // rows))  # 1, unless all rows are done at once
    for clips in slices(batch, n_clips):
        for some in slices(rows, n_rows):
            place = total[clips, some]
            for heads in slices(n_heads, heads_at_once):
                part = query[clips, heads, some]
                weights = memory[: part.shape[1] * place.numel()].view(*part.shape[:3], tokens)
                of_each = weights.flatten(0, 1)
                keys = key[clips, heads].flatten(0, 1).mT
                torch.bmm(part.flatten(0, 1), keys, out=of_each)
                weigh(weights, place, heads.start > 0)
                part.copy_(torch.bmm(of_each, value[clips, heads].flatten(0, 1)).view_as(part))


def weigh_by_kernel(scores: Tensor, total: Tensor, is_added: bool) -> None:
    """Make scores into weights, and add them up over the heads, in one pass.

    Args:
        scores: (clips, heads, rows, tokens).
        total: (clips, rows, tokens), becomes the sum.
        is_added: To what it was; otherwise that is overwritten.
    """
    from ast_demo.inference.kernels import (
        attention_weights_float32,  # its compiler takes a moment to import, and 100 MB
    )

    for of_clip, sums in zip(scores.numpy(), total.numpy(), strict=True):
        share_out(partial(attention_weights_float32, of_clip, sums, is_added), len(sums))


def weigh_by_operations(scores: Tensor, total: Tensor, is_added: bool) -> None:
    """As `weigh_by_kernel`, for a GPU, and for a small model."""
    torch.softmax(scores, -1, out=scores)
    for head, of_head in enumerate(scores.unbind(1)):
        if head or is_added:
            total += of_head
        else:
            total.copy_(of_head)


def clips_together(hidden: Tensor, most_tokens: int) -> int:
    """How many clips go through the matrices together, of (batch, tokens, size)."""
    return max(1, most_tokens // hidden.shape[1])
