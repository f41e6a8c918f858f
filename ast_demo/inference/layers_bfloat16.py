"""AST's layers in bfloat16, for processors that multiply it. See `forward`.

Matrices are multiplied in bfloat16; what passes from layer to layer and the norms stay in single precision. Weights are
added up over the heads before they are rounded, and the sums kept in float16, which is finer. PyTorch's fused attention,
which gives no weights, takes no less time than this, so it is not used where nobody asks for the sums either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from ast_demo.inference.kernels import BLOCK, add_and_normalize, attend, attention_weights, lay_out
from ast_demo.inference.layers_float32 import clips_together
from ast_demo.runtime import has_matrix_unit, share_out, slices, supports_bfloat16

# Scores of so many bytes are in work at a time: a quarter of a clip of the published size. Fewer rows make slow products, and more
# bytes stay less in the cache.
_SCORE_BYTES_AT_A_TIME = 9_500_000
# So many tokens go through the matrices together, or one clip: enough for large products, few enough to take little memory.
_TOKENS_AT_A_TIME = 2560
# So many columns of the inner layer at a time: from a longer sum, oneDNN makes a product for one thread only.
_INNER_AT_A_TIME = 1536
# What tokens have in common is taken from one of so many.
_COMMON_OF_EVERY = 20

Linear = Callable[..., Tensor]  # of (n, size), and of another bias than its own


@dataclass(frozen=True)
class Layer:
    """The matrices of one layer, ready to multiply, and the rest of it from the model.

    Attributes:
        project: To queries, keys and values, one behind the other, each head filled up with zeros to a multiple of `BLOCK`.
        inner: Of some columns of the inner layer each: into it, activated, and out of it.
        n_bytes: Memory of the matrices.
    """

    module: Any
    project: Linear
    output: Linear
    inner: tuple[tuple[Linear, Linear], ...]
    n_bytes: int


def make_layers(modules: Iterable[Any]) -> tuple[Layer, ...]:
    """Make `ASTLayer`s ready, and compile what is to be compiled, by a run of one token."""
    layers = tuple(map(_make_layer, modules))
    token, sums = torch.zeros(1, 1, layers[0].module.layernorm_after.weight.numel()), torch.empty(1, 1, 1).half()
    run_layers(layers[:1], token, [sums], torch.zeros(1, dtype=torch.long))
    return layers


def _make_layer(module: Any) -> Layer:
    attention, mlp = module.attention, module.mlp
    n_heads = attention.num_attention_heads
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    weight = torch.cat([_fill(linear.weight, n_heads) for linear in projections])
    has_bias = attention.q_proj.bias is not None
    bias = torch.cat([_fill(linear.bias, n_heads) for linear in projections]) if has_bias else None
    of_heads = _fill(attention.o_proj.weight.mT, n_heads).mT
    inner = []
    for some in slices(mlp.fc1.out_features, _INNER_AT_A_TIME):
        into_bias = None if mlp.fc1.bias is None else mlp.fc1.bias[some]
        into = _pack(mlp.fc1.weight[some], into_bias, mlp.activation_fn)
        out_of = _pack(mlp.fc2.weight[:, some], None if some.start else mlp.fc2.bias)  # the bias is added once
        inner.append((into, out_of))
    output = _pack(of_heads, attention.o_proj.bias)
    n_bytes = torch.bfloat16.itemsize * sum(one.numel() for one in (weight, of_heads, mlp.fc1.weight, mlp.fc2.weight))
    return Layer(module, _pack(weight, bias), output, tuple(inner), n_bytes)


def _fill(of_heads: Tensor, n_heads: int) -> Tensor:
    """(heads · size, …), each head filled up with zeros to a multiple of `BLOCK`."""
    heads = of_heads.unflatten(0, (n_heads, -1))
    filled = heads.new_zeros(n_heads, -(-heads.shape[1] // BLOCK) * BLOCK, *heads.shape[2:])
    filled[:, : heads.shape[1]] = heads
    return filled.flatten(0, 1)


def run_layers(layers: Sequence[Layer], hidden: Tensor, head_sums: Sequence[Tensor | None], read: Tensor) -> Tensor:
    """As `layers_float32.run_layers`."""
    parts = []
    for clips in slices(len(hidden), clips_together(hidden, _TOKENS_AT_A_TIME)):
        sums_of_clips = [None if total is None else total[clips] for total in head_sums]
        parts.append(_run_together(layers, hidden[clips], sums_of_clips, read))
    return torch.cat(parts)


def _run_together(layers: Sequence[Layer], hidden: Tensor, head_sums: Sequence[Tensor | None], read: Tensor) -> Tensor:
    """Run the layers on some clips, whose tokens go through the matrices together; but each looks at its own only."""
    attend_to = _attend_by_tiles if has_matrix_unit() else _attend
    n_clips, tokens, _ = hidden.shape
    hidden = nn.functional.pad(hidden, (0, 0, 0, -tokens % BLOCK))
    outputs = [torch.zeros_like(hidden, dtype=torch.bfloat16)]
    for number, (layer, total) in enumerate(zip(layers, head_sums, strict=True), start=1):
        is_last = number == len(layers)
        of_clips = []
        for clip in range(n_clips):
            queries = projected = _project(layer, hidden[clip], [output[clip] for output in outputs])
            if is_last:
                queries = projected[nn.functional.pad(read, (0, -len(read) % BLOCK))]
            sums = None if total is None else total[clip]
            of_clips.append(attend_to(queries, projected, tokens, layer.module.attention, sums))
        hidden = hidden[:, read] if is_last else hidden
        attended = torch.stack(of_clips)[:, : hidden.shape[1]]
        output = layer.output(attended.flatten(0, 1))
        norm = layer.module.layernorm_after
        normed = _add_and_normalize(hidden.view(output.shape), [output], norm, norm.bias)
        outputs = [out_of(into(normed)).view_as(hidden) for into, out_of in layer.inner]
    return sum(outputs, hidden)


def _project(layer: Layer, hidden: Tensor, outputs: Sequence[Tensor]) -> Tensor:
    """Add outputs of the layer before, and make a clip's queries, keys and values, (tokens, 3 · heads · size).

    What its tokens have in common is projected apart, and not added to keys: attention does not depend on it. What is left
    of them is small, and so is what it loses when it is rounded.
    """
    norm = layer.module.layernorm_before
    some = sum((output[::_COMMON_OF_EVERY] for output in outputs), hidden[::_COMMON_OF_EVERY])
    common = norm(some).mean(dim=0, keepdim=True).bfloat16()
    projected = layer.project(common)[0]
    projected.chunk(3)[1].zero_()
    return layer.project(_add_and_normalize(hidden, outputs, norm, norm.bias - common[0]), projected)


def _add_and_normalize(hidden: Tensor, outputs: Sequence[Tensor], norm: nn.LayerNorm, bias: Tensor) -> Tensor:
    """`add_and_normalize`, a part of the rows on each thread: (n, size) bfloat16."""
    output, *others = outputs
    *others, more = others or [output[:0]]
    for other in others:
        hidden += other
    normed = torch.empty_like(output)
    added = (hidden.numpy(), _bits(output), _bits(more))
    share_out(
        partial(add_and_normalize, *added, norm.weight.numpy(), bias.numpy(), norm.eps, _bits(normed)), len(hidden)
    )
    return normed


def _attend_by_tiles(queries: Tensor, projected: Tensor, tokens: int, attention: Any, total: Tensor | None) -> Tensor:
    """`kernels.attend` of one clip, a part of the rows on each thread.

    Args:
        queries: (rows, 3 · heads · size), where keys and values are not looked at.
        projected: (tokens and others, 3 · heads · size), where queries are not. Rows, tokens and others, and size are
            multiples of `BLOCK`.
        tokens: The others behind them get no attention.
        total: (rows or fewer, tokens), which becomes the sum of the heads' weights; None where nobody wants it.

    Returns:
        (rows, heads · size).
    """
    columns, width = len(projected), projected.shape[1] // 3
    n_heads = attention.num_attention_heads
    attended = queries.new_empty(len(queries), width)
    keys, values = queries.new_empty(2, n_heads, columns * width // n_heads)
    laid_out = (_bits(keys), _bits(values))
    share_out(partial(lay_out, _bits(projected), *laid_out), columns // BLOCK)
    given = (_bits(queries), *laid_out, attention.scaling, _bits(attended), tokens, _bits_of_sums(total))
    share_out(partial(attend, *given), len(queries) // BLOCK)
    return attended


def _attend(queries: Tensor, projected: Tensor, tokens: int, attention: Any, total: Tensor | None) -> Tensor:
    """As `_attend_by_tiles`, by PyTorch's products, some rows at a time."""
    rows, columns, n_heads = len(queries), len(projected), attention.num_attention_heads
    of_heads = (part.view(len(part), 3, n_heads, -1).permute(1, 2, 0, 3) for part in (queries, projected))
    (query, _, _), (_, key, value) = of_heads
    attended = query.new_empty(rows, n_heads, query.shape[2])
    most = max(1, min(rows, _SCORE_BYTES_AT_A_TIME // (query.itemsize * n_heads * columns)))
    n_rows = -(-rows // -(-rows // most))  # parts of about the same size
    memory = query.new_empty(n_heads * n_rows * columns)
    for some in slices(rows, n_rows):
        part = query[:, some]
        scores = memory[: part.shape[1] * n_heads * columns].view(n_heads, -1, columns)
        _multiply(part, key.mT, scores)
        _weigh(scores, attention.scaling, tokens, None if total is None else total[some])
        attended[some] = _multiply(scores, value).transpose(0, 1)
    return attended.flatten(1)


def _multiply(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """Products of matrices, written where they shall be. Not supported, in single precision, and rounded."""
    if supports_bfloat16():
        return torch.bmm(left, right, out=out)
    product = torch.bmm(left.float(), right.float())
    return product.bfloat16() if out is None else out.copy_(product)


def _weigh(scores: Tensor, scaling: float, tokens: int, total: Tensor | None) -> None:
    """`attention_weights`, a part of the rows on each thread."""
    share_out(partial(attention_weights, _bits(scores), scaling, tokens, _bits_of_sums(total)), scores.shape[1])


def _bits(values: Tensor) -> np.ndarray:
    return values.view(torch.uint16).numpy()


def _bits_of_sums(total: Tensor | None) -> np.ndarray:
    return np.empty((0, 0), np.uint16) if total is None else _bits(total)


def _pack(weight: Tensor, bias: Tensor | None = None, activation: nn.Module | None = None) -> Linear:
    """A linear layer in bfloat16, and the activation of its output, the matrix laid out as oneDNN multiplies it."""
    matrix = weight.to(torch.bfloat16, memory_format=torch.contiguous_format)
    own_bias = None if bias is None else bias.bfloat16()
    is_fused = False
    if supports_bfloat16():
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix)
        is_fused = isinstance(activation, GELUActivation)
        kind = "gelu" if is_fused else "none"

        def linear(inputs: Tensor, bias: Tensor | None = own_bias) -> Tensor:
            return torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, kind, [], "none")

    else:

        def linear(inputs: Tensor, bias: Tensor | None = own_bias) -> Tensor:
            # The same numbers, rounded at the same places: only to compute here what another machine computes.
            wide = None if bias is None else bias.float()
            return nn.functional.linear(inputs.float(), matrix.float(), wide).bfloat16()

    return linear if activation is None or is_fused else lambda inputs: activation(linear(inputs))
