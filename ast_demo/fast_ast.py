"""AST's forward pass as fast as the machine can multiply, with the attention that rollout needs.

The arithmetic of 🤗 Transformers' `ASTForAudioClassification` on the model's own weights. What it does otherwise:

- No attention of all heads and tokens ever lies in memory: that of some rows is made, used, and added up over the
  heads. Where nobody asks for the sums, PyTorch's fused attention does without them.
- In the last layer only those rows are computed that someone reads: the special tokens, which the classifier reads,
  and a token that rollout shall start from.
- In bfloat16 the matrices are laid out once as the processor's library multiplies them. What passes from layer to
  layer, the norms and the classifier stay in single precision.

Nothing is kept on the model or in this module, so that one model can serve many threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ast_demo.gpu import device_of_call, is_lent, on_gpu
from ast_demo.settings import PrecisionChoice

Precision = Literal["float32", "bfloat16"]

# Weights of so many bytes are in work at a time: few enough for the processor's cache.
_WEIGHT_BYTES_AT_A_TIME = 1 << 22
# So many tokens go through the matrices together, or one clip: enough for large products, few enough to take little memory.
_TOKENS_AT_A_TIME = 2560
# So many of them get the activation at a time: what it writes stays in the cache, and needs no memory of its own.
_ACTIVATED_AT_A_TIME = 101
# From this size on, a clip of 10 s takes about a second in float32; below, bfloat16 would save what nobody notices.
_LARGE = 50_000_000
Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FastLayer:
    """The matrices of one layer, ready to multiply, and the rest of it from the model."""

    module: Any
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    expand: Linear
    contract: Linear


@dataclass(frozen=True)
class FastAST:
    """An AST made ready for `run`; read-only.

    Attributes:
        model: The `ASTForAudioClassification` it was made from, whose weights it shares where it can.
        n_bytes: Memory of the weights that it does not share.
    """

    model: Any
    dtype: torch.dtype
    layers: tuple[FastLayer, ...]
    n_bytes: int


@dataclass(frozen=True)
class Answer:
    """What the model says of a batch.

    Attributes:
        logits: (batch, n_labels) float32.
        embeddings: (batch, hidden_size) float32: the mean of the special tokens after the last layer norm.
        head_sums: Of each layer the attention, added up over heads, (batch, tokens, tokens). The last has only the
            rows that are read: the others are 0. Empty where nobody asked for it.
    """

    logits: Tensor
    embeddings: Tensor
    head_sums: list[Tensor]


def choose_precision(choice: PrecisionChoice, n_parameters: int) -> Precision:
    """The number format to compute in.

    `auto` is float32, and so exact to rounding, unless the processor multiplies bfloat16 natively and the model is
    large: then bfloat16 takes half the time, and moves scores by up to 0.02. On a GPU that is lent, it is float32 too.
    """
    if is_lent(run_elsewhere):
        return "float32"
    if choice != "auto":
        return choice
    return "bfloat16" if n_parameters >= _LARGE and has_bfloat16() else "float32"


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively, at twice the speed of float32 or more."""
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))


@torch.inference_mode()
def make_fast(model: nn.Module, precision: Precision) -> FastAST:
    """Make an `ASTForAudioClassification` on the CPU ready for `run`. In float32 all of its weights are shared."""
    ast: Any = model.audio_spectrogram_transformer
    dtype: torch.dtype = getattr(torch, precision)
    layers, n_bytes = [], 0
    for module in ast.layers:
        attention, mlp = module.attention, module.mlp
        parts = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.fc1, mlp.fc2)
        if precision == "float32":
            layers.append(FastLayer(module, *parts))
        else:
            layers.append(FastLayer(module, *(_pack(part, dtype) for part in parts)))
            n_bytes += sum(dtype.itemsize * part.weight.numel() for part in parts)
    return FastAST(model, dtype, tuple(layers), n_bytes)


@torch.inference_mode()
def run(fast: FastAST, inputs: Tensor, *, token: int | None = None, sums: bool = True) -> Answer:
    """Run the model.

    Args:
        inputs: (batch, frames, mel bins), float32.
        token: Also compute the last layer's row of this token.
        sums: Keep the attention, added up over heads; without, it takes less time and memory.
    """
    tokens = _embed(fast.model.audio_spectrogram_transformer.embeddings, inputs)
    return run_tokens(fast, tokens, token=token, sums=sums)


@torch.inference_mode()
def run_tokens(fast: FastAST, hidden: Tensor, *, token: int | None = None, sums: bool = True) -> Answer:
    """Run the model on embedded tokens, (batch, tokens, hidden_size), which may be some of a clip's only.

    Args:
        hidden: They lie one behind the other in memory, and are overwritten.
        token, sums: As for `run`.
    """
    ast = fast.model.audio_spectrogram_transformer
    batch, tokens, size = hidden.shape
    read = torch.tensor([0, 1] if token is None else [0, 1, token], device=hidden.device)
    # What is large is there once, for all layers: what comes and goes would leave holes that nothing else fits in.
    together = _clips_together(batch, tokens) * tokens
    inner = fast.layers[0].module.mlp.fc1.out_features
    room = hidden.new_empty(max(3 * hidden.numel() + together * size, together * inner), dtype=fast.dtype)
    head_sums: list[Tensor] = []
    if sums:
        head_sums += hidden.new_empty(len(fast.layers) - 1, batch, tokens, tokens, dtype=fast.dtype)
        head_sums.append(hidden.new_empty(batch, len(read), tokens, dtype=fast.dtype))
    for number, layer in enumerate(fast.layers):
        is_last = number + 1 == len(fast.layers)
        hidden = _run_layer(layer, hidden, room, head_sums[number] if sums else None, read if is_last else None)
    if sums:
        # NumPy's zeros take no memory where nothing is written.
        last = torch.from_numpy(np.zeros((batch, tokens, tokens), np.float32)).to(hidden.device)
        head_sums[-1] = last.index_copy_(1, read, head_sums[-1].float())
    hidden = ast.layernorm(hidden[:, :2])
    embeddings = (hidden[:, 0] + hidden[:, 1]) / 2
    return Answer(fast.model.classifier(embeddings), embeddings, head_sums)


@on_gpu
def run_elsewhere(model: nn.Module, inputs: np.ndarray, token: int | None) -> tuple[np.ndarray, ...]:
    """`run` in single precision, for where GPUs are lent: see `gpu`. Logits, embeddings, and each layer's head sums."""
    device = device_of_call()
    answer = run(make_fast(model.to(device), "float32"), torch.from_numpy(inputs).to(device), token=token)
    return tuple(part.cpu().numpy() for part in (answer.logits, answer.embeddings, *answer.head_sums))


def _embed(embeddings: Any, inputs: Tensor) -> Tensor:
    """Inputs (batch, frames, mel bins) to tokens (batch, tokens, hidden_size): the convolution as a matrix product."""
    projection = embeddings.patch_embeddings.projection
    (height, width), (down, along) = projection.kernel_size, projection.stride
    patches = inputs.mT.unfold(1, height, down).unfold(2, width, along).flatten(3).flatten(1, 2)
    patches = nn.functional.linear(patches, projection.weight.flatten(1), projection.bias)
    special = (token.expand(len(inputs), -1, -1) for token in (embeddings.cls_token, embeddings.distillation_token))
    return torch.cat((*special, patches), dim=1).add_(embeddings.position_embeddings)


def _run_layer(layer: FastLayer, hidden: Tensor, room: Tensor, total: Tensor | None, read: Tensor | None) -> Tensor:
    """One layer, in place; or of the rows that are read only.

    Args:
        hidden: (batch, tokens, size).
        room: For queries, keys and values of all clips, and a projection of some; or for the inner layer of some.
        total: (batch, rows, tokens), which becomes the sum of the heads' weights; None where nobody wants it.

    Returns:
        (batch, rows, size).
    """
    module, dtype = layer.module, room.dtype
    batch, tokens, _ = hidden.shape
    heads = room[: 3 * hidden.numel()].view(3, batch, module.attention.num_attention_heads, tokens, -1)
    spare = room[3 * hidden.numel() :]
    together = _clips_together(batch, tokens)
    groups = _slices(batch, together)
    for clips in groups:
        normed = module.layernorm_before(hidden[clips]).to(dtype).flatten(0, 1)
        projected = spare[: normed.numel()].view_as(normed)
        for part, linear in zip(heads, (layer.query, layer.key, layer.value), strict=True):
            one = part[clips].transpose(1, 2)
            one.copy_(_write(linear, normed, projected).view(one.shape))
    query, key, value = heads
    query *= module.attention.scaling
    if dtype != torch.float32:
        # Less their mean: the same for all, it drops out of the softmax, but smaller scores lose less.
        key -= key.mean(dim=2, keepdim=True)
    if read is not None:
        query, hidden = query[:, :, read], hidden[:, read]
    if total is None:
        query.copy_(nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0))
    else:
        _attend(query, key, value, total)
    for clips in groups:
        _add(layer.output, query[clips].transpose(1, 2).flatten(2).flatten(0, 1), hidden[clips].flatten(0, 1))
    rows = hidden.flatten(0, 1)
    for some in _slices(len(rows), together * tokens):
        normed = module.layernorm_after(rows[some]).to(dtype)
        expanded = room[: len(normed) * module.mlp.fc1.out_features].view(len(normed), -1)
        expanded = _write(layer.expand, normed, expanded)
        for few in _slices(len(expanded), _ACTIVATED_AT_A_TIME):
            expanded[few] = module.mlp.activation_fn(expanded[few])
        _add(layer.contract, expanded, rows[some])
    return hidden


def _clips_together(batch: int, tokens: int) -> int:
    """How many clips go through the matrices together."""
    return min(batch, max(1, _TOKENS_AT_A_TIME // tokens))


def _write(linear: Linear, inputs: Tensor, out: Tensor) -> Tensor:
    """A linear layer's output, in `out` where it can be written there at once."""
    if not isinstance(linear, nn.Linear):
        return linear(inputs)
    if linear.bias is None:
        return torch.mm(inputs, linear.weight.mT, out=out)
    return torch.addmm(linear.bias, inputs, linear.weight.mT, out=out)


def _add(linear: Linear, inputs: Tensor, total: Tensor) -> None:
    """Add a linear layer's output."""
    if isinstance(linear, nn.Linear):
        total.addmm_(inputs, linear.weight.mT)
        if linear.bias is not None:
            total += linear.bias
    else:
        total += linear(inputs)


def _attend(query: Tensor, key: Tensor, value: Tensor, total: Tensor) -> None:
    """Attention of all heads, some rows at a time, or some clips.

    Args:
        query, key, value: (batch, heads, tokens, size); the query, which may have fewer tokens, becomes what is attended.
        total: (batch, tokens of the query, tokens), which becomes the sum of the heads' weights.
    """
    batch, n_heads, rows, _ = query.shape
    tokens = key.shape[2]
    # In single precision a head for each thread; in bfloat16 all of them, to add up many weights at once.
    heads_at_once = min(n_heads, torch.get_num_threads()) if query.dtype == torch.float32 else n_heads
    room = max(1, _WEIGHT_BYTES_AT_A_TIME // (query.itemsize * heads_at_once * tokens))
    n_rows, n_clips = min(rows, room), min(batch, max(1, room // rows))  # 1, unless all rows are done at once
    memory = query.new_empty(n_clips * heads_at_once * n_rows * tokens)
    for clips in _slices(batch, n_clips):
        for some in _slices(rows, n_rows):
            place = total[clips, some]
            for heads in _slices(n_heads, heads_at_once):
                part = query[clips, heads, some]
                weights = memory[: part.shape[1] * place.numel()].view(*part.shape[:3], tokens)
                of_each = weights.flatten(0, 1)
                torch.bmm(part.flatten(0, 1), key[clips, heads].flatten(0, 1).mT, out=of_each)
                torch.softmax(of_each, -1, out=of_each)
                part.copy_(torch.bmm(of_each, value[clips, heads].flatten(0, 1)).view_as(part))
                if part.shape[1] == n_heads:
                    torch.sum(weights, 1, out=place)  # adds up in single precision
                    continue
                for head, of_head in enumerate(weights.unbind(1), heads.start):
                    if head:
                        place += of_head
                    else:
                        place.copy_(of_head)


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _pack(linear: nn.Linear, dtype: torch.dtype) -> Linear:
    """A linear layer in another precision, its matrix laid out as oneDNN multiplies it."""
    weight = linear.weight.to(dtype)
    bias = None if linear.bias is None else linear.bias.to(dtype)
    if not torch.backends.mkldnn.is_available():
        return lambda inputs: nn.functional.linear(inputs, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    return lambda inputs: torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
