"""The trust card of a map: is it better than chance and than loudness, and does it look at what the model has learnt?

Deletion and insertion (Petsiuk, Das & Saenko 2018, arXiv 1806.07421): take the bins of the spectrogram away, the
highest of the map first, and the score should fall early; put them back, the highest first, and it should rise
early. A bin that is taken away becomes the clip's own background, the level that a tenth of its frames stay below in
that mel bin. Zero would be padding, which is brighter than the average sound, and the mean would be a sound itself.
Without a patch grid, stretches of time are silenced instead.

Random weights (Adebayo and others 2018, arXiv 1810.03292): the numbers in each weight tensor are shuffled, from the
classifier down, on a copy of the model. A map that stays the same shows the sound and not the model.

Every number stands beside that of loudness and of random maps.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ast_demo.errors import CheckpointError
from ast_demo.explain.deletion import STEPS, delete
from ast_demo.explain.maps import RelevanceMap, energy_map, padding_share, random_map
from ast_demo.explain.methods import METHODS, Request
from ast_demo.inspection import Inspection
from ast_demo.models import Checkpoint, label_index
from ast_demo.runtime import Tell

N_RANDOM = 10
STAGES = ("classifier", "upper half of the layers", "all weights")
_RUNS_OF_A_STAGE = 20  # so much of the whole work, about, is each stage
_ALIKE, _MUCH = 0.5, 0.2


@dataclass(frozen=True)
class Curves:
    """Scores (n_steps,) as more and more bins are taken away, or put back, in the order of one map."""

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def gap(self) -> float:
        """Area under insertion less area under deletion, -1 to 1: 0 is what a random order gives on average."""
        return float(np.trapezoid(self.insertion - self.deletion, STEPS))


@dataclass(frozen=True)
class TrustCard:
    """What is known of one map of one clip.

    Attributes:
        label: Whose score the curves follow.
        of_map, of_energy, of_random: Curves of the map, of loudness and of random maps.
        kept_under_random_weights: For each of `STAGES`, the rank correlation of the map with that of a model whose
            weights are shuffled so far; empty where it was not measured.
        padding_share, special_share: Shares of the map, 0 to 1.
    """

    label: str
    of_map: Curves
    of_energy: Curves
    of_random: tuple[Curves, ...]
    kept_under_random_weights: tuple[float, ...]
    padding_share: float
    special_share: float

    @property
    def verdict(self) -> list[str]:
        """The card in words, the most important first."""
        gap, chance = self.of_map.gap, [curves.gap for curves in self.of_random]
        as_good = sum(other >= gap for other in chance)
        if as_good:
            told = [f"On this clip no better than chance: {as_good} of {len(chance)} random maps do as well."]
        elif gap <= self.of_energy.gap:
            told = ["On this clip no better than loudness."]
        else:
            told = [f"On this clip better than loudness, and than all of {len(chance)} random maps."]
        if self.kept_under_random_weights and self.kept_under_random_weights[-1] > _ALIKE:
            told.append(
                "With shuffled weights the map stays much the same: it shows the sound more than what the model has learnt."
            )
        if self.padding_share > _MUCH:
            told.append(f"{self.padding_share:.0%} of the map rests on padding.")
        if self.special_share > 0.5:
            told.append(f"{self.special_share:.0%} of it rests on special tokens, which have no place in the sound.")
        return told


def measure_trust(
    relevance: RelevanceMap, inspection: Inspection, checkpoint: Checkpoint, progress: Tell | None = None
) -> TrustCard:
    """Put a map to the test.

    Args:
        progress: Told how much of the work is done; what it raises ends it.
    """
    label = relevance.label or inspection.prediction.top(1)[0][0]
    index = label_index(checkpoint.facts, label)
    random = [random_map(inspection, seed).values for seed in range(1, N_RANDOM + 1)]
    energy = energy_map(inspection).values
    # To insert the highest first is to undo the deletion of the lowest first. Random orders need no second run: one
    # order backwards is as random as any, so each is deleted by its own order and inserted by its neighbour's.
    orders = [relevance.values, -relevance.values, energy, -energy, *random]
    method = METHODS[relevance.method]
    n_stages = len(STAGES) if method.is_quick(checkpoint.facts) else 0
    total, done = (len(STEPS) - 2) * len(orders) + 2 + n_stages * _RUNS_OF_A_STAGE, 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    deleted = delete(inspection, checkpoint, orders, index, tell)
    similarities = []
    if n_stages:
        original = _remake(relevance, inspection, checkpoint, tell) if method.make_again else relevance.values
        for stage in range(n_stages):
            remade = _remake(relevance, inspection, shuffle_weights(checkpoint, stage), tell)
            similarities.append(rank_correlation(original, remade))
            tell(_RUNS_OF_A_STAGE)
    return TrustCard(
        label,
        Curves(deleted[0], deleted[1][::-1]),
        Curves(deleted[2], deleted[3][::-1]),
        tuple(
            Curves(one, other[::-1]) for one, other in zip(deleted[4:], np.roll(deleted[4:], 1, axis=0), strict=True)
        ),
        tuple(similarities),
        padding_share(relevance, inspection),
        relevance.special_share,
    )


def shuffle_weights(checkpoint: Checkpoint, stage: int) -> Checkpoint:
    """A copy of a checkpoint in which the numbers of each weight tensor are shuffled, from the top down to a stage.

    Args:
        stage: Index into `STAGES`.

    Raises:
        CheckpointError: The names of its weights do not tell the layers.
    """
    model = copy.deepcopy(checkpoint.model)
    generator = torch.Generator().manual_seed(0)
    names = [name for name, _ in model.named_parameters()]
    layers = [int(found[1]) if (found := re.search(r"\blayers?\.(\d+)\.", name)) else None for name in names]
    if not any(layer is not None for layer in layers):
        raise CheckpointError(
            f"The weights of {checkpoint.facts.name!r} do not tell which of them belong to which layer, so the map cannot be "
            "put to the test. Expected names with 'layers.0.' in them."
        )
    last = max(i for i, layer in enumerate(layers) if layer is not None)
    upper = checkpoint.facts.n_layers // 2
    with torch.no_grad():
        for i, (_, weights) in enumerate(model.named_parameters()):
            layer = layers[i]
            # A model's parameters are listed from its input to its output: what stands behind the layers is the head.
            if stage == 2 or i > last or (stage == 1 and layer is not None and layer >= upper):
                order = torch.randperm(weights.numel(), generator=generator)
                weights.copy_(weights.flatten()[order].view_as(weights))
    return replace(checkpoint, model=model)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, -1 to 1; 0 where a map is the same everywhere."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other, axis=None).statistic)


def _remake(
    relevance: RelevanceMap, inspection: Inspection, checkpoint: Checkpoint, tell: Callable[[int], None]
) -> np.ndarray:
    """The values of the same map, or of a shorter one like it, of another model.

    Args:
        tell: Called with 0 meanwhile: what it raises ends the work.
    """
    method = METHODS[relevance.method]
    label = relevance.label or inspection.prediction.top(1)[0][0]
    asked = Request(inspection, checkpoint, label, relevance.against, progress=lambda done, total: tell(0))
    return (method.make_again or method.make)(asked).values
