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
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch

from ast_demo.explain.maps import RelevanceMap, energy_map, label_index, padding_share, random_map
from ast_demo.explain.methods import QUICK_PARAMETERS, explain
from ast_demo.explain.perturbation import perturb, perturbation_map, run_masked
from ast_demo.inference import run
from ast_demo.inspection import Inspection, inspect, to_scores
from ast_demo.models import Checkpoint
from ast_demo.runtime import Tell, map_in_threads, slices

N_RANDOM = 10
STEPS = (0.0, 0.1, 0.5, 0.9, 1.0)  # shares of the clip that are taken away or put back; the same from either end
STAGES = ("classifier", "upper half of the layers", "all weights")
_BACKGROUND = 0.1  # quantile over the frames of the clip
_BINS_AT_ONCE = 8 * 512 * 128
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
    n_stages = len(STAGES) if _is_quick(relevance, checkpoint) else 0
    total, done = (len(STEPS) - 2) * len(orders) + 2 + n_stages * _RUNS_OF_A_STAGE, 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    deleted = delete(inspection, checkpoint, orders, index, tell)
    similarities = []
    if n_stages:
        is_costly = relevance.method == "perturbation"
        original = _remake(relevance, inspection, checkpoint, tell) if is_costly else relevance.values
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


def delete(
    inspection: Inspection,
    checkpoint: Checkpoint,
    orders: Sequence[np.ndarray],
    index: int,
    tell: Callable[[int], None] = lambda _: None,
    steps: Sequence[float] = STEPS,
) -> np.ndarray:
    """Score of a label when the highest bins of maps are taken away: (n_orders, n_steps).

    Args:
        orders: Maps (n_frequency, n_time).
        steps: Shares of the clip that are taken away, from 0 to 1.
        tell: Called with the number of runs of the model that were just done.
    """
    inner = steps[1:-1]
    if checkpoint.facts.grid is None:
        n_time = inspection.rollout.final.shape[-1]
        n_clip = max(1, round(n_time * min(1.0, inspection.waveform.duration_s / inspection.input_s)))
        away = np.zeros((len(orders) * len(inner) + 2, 1, n_time), dtype=bool)
        rankings = [rank(order[0, :n_clip]) for order in orders]
        for row, (ranked, share) in enumerate((ranked, share) for ranked in rankings for share in inner):
            away[row, 0, highest(ranked, share)] = True
        away[-1, 0, :n_clip] = True
        logits = run_masked(inspection, checkpoint, ~away, lambda done, total: tell(1))
    else:
        logits = _delete_bins(inspection, checkpoint, orders, inner, tell)
    scores = to_scores(logits, checkpoint.facts.activation)[:, index]
    whole, nothing = scores[-2:]
    curves = scores[:-2].reshape(len(orders), len(inner))
    return np.pad(np.pad(curves, ((0, 0), (1, 0)), constant_values=whole), ((0, 0), (0, 1)), constant_values=nothing)


def background(inspection: Inspection) -> np.ndarray:
    """What a bin becomes when it is taken away, (n_mels,): the level that a tenth of the clip's frames stay below."""
    spectrogram, _ = inspection.fed
    return np.quantile(spectrogram.values[: spectrogram.clip_frames], _BACKGROUND, axis=0).astype(np.float32)


def to_bins(values: np.ndarray, inspection: Inspection) -> np.ndarray:
    """A map on the bins of the clip, (clip_frames, n_mels): each bin has what the patch has whose middle is nearest."""
    spectrogram, grid = inspection.fed
    half = grid.patch_size / 2

    def nearest(n: int, stride: int, n_patches: int) -> np.ndarray:
        return np.clip(np.floor((np.arange(n) + 0.5 - half) / stride + 0.5).astype(int), 0, n_patches - 1)

    rows = nearest(grid.n_mels, grid.frequency_stride, grid.n_frequency)
    columns = nearest(spectrogram.clip_frames, grid.time_stride, grid.n_time)
    return values[rows[None, :], columns[:, None]]


def rank(values: np.ndarray) -> np.ndarray:
    """Flat indices of values, the highest first; of equal ones, those that come first."""
    return np.argsort(-values, axis=None, kind="stable")


def highest(ranked: np.ndarray, share: float) -> np.ndarray:
    """The highest share of what `rank` has put in order."""
    return ranked[: round(share * ranked.size)]


def shuffle_weights(checkpoint: Checkpoint, stage: int) -> Checkpoint:
    """A copy of a checkpoint in which the numbers of each weight tensor are shuffled, from the top down to a stage.

    Args:
        stage: Index into `STAGES`.
    """
    model = copy.deepcopy(checkpoint.model)
    generator = torch.Generator().manual_seed(0)
    names = [name for name, _ in model.named_parameters()]
    layers = [int(found[1]) if (found := re.search(r"\blayers\.(\d+)\.", name)) else None for name in names]
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
    """The values of the same map of another model; of a perturbation map, what the windows that are kept alone tell.

    Args:
        tell: Called with 0 meanwhile: what it raises ends the work.
    """
    if relevance.method == "perturbation" and relevance.label is not None:
        tried = perturb(inspection, checkpoint, lambda done, total: tell(0), only_windows=True)
        return perturbation_map(tried, checkpoint.facts, relevance.label, relevance.against).values
    seen = inspect(inspection.waveform, checkpoint) if relevance.method == "rollout" else inspection
    return explain(seen, checkpoint, relevance.method, relevance.label, relevance.against).values


def _is_quick(relevance: RelevanceMap, checkpoint: Checkpoint) -> bool:
    """Whether the map can be made again for each stage in seconds."""
    return relevance.method != "perturbation" or checkpoint.facts.n_parameters <= QUICK_PARAMETERS


def _delete_bins(
    inspection: Inspection,
    checkpoint: Checkpoint,
    orders: Sequence[np.ndarray],
    inner: Sequence[float],
    tell: Callable[[int], None],
) -> np.ndarray:
    """Logits (n_orders * len(inner) + 2, n_labels): each order at each step between the ends, the whole, and nothing."""
    spectrogram, _ = inspection.fed
    n_frames = spectrogram.clip_frames
    clip = spectrogram.values[:n_frames]
    gone = np.broadcast_to(background(inspection), clip.shape)
    inputs = []
    for order in orders:
        ranked = rank(to_bins(order, inspection))
        for share in inner:
            changed = clip.copy()
            chosen = highest(ranked, share)
            changed.ravel()[chosen] = gone.ravel()[chosen]
            inputs.append(changed)
    inputs += [clip, gone]
    size = max(1, _BINS_AT_ONCE // spectrogram.values.size)
    fast = checkpoint.fast(inspection.precision)

    def run_some(some: list[np.ndarray]) -> np.ndarray:
        values = np.repeat(spectrogram.values[None], len(some), axis=0)
        values[:, :n_frames] = some
        return run(fast, torch.from_numpy(values), sums=False).logits.numpy()

    logits = []
    with closing(map_in_threads(run_some, (inputs[part] for part in slices(len(inputs), size)))) as answers:
        for some in answers:
            logits.append(some)
            tell(len(some))
    return np.concatenate(logits)
