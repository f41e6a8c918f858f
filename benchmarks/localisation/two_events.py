"""Clips with two events of different classes, equally loud, at known times over a quiet background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.data import list_samples
from ast_demo.features import compute_spectrograms
from ast_demo.models import Checkpoint

LONGEST_S = 1.0  # of an event
GAP_S = 0.3  # of background, at least, between two events
BACKGROUND_DB = -40.0  # below the events
_EVENT_LEVEL = 0.1  # root mean square of every event
_WORD_ENDS_DB = -30.0  # below its loudest frame, what stands at the ends of an event is no part of it
_FADE = SAMPLE_RATE // 100
_BATCH = 16


@dataclass(frozen=True)
class Event:
    samples: np.ndarray
    label: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class TwoEvents:
    """A clip, the labels of its two events, the checkpoint's first choice first, and where they begin and end."""

    waveform: Waveform
    labels: tuple[str, str]
    spans_s: tuple[tuple[float, float], tuple[float, float]]


def list_clips(recordings: Path | None) -> list[tuple[Path, str]]:
    """(path, label) of clips that no shipped checkpoint was trained on.

    Args:
        recordings: Folder with `esc10` and `fsdd`, of which fold 4 and the speaker theo were held out; the shipped
            samples without it.
    """
    if recordings is None:
        return [(sample.path, sample.label) for sample in list_samples()]
    sounds = [(path, path.parent.name) for path in sorted((recordings / "esc10").glob("*/4-*.ogg"))]
    return sounds + [(path, path.name[0]) for path in sorted((recordings / "fsdd").glob("*_theo_*.wav"))]


def cut_event(waveform: Waveform, label: str) -> Event:
    """The loudest stretch of a clip, without the quiet at its ends, at a fixed level and with short fades."""
    samples = waveform.samples.astype(np.float64)
    n_hop = SAMPLE_RATE // 100
    power = np.square(samples[: len(samples) // n_hop * n_hop]).reshape(-1, n_hop).mean(axis=1)
    length = min(len(power), round(LONGEST_S * 100))
    sums = np.convolve(power, np.ones(length), mode="valid")
    start = int(sums.argmax())
    inside = power[start : start + length]
    loud = np.flatnonzero(inside > inside.max() * 10 ** (_WORD_ENDS_DB / 10))
    event = samples[(start + loud[0]) * n_hop : (start + loud[-1] + 1) * n_hop]
    event = event * _EVENT_LEVEL / np.sqrt(np.square(event).mean())
    fade = np.minimum(1, (np.arange(len(event)) + 1) / _FADE)
    return Event(event * fade * fade[::-1], label)


def mix(events: Sequence[Event], starts_s: Sequence[float], duration_s: float, seed: int) -> Waveform:
    """Events at given times over white noise."""
    noise = np.random.default_rng(seed).standard_normal(round(duration_s * SAMPLE_RATE))
    samples = noise * _EVENT_LEVEL * 10 ** (BACKGROUND_DB / 20)
    for event, start_s in zip(events, starts_s, strict=True):
        start = round(start_s * SAMPLE_RATE)
        samples[start : start + len(event.samples)] += event.samples
    return Waveform(samples.clip(-1, 1).astype(np.float32), f"two events {seed}", SAMPLE_RATE, 1)


def make_clips(checkpoint: Checkpoint, clips: Sequence[tuple[Path, str]], n: int, seed: int = 0) -> list[TwoEvents]:
    """n clips whose two events are the checkpoint's two best labels; of events that it knows when it hears them alone.

    Raises:
        ValueError: Too few of the clips are known, or too few mixtures have both labels on top.
    """
    generator = np.random.default_rng(seed)
    assert checkpoint.facts.input is not None
    duration_s = checkpoint.facts.input.duration_s
    events = [cut_event(read_audio(path), label) for path, label in clips if label in checkpoint.facts.labels]
    alone = [mix([event], [(duration_s - event.seconds) / 2], duration_s, k) for k, event in enumerate(events)]
    known = [e for e, best in zip(events, _best_labels(checkpoint, alone), strict=True) if e.label == best[0]]
    by_label = {label: [event for event in known if event.label == label] for label in sorted({e.label for e in known})}
    if len(by_label) < 2:
        raise ValueError(f"{checkpoint.facts.name} knows the events of fewer than two labels.")
    made: list[TwoEvents] = []
    for _ in range(100):
        drawn = [_draw(by_label, duration_s, generator) for _ in range(n)]
        for one, best in zip(drawn, _best_labels(checkpoint, [one.waveform for one in drawn]), strict=True):
            if best == one.labels:
                made.append(one)
            elif best == one.labels[::-1]:
                made.append(TwoEvents(one.waveform, best, (one.spans_s[1], one.spans_s[0])))
        if len(made) >= n:
            return made[:n]
    raise ValueError(f"{checkpoint.facts.name} has both labels on top in {len(made)} of {100 * n} mixtures.")


def _draw(by_label: dict[str, list[Event]], duration_s: float, generator: np.random.Generator) -> TwoEvents:
    """Two events at random, at random times; the first comes first."""
    first, second = (
        by_label[label][generator.integers(len(by_label[label]))]
        for label in generator.choice(list(by_label), size=2, replace=False)
    )
    room = duration_s - first.seconds - second.seconds - GAP_S
    before, between = (float(s) for s in np.sort(generator.uniform(0, room, size=2)))
    starts = (before, between + first.seconds + GAP_S)
    waveform = mix([first, second], starts, duration_s, int(generator.integers(1 << 31)))
    spans = ((starts[0], starts[0] + first.seconds), (starts[1], starts[1] + second.seconds))
    return TwoEvents(waveform, (first.label, second.label), spans)


def _best_labels(checkpoint: Checkpoint, waveforms: Sequence[Waveform]) -> Iterator[tuple[str, str]]:
    settings, labels = checkpoint.facts.input, checkpoint.facts.labels
    assert settings is not None
    for start in range(0, len(waveforms), _BATCH):
        values = np.stack([s.values for s in compute_spectrograms(waveforms[start : start + _BATCH], settings)])
        with torch.inference_mode():
            logits = checkpoint.model(torch.from_numpy(values)).logits
        for row in logits.argsort(dim=1, descending=True):
            yield labels[row[0]], labels[row[1]]
