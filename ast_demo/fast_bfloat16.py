"""AST's layers in bfloat16, for processors that multiply it natively. See `fast_ast`.

Matrices are multiplied in bfloat16; what passes from layer to layer and the norms stay in single precision. Weights are
added up over the heads before they are rounded, and the sums kept in float16, which is finer. PyTorch's fused attention,
which gives no weights, takes about as long as this, so it is not used where nobody asks for the sums either.
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

from ast_demo.fast_float32 import clips_together
from ast_demo.fast_kernels import attention_weights
from ast_demo.threads import share_out, slices

# Scores of so many bytes are in work at a time: a quarter of a clip of the published size. Fewer rows make slow products, and more
# bytes stay less in the cache.
_SCORE_BYTES_AT_A_TIME = 9_500_000
# So many tokens go through the matrices together, or one clip: enough for large products, few enough to take little memory.
_TOKENS_AT_A_TIME = 2560
# So many columns of the inner layer at a time: from a longer sum, oneDNN makes a product for one thread only.
_INNER_AT_A_TIME = 1536
# Tokens are filled up with zeros to a multiple of this: the processor multiplies so many at once, and others slowly.
_MULTIPLE = 32

Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """The matrices of one layer, ready to multiply, and the rest of it from the model.

    Attributes:
        project: To queries, keys and values, one behind the other.
        inner: Of some columns of the inner layer each: into it, activated, and out of it.
        n_bytes: Memory of the matrices.
    """

    module: Any
    project: Linear
    output: Linear
    inner: tuple[tuple[Linear, Linear], ...]
    n_bytes: int


def make_layers(modules: Iterable[Any]) -> tuple[Layer, ...]:
    """Make `ASTLayer`s ready, and compile what is to be compiled."""
    one = np.zeros((1, 1, 1, 1), np.uint16)
    attention_weights(one, 1.0, 1, one[0], 0, 1)
    return tuple(map(_make_layer, modules))


def _make_layer(module: Any) -> Layer:
    attention, mlp = module.attention, module.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    weight = torch.cat([linear.weight for linear in projections])
    bias = None if attention.q_proj.bias is None else torch.cat([linear.bias for linear in projections])
    inner = []
    for some in slices(mlp.fc1.out_features, _INNER_AT_A_TIME):
        into_bias = None if mlp.fc1.bias is None else mlp.fc1.bias[some]
        into = _pack(mlp.fc1.weight[some], into_bias, mlp.activation_fn)
        out_of = _pack(mlp.fc2.weight[:, some], None if some.start else mlp.fc2.bias)  # the bias is added once
        inner.append((into, out_of))
    output = _pack(attention.o_proj.weight, attention.o_proj.bias)
    matrices = (weight, attention.o_proj.weight, mlp.fc1.weight, mlp.fc2.weight)
    n_bytes = torch.bfloat16.itemsize * sum(matrix.numel() for matrix in matrices)
    return Layer(module, _pack(weight, bias), output, tuple(inner), n_bytes)


def run_layers(layers: Sequence[Layer], hidden: Tensor, head_sums: Sequence[Tensor | None], read: Tensor) -> Tensor:
    """As `fast_float32.run_layers`."""
    batch, tokens, size = hidden.shape
    n_heads = layers[0].module.attention.num_attention_heads
    padded = -(-tokens // _MULTIPLE) * _MULTIPLE
    # What is large is there once, for all layers: what comes and goes would leave holes that nothing else fits in.
    heads = hidden.new_zeros(3, batch, n_heads, padded, size // n_heads, dtype=torch.bfloat16)
    rows = max(1, min(batch * padded, _SCORE_BYTES_AT_A_TIME // (heads.itemsize * n_heads * padded)))
    scores = heads.new_empty(rows * n_heads * padded)
    for number, (layer, total) in enumerate(zip(layers, head_sums, strict=True), start=1):
        _project(layer, hidden, heads)
        query, key, value = heads
        if number == len(layers):
            query, hidden = query[:, :, read], hidden[:, read]
        _attend(query, key, value, tokens, layer.module.attention.scaling, total, scores)
        attended = query[:, :, : hidden.shape[1]].transpose(1, 2).flatten(2)
        for clips in slices(batch, clips_together(hidden, _TOKENS_AT_A_TIME)):
            hidden[clips] += layer.output(attended[clips].flatten(0, 1)).view_as(hidden[clips])
            _add_mlp(layer, hidden[clips].flatten(0, 1))
    return hidden


def _project(layer: Layer, hidden: Tensor, heads: Tensor) -> None:
    """Queries, keys and values, (3, batch, heads, tokens and zeros, head size)."""
    tokens = hidden.shape[1]
    for clips in slices(len(hidden), clips_together(hidden, _TOKENS_AT_A_TIME)):
        normed = layer.module.layernorm_before(hidden[clips]).bfloat16()
        projected = layer.project(normed.flatten(0, 1))
        for some, part in zip(projected.chunk(3, dim=1), heads[:, clips, :, :tokens], strict=True):
            of_tokens = part.transpose(1, 2)
            of_tokens.copy_(some.view(of_tokens.shape))


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    tokens: int,
    scaling: float,
    total: Tensor | None,
    scores: Tensor,
) -> None:
    """Attention of all heads, some rows at a time, or some clips.

    Args:
        query, key, value: (batch, heads, tokens and zeros, size); the query, which may have fewer, becomes what is
            attended.
        total: (batch, tokens of the query, tokens), which becomes the sum of the heads' weights; None where nobody
            wants it.
        scores: Memory for them.
    """
    batch, n_heads, rows, _ = query.shape
    columns = key.shape[2]
    most = len(scores) // (n_heads * columns)
    n_rows = -(-rows // -(-rows // most))  # parts of about the same size
    n_clips = min(batch, max(1, most // rows))  # 1, unless all rows are done at once
    for clips in slices(batch, n_clips):
        for some in slices(rows, n_rows):
            part = query[clips, :, some]
            weights = scores[: part.shape[0] * n_heads * part.shape[2] * columns].view(*part.shape[:3], columns)
            of_each = weights.flatten(0, 1)
            torch.bmm(part.flatten(0, 1), key[clips].flatten(0, 1).mT, out=of_each)
            sums = weights.new_empty(0, 0, 0, dtype=torch.float16) if total is None else total[clips, some]
            _weigh(weights, scaling, tokens, sums)
            part.copy_(torch.bmm(of_each, value[clips].flatten(0, 1)).view_as(part))


def _weigh(scores: Tensor, scaling: float, tokens: int, sums: Tensor) -> None:
    """`attention_weights`, a part of the rows on each thread."""
    bits, bits_of_sums = (values.view(torch.uint16).numpy() for values in (scores, sums))

    def work(rows: slice) -> None:
        attention_weights(bits, scaling, tokens, bits_of_sums, rows.start, rows.stop)

    share_out(work, len(bits) * bits.shape[2])


def _add_mlp(layer: Layer, rows: Tensor) -> None:
    """Add the inner layer's output, (n, size)."""
    normed = layer.module.layernorm_after(rows).bfloat16()
    for into, out_of in layer.inner:
        rows += out_of(into(normed))


def _pack(weight: Tensor, bias: Tensor | None = None, activation: nn.Module | None = None) -> Linear:
    """A linear layer in bfloat16, and the activation of its output, the matrix laid out as oneDNN multiplies it."""
    matrix = weight.to(torch.bfloat16, memory_format=torch.contiguous_format)
    bias = None if bias is None else bias.bfloat16()
    if torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix)
        is_fused = isinstance(activation, GELUActivation)
        kind = "gelu" if is_fused else "none"

        def linear(inputs: Tensor) -> Tensor:
            return torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, kind, [], "none")

    else:
        is_fused = False
        linear = partial(nn.functional.linear, weight=matrix, bias=bias)
    return linear if activation is None or is_fused else lambda inputs: activation(linear(inputs))
