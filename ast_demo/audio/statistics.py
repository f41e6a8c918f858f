"""What can be said of a clip without any model, to find out what wrong predictions have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.audio.waveform import FRAME_LENGTH, HOP_LENGTH, Waveform

_SILENT_DB = -60.0  # of full scale: below this a frame counts as silent
_CONTRAST_DB, _BACKGROUND_DB = 12.0, 6.0
_FULL_SCALE = 0.999  # 16-bit recordings clip at 32767 / 32768


@dataclass(frozen=True)
class ClipFacts:
    """Facts of a clip.

    Attributes:
        loudness_db: Root mean square in decibels of full scale, -inf for digital silence.
        clipped_share: Share of the samples at full scale.
        silent_share: Share of the 25 ms frames below -60 dB of full scale.
        snr_db: Estimate of the signal-to-noise ratio: the loud frames (95th percentile of power) over the quiet ones
            (10th). It is an estimate that takes the quietest tenth of the clip for noise.
        flaws: What speaks against the recording, each in a word or two of `flaws.py`, joined by "; "; None where nothing does.
        notes: What a listener should know of how it was read, and of its flaws; None where there is nothing to know.
    """

    loudness_db: float
    clipped_share: float
    silent_share: float
    snr_db: float
    flaws: str | None = None
    notes: str | None = None


def measure_clip(waveform: Waveform) -> ClipFacts:
    """Measure a clip."""
    samples = waveform.samples.astype(np.float64)
    power = _power(waveform)
    quiet, loud = np.percentile(power, [10, 95])
    return ClipFacts(
        loudness_db=_decibels(float((samples**2).mean())),
        clipped_share=float((np.abs(samples) >= _FULL_SCALE).mean()),
        silent_share=float((power < _ratio(_SILENT_DB)).mean()),
        snr_db=_decibels(loud / max(quiet, 1e-10)),
        flaws="; ".join(waveform.flaws) or None,
        notes=" ".join(waveform.notes) or None,
    )


def find_silence(waveform: Waveform) -> np.ndarray:
    """Which frames hold nothing but the clip's background, (frames,) bool; frames are those of the spectrogram.

    They are below -60 dB of full scale; or, in a clip that has both quiet and loud frames (10th and 95th percentile
    12 dB apart), within 6 dB of the quiet ones. A clip that sounds throughout, such as rain, has none of these.
    """
    power = _power(waveform)
    quiet, loud = np.percentile(power, [10, 95])
    silent = power < _ratio(_SILENT_DB)
    if loud > quiet * _ratio(_CONTRAST_DB):
        silent |= power < quiet * _ratio(_BACKGROUND_DB)
    return silent


def _power(waveform: Waveform) -> np.ndarray:
    """Mean square of each frame, (frames,)."""
    samples = waveform.samples.astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::HOP_LENGTH]
    return (frames**2).mean(axis=1)


def _ratio(decibels: float) -> float:
    return 10 ** (decibels / 10)


def _decibels(power: float) -> float:
    return float(10 * np.log10(power)) if power > 0 else float("-inf")
