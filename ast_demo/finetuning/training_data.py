"""Labelled clips to what a run learns from: its batches, and the held-out clips to choose by."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.data import LabelledClip, LabelledClips, read_clip
from ast_demo.errors import AudioError, DataError
from ast_demo.features import InputSettings, compute_spectrograms, time_to_samples
from ast_demo.finetuning.batches import Batch, SpectrogramBatches, WaveformBatches
from ast_demo.finetuning.clip_versions import TrainingClip, Versions, make_versions, measure_statistics
from ast_demo.finetuning.model import PreparedModel
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.sampler import ClipSampler
from ast_demo.finetuning.split import Split
from ast_demo.settings import Settings

Progress = Callable[[str], None]  # is given a line for people


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged by, and what was found on the way."""

    batches: Any  # a `Dataset` of batches
    validation: list[Batch]
    truth: np.ndarray  # (n_validation, n_labels)
    validation_clips: tuple[LabelledClip, ...]
    settings: InputSettings | None
    unreadable: tuple[str, ...]
    n_training: int
    n_extra: int


@dataclass(frozen=True)
class DataParts:
    """How the data of a run are prepared, where there is more than one way.

    Attributes:
        batch_sizes: Options and the number of readable clips -> clips in each batch.
        read_versions: As `read_versions`.
        make_batches: As `make_batches`.
    """

    batch_sizes: Callable[[Any, int], list[int]]
    read_versions: Callable[..., list[Versions]]
    make_batches: Callable[..., Dataset]


def prepare_data(
    prepared: PreparedModel,
    split: Split,
    work: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    limits: Settings,
    progress: Progress,
    parts: DataParts,
) -> TrainingData:
    """Decode all clips and prepare the batches.

    Raises:
        DataError: A label has no readable clip, or no held-out clip can be read.
    """
    learnt = [*split.training, *(clip for source in extra for clip in source.clips)]
    n_own, n_extra = len(split.training), len(learnt) - len(split.training)
    progress(f"Reading {n_own} + {n_extra} clips to learn from, {len(split.validation)} held out ...")
    started = time.monotonic()
    unreadable: list[str] = []
    held = [(clip, wave) for clip in split.validation if (wave := _read(clip, limits, unreadable))]
    if not held:
        raise DataError("None of the held-out clips can be read. " + " ".join(unreadable[:3]))
    # What is known of each clip: versions of its log-mel, or its samples; nothing if it cannot be read.
    if prepared.settings:
        known: list[Any] = parts.read_versions(learnt, n_own, prepared.settings, work, options, limits, unreadable)
    else:
        known = [wave.samples if (wave := _read(clip, limits, unreadable)) else () for clip in learnt]
    readable = [i for i, what in enumerate(known) if len(what)]
    targets = np.array([_target(learnt[i], prepared.labels) for i in readable]).reshape(-1, len(prepared.labels))
    for label, count in zip(prepared.labels, targets.sum(axis=0), strict=True):
        if not count:
            raise DataError(f"The label {label!r} has no readable clip to learn from. " + " ".join(unreadable[:3]))
    is_extra = np.array([i >= n_own for i in readable])
    sampler = ClipSampler(
        targets,
        is_extra,
        parts.batch_sizes(options, len(readable)),
        balanced=options.balanced,
        label_power=options.label_power,
        extra_share=options.extra_share,
        seed=options.seed,
    )
    known, waves, settings = [known[i] for i in readable], [wave for _, wave in held], prepared.settings
    if settings:
        clips = [TrainingClip(*facts) for facts in zip(known, targets, is_extra.tolist(), strict=True)]
        mean, std = measure_statistics(clips)
        settings = replace(settings, mean=mean, std=std)
        progress(f"Log-mel of the training clips: mean {mean:.4f}, standard deviation {std:.4f}.")
        batches: Any = parts.make_batches(clips, sampler, settings, prepared, options, limits)
        validation = [_stack_spectrograms(waves[i : i + 16], settings) for i in range(0, len(waves), 16)]
    else:
        extract = _extraction(prepared.extractor, options)
        longest = round(time_to_samples(options.max_seconds))
        batches = WaveformBatches(known, targets, sampler, extract, options.augmentation, longest)
        validation = [extract([wave.samples for wave in waves[i : i + 8]]) for i in range(0, len(waves), 8)]
    for message in unreadable:
        progress(f"Skipped: {message}")
    progress(f"Read in {time.monotonic() - started:.0f} s.")
    return TrainingData(
        batches,
        validation,
        truth=np.array([_target(clip, prepared.labels) for clip, _ in held]),
        validation_clips=tuple(clip for clip, _ in held),
        settings=settings,
        unreadable=tuple(unreadable),
        n_training=int((~is_extra).sum()),
        n_extra=int(is_extra.sum()),
    )


def batch_sizes(options: FinetuneOptions, n_clips: int) -> list[int]:
    """Clips in each batch: all clips, as often as there are epochs."""
    return [options.batch_size] * (options.epochs * math.ceil(n_clips / options.batch_size))


def read_versions(
    clips: Sequence[LabelledClip],
    n_own: int,
    settings: InputSettings,
    work: Path,
    options: FinetuneOptions,
    limits: Settings,
    unreadable: list[str],
) -> list[Versions]:
    """Versions of the log-mel of each clip; the first `n_own` are varied as sound.

    Args:
        work: Folder of the run, for who keeps something there.
        unreadable: Is given a sentence for each clip that cannot be read, which then has no version.
    """
    versions: list[Versions] = []
    for i, clip in enumerate(clips):
        wave = _read(clip, limits, unreadable)
        how = options.augmentation if i < n_own else replace(options.augmentation, copies=0)
        versions.append(make_versions(wave, settings, how, (options.seed, 4, i)) if wave else ())
    return versions


def make_batches(
    clips: Sequence[TrainingClip],
    sampler: ClipSampler,
    settings: InputSettings,
    prepared: PreparedModel,
    options: FinetuneOptions,
    limits: Settings,
) -> SpectrogramBatches:
    """The batches of a model that is fed spectrograms."""
    return SpectrogramBatches(clips, sampler, settings, options.augmentation, options.seed)


def _stack_spectrograms(waves: Sequence[Waveform], settings: InputSettings) -> Batch:
    spectrograms = compute_spectrograms(waves, settings)
    return {"input_values": torch.from_numpy(np.stack([spectrogram.values for spectrogram in spectrograms]))}


def _read(clip: LabelledClip, limits: Settings, unreadable: list[str]) -> Waveform | None:
    try:
        return read_clip(clip, max_s=limits.max_clip_s)
    except AudioError as error:
        unreadable.append(str(error))
        return None


def _target(clip: LabelledClip, labels: Sequence[str]) -> np.ndarray:
    """(n_labels,) float32: 1 where a label holds."""
    return np.isin(labels, clip.labels).astype(np.float32)


def _extraction(extractor: Any, options: FinetuneOptions) -> Callable[[Sequence[np.ndarray]], Batch]:
    """From sounds to a model's inputs, by its own feature extractor."""

    def extract(sounds: Sequence[np.ndarray]) -> Batch:
        longest = round(time_to_samples(options.max_seconds))
        asked: dict[str, Any] = {"padding": True, "max_length": longest, "truncation": True}
        if extractor.model_input_names[0] == "input_features":
            asked = {}  # Whisper's extractor knows its one length
        return dict(extractor([s[:longest] for s in sounds], sampling_rate=SAMPLE_RATE, return_tensors="pt", **asked))

    return extract
