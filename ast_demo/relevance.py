"""Class relevance: attention weighted by what it does for one label.

Chefer, Gur & Wolf (2021, arXiv 2103.15679): in each layer the attention A of every head is multiplied, element by
element, with the gradient of the label's score; negative products are dropped, the heads averaged, and what each
token has gathered is added up, R <- R + mean((∇A ⊙ A)⁺) R. AST's classifier reads the mean of its two special
tokens, so only that one row is carried, from the last layer to the first, which is also the order in which the
gradients arrive.

So that a call leaves nothing behind and needs little memory, the layers of an AST are run by hand: once without
gradients, keeping the input of each; then each again, the last first, with the gradients of that layer alone. Never
is more than one layer's attention in memory, and the shared model gets neither hooks nor gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ast_demo.attention import to_grid
from ast_demo.checkpoints import Checkpoint
from ast_demo.errors import CheckpointError
from ast_demo.inspection import Inspection
from ast_demo.maps import RelevanceMap, label_index, log_odds
from ast_demo.sequence_models import model_here, read_sequence

Target = Callable[[Tensor], Tensor]


def relevance_map(inspection: Inspection, checkpoint: Checkpoint, label: str) -> RelevanceMap:
    """Class relevance of the log-odds of a label's score; for any label, not only the best.

    Raises:
        CheckpointError: There is no such label, or the gradients of this model's attention cannot be had.
    """
    facts = checkpoint.facts
    index = label_index(facts, label)

    def target(logits: Tensor) -> Tensor:
        return log_odds(logits, index, facts.activation)

    if facts.grid is None:
        row = relevance_over_time(inspection, checkpoint, target)
        return RelevanceMap(row[None], "relevance", label)
    spectrogram, grid = inspection.fed
    row = relevance_of_tokens(checkpoint.model, torch.from_numpy(spectrogram.values[None]), target)[0].numpy()
    # The row starts as the special tokens themselves; only what they gathered is relevance.
    total = max(float(row.sum(dtype=np.float64)), 1e-30)
    return RelevanceMap(
        to_grid(row, grid) / total, "relevance", label, special_share=float(row[: grid.n_special].sum() / total)
    )


def relevance_of_tokens(model: Any, values: Tensor, target: Target) -> Tensor:
    """Relevance of each token for what an AST's classifier reads, without the starting row itself.

    Args:
        values: (batch, frames, mels).
        target: Logits (batch, n_labels) to the numbers (batch,) to explain.

    Returns:
        (batch, tokens), none below 0.
    """
    ast = model.audio_spectrogram_transformer
    with torch.no_grad():
        inputs = [ast.embeddings(values)]
        for layer in ast.layers:
            inputs.append(_run_layer(layer, inputs[-1])[0])
    with torch.enable_grad():
        last = inputs.pop().requires_grad_()
        hidden = ast.layernorm(last)
        explained = target(model.classifier((hidden[:, 0] + hidden[:, 1]) / 2))
        (gradient,) = torch.autograd.grad(explained.sum(), last)
    start = torch.zeros(inputs[0].shape[:2])
    start[:, :2] = 1 / 2
    row = start
    for layer in reversed(ast.layers):
        with torch.enable_grad():
            hidden = inputs.pop().requires_grad_()
            output, attention = _run_layer(layer, hidden)
            gradient, of_attention = torch.autograd.grad(output, (hidden, attention), gradient)
        row = row + torch.einsum("bt,bts->bs", row, _weighted(attention.detach(), of_attention))
        del output, attention, of_attention
    return row - start


def relevance_over_time(inspection: Inspection, checkpoint: Checkpoint, target: Target) -> np.ndarray:
    """Relevance of each token of a model that classifies by the mean of all its tokens, (n_tokens,).

    Raises:
        CheckpointError: The model computes its attention in a way that no gradient reaches.
    """
    with torch.enable_grad():
        features = read_sequence(checkpoint, inspection.waveform).requires_grad_()
        outputs: Any = model_here(checkpoint)(features, output_attentions=True)
        gradients = torch.autograd.grad(target(outputs.logits).sum(), outputs.attentions, allow_unused=True)
    if any(gradient is None for gradient in gradients):
        raise CheckpointError(
            f"No gradient reaches the attention of {checkpoint.facts.name!r}, so it has no class relevance. "
            "Expected another map, such as perturbation."
        )
    n_tokens = outputs.attentions[0].shape[-1]
    start = torch.full((1, n_tokens), 1 / n_tokens)
    row = start
    for attention, gradient in zip(reversed(outputs.attentions), reversed(gradients), strict=True):
        row = row + torch.einsum("bt,bts->bs", row, _weighted(attention.detach(), gradient))
    gathered = (row - start)[0]
    return (gathered / gathered.sum().clamp(min=1e-30)).numpy()


def _weighted(attention: Tensor, gradient: Tensor) -> Tensor:
    """Mean over heads of what of the attention raises the target: (batch, heads, tokens, tokens) to (batch, tokens, tokens)."""
    return (attention * gradient).clamp_(min=0).mean(dim=1)


def _run_layer(layer: Any, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """One layer of 🤗 Transformers' AST: its output, and its attention (batch, heads, tokens, tokens) in the graph."""
    attend = layer.attention
    normed = layer.layernorm_before(hidden)
    shape = (*hidden.shape[:-1], -1, attend.head_dim)
    query, key, value = (
        part(normed).view(shape).transpose(1, 2) for part in (attend.q_proj, attend.k_proj, attend.v_proj)
    )
    attention = torch.softmax(query * attend.scaling @ key.transpose(2, 3), dim=-1)
    hidden = hidden + attend.o_proj((attention @ value).transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.layernorm_after(hidden)), attention
