"""Position embeddings of an AST on another patch grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ast_demo.features import PatchGrid


def grid_of(config: Any) -> PatchGrid:
    """The patch grid of an AST's configuration."""
    return PatchGrid(
        config.num_mel_bins, config.max_length, config.patch_size, config.frequency_stride, config.time_stride
    )


def interpolate_positions(positions: Tensor, old: PatchGrid, new: PatchGrid) -> Tensor:
    """Position embeddings (1, tokens, width) of another grid: each patch gets what lies at its place in the old one.

    Places are those of the patches' centres in mel bins and frames; between four old patches the weights are
    bilinear, beyond the outermost ones their value is kept.
    """
    special, patches = positions[:, : old.n_special], positions[0, old.n_special :]
    field = patches.reshape(old.n_frequency, old.n_time, -1)
    frequency = _interpolation(
        old.n_frequency, old.frequency_stride, old.patch_size, new.n_frequency, new.frequency_stride, new.patch_size
    )
    time = _interpolation(old.n_time, old.time_stride, old.patch_size, new.n_time, new.time_stride, new.patch_size)
    moved = torch.einsum("af,ftw,bt->abw", frequency.to(field), field, time.to(field))
    return torch.cat((special, moved.flatten(0, 1)[None]), dim=1)


def _interpolation(old: int, old_stride: int, old_patch: int, new: int, new_stride: int, new_patch: int) -> Tensor:
    """(new, old) weights along one axis."""
    places = (torch.arange(new) * new_stride + new_patch / 2 - old_patch / 2) / old_stride
    distance = places.clamp(0, old - 1)[:, None] - torch.arange(old)[None, :]
    return (1 - distance.abs()).clamp(min=0)
