"""Labelled clips to what a run is fed: its batches, and the held-out clips to choose by."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.data import LabelledClip, LabelledClips, read_clip
from ast_demo.errors import AudioError, DataError
from ast_demo.features import InputSettings, compute_spectrograms, time_to_samples
from ast_demo.finetuning.batches import Batch, SpectrogramBatches, WaveformBatches
from ast_demo.from_scratch.distillation import TaughtBatches
from ast_demo.finetuning.distributed import is_main_process
from ast_demo.from_scratch.feature_cache import TrainingClip, load_bank, make_versions, measure_statistics, save_bank
from ast_demo.finetuning.model import Learner
from ast_demo.finetuning.options import FinetuneOptions, Stage
from ast_demo.finetuning.sampler import DrawingOrder
from ast_demo.from_scratch.small_ast import grid_of
from ast_demo.finetuning.split import Split
from ast_demo.models import load_checkpoint
from ast_demo.settings import Settings

Progress = Callable[[str], None]  # is given a line for people


@dataclass(frozen=True)
class Fed:
    """What the loop is fed, and what was found on the way."""

    batches: Any
    validation: list[Batch]
    truth: np.ndarray  # (n_validation, n_labels)
    validation_clips: tuple[LabelledClip, ...]
    settings: InputSettings | None
    unreadable: tuple[str, ...]
    n_training: int
    n_extra: int


def feed(
    learner: Learner,
    split: Split,
    work: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    limits: Settings,
    progress: Progress,
) -> Fed:
    """Decode all clips and prepare the batches.

    Raises:
        DataError: A label has no readable clip, no held-out clip can be read, or the teacher does not fit.
    """
    extra_clips = [clip for source in extra for clip in source.clips]
    learnt = [*split.training, *extra_clips]
    progress(
        f"Reading {len(split.training)} + {len(extra_clips)} clips to learn from, {len(split.validation)} held out ..."
    )
    started = time.monotonic()
    unreadable: list[str] = []
    held = [(clip, wave) for clip in split.validation if (wave := _read(clip, limits, unreadable))]
    if not held:
        raise DataError("None of the held-out clips can be read. " + " ".join(unreadable[:3]))
    waves = [wave for _, wave in held]
    # What is known of each clip: versions of its log-mel, or its samples; nothing if it cannot be read.
    if learner.settings:
        known: list[Any] = _read_spectrograms(
            learnt, len(split.training), learner.settings, work, options, limits, unreadable
        )
    else:
        known = [wave.samples if (wave := _read(clip, limits, unreadable)) else () for clip in learnt]
    readable = [i for i, what in enumerate(known) if len(what)]
    targets = np.array([_target(learnt[i], learner.labels) for i in readable]).reshape(-1, len(learner.labels))
    for label, count in zip(learner.labels, targets.sum(axis=0), strict=True):
        if not count:
            raise DataError(f"The label {label!r} has no readable clip to learn from. " + " ".join(unreadable[:3]))
    is_extra = np.array([i >= len(split.training) for i in readable])
    order = DrawingOrder(
        targets,
        is_extra,
        options.stages or (Stage(options.epochs * math.ceil(len(readable) / options.batch_size), options.batch_size),),
        balanced=options.balanced,
        label_power=options.label_power,
        extra_share=options.extra_share,
        seed=options.seed,
    )
    settings = learner.settings
    if settings:
        clips = [
            TrainingClip(known[i], target, bool(more))
            for i, target, more in zip(readable, targets, is_extra, strict=True)
        ]
        mean, std = measure_statistics(clips)
        settings = replace(settings, mean=mean, std=std)
        grid = grid_of(learner.model.config)
        batches: Any = SpectrogramBatches(clips, order, settings, grid, options.augmentation, options.seed)
        if options.teacher:
            batches = TaughtBatches(
                batches, load_checkpoint(options.teacher, limits), learner.labels, settings, options
            )
        validation = [_stack_spectrograms(waves[i : i + 16], settings) for i in range(0, len(waves), 16)]
        progress(f"Log-mel of the training clips: mean {mean:.4f}, standard deviation {std:.4f}.")
    else:
        extract = _extraction(learner.extractor, options)
        longest = round(time_to_samples(options.max_seconds))
        sounds = [known[i] for i in readable]
        batches = WaveformBatches(sounds, targets, order, extract, options.augmentation, longest)
        validation = [extract([wave.samples for wave in waves[i : i + 8]]) for i in range(0, len(waves), 8)]
    for message in unreadable:
        progress(f"Skipped: {message}")
    progress(f"Read in {time.monotonic() - started:.0f} s.")
    return Fed(
        batches,
        validation,
        truth=np.array([_target(clip, learner.labels) for clip, _ in held]),
        validation_clips=tuple(clip for clip, _ in held),
        settings=settings,
        unreadable=tuple(unreadable),
        n_training=int((~is_extra).sum()),
        n_extra=int(is_extra.sum()),
    )


def _read_spectrograms(
    clips: Sequence[LabelledClip],
    n_own: int,
    settings: InputSettings,
    work: Path,
    options: FinetuneOptions,
    limits: Settings,
    unreadable: list[str],
) -> list[tuple[np.ndarray, ...]]:
    """Versions of the log-mel of each clip; the first `n_own` are varied as sound. From the disk if a run goes on."""
    how = options.augmentation
    sound = (how.copies, how.speed, how.pitch, how.stretch, how.sound_noise, how.transition, how.clipping)
    sizes = [(clip.name, len(c) if isinstance(c := clip.source, bytes) else str(c)) for clip in clips]
    what = json.dumps([sound, options.seed, settings.n_mels, settings.n_frames, n_own, sizes])
    key = hashlib.sha256(what.encode()).hexdigest()
    kept = load_bank(work / "bank", key)
    if kept is not None:
        unreadable += [f"{clip.name!r} could not be read." for clip, one in zip(clips, kept, strict=True) if not one]
        return kept
    versions: list[tuple[np.ndarray, ...]] = []
    for i, clip in enumerate(clips):
        wave = _read(clip, limits, unreadable)
        mine = how if i < n_own else replace(how, copies=0)
        versions.append(make_versions(wave, settings, mine, (options.seed, 4, i)) if wave else ())
    if any(versions) and is_main_process():
        save_bank(work / "bank", key, versions)
    return versions


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
