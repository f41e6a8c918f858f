"""A Waveform to what the model is fed; all geometry and all units."""

from __future__ import annotations

from ast_demo.features.log_mel import (
    FRAME_S,
    HOP_S,
    LOG_FLOOR,
    InputSettings,
    Spectrogram,
    compute_spectrograms,
    count_frames,
    filter_bank,
    hz_to_mel_bin,
    log_mel,
    spectrum,
)
from ast_demo.features.patches import PatchGrid
from ast_demo.features.resynthesis import apply_mask, spread_over_bins

__all__ = [
    "FRAME_S",
    "HOP_S",
    "LOG_FLOOR",
    "InputSettings",
    "PatchGrid",
    "Spectrogram",
    "apply_mask",
    "compute_spectrograms",
    "count_frames",
    "filter_bank",
    "hz_to_mel_bin",
    "log_mel",
    "spectrum",
    "spread_over_bins",
]
