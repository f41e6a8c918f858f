"""One row for each kind of recording, from which every list of them comes."""

from __future__ import annotations

import re

import pytest

from ast_demo.audio import read_audio
from ast_demo.audio.formats import AUDIO_SUFFIXES, FORMATS, find_format, list_names, skip_to_start
from tests.audio.lies import mono
from tests.audio.made import as_bytes
from tests.clips import REPOSITORY, encode

WRITTEN = {
    "WAV": ("WAV", "PCM_16"), "FLAC": ("FLAC", "PCM_16"), "MP3": ("MP3", "MPEG_LAYER_III"), "Opus": ("ogg", "libopus"),
    "Ogg": ("OGG", "VORBIS"), "M4A": ("mp4", "aac"), "AAC": ("adts", "aac"), "WebM": ("webm", "libopus"),
    "AIFF": ("AIFF", "PCM_16"), "AU": ("AU", "PCM_16"), "CAF": ("CAF", "PCM_16"), "W64": ("W64", "PCM_16"),
    "NIST SPHERE": ("NIST", "PCM_16"), "VOC": ("VOC", "PCM_16"), "8SVX": ("SVX", "PCM_16"), "IRCAM": ("IRCAM", "PCM_16"),
    "PVF": ("PVF", "PCM_16"), "AVR": ("AVR", "PCM_16"),
}  # fmt: skip


@pytest.mark.parametrize("name", [row.name for row in FORMATS])
def test_each_row_is_found_by_its_first_bytes_and_read(name: str) -> None:
    container, codec = WRITTEN[name]
    rate = 48_000 if codec == "libopus" else 16_000
    content = encode(mono(1.0, rate), rate, container, codec)
    found = find_format(content)
    assert found is not None
    assert found.name == name
    assert read_audio(content).duration_s == pytest.approx(1.0, abs=0.1)


def test_rows_do_not_share_suffixes() -> None:
    assert len(AUDIO_SUFFIXES) == sum(len(row.suffixes) for row in FORMATS)
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in AUDIO_SUFFIXES)


def test_people_read_the_same_list_everywhere() -> None:
    assert list_names().endswith("CAF or W64")
    assert f"Recordings may be {list_names()}" in " ".join((REPOSITORY / "README.md").read_text("utf-8").split())


def test_what_stands_in_front_of_a_recording() -> None:
    flac = as_bytes(mono(1.0), 16_000, "FLAC")
    assert skip_to_start(b"HTTP/1.1 200 OK\r\n\r\n" + flac) == flac
    assert skip_to_start(b"no recording") == b"no recording"
