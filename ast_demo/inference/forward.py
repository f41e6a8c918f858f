"""AST's forward pass as fast as the machine can multiply, with the attention that rollout needs.

The arithmetic of 🤗 Transformers' `ASTForAudioClassification` on the model's own weights. What it does otherwise:

- No attention of all heads, layers and tokens ever lies in memory: a layer's is made, used, and added up over the
  heads, some of it at a time.
- In the last layer only those rows are computed that someone reads: the special tokens, which the classifier reads,
  and a token that rollout shall start from.
- In bfloat16 the matrices are laid out once as the processor's library multiplies them. What passes from layer to
  layer, the norms and the classifier stay in single precision.

The layers are in `layers_float32` and `layers_bfloat16`, and `gpu` for GPUs. Nothing is kept on the model or in a module, so that one model can
serve many threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ast_demo.inference import gpu, layers_float32
from ast_demo.inference.rollout import roll_out
from ast_demo.runtime import CPU, Device, device_of_call, has_bfloat16, is_lent, on_gpu, supports_bfloat16
from ast_demo.settings import PrecisionChoice

Precision = Literal["float32", "bfloat16"]

# From this size on, a clip of 10 s takes about a second in float32; below, bfloat16, or what is compiled, would save what nobody
# notices.
_LARGE = 50_000_000
_N_SPECIAL = 2  # CLS and distillation token


@dataclass(frozen=True)
class FastAST:
    """An AST made ready for `run`; read-only.

    Attributes:
        model: The `ASTForAudioClassification` it was made from, whose weights it shares where it can.
        layers, run_layers: What the module of that precision has made of them, and how it runs it.
        n_bytes: Memory of the weights that it does not share.
        is_fused: Whether its attention is fused, and leaves no sums over heads.
    """

    model: Any
    precision: Precision
    layers: tuple[Any, ...]
    run_layers: Callable[..., Tensor]  # layers, hidden, head_sums, read: as `layers_float32.run_layers`
    n_bytes: int
    is_fused: bool = False


@dataclass(frozen=True)
class Answer:
    """What the model says of a batch.

    Attributes:
        logits: (batch, n_labels) float32.
        embeddings: (batch, hidden_size) float32: the mean of the special tokens after the last layer norm.
        head_sums: Of each layer the attention, added up over heads, (batch, tokens, tokens), in float32, or in float16
            where the model runs in bfloat16. The last, in float32, has only the rows that are read: the others are 0.
            Empty where nobody asked for it.
    """

    logits: Tensor
    embeddings: Tensor
    head_sums: list[Tensor]


@dataclass(frozen=True)
class ModelOutput:
    """What the model says of a batch, and where its attention flowed; all float32.

    Attributes:
        logits: (batch, n_labels).
        embeddings: (batch, hidden_size).
        rollout: (batch, n_layers, tokens), from what the classifier reads, or from the token that was asked for; [:, d]
            goes through the layers 0 to d.
        attention: (batch, n_layers, tokens), what the token that was asked for attends to, the mean of the heads; without
            one, None.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    rollout: np.ndarray
    attention: np.ndarray | None


def choose_precision(choice: PrecisionChoice, n_parameters: int, device: Device = CPU) -> Precision:
    """The number format to compute in.

    `auto` is float32, and so exact to rounding, unless the processor, or the GPU, multiplies bfloat16 natively and the
    model is large: then bfloat16 takes a quarter to a half of the time, and moves scores by up to 0.02. On a GPU that is
    lent, it is float32 too, and so it is on a device that does not support bfloat16, whatever is asked for.
    """
    if is_lent(run_elsewhere):
        return "float32"
    if choice == "float32" or not _supports_bfloat16(device):
        return "float32"
    if choice == "bfloat16":
        return "bfloat16"
    return "bfloat16" if n_parameters >= _LARGE and (device.is_gpu or has_bfloat16()) else "float32"


def _supports_bfloat16(device: Device) -> bool:
    return device.bfloat16 if device.is_gpu else supports_bfloat16()


def precision_note(choice: PrecisionChoice, device: Device = CPU, *, is_ast: bool = True) -> str:
    """Why a model does not compute in bfloat16 although it was asked for; empty where it does, or was not asked to."""
    if choice != "bfloat16":
        return ""
    if not is_ast:
        reason = "only an AST is computed in it"
    elif is_lent(run_elsewhere):
        reason = "a GPU that is lent by the call is not asked for it"
    elif not _supports_bfloat16(device):
        reason = f"{device} does not support it" if device.is_gpu else "this processor does not support it"
    else:
        return ""
    return f"bfloat16 was asked for, but {reason}: computed in float32 instead."


@torch.inference_mode()
def make_fast(model: nn.Module, precision: Precision, device: Device = CPU) -> FastAST:
    """Make an `ASTForAudioClassification` in single precision ready for `run`.

    In float32 all of its weights are shared, so it has to be on the device already; in bfloat16, it may be elsewhere.
    """
    if device.is_gpu:
        return _make_for_gpu(model, precision, device)
    ast: Any = model.audio_spectrogram_transformer
    if precision == "float32":
        is_large = next(model.parameters()).is_cpu and sum(weight.numel() for weight in model.parameters()) >= _LARGE
        weigh = layers_float32.weigh_by_kernel if is_large else layers_float32.weigh_by_operations
        weigh(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1), False)  # compiles what is to be compiled
        return FastAST(model, precision, tuple(ast.layers), partial(layers_float32.run_layers, weigh=weigh), 0)
    from ast_demo.inference import layers_bfloat16  # its compiler takes a moment to import

    made = layers_bfloat16.make_layers(ast.layers)
    return FastAST(model, precision, made, layers_bfloat16.run_layers, sum(layer.n_bytes for layer in made))


def _make_for_gpu(model: Any, precision: Precision, device: Device) -> FastAST:
    if precision == "float32":
        return FastAST(model, precision, tuple(model.audio_spectrogram_transformer.layers), gpu.run_layers, 0)
    half: Any = copy.deepcopy(model).to(device.name, torch.bfloat16)
    n_bytes = sum(weight.nbytes for weight in half.parameters())
    layers = tuple(half.audio_spectrogram_transformer.layers)
    return FastAST(half, precision, layers, gpu.run_layers_fused, n_bytes, is_fused=True)


@torch.inference_mode()
def explain(fast: FastAST, inputs: Tensor, token: int | None = None) -> ModelOutput:
    """Run the model, and follow its attention.

    Args:
        inputs: (batch, frames, mel bins), float32, on the CPU.
        token: Follow it from this token, instead of from what the classifier reads.
    """
    hidden = embed(fast, inputs)
    start = hidden.new_zeros(hidden.shape[1], dtype=torch.float32)
    start[_read(token) if token is None else [token]] = 1 / 2 if token is None else 1
    follow = _follow_fused if fast.is_fused else _follow_sums
    return follow(fast, hidden, start, token)


def _follow_sums(fast: FastAST, hidden: Tensor, start: Tensor, token: int | None) -> ModelOutput:
    """From each layer's sums over heads."""
    answer = run_tokens(fast, hidden, token=token)
    sums = answer.head_sums
    rows = torch.stack([roll_out([layer[clip] for layer in sums], start) for clip in range(len(hidden))])
    attention = None
    if token is not None:
        n_heads = fast.model.config.num_attention_heads
        attention = torch.stack([layer[:, token] for layer in sums], dim=1).float() / n_heads
    return _as_arrays(answer.logits, answer.embeddings, rows, attention)


def _follow_fused(fast: FastAST, hidden: Tensor, start: Tensor, token: int | None) -> ModelOutput:
    """From what fused attention leaves."""
    left: list[gpu.FusedAttention] = []
    read = torch.tensor(_read(token), device=hidden.device)
    hidden = gpu.run_layers_fused(fast.layers, hidden, [None] * len(fast.layers), read, left)
    attention = None
    if token is not None:
        places = [token] * (len(left) - 1) + [_read(token).index(token)]
        attention = torch.stack([layer.weights_of(place) for layer, place in zip(left, places, strict=True)], dim=1)
    return _as_arrays(*_classify(fast, hidden), gpu.roll_out_fused(left, start, read), attention)


def _as_arrays(logits: Tensor, embeddings: Tensor, rows: Tensor, attention: Tensor | None) -> ModelOutput:
    logits, embeddings, rows = (part.float().cpu() for part in (logits, embeddings, rows))
    of_token = None if attention is None else attention.cpu().numpy()
    return ModelOutput(logits.numpy(), embeddings.numpy(), rows.numpy(), of_token)


@torch.inference_mode()
def run(fast: FastAST, inputs: Tensor, *, token: int | None = None, sums: bool = True) -> Answer:
    """Run the model.

    Args:
        inputs: (batch, frames, mel bins), float32.
        token: Also compute the last layer's row of this token.
        sums: Keep the attention, added up over heads; without, it takes less time and memory.
    """
    return run_tokens(fast, embed(fast, inputs), token=token, sums=sums)


@torch.inference_mode()
def run_tokens(fast: FastAST, hidden: Tensor, *, token: int | None = None, sums: bool = True) -> Answer:
    """Run the model on embedded tokens, (batch, tokens, hidden_size), which may be some of a clip's only.

    Args:
        hidden: They lie one behind the other in memory, and are overwritten.
        token, sums: As for `run`.
    """
    batch, tokens, _ = hidden.shape
    read = torch.tensor(_read(token), device=hidden.device)
    head_sums: list[Tensor] = []
    if sums:
        dtype = torch.float32 if fast.precision == "float32" else torch.float16
        head_sums += hidden.new_empty(len(fast.layers) - 1, batch, tokens, tokens, dtype=dtype)
        head_sums.append(hidden.new_empty(batch, len(read), tokens, dtype=dtype))
    totals: Sequence[Tensor | None] = head_sums or [None] * len(fast.layers)
    hidden = fast.run_layers(fast.layers, hidden, totals, read)
    if sums:
        # NumPy's zeros take no memory where nothing is written.
        last = torch.from_numpy(np.zeros((batch, tokens, tokens), np.float32)).to(hidden.device)
        head_sums[-1] = last.index_copy_(1, read, head_sums[-1].float())
    return Answer(*_classify(fast, hidden), head_sums)


@on_gpu
def run_elsewhere(model: nn.Module, inputs: np.ndarray, token: int | None) -> ModelOutput:
    """`explain` in single precision, for where GPUs are lent."""
    device = device_of_call(model)
    return explain(make_fast(model.to(device), "float32"), torch.from_numpy(inputs), token)


@torch.inference_mode()
def embed(fast: FastAST, inputs: Tensor) -> Tensor:
    """Inputs (batch, frames, mel bins) to tokens (batch, tokens, hidden_size), where the model is and of its type."""
    embeddings = fast.model.audio_spectrogram_transformer.embeddings
    projection = embeddings.patch_embeddings.projection
    inputs = inputs.to(projection.weight.device, projection.weight.dtype)
    # The convolution as a matrix product.
    (height, width), (down, along) = projection.kernel_size, projection.stride
    patches = inputs.mT.unfold(1, height, down).unfold(2, width, along).flatten(3).flatten(1, 2)
    tokens = inputs.new_empty(len(inputs), _N_SPECIAL + patches.shape[1], len(projection.weight))
    tokens[:, 0], tokens[:, 1] = embeddings.cls_token[0, 0], embeddings.distillation_token[0, 0]
    for some, of_clip in zip(tokens, patches, strict=True):
        torch.addmm(projection.bias, of_clip, projection.weight.flatten(1).mT, out=some[_N_SPECIAL:])
    return tokens.add_(embeddings.position_embeddings)


def _read(token: int | None) -> list[int]:
    """The tokens whose rows of the last layer are read: those that the classifier reads, and one to start from."""
    special = list(range(_N_SPECIAL))
    return special if token is None else [*special, token]


def _classify(fast: FastAST, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (batch, n_labels) and embeddings (batch, hidden_size), of the rows that are read, the special tokens first."""
    special = fast.model.audio_spectrogram_transformer.layernorm(hidden[:, :_N_SPECIAL])
    embeddings = (special[:, 0] + special[:, 1]) / 2
    return fast.model.classifier(embeddings), embeddings
