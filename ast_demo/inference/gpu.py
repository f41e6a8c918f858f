"""AST's forward pass on a GPU in half precision, and rollout from what fused attention leaves behind.

Fused attention returns no weights, and all heads' weights would take longer to write and read than all the rest. It
does return the logarithm of each row's sum, and that is enough. Rollout needs r · A for a few row vectors r; with
scores s and row sums exp(l), column j of it is the sum over i of r_i · exp(s_ij − l_i). That is attention the other
way round, of the keys to the queries with the values r_i · exp(−l_i), but for its own row sums, exp(m_j), which it
returns as well: multiply by them. So the rows of all depths go through the same fused kernel, as the columns of its
values, and no weights are ever written.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_LARGEST = 80.0  # e to the power of it is still a number in single precision, and in bfloat16


@torch.inference_mode()
def to_device(model: nn.Module, device: str, dtype: torch.dtype) -> Any:
    """A copy of an `ASTForAudioClassification` for `explain_batch`."""
    return copy.deepcopy(model).to(device, dtype)


@torch.inference_mode()
def explain_batch(model: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and rollout of a batch.

    Args:
        model: As `to_device` gives it.
        inputs: (batch, frames, mel bins), on its device, of its type.

    Returns:
        Logits (batch, n_labels), and the rollout from the mean of the special tokens at every depth
        (batch, n_layers, tokens), float32; [:, d] goes through the layers 0 to d.
    """
    ast = model.audio_spectrogram_transformer
    hidden = ast.embeddings(inputs)
    seen = []
    for layer in ast.layers:
        attention = layer.attention
        normed = layer.layernorm_before(hidden)
        query, key, value = (
            part(normed).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
            for part in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        output, log_sums = _fused_attention(query, key, value, attention.scaling)
        seen.append((query, key, log_sums, attention.scaling))
        hidden = hidden + attention.o_proj(output.transpose(1, 2).flatten(2))
        hidden = hidden + layer.mlp(layer.layernorm_after(hidden))
    hidden = ast.layernorm(hidden[:, :2])
    logits = model.classifier((hidden[:, 0] + hidden[:, 1]) / 2)
    rows = torch.zeros(len(inputs), len(seen), query.shape[2], device=inputs.device)
    rows[..., :2] = 1 / 2
    for depth in reversed(range(len(seen))):
        attended = multiply_rows(rows[:, depth:], *seen[depth])
        attended /= attended.sum(dim=-1, keepdim=True)
        rows[:, depth:] = (attended + rows[:, depth:]) / 2
    return logits, rows


def multiply_rows(rows: Tensor, query: Tensor, key: Tensor, log_sums: Tensor, scaling: float) -> Tensor:
    """Rows times the mean of the heads' attention.

    Args:
        rows: (batch, n, tokens) float32.
        query, key: (batch, heads, tokens, size).
        log_sums: (batch, heads, tokens), logarithm of the sum of each row of exp(scores).

    Returns:
        (batch, n, tokens).
    """
    # Any number may be taken from all logarithms and given back: here, so that no exponential overflows, as long as
    # the sums of a head's rows differ by less than e^160 in all.
    middle = log_sums.mean(dim=-1, keepdim=True)
    weighted = rows.mT[:, None] * torch.exp((middle - log_sums).clamp(-_LARGEST, _LARGEST))[..., None]
    size = query.shape[-1]  # the kernels want values as wide as the heads
    parts = []
    for part in weighted.split(size, dim=-1):
        values = nn.functional.pad(part, (0, size - part.shape[-1])).to(query.dtype).contiguous()
        output, own_sums = _fused_attention(key, query, values, scaling)
        summed = output.float() * torch.exp((own_sums - middle).clamp(-_LARGEST, _LARGEST))[..., None]
        parts.append(summed.mean(dim=1)[..., : part.shape[-1]].mT)
    return torch.cat(parts, dim=1)


def _fused_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention (batch, heads, tokens, size), and the logarithm of each row's sum of exponentials (batch, heads, tokens)."""
    if query.is_cuda:
        flash: Any = torch.ops.aten._scaled_dot_product_flash_attention
        output, log_sums, *_ = flash(query, key, value, scale=scaling)
    else:
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, log_sums = flash(query, key, value, scale=scaling)
    return output, log_sums.float()
