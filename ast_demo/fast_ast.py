"""AST's forward pass as fast as the machine can multiply, with the attention that rollout needs.

The arithmetic of 🤗 Transformers' `ASTForAudioClassification` on the model's own weights. What it does otherwise:

- No attention of all heads ever lies in memory: that of one head and some rows is made, used, and added to the mean
  of the heads.
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

# Weights of so many tokens against all others are in work at a time: they stay in the processor's cache.
_WEIGHTS_AT_A_TIME = 1 << 19
# Tokens of each clip that go through the two wide matrices together: few enough to take little memory.
_ROWS_AT_A_TIME = 512
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
        head_means: Of each layer the attention averaged over heads, (batch, tokens, tokens). The last has only the
            rows that are read: the others are 0.
    """

    logits: Tensor
    embeddings: Tensor
    head_means: list[Tensor]


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
def run(fast: FastAST, inputs: Tensor, *, token: int | None = None) -> Answer:
    """Run the model.

    Args:
        inputs: (batch, frames, mel bins), float32.
        token: Also compute the last layer's row of this token.
    """
    return run_tokens(fast, fast.model.audio_spectrogram_transformer.embeddings(inputs), token=token)


@torch.inference_mode()
def run_tokens(fast: FastAST, hidden: Tensor, *, token: int | None = None) -> Answer:
    """Run the model on embedded tokens, (batch, tokens, hidden_size), which may be some of a clip's only.

    Args:
        token: As for `run`.
    """
    ast = fast.model.audio_spectrogram_transformer
    tokens = hidden.shape[1]
    read = torch.tensor([0, 1] if token is None else [0, 1, token], device=hidden.device)
    # All at once, ahead: between what comes and goes, they would leave holes that nothing else fits in.
    head_means = hidden.new_zeros(len(fast.layers), len(hidden), tokens, tokens, dtype=fast.dtype)
    for layer, mean in zip(fast.layers[:-1], head_means, strict=False):
        hidden = _run_layer(layer, hidden, mean, None)
    of_read = head_means.new_zeros(len(hidden), len(read), tokens)
    hidden = _run_layer(fast.layers[-1], hidden, of_read, read)
    head_means[-1].index_copy_(1, read, of_read)
    hidden = ast.layernorm(hidden[:, :2])
    embeddings = (hidden[:, 0] + hidden[:, 1]) / 2
    return Answer(fast.model.classifier(embeddings), embeddings, list(head_means))


@on_gpu
def run_elsewhere(model: nn.Module, inputs: np.ndarray, token: int | None) -> tuple[np.ndarray, ...]:
    """`run` in single precision, for where GPUs are lent: see `gpu`. Logits, embeddings, and each layer's head means."""
    device = device_of_call()
    answer = run(make_fast(model.to(device), "float32"), torch.from_numpy(inputs).to(device), token=token)
    return tuple(part.cpu().numpy() for part in (answer.logits, answer.embeddings, *answer.head_means))


def _run_layer(layer: FastLayer, hidden: Tensor, mean: Tensor, read: Tensor | None) -> Tensor:
    """One layer, (batch, tokens, size) to the same; or to the rows that are read. Its head means go into `mean`."""
    module, dtype, attention = layer.module, mean.dtype, layer.module.attention
    normed = module.layernorm_before(hidden).to(dtype)
    wanted = normed if read is None else normed[:, read]
    # Handed on at once, as what has a name here lies in memory until the end.
    attended = _attend(
        layer.query(wanted) * attention.scaling,
        _centred(layer.key(normed)),
        layer.value(normed),
        attention.num_attention_heads,
        mean,
    )
    hidden = (hidden if read is None else hidden[:, read]) + layer.output(attended)
    del normed, wanted, attended
    for some in _slices(hidden.shape[1], _ROWS_AT_A_TIME):
        part = hidden[:, some]
        part += layer.contract(module.mlp.activation_fn(layer.expand(module.layernorm_after(part).to(dtype))))
    return hidden


def _centred(key: Tensor) -> Tensor:
    """In bfloat16, keys less their mean: the same for all, it drops out of the softmax, but smaller scores lose less."""
    return key if key.dtype == torch.float32 else key - key.mean(dim=1, keepdim=True)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, mean: Tensor) -> Tensor:
    """Attention, head by head and some rows at a time.

    Args:
        query, key, value: (batch, tokens, heads · size); the query, which is scaled already, may have fewer tokens.
        mean: (batch, tokens of the query, tokens), which becomes the mean of the heads' weights.

    Returns:
        In the shape of the query.
    """
    batch, rows, size = query.shape
    tokens = key.shape[1]
    query, key, value = (
        part.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3).contiguous() for part in (query, key, value)
    )
    output = query.new_empty(batch, rows, heads, size // heads)
    n_clips = min(batch, max(1, _WEIGHTS_AT_A_TIME // (rows * tokens)))
    n_rows = min(rows, max(1, _WEIGHTS_AT_A_TIME // tokens))
    memory = query.new_empty(n_clips * n_rows * tokens)
    # In single precision always: where all tokens get nearly the same, what tells them apart is in the last digits.
    sums = torch.empty_like(memory, dtype=torch.float32)
    for clips in _slices(batch, n_clips):
        for some in _slices(rows, n_rows):
            part = mean[clips, some]
            weights, total = (each[: part.numel()].view(part.shape) for each in (memory, sums))
            total.zero_()
            for head in range(heads):
                torch.bmm(query[head, clips, some], key[head, clips].mT, out=weights)
                torch.softmax(weights, -1, out=weights)
                output[clips, some, head] = torch.bmm(weights, value[head, clips])
                total += weights
            part.copy_(total.div_(heads))
    return output.flatten(2)


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
