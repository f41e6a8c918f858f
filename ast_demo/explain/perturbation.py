"""Perturbation: take regions of the patch grid away, ask the model again, and see which region the score hangs on.

What is taken away is not painted over: the model is run without the tokens of those patches, so nobody has to choose
what they should hold instead, and what is left keeps its place through its position embeddings. Regions of three
kinds are slid over the grid: windows of time that alone are kept, windows of time that are dropped, and boxes of
time × frequency that are dropped. A patch then counts with the mean change of the log-odds over the regions that it
lies in, as if each acted by itself: a surrogate that is linear in what was kept, with a strong ridge, as those of
arXiv 2506.04391, gives nearly the same map and points a little worse.

A checkpoint without a patch grid is run on the sound itself, with the windows silenced.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from ast_demo.explain.maps import RelevanceMap
from ast_demo.inspection import Inspection
from ast_demo.models import Checkpoint, CheckpointFacts, label_index, log_odds, run_parts
from ast_demo.runtime import Tell

_KEPT_S, _DROPPED_S = (0.48, 0.80), 0.80  # widths of the windows: some words are short, and a short gap is bridged
_KEPT_STEP_S, _DROPPED_STEP_S, _BOX_STEP_S = 0.16, 0.32, 0.48
_BOX_HEIGHT = 3 / 8  # of the bands


@dataclass(frozen=True)
class Perturbations:
    """A clip with regions taken away, and what the checkpoint said of each: enough for the map of any label.

    Attributes:
        kept: (n_masks, n_frequency, n_time) whether the model got the patch.
        kinds: (n_masks,) which masks are of one kind; 0 is the whole clip, a single one.
        logits: (n_masks, n_labels).
    """

    kept: np.ndarray
    kinds: np.ndarray
    logits: np.ndarray


def perturb(
    inspection: Inspection, checkpoint: Checkpoint, progress: Tell | None = None, *, only_windows: bool = False
) -> Perturbations:
    """Run a checkpoint on an inspected clip with regions taken away.

    Args:
        only_windows: Only the windows that are kept alone: over time the map is much the same, for a ninth of the work.
        progress: Told how many of how many masks are done; what it raises ends the work.
    """
    n_frequency, n_time = inspection.rollout.final.shape
    kept, kinds = make_masks(n_frequency, n_time, inspection.layout.column_s)
    if only_windows:
        few = kept.mean(axis=(1, 2)) < 0.5
        kept, kinds = kept[few], kinds[few]
    return Perturbations(kept, kinds, run_masked(inspection, checkpoint, kept, progress))


def make_masks(n_frequency: int, n_time: int, column_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n_masks, n_frequency, n_time), true where a patch is kept, and their kinds (n_masks,); the first keeps all.

    Args:
        column_s: Seconds from one column of patches to the next.
    """

    def slide(height: int, width_s: float, step_s: float) -> np.ndarray:
        width, step = (_columns(seconds, column_s, n_time) for seconds in (width_s, step_s))
        return _boxes(n_frequency, n_time, height, width, step)

    groups = [np.ones((1, n_frequency, n_time), dtype=bool)]
    groups += [slide(n_frequency, width_s, _KEPT_STEP_S) for width_s in _KEPT_S]
    groups.append(~slide(n_frequency, _DROPPED_S, _DROPPED_STEP_S))
    if n_frequency > 1:
        groups.append(~slide(max(1, round(_BOX_HEIGHT * n_frequency)), _DROPPED_S, _BOX_STEP_S))
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def run_masked(
    inspection: Inspection, checkpoint: Checkpoint, kept: np.ndarray, progress: Tell | None = None
) -> np.ndarray:
    """Logits (n_masks, n_labels) of a clip of which only some patches, (n_masks, n_frequency, n_time), are kept."""
    logits = np.empty((len(kept), len(checkpoint.facts.labels)), np.float32)
    shown = inspection.waveform, inspection.spectrogram, inspection.input_s, inspection.precision
    done = 0
    with torch.inference_mode(), closing(run_parts(checkpoint, *shown, kept)) as batches:
        for masks, answers in batches:
            logits[masks] = answers
            done += len(masks)
            if progress is not None:
                progress(done, len(kept))
    return logits


def perturbation_map(
    perturbations: Perturbations, facts: CheckpointFacts, label: str, against: str | None = None
) -> RelevanceMap:
    """What each patch adds to the log-odds of a label; or to its logit less that of another label.

    In standard deviations of the answers to masks of one kind, added up over the kinds.

    Raises:
        CheckpointError: There is no such label.
    """
    logits = torch.from_numpy(perturbations.logits)
    if against is None:
        answers = log_odds(logits, label_index(facts, label), facts.activation).numpy()
    else:
        answers = (logits[:, label_index(facts, label)] - logits[:, label_index(facts, against)]).numpy()
    kept = perturbations.kept
    weights = share_out(kept.reshape(len(kept), -1), perturbations.kinds, answers)
    return RelevanceMap(weights.reshape(kept.shape[1:]).astype(np.float32), "perturbation", label, against)


def share_out(kept: np.ndarray, kinds: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Share answers (n_masks,) out among the patches: kept (n_masks, n_patches), kinds (n_masks,) to (n_patches,).

    For each kind, answers are standardised. A patch gets the mean answer of the masks that keep it, or, where a kind
    keeps most of the clip, less the mean answer of those that drop it; 0 is the average patch. Zeros where nothing
    that was taken away made a difference.
    """
    total = np.zeros(kept.shape[1])
    for kind in np.unique(kinds):
        inside, answer = kept[kinds == kind], answers[kinds == kind].astype(np.float64)
        if answer.std() <= 1e-6:  # one mask, or rounding
            continue
        answer = (answer - answer.mean()) / answer.std()
        if inside.mean() > 0.5:
            inside, answer = ~inside, -answer
        counted = answer @ inside / inside.sum(axis=0)
        total += counted - counted.mean()
    return total


def _columns(seconds: float, column_s: float, n_time: int) -> int:
    """So many columns, at least one and at most half of all."""
    return max(1, min(round(seconds / column_s), n_time // 2))


def _boxes(n_frequency: int, n_time: int, height: int, width: int, step: int) -> np.ndarray:
    """Boxes slid over the grid by half their height and by `step`: (n_boxes, n_frequency, n_time), true inside.

    In time they begin before the grid and end after it, cut off there: a column at the edge is then in as many boxes as
    any, and not only in those that hold all that is near.
    """
    rows = _starts(n_frequency, height, max(1, height // 2 + height % 2))
    columns = _starts(n_time, width, step)
    beyond = range(step, width, step)
    columns = [-more for more in reversed(beyond)] + columns + [columns[-1] + more for more in beyond]
    corners = [(row, column) for row in rows for column in columns]
    boxes = np.zeros((len(corners), n_frequency, n_time), dtype=bool)
    for box, (row, column) in zip(boxes, corners, strict=True):
        box[row : row + height, max(0, column) : column + width] = True
    return boxes


def _starts(n: int, length: int, step: int) -> list[int]:
    """Where stretches of a length begin, a step apart, the last at the end."""
    return sorted({*range(0, n - length + 1, step), n - length})
