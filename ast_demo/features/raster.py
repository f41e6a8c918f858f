"""Units, and places on an axis of bins or frames: every conversion between them is here.

Names are those that librosa's users know. A *frame* is 25 ms of sound, one every 10 ms; the first begins with the first
sample. On an axis of mel bins, bin m covers m to m + 1.
"""

from __future__ import annotations

from typing import overload

import numpy as np

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE

HOP_S = HOP_LENGTH / SAMPLE_RATE  # 0.01 s from one frame to the next
FRAME_S = FRAME_LENGTH / SAMPLE_RATE  # 0.025 s of sound in each frame
FIRST_FRAME_S = (FRAME_S - HOP_S) / 2  # left edge of frame 0 when each frame is drawn round the middle of its window
LOWEST_HZ, HIGHEST_HZ = 20.0, SAMPLE_RATE / 2  # of the mel filters
_MEL_HZ, _MELS = 700.0, 1127.0  # Kaldi's mel scale


@overload
def frames_to_time(frames: float, first_s: float = 0.0) -> float: ...
@overload
def frames_to_time(frames: np.ndarray, first_s: float = 0.0) -> np.ndarray: ...
def frames_to_time(frames: np.ndarray | float, first_s: float = 0.0) -> np.ndarray | float:
    """Seconds at which frames begin, where frame 0 begins at `first_s`."""
    return first_s + frames * HOP_S


def time_to_frames(seconds: float, first_s: float = 0.0) -> float:
    """Which frame begins at a time, with its fraction; the other way round than `frames_to_time`."""
    return (seconds - first_s) / HOP_S


@overload
def samples_to_time(samples: float) -> float: ...
@overload
def samples_to_time(samples: np.ndarray) -> np.ndarray: ...
def samples_to_time(samples: np.ndarray | float) -> np.ndarray | float:
    """Seconds of so many samples."""
    return samples / SAMPLE_RATE


def time_to_samples(seconds: float) -> float:
    """So many samples, with their fraction."""
    return seconds * SAMPLE_RATE


def frames_to_samples(frames: int) -> int:
    """The first sample of a frame."""
    return frames * HOP_LENGTH


def count_frames(n_samples: int) -> int:
    """Frames of a clip of `n_samples` at 16 kHz: whole windows only."""
    return max(0, 1 + (n_samples - FRAME_LENGTH) // HOP_LENGTH)


def count_samples(n_frames: int) -> int:
    """Samples that so many frames see, from the first of the first to the last of the last."""
    return (n_frames - 1) * HOP_LENGTH + FRAME_LENGTH


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Hertz on Kaldi's mel scale."""
    return _MELS * np.log1p(np.asarray(hz) / _MEL_HZ)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """The other way round."""
    return _MEL_HZ * np.expm1(np.asarray(mel) / _MELS)


def mel_corners(n_mels: int) -> np.ndarray:
    """Corners of the triangular filters in mels, (n_mels + 2,): bin m rises from m, peaks at m + 1, ends at m + 2."""
    return np.linspace(hz_to_mel(LOWEST_HZ), hz_to_mel(HIGHEST_HZ), n_mels + 2)


def mel_band_edges_hz(n_mels: int) -> np.ndarray:
    """The same corners in hertz."""
    return mel_to_hz(mel_corners(n_mels))


def hz_to_mel_bin(hz: float, n_mels: int) -> float:
    """Where a frequency lies on an axis of mel bins on which bin m covers m to m + 1 and peaks at m + 0.5."""
    lowest, highest = hz_to_mel(LOWEST_HZ), hz_to_mel(HIGHEST_HZ)
    return float((hz_to_mel(hz) - lowest) / (highest - lowest) * (n_mels + 1) - 0.5)


def patch_centres(n_patches: int, stride: int, patch_size: int) -> np.ndarray:
    """Where on an axis of bins or frames the middles of patches lie, (n_patches,)."""
    return np.arange(n_patches) * stride + patch_size / 2


def nearest_patch(places: np.ndarray, n_patches: int, stride: int, patch_size: int) -> np.ndarray:
    """For each place on an axis of bins or frames, the patch whose middle is nearest; the outermost for all beyond.

    Halves up, not `round`, which takes them to even numbers: a box holds its first bin, not the one beyond its last.
    """
    patch = np.floor((np.asarray(places) - patch_size / 2) / stride + 0.5).astype(int)
    return patch.clip(0, n_patches - 1)
