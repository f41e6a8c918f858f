"""Deletion: the highest places of a map are taken away from a clip, and the score of its label is watched.

A bin of the spectrogram that is taken away becomes the clip's own background, the level that a tenth of its frames
stay below in that mel bin. Zero would be padding, which is brighter than the average sound, and the mean would be a
sound itself. Without a patch grid, stretches of time are silenced instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np

from ast_demo.explain.perturbation import run_masked
from ast_demo.inspection import Inspection
from ast_demo.models import Checkpoint, map_batches, run_inputs, to_scores
from ast_demo.runtime import slices

STEPS = (0.0, 0.1, 0.5, 0.9, 1.0)  # shares of the clip that are taken away or put back; the same from either end
_BACKGROUND = 0.1  # quantile over the frames of the clip
_BINS_AT_ONCE = 8 * 512 * 128


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
    rows = grid.rows_at(np.arange(grid.n_mels) + 0.5)
    columns = grid.columns_at(np.arange(spectrogram.clip_frames) + 0.5)
    return values[rows[None, :], columns[:, None]]


def rank(values: np.ndarray) -> np.ndarray:
    """Flat indices of values, the highest first; of equal ones, those that come first."""
    return np.argsort(-values, axis=None, kind="stable")


def highest(ranked: np.ndarray, share: float) -> np.ndarray:
    """The highest share of what `rank` has put in order."""
    return ranked[: round(share * ranked.size)]


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

    def run_some(some: list[np.ndarray]) -> np.ndarray:
        values = np.repeat(spectrogram.values[None], len(some), axis=0)
        values[:, :n_frames] = some
        return run_inputs(checkpoint, values, inspection.precision)

    logits = []
    with closing(map_batches(checkpoint, run_some, (inputs[part] for part in slices(len(inputs), size)))) as answers:
        for some in answers:
            logits.append(some)
            tell(len(some))
    return np.concatenate(logits)
