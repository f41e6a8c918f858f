"""AST's forward pass as fast as the machine can multiply, with the attention that rollout needs.

The arithmetic of 🤗 Transformers' `ASTForAudioClassification` on the model's own weights. What it does otherwise:

- No attention of all heads, layers and tokens ever lies in memory: a layer's is made, used, and added up over the
  heads, some of it at a time.
- In the last layer only those rows are computed that someone reads: the special tokens, which the classifier reads,
  and a token that rollout shall start from.
- In bfloat16 the matrices are laid out once as the processor's library multiplies them. What passes from layer to
  layer, the norms and the classifier stay in single precision.

The layers are in `layers_float32` and `layers_bfloat16`. Nothing is kept on the model or in a module, so that one model can
serve many threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ast_demo.inference import layers_float32
from ast_demo.runtime import device_of_call, has_bfloat16, is_lent, on_gpu, supports_bfloat16
from ast_demo.settings import PrecisionChoice

Precision = Literal["float32", "bfloat16"]

# From this size on, a clip of 10 s takes about a second in float32; below, bfloat16, or what is compiled, would save what nobody
# notices.
_LARGE = 50_000_000


@dataclass(frozen=True)
class FastAST:
    """An AST made ready for `run`; read-only.

    Attributes:
        model: The `ASTForAudioClassification` it was made from, whose weights it shares where it can.
        layers, run_layers: What the module of that precision has made of them, and how it runs it.
        n_bytes: Memory of the weights that it does not share.
    """

    model: Any
    precision: Precision
    layers: tuple[Any, ...]
    run_layers: Callable[[Sequence[Any], Tensor, Sequence[Tensor | None], Tensor], Tensor]
    n_bytes: int


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


def choose_precision(choice: PrecisionChoice, n_parameters: int) -> Precision:
    """The number format to compute in.

    `auto` is float32, and so exact to rounding, unless the processor multiplies bfloat16 natively and the model is
    large: then bfloat16 takes a quarter to a half of the time, and moves scores by up to 0.02. On a GPU that is lent, it
    is float32 too, and so it is on a processor that does not support bfloat16, whatever is asked for.
    """
    if is_lent(run_elsewhere):
        return "float32"
    if choice == "float32" or not supports_bfloat16():
        return "float32"
    if choice == "bfloat16":
        return "bfloat16"
    return "bfloat16" if n_parameters >= _LARGE and has_bfloat16() else "float32"


def precision_note(choice: PrecisionChoice, *, is_ast: bool = True) -> str:
    """Why a model does not compute in bfloat16 although it was asked for; empty where it does, or was not asked to."""
    if choice != "bfloat16":
        return ""
    if not is_ast:
        reason = "only an AST is computed in it"
    elif is_lent(run_elsewhere):
        reason = "a GPU that is lent by the call is not asked for it"
    elif not supports_bfloat16():
        reason = "this processor does not support it"
    else:
        return ""
    return f"bfloat16 was asked for, but {reason}: computed in float32 instead."


@torch.inference_mode()
def make_fast(model: nn.Module, precision: Precision) -> FastAST:
    """Make an `ASTForAudioClassification` on the CPU ready for `run`. In float32 all of its weights are shared."""
    ast: Any = model.audio_spectrogram_transformer
    if precision == "float32":
        is_large = next(model.parameters()).is_cpu and sum(weight.numel() for weight in model.parameters()) >= _LARGE
        weigh = layers_float32.weigh_by_kernel if is_large else layers_float32.weigh_by_operations
        weigh(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1), False)  # compiles what is to be compiled
        return FastAST(model, precision, tuple(ast.layers), partial(layers_float32.run_layers, weigh=weigh), 0)
    from ast_demo.inference import layers_bfloat16  # its compiler takes a moment to import

    made = layers_bfloat16.make_layers(ast.layers)
    return FastAST(model, precision, made, layers_bfloat16.run_layers, sum(layer.n_bytes for layer in made))


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
    batch, tokens, _ = hidden.shape
    read = torch.tensor([0, 1] if token is None else [0, 1, token], device=hidden.device)
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
    n_special = 2
    tokens = inputs.new_empty(len(inputs), n_special + patches.shape[1], len(projection.weight))
    tokens[:, 0], tokens[:, 1] = embeddings.cls_token[0, 0], embeddings.distillation_token[0, 0]
    for some, of_clip in zip(tokens, patches, strict=True):
        torch.addmm(projection.bias, of_clip, projection.weight.flatten(1).mT, out=some[n_special:])
    return tokens.add_(embeddings.position_embeddings)
