"""Log-mel of the training clips and of their varied copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ast_demo.audio import Waveform
from ast_demo.features import InputSettings, count_samples, log_mel
from ast_demo.finetuning.augmentation import vary_sound
from ast_demo.finetuning.options import Augmentation

Versions = tuple[np.ndarray, ...]  # log-mel of a clip and of its varied copies, (frames, n_mels) float16 each


@dataclass(frozen=True)
class TrainingClip:
    """What training knows of one clip: log-mel of each version, (frames, n_mels) float16; target (n_labels,)."""

    versions: Versions
    target: np.ndarray
    extra: bool = False


def make_versions(waveform: Waveform, settings: InputSettings, how: Augmentation, seed: tuple[int, ...]) -> Versions:
    """Log-mel of a clip and of its varied copies, (frames, n_mels) float16 each.

    Each is cut to twice the model's input, to bound the memory.
    """
    longest = count_samples(2 * settings.n_frames + 1)
    rng = np.random.default_rng(seed)
    sounds = [waveform.samples[:longest]]
    sounds += [vary_sound(sounds[0], how, rng) for _ in range(how.copies)]
    return tuple(log_mel(torch.from_numpy(s)[None], settings.n_mels)[0].numpy().astype(np.float16) for s in sounds)


def measure_statistics(clips: Sequence[TrainingClip]) -> tuple[float, float]:
    """Mean and standard deviation of the log-mel of the clips as recorded, extra clips and copies left out."""
    count, total, squares = 0, 0.0, 0.0
    for clip in clips:
        if not clip.extra:
            values = clip.versions[0].astype(np.float64)
            count, total, squares = count + values.size, total + values.sum(), squares + (values**2).sum()
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 1e-12))
