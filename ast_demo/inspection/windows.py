"""Recordings that are longer than a checkpoint's input: windows that overlap, so that every moment is heard.

A window is as long as the input, and begins half a window after the one before; the last one ends with the recording,
so none holds padding. Each is a clip like any other: its scores are those that `inspect` gives of it alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ast_demo.audio import Waveform
from ast_demo.features import count_frames, count_samples, frames_to_samples, samples_to_time, time_to_samples
from ast_demo.inspection.inspection import Inspection, inspect, inspect_batch
from ast_demo.models import Checkpoint, CheckpointFacts, Prediction, longest_input_s, pool
from ast_demo.runtime import Tell

# In one pass through the model: a small model takes several windows at once, a large one each alone.
_BATCH_TOKENS, _BATCH_TOKENS_ON_GPU = 2048, 32_768
NAMED = 3  # labels that are named as those of the whole recording


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, and what a checkpoint says of it."""

    start_s: float
    end_s: float
    prediction: Prediction


@dataclass(frozen=True)
class Timeline:
    """What a checkpoint says along a recording.

    Attributes:
        windows: By time. A recording that fits in the input has one.
    """

    checkpoint: CheckpointFacts
    duration_s: float
    windows: tuple[Window, ...]

    @property
    def pooled(self) -> Prediction:
        """What it says of the whole recording: the mean of the windows' scores."""
        return pool([window.prediction for window in self.windows], self.checkpoint)

    def top_labels(self, k: int) -> list[str]:
        """k labels, the best mean score first: the best `NAMED` on average, then those highest in any window."""
        scores = np.stack([window.prediction.scores for window in self.windows])
        mean = scores.mean(axis=0)
        on_average = np.argsort(-mean, kind="stable")[: min(NAMED, k)]
        highest = np.argsort(-scores.max(axis=0), kind="stable")
        chosen = np.array(list(dict.fromkeys([*on_average, *highest]))[:k])
        ranked = chosen[np.argsort(-mean[chosen], kind="stable")]
        return [self.checkpoint.labels[i] for i in ranked]


def window_starts(n_samples: int, checkpoint: Checkpoint) -> list[int]:
    """First sample of each window of a recording of `n_samples` at 16 kHz.

    One at 0 if all whole frames of the recording fit in the input; otherwise every half window, and one that ends
    with the recording. A checkpoint without a patch grid takes windows of 30 s, or of its extractor's fixed length.
    """
    size, fed = _size(checkpoint), checkpoint.facts.input
    if fed is None:
        fits, hop = n_samples <= size, size // 2
    else:
        fits, hop = count_frames(n_samples) <= fed.n_frames, frames_to_samples(max(fed.n_frames // 2, 1))
    if fits:
        return [0]
    last = n_samples - size
    return [*range(0, last, hop), last]


def cut_window(recording: Waveform, checkpoint: Checkpoint, start: int) -> Waveform:
    """The window that begins with a sample of the recording, as a clip that knows where it was cut from."""
    if start == 0 and window_starts(len(recording.samples), checkpoint) == [0]:
        return recording
    samples = recording.samples[start : start + _size(checkpoint)].copy()  # so that the recording can be let go
    return replace(recording, samples=samples, start_s=samples_to_time(start))


def nearest_window(starts: Sequence[int], window_s: float, seconds: float) -> int:
    """Place in `starts` of the window, each of so many seconds, whose middle is nearest to a time of the recording."""
    middles_s = samples_to_time(np.asarray(starts)) + window_s / 2
    return int(np.abs(middles_s - seconds).argmin())


def follow_windows(recording: Waveform, checkpoint: Checkpoint, so_far: Timeline | None = None) -> Iterator[Timeline]:
    """Show the windows of a recording to a checkpoint, a few at a time: the timeline as far as it is known, each time.

    Args:
        so_far: What is known of the same recording already; its windows are not shown again.
    """
    facts = checkpoint.facts
    starts = window_starts(len(recording.samples), checkpoint)
    timeline = so_far or Timeline(facts, recording.duration_s, ())
    at_once = _BATCH_TOKENS_ON_GPU if checkpoint.device.is_gpu else _BATCH_TOKENS
    size = max(1, at_once // facts.grid.n_tokens) if facts.grid else 1
    for first in range(len(timeline.windows), len(starts), size):
        clips = [cut_window(recording, checkpoint, start) for start in starts[first : first + size]]
        windows = [
            Window(clip.start_s, clip.start_s + clip.duration_s, inspection.prediction)
            for clip, inspection in zip(clips, inspect_batch(clips, checkpoint), strict=True)
        ]
        timeline = replace(timeline, windows=(*timeline.windows, *windows))
        yield timeline


def look_through(
    recording: Waveform, checkpoint: Checkpoint, so_far: Timeline | None = None, progress: Tell | None = None
) -> Timeline:
    """All windows of a recording, as `follow_windows` has them at last.

    Args:
        progress: Told how many windows of how many are known.
    """
    timeline = so_far
    n_windows = len(window_starts(len(recording.samples), checkpoint))
    if progress is not None and n_windows > 1:
        progress(len(so_far.windows) if so_far else 0, n_windows)
    for timeline in follow_windows(recording, checkpoint, so_far):
        if progress is not None:
            progress(len(timeline.windows), n_windows)
    assert timeline is not None  # there is always a window
    return timeline


def begin_timeline(recording: Waveform, first: Inspection) -> Timeline:
    """What is known of a recording once its first window has been inspected."""
    clip = first.waveform
    return Timeline(first.checkpoint, recording.duration_s, (Window(0.0, clip.duration_s, first.prediction),))


def inspect_recordings(recordings: Sequence[Waveform], checkpoint: Checkpoint) -> list[Inspection]:
    """Show recordings of any length to a checkpoint: those that fit in the input in one pass, as `inspect_batch` does.

    Of a longer one, the prediction is pooled over its windows, and all else is that of the window that speaks most for
    the label that comes out best.
    """
    fit = [len(window_starts(len(one.samples), checkpoint)) == 1 for one in recordings]
    inspected = iter(inspect_batch([one for one, fits in zip(recordings, fit, strict=True) if fits], checkpoint))
    return [
        next(inspected) if fits else _inspect_long(one, checkpoint) for one, fits in zip(recordings, fit, strict=True)
    ]


def _inspect_long(recording: Waveform, checkpoint: Checkpoint) -> Inspection:
    timeline = look_through(recording, checkpoint)
    best = int(timeline.pooled.scores.argmax())
    window = max(timeline.windows, key=lambda one: float(one.prediction.scores[best]))
    inspection = inspect(cut_window(recording, checkpoint, round(time_to_samples(window.start_s))), checkpoint)
    return replace(inspection, prediction=timeline.pooled)


def _size(checkpoint: Checkpoint) -> int:
    """Samples of a window."""
    fed = checkpoint.facts.input
    if fed is None:
        return math.floor(time_to_samples(longest_input_s(checkpoint)))
    return count_samples(fed.n_frames)
