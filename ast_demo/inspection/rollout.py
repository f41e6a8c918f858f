"""Attention rollout of a clip, on the layout of its tokens.

Rollout (Abnar & Zuidema 2020, arXiv 2005.00928) follows the information through the layers: in each layer the
attention, averaged over the heads, and the residual connection count half each, Â = (A + I) / 2, and the layers
are multiplied, Â_L … Â_1. AST's classifier reads the mean of the two special tokens, so the map is the mean of
their two rows over the columns of the patches.

Rollout tells where information flowed, not why a label won: it is the same map for every label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.features import TokenLayout


@dataclass(frozen=True)
class Rollout:
    """Rollout of one clip at every depth.

    Attributes:
        maps: (n_layers, n_frequency, n_time) float32; `maps[d]` goes through the layers 0 to d. Row 0 is the lowest
            band. What is missing to a sum of 1 rests on the special tokens.
        special_share: (n_layers,) share that rests on the special tokens.
        padding_share: (n_layers,) share that rests on padding: each patch counts with the part of its frames that
            is padding.
    """

    maps: np.ndarray
    special_share: np.ndarray
    padding_share: np.ndarray

    @property
    def final(self) -> np.ndarray:
        """The map through all layers, (n_frequency, n_time)."""
        return self.maps[-1]


def rollout_of_clip(rows: np.ndarray, layout: TokenLayout, n_samples: int) -> Rollout:
    """Rollout of one clip.

    Args:
        rows: (n_layers, tokens), as `inference.roll_out` gives them; from what the classifier reads (special tokens, or
            the mean of all) or from one token.
        layout: How the tokens lie.
        n_samples: Length of the clip; what the input has room for beyond it is padding.
    """
    maps = layout.to_map(rows)
    padding = layout.padding_of_columns(n_samples)
    return Rollout(maps, rows[:, : layout.n_special].sum(axis=1), (maps.sum(axis=1) * padding).sum(axis=1))
