"""One clip and several checkpoints: what each heard, and where they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial.distance import jensenshannon

from ast_demo.audio import Waveform
from ast_demo.checkpoints import Checkpoint
from ast_demo.errors import AstDemoError, CheckpointError
from ast_demo.inspection import Inspection, inspect, summarise
from ast_demo.spectrogram import HOP_S

MOST = 4  # checkpoints side by side


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
        same_winner: Whether the best label of both is the same; None if they share no label.
        divergence: Jensen–Shannon divergence in bits, 0 (equal) to 1, of their scores on the shared labels, each
            scaled to a sum of 1; None if they share fewer than two labels.
        rollout_correlation: Pearson's, of the rollouts on a common raster of 10 ms (and of mel bins, where both have a
            patch grid) over the seconds that both heard; None where a rollout is the same everywhere.
    """

    first: int
    second: int
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
    progress: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Show one clip to two to four checkpoints.

    Args:
        references: Names, folders or Hub ids.
        load: Gives the checkpoint of a reference, as `CheckpointCache.load` does. They are asked for one after the
            other and let go at once, so that no more of them are in memory than the cache allows, and one.
        progress: Told how many checkpoints are done.

    Raises:
        CheckpointError: Fewer than two references, more than four, or one twice.
    """
    if not 2 <= len(references) <= MOST:
        raise CheckpointError(f"Expected two to {MOST} checkpoints to compare, got {len(references)}.")
    if len(set(references)) < len(references):
        raise CheckpointError("Expected different checkpoints to compare, got one of them twice.")
    inspections: list[Inspection] = []
    failures: list[Failure] = []
    for reference in references:
        try:
            inspections.append(inspect(waveform, load(reference)))
        except AstDemoError as error:
            failures.append(Failure(reference, str(error)))
        progress(len(inspections) + len(failures))
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


def match_key(label: str) -> str:
    """What labels are matched by: “Dog bark”, “dog_bark” and “DOGBARK” are the same."""
    return "".join(label.casefold().replace("_", " ").split())


def rollout_raster(inspection: Inspection, n_frames: int, *, over_time: bool = False) -> np.ndarray:
    """Rollout as times an equal share, on a raster of frames of 10 ms and mel bins.

    Each cell has the value of the patch whose tile (half-way to its neighbours) it lies in, as in the pictures.

    Args:
        n_frames: Frames from the start of the clip.
        over_time: Sum over frequency, as for a checkpoint without a patch grid.

    Returns:
        (n_mels, n_frames), or (n_frames,) over time.
    """
    rollout, grid = inspection.rollout.final, inspection.checkpoint.grid
    columns = rollout.shape[1]
    if grid is None:
        token = (np.arange(n_frames) + 0.5) * HOP_S / inspection.input_s * columns
        return rollout[0, np.minimum(token.astype(int), columns - 1)] * columns
    time = _nearest(n_frames, grid.time_stride, grid.patch_size, grid.n_time)
    if over_time:
        return rollout.sum(axis=0)[time] * columns
    frequency = _nearest(grid.n_mels, grid.frequency_stride, grid.patch_size, grid.n_frequency)
    return rollout[frequency][:, time] * grid.n_patches


def common_rasters(first: Inspection, second: Inspection) -> tuple[np.ndarray, np.ndarray]:
    """Rollouts of two inspections on the same raster: time × mel where both have the same mel bins, else over time."""
    n_frames = max(1, int(min(first.input_s, second.input_s) / HOP_S))
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
        if pair.rollout_correlation is not None:
            parts.append(f"rollouts correlate with {pair.rollout_correlation:+.2f}")
        sentences.append(f"{names[pair.first]} and {names[pair.second]}: {', '.join(parts)}.")
    if agreement.ensemble:
        label, score = agreement.ensemble[0]
        sentences.append(f"Together (mean of the scores on shared labels): {label}, {score:.1%}.")
    return sentences


def summarise_comparison(comparison: Comparison) -> dict[str, object]:
    """A comparison as a JSON object."""
    agreement = comparison.agreement
    names = [one.checkpoint.name for one in comparison.inspections]
    return {
        "clip": comparison.waveform.name,
        "inspections": [summarise(one) for one in comparison.inspections],
        "failures": [{"checkpoint": one.checkpoint, "message": one.message} for one in comparison.failures],
        "agreement": agreement
        and {
            "shared_labels": list(agreement.shared_labels),
            "unshared_labels": [
                {"checkpoint": name, "labels": list(labels)}
                for name, labels in zip(names, agreement.unshared_labels, strict=True)
            ],
            "ensemble": [{"label": label, "score": score} for label, score in agreement.ensemble],
            "pairs": [
                {
                    "checkpoints": [names[pair.first], names[pair.second]],
                    "same_winner": pair.same_winner,
                    "divergence_bits": pair.divergence,
                    "rollout_correlation": pair.rollout_correlation,
                }
                for pair in agreement.pairs
            ],
        },
    }


def _agree_on(inspections: Sequence[Inspection], first: int, second: int) -> PairAgreement:
    one, other = inspections[first], inspections[second]
    keys = {match_key(label) for label in other.prediction.labels}
    shared = [key for key in dict.fromkeys(map(match_key, one.prediction.labels)) if key in keys]
    winners = [match_key(inspection.prediction.top(1)[0][0]) for inspection in (one, other)]
    divergence = None
    if len(shared) > 1:
        # SciPy gives the distance, which is the square root of the divergence; it scales to a sum of 1 itself.
        divergence = float(jensenshannon(_scores_of(one, shared), _scores_of(other, shared), base=2) ** 2)
    a, b = common_rasters(one, other)
    correlation = float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if a.std() > 0 and b.std() > 0 else None
    return PairAgreement(first, second, winners[0] == winners[1] if shared else None, divergence, correlation)


def _scores_of(inspection: Inspection, keys: Sequence[str]) -> np.ndarray:
    """Scores of the labels with these keys; of two labels with the same key, the first counts."""
    scores: dict[str, float] = {}
    for label, score in zip(inspection.prediction.labels, inspection.prediction.scores, strict=True):
        scores.setdefault(match_key(label), float(score))
    return np.array([scores[key] for key in keys])


def _nearest(n: int, stride: int, patch_size: int, n_patches: int) -> np.ndarray:
    """For each of n bins or frames, the patch whose centre is nearest; the last one also for what is in no patch."""
    patch = np.floor((np.arange(n) + 0.5 - patch_size / 2) / stride + 0.5).astype(int)
    return patch.clip(0, n_patches - 1)
