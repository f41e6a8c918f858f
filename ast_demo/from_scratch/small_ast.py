"""What an AST needs to be trained from little data: a good start, and fewer tokens."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTForAudioClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from ast_demo.features import PatchGrid
from ast_demo.finetuning import grid_of


class ColumnAst(ASTForAudioClassification):
    """An AST that can be shown some columns of its patch grid only, and otherwise is what its base class is."""

    def forward(
        self,
        input_values: Tensor | None = None,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        columns: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits for (batch, frames, mels); with `columns` (batch, n), from the tokens of these columns alone."""
        if columns is None or input_values is None:
            return super().forward(input_values, labels, attention_mask, **kwargs)
        ast: Any = self.audio_spectrogram_transformer
        hidden = embed_columns(ast.embeddings, input_values, columns, grid_of(self.config))
        for layer in ast.layers:
            hidden = layer(hidden)
        hidden = ast.layernorm(hidden)
        return SequenceClassifierOutput(logits=self.classifier((hidden[:, 0] + hidden[:, 1]) / 2))


def embed_columns(embeddings: Any, values: Tensor, columns: Tensor, grid: PatchGrid) -> Tensor:
    """Tokens of some columns of the patch grid, as `embeddings` would give them among all others.

    Args:
        embeddings: Transformers' `ASTEmbeddings`.
        values: (batch, frames, mels).
        columns: (batch, n).

    Returns:
        (batch, special + n_frequency * n, width), frequency-major.
    """
    n_clips = len(columns)
    frames = columns[:, :, None] * grid.time_stride + torch.arange(grid.patch_size, device=columns.device)
    clips = torch.arange(n_clips, device=columns.device)[:, None, None]
    # The projection as a product of matrices: as a convolution whose result is one column wide, it gives numbers that
    # are not there in bfloat16 on processors with AMX (oneDNN 3.12).
    strips = values[clips, frames].unfold(-1, grid.patch_size, grid.frequency_stride)  # (batch, n, time, row, mels)
    projection = embeddings.patch_embeddings.projection
    patches = nn.functional.linear(
        strips.permute(0, 3, 1, 4, 2).flatten(-2), projection.weight.flatten(1), projection.bias
    ).flatten(1, 2)
    rows = torch.arange(grid.n_frequency, device=columns.device)[None, :, None] * grid.n_time
    index = grid.n_special + (rows + columns[:, None, :]).flatten(1)
    special = torch.cat((embeddings.cls_token, embeddings.distillation_token), dim=1)
    special = (special + embeddings.position_embeddings[:, : grid.n_special]).expand(n_clips, -1, -1)
    return embeddings.dropout(torch.cat((special, patches + embeddings.position_embeddings[0, index]), dim=1))


def start_from_scratch(model: ASTForAudioClassification, seed: int) -> None:
    """Initialise a small AST so that it learns from thousands of clips, not millions.

    Transformers starts positions and special tokens at zero and matrices with deviation 0.02, which suits weights
    that are loaded afterwards. Here positions start as 2-D sine and cosine waves, special tokens with deviation
    0.02, and every matrix after Glorot & Bengio (2010), the projection of the patches included.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            limit = math.sqrt(6 / sum(module.weight.data.flatten(1).shape))
            module.weight.data.uniform_(-limit, limit, generator=generator)
            if module.bias is not None:
                module.bias.data.zero_()
    embeddings = model.audio_spectrogram_transformer.embeddings
    grid = grid_of(model.config)
    embeddings.position_embeddings.data.zero_()
    embeddings.position_embeddings.data[0, grid.n_special :] = 0.5 * make_positions(grid, model.config.hidden_size)
    for token in (embeddings.cls_token, embeddings.distillation_token):
        token.data.normal_(0, 0.02, generator=generator)


def make_positions(grid: PatchGrid, width: int) -> Tensor:
    """(n_patches, width): waves of the patch's row in one half of the width, of its column in the other.

    Sine and cosine with rates from 1 to 1/10000 radians a step, after Vaswani et al. (2017).
    """
    rows = torch.arange(grid.n_frequency, dtype=torch.float32).repeat_interleave(grid.n_time)
    columns = torch.arange(grid.n_time, dtype=torch.float32).repeat(grid.n_frequency)
    rates = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float32) / max(1, width // 4))
    angles = [axis[:, None] * rates for axis in (rows, columns)]
    waves = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    return nn.functional.pad(waves, (0, width - waves.shape[1]))
