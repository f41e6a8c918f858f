"""One clip and several checkpoints: what each heard, and where they agree."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import rel_entr

from ast_demo.audio import Waveform
from ast_demo.data import match_key
from ast_demo.errors import AstDemoError, CheckpointError
from ast_demo.features import count_frames, time_to_samples
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.models import Checkpoint

MOST = 4  # checkpoints side by side
_SAME = 1e-5  # a rollout that varies less, in equal shares, is the same everywhere but for rounding


@dataclass(frozen=True)
class Failure:
    """A checkpoint that could not be shown the clip, and the sentence that says why."""

    checkpoint: str
    message: str


@dataclass(frozen=True)
class PairAgreement:
    """How two checkpoints agree on a clip.

    Attributes:
        first, second: Places of the two in the comparison.
        n_shared: Number of labels that both have.
        same_winner: Whether the best label of both is the same; None if they share no label.
        divergence: Jensen–Shannon divergence in bits, 0 (equal) to 1, of their scores on the shared labels, each
            scaled to a sum of 1; None if they share fewer than two labels, or one gives all of these a score of 0.
        rollout_correlation: Pearson's, of the rollouts on a common raster of 10 ms (and of mel bins, where both have a
            patch grid) over the part of the clip that both heard; None where a rollout is the same everywhere.
    """

    first: int
    second: int
    n_shared: int
    same_winner: bool | None
    divergence: float | None
    rollout_correlation: float | None


@dataclass(frozen=True)
class Agreement:
    """What the inspections of one clip agree on.

    Attributes:
        shared_labels: Labels that every checkpoint has, spelled as the first one does.
        unshared_labels: For each checkpoint, its other labels.
        ensemble: (shared label, mean of the checkpoints' scores), best first.
        pairs: Every two of the checkpoints.
    """

    shared_labels: tuple[str, ...]
    unshared_labels: tuple[tuple[str, ...], ...]
    ensemble: tuple[tuple[str, float], ...]
    pairs: tuple[PairAgreement, ...]


@dataclass(frozen=True)
class Comparison:
    """One clip through several checkpoints.

    Attributes:
        inspections: In the order asked for, without the checkpoints that failed.
        failures: Those that failed.
        agreement: None with fewer than two inspections.
    """

    waveform: Waveform
    inspections: tuple[Inspection, ...]
    failures: tuple[Failure, ...]
    agreement: Agreement | None


def compare(
    waveform: Waveform,
    references: Sequence[str],
    load: Callable[[str], Checkpoint],
    progress: Callable[[int, str], None] = lambda done, reference: None,
) -> Comparison:
    """Show one clip to two to four checkpoints.

    Args:
        references: Names, folders or Hub ids.
        load: Gives the checkpoint of a reference, as `CheckpointCache.load` does. They are asked for one after the
            other and let go at once, so that no more of them are in memory than the cache allows, and one.
        progress: Told, before each checkpoint, how many are done, and the reference of this one.

    Raises:
        CheckpointError: Fewer than two references, more than four, or one twice.
    """
    if not 2 <= len(references) <= MOST:
        raise CheckpointError(f"Expected 2 to {MOST} checkpoints to compare, got {len(references)}.")
    seen: set[str] = set()
    for reference in references:
        spelled = os.path.normpath(reference.strip())  # "ast", "./ast" and "ast/" are the same folder
        if spelled in seen:
            raise CheckpointError(f"Expected different checkpoints to compare, got {reference!r} twice.")
        seen.add(spelled)
    inspections: list[Inspection] = []
    failures: list[Failure] = []
    for done, reference in enumerate(references):
        progress(done, reference)
        try:
            inspections.append(inspect(waveform, load(reference)))
        except AstDemoError as error:
            failures.append(Failure(reference, str(error)))
    agreement = agree(inspections) if len(inspections) > 1 else None
    return Comparison(waveform, tuple(inspections), tuple(failures), agreement)


def agree(inspections: Sequence[Inspection]) -> Agreement:
    """What two or more inspections of one clip agree on. Labels match without regard to case, spaces and underscores."""
    keys = [[match_key(label) for label in one.prediction.labels] for one in inspections]
    everyone = set(keys[0]).intersection(*keys[1:])
    shared = [key for key in dict.fromkeys(keys[0]) if key in everyone]
    spelled = dict(zip(reversed(keys[0]), reversed(inspections[0].prediction.labels), strict=True))
    unshared = tuple(
        tuple(label for key, label in zip(key_list, one.prediction.labels, strict=True) if key not in everyone)
        for key_list, one in zip(keys, inspections, strict=True)
    )
    means = np.mean([_scores_of(one, shared) for one in inspections], axis=0)
    best_first = sorted(range(len(shared)), key=lambda i: -means[i])
    return Agreement(
        shared_labels=tuple(spelled[key] for key in shared),
        unshared_labels=unshared,
        ensemble=tuple((spelled[shared[i]], float(means[i])) for i in best_first),
        pairs=tuple(
            _agree_on(inspections, first, second) for first, second in combinations(range(len(inspections)), 2)
        ),
    )


def rollout_raster(inspection: Inspection, n_frames: int, *, over_time: bool = False) -> np.ndarray:
    """Rollout as times an equal share, on a raster of frames of 10 ms and mel bins.

    Each cell has the value of the patch whose tile (half-way to its neighbours) it lies in, as in the pictures.

    Args:
        n_frames: Frames from the start of the clip.
        over_time: Sum over frequency, as for a checkpoint without a patch grid.

    Returns:
        (n_mels, n_frames), or (n_frames,) over time; NaN where the checkpoint sees nothing.
    """
    rollout, layout = inspection.rollout.final, inspection.layout
    if over_time:
        return layout.over_frames(rollout.sum(axis=0) * rollout.shape[1], n_frames)
    return layout.on_bins(rollout * rollout.size, n_frames)


def common_rasters(first: Inspection, second: Inspection) -> tuple[np.ndarray, np.ndarray]:
    """Rollouts of two inspections on the same raster: mel × time where both have the same mel bins, else over time.

    They are as long as the shorter input, padding included.
    """
    n_frames = count_frames(round(time_to_samples(min(first.input_s, second.input_s))))
    grids = first.checkpoint.grid, second.checkpoint.grid
    over_time = grids[0] is None or grids[1] is None or grids[0].n_mels != grids[1].n_mels
    return rollout_raster(first, n_frames, over_time=over_time), rollout_raster(second, n_frames, over_time=over_time)


def describe(comparison: Comparison) -> list[str]:
    """What the checkpoints agree on, in sentences."""
    agreement = comparison.agreement
    if agreement is None:
        return []
    names = [one.checkpoint.name for one in comparison.inspections]
    sentences = []
    for pair in agreement.pairs:
        parts = []
        if pair.same_winner is None:
            parts.append("they share no label, so their scores cannot be compared")
        else:
            winners = [comparison.inspections[i].prediction.top(1)[0][0] for i in (pair.first, pair.second)]
            parts.append(f"both say {winners[0]}" if pair.same_winner else f"{winners[0]} against {winners[1]}")
        if pair.divergence is not None:
            parts.append(f"scores {pair.divergence:.3f} bits apart")
        elif pair.n_shared == 1:
            parts.append("they share one label only, too few to tell how far their scores are apart")
        if pair.rollout_correlation is not None:
            parts.append(f"rollouts correlate with {pair.rollout_correlation:+.2f}")
        sentences.append(f"{names[pair.first]} and {names[pair.second]}: {', '.join(parts)}.")
    if agreement.ensemble:
        label, score = agreement.ensemble[0]
        sentences.append(f"Together (mean of the scores on shared labels): {label}, {score:.1%}.")
    elif len(names) > 2:
        sentences.append("There is no label that all of them share, and so no mean of their scores.")
    return sentences


def _agree_on(inspections: Sequence[Inspection], first: int, second: int) -> PairAgreement:
    one, other = inspections[first], inspections[second]
    keys = {match_key(label) for label in other.prediction.labels}
    shared = [key for key in dict.fromkeys(map(match_key, one.prediction.labels)) if key in keys]
    winners = [match_key(inspection.prediction.top(1)[0][0]) for inspection in (one, other)]
    return PairAgreement(
        first,
        second,
        len(shared),
        same_winner=winners[0] == winners[1] if shared else None,
        divergence=_divergence(_scores_of(one, shared), _scores_of(other, shared)) if len(shared) > 1 else None,
        rollout_correlation=_correlation(one, other),
    )


def _divergence(a: np.ndarray, b: np.ndarray) -> float | None:
    """Jensen–Shannon divergence in bits.

    Not by SciPy's `jensenshannon`: it takes the root, which is no number where two that are nearly equal come out a
    rounding error below 0.
    """
    if not (a.sum() > 0 and b.sum() > 0):
        return None
    a, b = a / a.sum(), b / b.sum()
    middle = (a + b) / 2
    return max(0.0, float(rel_entr(a, middle).sum() + rel_entr(b, middle).sum()) / 2 / math.log(2))


def _correlation(first: Inspection, second: Inspection) -> float | None:
    """Of the rollouts over the part of the clip that both heard: on padding they would agree too easily."""
    clip_frames = count_frames(len(first.waveform.samples))
    a, b = (raster[..., :clip_frames] for raster in common_rasters(first, second))
    seen = np.isfinite(a) & np.isfinite(b)
    a, b = a[seen], b[seen]
    if min(np.ptp(a), np.ptp(b)) < _SAME:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _scores_of(inspection: Inspection, keys: Sequence[str]) -> np.ndarray:
    """Scores of the labels with these keys; of two labels with the same key, the first counts."""
    scores: dict[str, float] = {}
    for label, score in zip(inspection.prediction.labels, inspection.prediction.scores, strict=True):
        scores.setdefault(match_key(label), float(score))
    return np.array([scores[key] for key in keys])
