"""Every recording that `inspect` reads counts in a folder, too."""

from __future__ import annotations

from pathlib import Path

from ast_demo.audio import AUDIO_SUFFIXES, read_audio
from ast_demo.data import read_labelled_clips
from tests.clips import encode, melody

WRITTEN = {
    "clip.wav": ("WAV", "PCM_16"), "clip.au": ("AU", "PCM_16"), "clip.CAF": ("CAF", "PCM_16"), "clip.w64": ("W64", "PCM_16"),
    "clip.mp2": ("MP3", "MPEG_LAYER_II"), "clip.mka": ("matroska", "flac"), "clip.mov": ("mov", "aac"), "clip.sph": ("NIST", "PCM_16"),
    "clip.voc": ("VOC", "PCM_16"), "clip.aifc": ("AIFF", "PCM_16"), "clip.m4b": ("ipod", "aac"), "clip.3gp": ("mp4", "aac"),
}  # fmt: skip


def test_every_suffix_that_is_read_counts_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "rain"
    folder.mkdir(parents=True)
    for name, (container, codec) in WRITTEN.items():
        if codec == "MPEG_LAYER_II":
            container, codec = "mp2", "mp2"
        (folder / name).write_bytes(encode(melody(0.5, 16_000), 16_000, container, codec))
    clips = read_labelled_clips(tmp_path / "data").clips
    assert {Path(clip.name).name for clip in clips} == set(WRITTEN)
    for clip in clips:
        assert read_audio(clip.content).duration_s > 0.4
    assert {Path(name).suffix.lower() for name in WRITTEN} <= AUDIO_SUFFIXES
