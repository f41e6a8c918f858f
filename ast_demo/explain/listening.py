"""Hear what the model heard: a map of relevance keeps a part of a clip, and both halves are shown to the model again.

The parts of the clip that are highest on the map are kept, so many that they fill the wanted share of its time and
frequency; the rest is what was removed. If the map shows what the label rests on, the kept part keeps the label and the
other one loses it. That holds both halves to the model's own word, not to a listener's; yet neither half is a sound
that the model was trained on, and a label may survive in both, or in none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ast_demo.errors import AudioError
from ast_demo.explain.maps import RelevanceMap
from ast_demo.features import apply_mask, time_to_samples
from ast_demo.inspection import Inspection, inspect_batch
from ast_demo.models import Checkpoint

DEFAULT_KEEP = 0.65  # chosen by `benchmarks.hear`
_RAMP = 0.5  # the mask rises from 0 to 1 over this share of the bins, half of them on either side of the threshold


@dataclass(frozen=True)
class Halves:
    """A clip in two parts.

    Attributes:
        relevance: What decided which part goes where.
        keep: Wanted share of the clip's time and frequency in the kept part, 0 to 1.
        mask: (n_mels, frames) what was kept of the amplitude of each mel bin and frame of the clip, 0 to 1.
        kept, removed: The halves, inspected as every clip is. Their samples add up to those of the clip.
    """

    relevance: RelevanceMap
    keep: float
    mask: np.ndarray
    kept: Inspection
    removed: Inspection

    @property
    def energy_share(self) -> float:
        """The energy of the kept half, relative to that of the clip."""
        kept = self.kept.waveform.samples.astype(np.float64)
        clip = kept + self.removed.waveform.samples
        return float(kept @ kept / max(clip @ clip, 1e-30))


def split_clip(
    inspection: Inspection, relevance: RelevanceMap, checkpoint: Checkpoint, keep: float = DEFAULT_KEEP
) -> Halves:
    """Split what the model heard of a clip by a map of it, and show both halves to the model.

    Args:
        keep: Share of the clip's time and frequency to keep, 0 (nothing) to 1 (all).

    Raises:
        AudioError: `keep` is no share.
    """
    if not 0 <= keep <= 1:
        raise AudioError(f"Expected a share of the clip to keep between 0 and 1, got {keep:g}.")
    clip = inspection.waveform
    samples = clip.samples[: round(time_to_samples(inspection.input_s))]
    mask = keep_highest(inspection.layout.spread_over_clip(relevance.values, len(clip.samples)), keep)
    kept = apply_mask(samples, mask)
    halves = [
        replace(clip, samples=half, name=f"{clip.name}, {which}", notes=())
        for half, which in ((kept, "kept"), (samples - kept, "removed"))
    ]
    return Halves(relevance, keep, mask, *inspect_batch(halves, checkpoint))


def keep_highest(values: np.ndarray, keep: float) -> np.ndarray:
    """A mask, 0 to 1 of the same shape, that is 1 on the highest values, 0 on the lowest, and `keep` on average.

    In between it rises in a straight line with the rank of the value: so it does not depend on how a method scales its
    map, and leaves no hard edges, which are sounds of their own. Equal values get an equal share.
    """
    width = min(_RAMP, 2 * keep, 2 * (1 - keep))
    if width <= 0:
        return np.full(values.shape, float(keep > 0))
    # Not `argsort` alone: it would part values that are the same.
    order = np.sort(values, axis=None)
    below, up_to = (np.searchsorted(order, values.ravel(), side) for side in ("left", "right"))
    rank = (below + up_to) / 2 / values.size
    return np.clip((rank - (1 - keep)) / width + 0.5, 0, 1).reshape(values.shape)


def tell_halves(inspection: Inspection, halves: Halves) -> str:
    """What became of the map's label, or of the clip's best where the map is the same for all, in a sentence."""
    relevance = halves.relevance
    label = relevance.label or inspection.prediction.top(1)[0][0]
    score = dict(inspection.prediction.top())[label]
    parts = []
    for name, half in (("kept", halves.kept), ("removed", halves.removed)):
        best = half.prediction.top(1)[0][0]
        own = dict(half.prediction.top())[label]
        parts.append(f"{own:.0%} in the {name} part" + ("" if best == label else f", where {best!r} is best"))
    return (
        f"Split by {relevance.method}: {label!r} has {score:.0%} in the clip, {' and '.join(parts)}. "
        f"The kept part holds {halves.energy_share:.0%} of the energy."
    )
