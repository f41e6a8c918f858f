"""What the papers and 🤗 Transformers say, followed to the letter: slow, and only there to check the program against."""

from __future__ import annotations

import copy

import numpy as np
import torch
from transformers import ASTForAudioClassification

from ast_demo.features.patches import PatchGrid


def eager_attentions(model: ASTForAudioClassification, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (labels,) and attention weights (layers, heads, tokens, tokens) of one spectrogram, by the eager model.

    In the model's own precision; what is bfloat16 comes as float32.
    """
    assert model.config._attn_implementation == "eager"
    with torch.inference_mode():
        output = model(torch.from_numpy(values[None]).to(model.dtype), output_attentions=True)
    return output.logits[0].float().numpy(), np.stack([layer[0].float().numpy() for layer in output.attentions])


def exact_attentions(model: ASTForAudioClassification, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in double precision, whatever the model is in."""
    with torch.no_grad():
        logits, attentions = in_double(model, values)
    return logits.numpy(), torch.stack(attentions).numpy()


def in_double(model: ASTForAudioClassification, values: np.ndarray) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits and each layer's attention, of which gradients can be taken.

    Layer by layer: the library's own make their softmax in single precision, even of a model in double.
    """
    model = copy.deepcopy(model).double()
    ast, attentions = model.audio_spectrogram_transformer, []
    hidden = ast.embeddings(torch.from_numpy(values[None]).double().requires_grad_())
    for layer in ast.layers:
        attention, normed = layer.attention, layer.layernorm_before(hidden)
        query, key, value = (
            project(normed)[0].unflatten(-1, (attention.num_attention_heads, -1)).transpose(0, 1)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
        hidden = hidden + attention.o_proj((weights @ value).transpose(0, 1).flatten(1))
        hidden = hidden + layer.mlp(layer.layernorm_after(hidden))
        attentions.append(weights)
    return model.classifier(ast.layernorm(hidden)[0, :2].mean(dim=0)), attentions


def textbook_rollout(attentions: np.ndarray) -> np.ndarray:
    """Rollout of Abnar & Zuidema (2020, arXiv 2005.00928) by full matrix products in double precision.

    Args:
        attentions: (layers, heads, tokens, tokens), first layer first.

    Returns:
        (layers, tokens, tokens): at [d], how much of each input token (column) is in each token (row) after layer d.
    """
    rollouts = []
    identity = torch.eye(attentions.shape[-1], dtype=torch.float64)
    product = identity
    for heads in attentions:
        mean = torch.from_numpy(heads.mean(axis=0, dtype=np.float64))
        half_residual = 0.5 * mean + 0.5 * identity
        half_residual /= half_residual.sum(dim=1, keepdim=True)
        product = half_residual @ product
        rollouts.append(product)
    return torch.stack(rollouts).numpy()


def rollout_in_loops(attentions: np.ndarray) -> list[list[float]]:
    """The last of `textbook_rollout`, in three nested loops and without NumPy's products: a reference for the reference."""
    n_layers, n_heads, n_tokens, _ = attentions.shape
    product = [[float(i == j) for j in range(n_tokens)] for i in range(n_tokens)]
    for layer in range(n_layers):
        step = [
            [
                sum(float(attentions[layer, h, i, j]) for h in range(n_heads)) / n_heads / 2 + (i == j) / 2
                for j in range(n_tokens)
            ]
            for i in range(n_tokens)
        ]
        product = [
            [sum(step[i][k] * product[k][j] for k in range(n_tokens)) for j in range(n_tokens)] for i in range(n_tokens)
        ]
    return product


def from_special_tokens(rollout: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """(tokens, tokens) to the map of what the classifier reads, the mean of CLS and distillation: (n_frequency, n_time)."""
    row = (rollout[0] + rollout[1]) / 2
    return row_to_map(row, grid)


def row_to_map(row: np.ndarray, grid: PatchGrid) -> np.ndarray:
    """(tokens,) to (n_frequency, n_time), patch by patch, in the order in which AST's convolution is flattened."""
    cells = np.zeros((grid.n_frequency, grid.n_time))
    token = 2
    for frequency in range(grid.n_frequency):
        for time in range(grid.n_time):
            cells[frequency, time] = row[token]
            token += 1
    assert token == len(row)
    return cells


def padding_share(relevance: np.ndarray, grid: PatchGrid, clip_frames: int) -> float:
    """Share of a map that rests on padding, frame by frame: the relevance of a patch is spread evenly over its frames."""
    share = 0.0
    for frequency in range(grid.n_frequency):
        for time in range(grid.n_time):
            first = time * grid.time_stride
            for frame in range(first, first + grid.patch_size):
                if frame >= clip_frames:
                    share += relevance[frequency, time] / grid.patch_size
    return share


def textbook_relevance(attentions: list[torch.Tensor], gradients: list[torch.Tensor]) -> np.ndarray:
    """Relevance of Chefer, Gur & Wolf (2021, arXiv 2103.15679), equations 5 and 6, by full matrices in double precision.

    Args:
        attentions, gradients: (heads, tokens, tokens) for each layer, first layer first.

    Returns:
        (tokens, tokens): how much of each input token (column) is relevant in each token (row) at the end.
    """
    n_tokens = attentions[0].shape[-1]
    relevance = torch.eye(n_tokens, dtype=torch.float64)
    for attention, gradient in zip(attentions, gradients, strict=True):
        step = torch.zeros(n_tokens, n_tokens, dtype=torch.float64)
        for head in range(len(attention)):
            product = gradient[head].double() * attention[head].double()
            step += torch.where(product > 0, product, torch.zeros_like(product)) / len(attention)
        relevance = relevance + step @ relevance
    return relevance.numpy()
