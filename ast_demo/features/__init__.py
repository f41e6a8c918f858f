"""A Waveform to what the model is fed; all geometry and all units."""

from __future__ import annotations

from ast_demo.features.layout import TimeAxis, TokenLayout
from ast_demo.features.log_mel import (
    LOG_FLOOR,
    InputSettings,
    Spectrogram,
    compute_spectrograms,
    filter_bank,
    log_mel,
    spectrum,
)
from ast_demo.features.patches import PatchGrid
from ast_demo.features.raster import (
    FIRST_FRAME_S,
    FRAME_S,
    HOP_S,
    count_frames,
    count_samples,
    frames_to_samples,
    frames_to_time,
    hz_to_mel,
    hz_to_mel_bin,
    mel_corners,
    mel_to_hz,
    samples_to_time,
    time_to_frames,
    time_to_samples,
)
from ast_demo.features.resynthesis import apply_mask

__all__ = [
    "FIRST_FRAME_S",
    "FRAME_S",
    "HOP_S",
    "LOG_FLOOR",
    "InputSettings",
    "PatchGrid",
    "Spectrogram",
    "TimeAxis",
    "TokenLayout",
    "apply_mask",
    "compute_spectrograms",
    "count_frames",
    "count_samples",
    "filter_bank",
    "frames_to_samples",
    "frames_to_time",
    "hz_to_mel",
    "hz_to_mel_bin",
    "log_mel",
    "mel_corners",
    "mel_to_hz",
    "samples_to_time",
    "spectrum",
    "time_to_frames",
    "time_to_samples",
]
