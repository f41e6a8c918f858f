"""Any recording to a Waveform, and back to files."""

from __future__ import annotations

from ast_demo.audio.decoding import read_audio, waveform_from_samples
from ast_demo.audio.encoding import to_flac, to_wav
from ast_demo.audio.formats import AUDIO_SUFFIXES, list_names
from ast_demo.audio.statistics import find_silence, measure_clip
from ast_demo.audio.waveform import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, Waveform

__all__ = [
    "AUDIO_SUFFIXES",
    "FRAME_LENGTH",
    "HOP_LENGTH",
    "SAMPLE_RATE",
    "Waveform",
    "find_silence",
    "list_names",
    "measure_clip",
    "read_audio",
    "to_flac",
    "to_wav",
    "waveform_from_samples",
]
