"""A Waveform to what the model is fed; all geometry and all units."""

from __future__ import annotations

from ast_demo.features.log_mel import (
    FRAME_S,
    HOP_S,
    InputSettings,
    Spectrogram,
    compute_spectrograms,
    count_frames,
    hz_to_mel_bin,
    log_mel,
)
from ast_demo.features.patches import PatchGrid
from ast_demo.features.resynthesis import apply_mask, spread_over_bins

__all__ = [
    "FRAME_S",
    "HOP_S",
    "InputSettings",
    "PatchGrid",
    "Spectrogram",
    "apply_mask",
    "compute_spectrograms",
    "count_frames",
    "hz_to_mel_bin",
    "log_mel",
    "spread_over_bins",
]
