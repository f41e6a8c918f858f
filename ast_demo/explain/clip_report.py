"""All that is told of one recording in one call: what `inspect` prints on the command line and answers to programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ast_demo.audio import Waveform
from ast_demo.explain.faithfulness import TrustCard, measure_trust
from ast_demo.explain.listening import Halves, split_clip
from ast_demo.explain.maps import RelevanceMap, rollout_map
from ast_demo.explain.methods import default_method, explain
from ast_demo.inspection import (
    Inspection,
    Timeline,
    begin_timeline,
    cut_window,
    inspect,
    look_through,
    nearest_window,
    window_starts,
)
from ast_demo.models import Checkpoint
from ast_demo.runtime import Tell


@dataclass(frozen=True)
class ReportOptions:
    """What to tell beside the scores.

    Attributes:
        at_s: Which window of a recording longer than the input: the one whose middle is nearest.
        keep: Share of the sound that the map keeps, 0 to 1; without, the sound is not split.
        method: Of the map; without one, and without `label`, `against` and `trust`, there is no map.
        label, against: What the map is to explain; the best label by default.
        trust: Whether the map is put to the test.
    """

    at_s: float = 0.0
    keep: float | None = None
    method: str | None = None
    label: str | None = None
    against: str | None = None
    trust: bool = False

    @property
    def wants_map(self) -> bool:
        return bool(self.method or self.label or self.against or self.trust)


@dataclass(frozen=True)
class ClipReport:
    """What is told of a recording: one of its windows inspected, all of them heard, and what was asked for beside.

    Attributes:
        inspection: Of the chosen window; of a recording that fits in the input, of all of it.
        halves: By the map that was asked for, or else by the rollout.
    """

    recording: Waveform
    inspection: Inspection
    timeline: Timeline
    relevance: RelevanceMap | None = None
    card: TrustCard | None = None
    halves: Halves | None = None


def report_clip(
    recording: Waveform,
    checkpoint: Checkpoint,
    options: ReportOptions = ReportOptions(),
    progress: Callable[[str], Tell | None] = lambda what: None,
) -> ClipReport:
    """Inspect a recording of any length, and what was asked for beside.

    Args:
        progress: Gives for `windows`, `masks` and `runs` what is told of how far they are.

    Raises:
        CheckpointError: There is no such map or label, or this model does not let the map be computed.
        AudioError: `keep` is no share.
    """
    starts = window_starts(len(recording.samples), checkpoint)
    window_s = cut_window(recording, checkpoint, 0).duration_s
    window = cut_window(recording, checkpoint, starts[nearest_window(starts, window_s, options.at_s)])
    inspection = inspect(window, checkpoint)
    known = begin_timeline(recording, inspection) if window.start_s == 0 else None
    timeline = look_through(recording, checkpoint, known, progress("windows"))
    relevance, card, halves = None, None, None
    if options.wants_map:
        method = options.method or default_method(checkpoint.facts)
        relevance = explain(inspection, checkpoint, method, options.label, options.against, progress=progress("masks"))
        card = measure_trust(relevance, inspection, checkpoint, progress("runs")) if options.trust else None
    if options.keep is not None:
        halves = split_clip(inspection, relevance or rollout_map(inspection), checkpoint, options.keep)
    return ClipReport(recording, inspection, timeline, relevance, card, halves)
