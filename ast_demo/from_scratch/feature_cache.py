"""Log-mel of the training clips and of their varied copies, computed once and kept on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ast_demo.audio import Waveform
from ast_demo.features import InputSettings, count_samples, log_mel
from ast_demo.finetuning.augmentation import vary_sound
from ast_demo.finetuning.options import Augmentation


@dataclass(frozen=True)
class TrainingClip:
    """What training knows of one clip: log-mel of each version, (frames, n_mels) float16; target (n_labels,)."""

    versions: tuple[np.ndarray, ...]
    target: np.ndarray
    extra: bool = False


def make_versions(
    waveform: Waveform, settings: InputSettings, how: Augmentation, seed: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Log-mel of a clip and of its varied copies, (frames, n_mels) float16 each.

    Each is cut to twice the model's input, to bound the memory.
    """
    longest = count_samples(2 * settings.n_frames + 1)
    rng = np.random.default_rng(seed)
    sounds = [waveform.samples[:longest]]
    sounds += [vary_sound(sounds[0], how, rng) for _ in range(how.copies)]
    return tuple(log_mel(torch.from_numpy(s)[None], settings.n_mels)[0].numpy().astype(np.float16) for s in sounds)


def save_bank(folder: Path, key: str, versions: Sequence[Sequence[np.ndarray]]) -> None:
    """Keep the log-mel of all clips on the disk, for when a run goes on.

    Args:
        key: Says what they were computed from and how.
        versions: For each clip its versions, (frames, n_mels) float16; none for a clip that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "values.npy", np.concatenate([version for clip in versions for version in clip]))
    index = {"key": key, "frames": [[len(version) for version in clip] for clip in versions]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")  # last: it makes the bank complete


def load_bank(folder: Path, key: str) -> list[tuple[np.ndarray, ...]] | None:
    """What `save_bank` kept under this key, mapped into memory as it is needed; None if there is no such thing."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        values = np.load(folder / "values.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None
    if index.get("key") != key or sum(map(sum, index["frames"])) != len(values):
        return None
    ends = iter(np.cumsum([n for clip in index["frames"] for n in clip]).tolist())
    return [tuple(values[(end := next(ends)) - n : end] for n in clip) for clip in index["frames"]]


def measure_statistics(clips: Sequence[TrainingClip]) -> tuple[float, float]:
    """Mean and standard deviation of the log-mel of the clips as recorded, extra clips and copies left out."""
    count, total, squares = 0, 0.0, 0.0
    for clip in clips:
        if not clip.extra:
            values = clip.versions[0].astype(np.float64)
            count, total, squares = count + values.size, total + values.sum(), squares + (values**2).sum()
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 1e-12))
