"""From a map on the patch grid back to sound: what of a clip was kept, and what was removed.

A mask on the mel bins and frames is carried through the mel filter bank to the bins of the clip's own short-time
spectrum, multiplied with it, and turned back into sound by weighted overlap-add (Griffin & Lim 1984). Only sound that
is in the clip is ever played, with the phases that it has there; nothing is synthesised.
"""

from __future__ import annotations

import numpy as np
import torch

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH
from ast_demo.features.log_mel import FFT_LENGTH, filter_bank

_AHEAD = 2  # frames before the first: as many as still reach into the clip


def apply_mask(samples: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of a clip that a mask on its mel bins and frames lets through.

    Linear in the mask: what a mask keeps and what 1 less the mask keeps add up to the clip; a mask of ones gives the
    clip, one of zeros silence.

    Args:
        samples: (n,) at 16 kHz.
        mask: (n_mels, n_frames) of factors for the amplitude, 0 to 1; frame t begins at sample 160 · t. Beyond its
            last frame, and before its first, the mask goes on as it is there.

    Returns:
        (n,) float32.
    """
    n_frames = -(-len(samples) // HOP_LENGTH) + _AHEAD
    padded = np.zeros((n_frames - 1) * HOP_LENGTH + FRAME_LENGTH)
    padded[_AHEAD * HOP_LENGTH : _AHEAD * HOP_LENGTH + len(samples)] = samples
    # The periodic window: that of the filter bank, symmetric, is zero at both ends.
    window = np.hanning(FRAME_LENGTH + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)[::HOP_LENGTH]
    spectrum = np.fft.rfft(frames * window, FFT_LENGTH)
    places = np.clip(np.arange(n_frames) - _AHEAD, 0, mask.shape[1] - 1)
    parts = np.fft.irfft(spectrum * mask_on_spectrum(mask)[:, places].T, FFT_LENGTH)[:, :FRAME_LENGTH] * window
    sound, weight = np.zeros_like(padded), np.zeros_like(padded)
    for start, part in zip(range(0, len(padded), HOP_LENGTH), parts, strict=False):
        sound[start : start + FRAME_LENGTH] += part
        weight[start : start + FRAME_LENGTH] += window**2
    clip = slice(_AHEAD * HOP_LENGTH, _AHEAD * HOP_LENGTH + len(samples))
    return (sound[clip] / weight[clip]).astype(np.float32)


def mask_on_spectrum(mask: np.ndarray) -> np.ndarray:
    """A mask on mel bins, (n_mels, n_frames), as one on the bins of the spectrum, (257, n_frames).

    Each bin takes the mean of the mel bins whose filters let it through, weighted as they do. What no filter lets
    through (0 to 20 Hz, and 8 kHz) goes with the nearest bin that has one.
    """
    filters = filter_bank(len(mask)).to(torch.float64).numpy()
    total = filters.sum(axis=1)
    heard = np.flatnonzero(total > 0)
    nearest = heard[np.abs(np.arange(len(total))[:, None] - heard).argmin(axis=1)]
    return (filters[nearest] / total[nearest, None]) @ mask
