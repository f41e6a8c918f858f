"""Small data sets in the shapes of public ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ast_demo.data.clips import LabelledClips, ReadingOptions, describe_clips
from ast_demo.data.reading import read_labelled_clips
from ast_demo.data.splits import known_split
from tests.clips import encode, tone

CLIP = encode(tone(400, 0.5), 16_000, "wav", "PCM_16")


def make(folder: Path, *names: str) -> Path:
    """A folder with recordings of these names, half a second each."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CLIP)
    return folder


def write(file: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(line + end for line in lines).encode(encoding))
    return file


def labels_of(clips: LabelledClips) -> dict[str, str]:
    return {clip.name: clip.label for clip in clips.clips}


def splits_of(clips: LabelledClips) -> dict[str, int]:
    return dict(Counter(known_split(clip.columns["split"]) for clip in clips.clips if "split" in clip.columns))


def read(data: Path, **options: object) -> LabelledClips:
    return read_labelled_clips(data, ReadingOptions(**options))  # type: ignore[arg-type]


def said(clips: LabelledClips) -> str:
    return "\n".join(describe_clips(clips))
