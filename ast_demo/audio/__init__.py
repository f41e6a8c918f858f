"""Any recording to a Waveform, and back to files."""

from __future__ import annotations

from ast_demo.audio.decoding import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, Waveform, read_audio, waveform_from_samples
from ast_demo.audio.encoding import to_flac, to_wav
from ast_demo.audio.statistics import find_silence, measure_clip

__all__ = [
    "FRAME_LENGTH",
    "HOP_LENGTH",
    "SAMPLE_RATE",
    "Waveform",
    "find_silence",
    "measure_clip",
    "read_audio",
    "to_flac",
    "to_wav",
    "waveform_from_samples",
]
