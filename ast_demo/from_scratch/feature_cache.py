"""Log-mel of the training clips and of their varied copies, computed once and kept on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ast_demo.data import LabelledClip
from ast_demo.features import InputSettings
from ast_demo.finetuning import FinetuneOptions, Versions, processes, read_versions
from ast_demo.settings import Settings


def cached_versions(
    clips: Sequence[LabelledClip],
    n_own: int,
    settings: InputSettings,
    work: Path,
    options: FinetuneOptions,
    limits: Settings,
    unreadable: list[str],
) -> list[Versions]:
    """As `read_versions`, from the disk if a run goes on."""
    how, folder = options.augmentation, work / "feature_cache"
    sound = (how.copies, how.speed, how.pitch, how.stretch, how.sound_noise, how.transition, how.clipping)
    sizes = [(clip.name, len(c) if isinstance(c := clip.source, bytes) else str(c)) for clip in clips]
    what = json.dumps([sound, options.seed, settings.n_mels, settings.n_frames, n_own, sizes])
    key = hashlib.sha256(what.encode()).hexdigest()
    kept = load_versions(folder, key)
    if kept is not None:
        unreadable += [
            f"{clip.name!r} could not be read." for clip, known in zip(clips, kept, strict=True) if not known
        ]
        return kept
    versions = read_versions(clips, n_own, settings, work, options, limits, unreadable)
    if any(versions) and processes().is_main_process:
        save_versions(folder, key, versions)
    return versions


def save_versions(folder: Path, key: str, versions: Sequence[Sequence[np.ndarray]]) -> None:
    """Keep the log-mel of all clips on the disk, for when a run goes on.

    Args:
        key: Says what they were computed from and how.
        versions: For each clip its versions, (frames, n_mels) float16; none for a clip that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "values.npy", np.concatenate([version for clip in versions for version in clip]))
    index = {"key": key, "frames": [[len(version) for version in clip] for clip in versions]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")  # last: it makes the cache complete


def load_versions(folder: Path, key: str) -> list[tuple[np.ndarray, ...]] | None:
    """What `save_versions` kept under this key, mapped into memory as it is needed; None if there is no such thing."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        values = np.load(folder / "values.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None
    if index.get("key") != key or sum(map(sum, index["frames"])) != len(values):
        return None
    ends = iter(np.cumsum([n for clip in index["frames"] for n in clip]).tolist())
    return [tuple(values[(end := next(ends)) - n : end] for n in clip) for clip in index["frames"]]
