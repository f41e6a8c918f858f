"""Every kind of recording that can be read, a row each. All lists of formats, in code and for people, come from here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Format:
    """A kind of recording.

    Attributes:
        name: What people call it.
        suffixes: Of its files' names, in small letters.
        start: Pattern of its first bytes.
        decoder: What reads it: libsndfile by soundfile, or FFmpeg's libraries by PyAV. Where the one fails, the other tries.
        demuxer: FFmpeg's name of it; empty where FFmpeg is not asked.
        usual: Whether a sentence to people names it.
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes
    decoder: Literal["soundfile", "pyav"]
    demuxer: str = ""
    usual: bool = True


# libsndfile reads what holds plain samples, to the bit (but takes floats in W64 for integers); FFmpeg reads packets to their end, whatever a header promises.
FORMATS = (
    Format("WAV", (".wav", ".wave", ".bwf", ".rf64"), rb"(RIFF|RIFX|RF64|BW64)....WAVE", "soundfile", "wav"),
    Format("FLAC", (".flac",), rb"fLaC", "pyav", "flac"),
    # A frame's first eleven bits are set; its layer is not 0, which is what tells it from AAC.
    Format("MP3", (".mp3", ".mp2", ".mp1", ".mpga"), rb"ID3|\xff[\xe2-\xe7\xea-\xef\xf2-\xf7\xfa-\xff]", "pyav", "mp3"),
    Format("Opus", (".opus",), rb"OggS.{24}OpusHead", "pyav", "ogg"),
    Format("Ogg", (".ogg", ".oga", ".ogv", ".ogx", ".spx"), rb"OggS", "pyav", "ogg"),
    Format(
        "M4A",
        (".m4a", ".mp4", ".m4b", ".m4v", ".mov", ".3gp", ".3g2"),
        rb"....(ftyp|moov|mdat|wide|free|skip)",
        "pyav",
        "mov",
    ),
    Format("AAC", (".aac",), rb"\xff[\xf0\xf1\xf8\xf9]", "pyav", "aac"),
    Format("WebM", (".webm", ".weba", ".mkv", ".mka"), rb"\x1aE\xdf\xa3", "pyav", "matroska"),
    Format("AIFF", (".aiff", ".aif", ".aifc"), rb"FORM....AIF[FC]", "soundfile", "aiff"),
    Format("AU", (".au", ".snd"), rb"\.snd|dns\.", "soundfile", "au"),
    Format("CAF", (".caf",), rb"caff", "soundfile", "caf"),
    Format("W64", (".w64",), rb"riff\x2e\x91\xcf\x11", "pyav", "w64"),
    Format("NIST SPHERE", (".sph", ".nist"), rb"NIST_1A", "soundfile", "nistsphere", usual=False),
    Format("VOC", (".voc",), rb"Creative Voice File", "soundfile", "voc", usual=False),
    Format("8SVX", (".8svx", ".iff", ".svx"), rb"FORM....(8SVX|16SV)", "soundfile", usual=False),
    Format(
        "IRCAM",
        (".ircam", ".sf"),
        rb"\x64\xa3[\x01-\x04]\x00|\x00[\x01-\x04]\xa3\x64",
        "soundfile",
        "ircam",
        usual=False,
    ),
    Format("PVF", (".pvf",), rb"PVF1", "soundfile", usual=False),
    Format("AVR", (".avr",), rb"2BIT", "soundfile", usual=False),
)

# What a recording begins with that is not met by chance: behind what a server, say, has written in front of it.
_UNMISTAKABLE = rb"OggS\x00\x02|fLaC\x00|(RIFF|RIFX|RF64|BW64)....WAVE|FORM....AIF[FC]|\x1aE\xdf\xa3"
_MOST_BEFORE = 1 << 16  # bytes

AUDIO_SUFFIXES = frozenset(suffix for row in FORMATS for suffix in row.suffixes)
# The only ones that FFmpeg may take a file for: others, such as playlists, make it open further files and addresses.
DEMUXERS = frozenset(row.demuxer for row in FORMATS if row.demuxer)


def list_names() -> str:
    """The usual kinds as a sentence names them: "WAV, FLAC … or W64"."""
    names = [row.name for row in FORMATS if row.usual]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def find_format(content: bytes) -> Format | None:
    """The kind of a recording by its first bytes; None where they are none of those known."""
    return next((row for row in FORMATS if re.match(row.start, content, re.DOTALL)), None)


def skip_to_start(content: bytes) -> bytes:
    """A recording without what stands in front of it; as it is where none is found."""
    found = re.search(_UNMISTAKABLE, content[:_MOST_BEFORE], re.DOTALL)
    return content[found.start() :] if found else content
