"""Waveforms to the normalised log-mel spectrograms that an AST is fed.

A batched torch version of 🤗 Transformers' `ASTFeatureExtractor` (its NumPy route), which follows Kaldi's
`fbank`: 25 ms symmetric Hann window every 10 ms, mean of each frame removed, pre-emphasis 0.97, 512-point power
spectrum, triangular filters on Kaldi's mel scale from 20 Hz to 8 kHz, natural logarithm with a floor. There is no
other route from sound to the model in this program: pictures, scores and training all start here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, Waveform
from ast_demo.features.raster import (
    FRAME_S,
    count_frames,
    count_samples,
    frames_to_time,
    hz_to_mel,
    mel_corners,
    samples_to_time,
)

FFT_LENGTH = 512
_FRAMES_AT_A_TIME = 512  # what is in work then stays in the processor's cache
_PRE_EMPHASIS = 0.97
LOG_FLOOR = 1.192092955078125e-07  # the single-precision epsilon, Kaldi's guard before the logarithm

Values = TypeVar("Values", Tensor, np.ndarray, float)


@dataclass(frozen=True)
class InputSettings:
    """How a checkpoint wants its input.

    Attributes:
        n_mels: Mel bins of each frame.
        n_frames: Frames of every input: shorter clips are padded, longer ones cut off.
        mean, std: The input is `(log_mel - mean) / (2 * std)`; 0 and 0.5 leave it as it is.
    """

    n_mels: int = 128
    n_frames: int = 1024
    mean: float = -4.2677393
    std: float = 4.5689974

    @property
    def scale(self) -> float:
        """By how much a difference of two inputs is larger in log-mel."""
        return 2 * self.std

    def normalise(self, log_mel: Values) -> Values:
        """Log-mel as the checkpoint is fed it."""
        return (log_mel - self.mean) / self.scale

    def denormalise(self, fed: Values) -> Values:
        """The other way round."""
        return fed * self.scale + self.mean

    @property
    def padding_value(self) -> float:
        """What a padded frame holds: the extractor pads with 0 *before* it normalises."""
        return self.normalise(0.0)

    @property
    def silence_value(self) -> float:
        """What digital silence becomes: the floor of the logarithm, normalised."""
        return self.normalise(math.log(LOG_FLOOR))

    @property
    def duration_s(self) -> float:
        """Seconds of sound that fit in the input."""
        return frames_to_time(self.n_frames - 1, FRAME_S)


@dataclass(frozen=True)
class Spectrogram:
    """A clip as a checkpoint is fed it.

    Attributes:
        values: Normalised log-mel, shape (n_frames, n_mels), float32.
        clip_frames: How many of the frames come from the clip; those after it are padding.
        truncated_s: Seconds at the end of the clip that the checkpoint never gets.
        settings: What it was computed with.
    """

    values: np.ndarray
    clip_frames: int
    truncated_s: float
    settings: InputSettings

    @property
    def padding_share(self) -> float:
        """Share of the frames that is padding, 0 to 1."""
        return 1 - self.clip_frames / self.settings.n_frames


def log_mel(samples: Tensor, n_mels: int = 128) -> Tensor:
    """Log-mel filter bank energies, not normalised.

    Args:
        samples: (batch, n_samples) in [-1, 1] at 16 kHz, at least one frame (400 samples) long. Clips that are
            shorter than the batch are padded with zeros by the caller; their frames beyond `count_frames` mean
            nothing.

    Returns:
        (batch, frames, n_mels), float32.
    """
    # Double precision up to the spectrum, single from there, as the extractor: beside a loud tone the bins that hold
    # next to nothing are where the rounding of a Fourier transform shows, and the logarithm magnifies it.
    frames = samples.to(torch.float64).unfold(-1, FRAME_LENGTH, HOP_LENGTH)
    return torch.cat([_log_mel_of_frames(some, n_mels) for some in frames.split(_FRAMES_AT_A_TIME, dim=1)], dim=1)


def _log_mel_of_frames(frames: Tensor, n_mels: int) -> Tensor:
    """(batch, frames, 400) in double precision to (batch, frames, n_mels) in single."""
    power = torch.view_as_real(spectrum(frames)).float().square_().sum(dim=-1)
    return (power @ filter_bank(n_mels).to(frames.device)).clamp_(min=LOG_FLOOR).log_()


def spectrum(frames: Tensor) -> Tensor:
    """(…, 400) in double precision to (…, 257) complex: a linear map, all of what is done to a frame before its power."""
    frames = frames - frames.mean(dim=-1, keepdim=True)
    # As long as the transform from the start: filling up there takes as long as all the rest.
    padded = frames.new_zeros(*frames.shape[:-1], FFT_LENGTH)
    torch.sub(frames[..., 1:], frames[..., :-1], alpha=_PRE_EMPHASIS, out=padded[..., 1:FRAME_LENGTH])
    # Kaldi's pre-emphasis takes the first sample of a frame as its own predecessor.
    padded[..., 0] = frames[..., 0] * (1 - _PRE_EMPHASIS)
    padded[..., :FRAME_LENGTH] *= _window().to(frames.device)
    return torch.fft.rfft(padded)


def compute_spectrograms(waveforms: Sequence[Waveform], settings: InputSettings) -> list[Spectrogram]:
    """The spectrograms that a checkpoint with these settings is fed, one for each waveform.

    A clip gives the same values alone and in a batch. Source: `ASTFeatureExtractor` of 🤗 Transformers, to which
    the result is equal to 1e-5: both keep the spectrum in single precision, and round it at other places.
    """
    return [_compute_one(waveform, settings) for waveform in waveforms]


def _compute_one(waveform: Waveform, settings: InputSettings) -> Spectrogram:
    clip_frames = min(count_frames(len(waveform.samples)), settings.n_frames)
    used = waveform.samples[None, : count_samples(clip_frames)]
    values = torch.zeros(settings.n_frames, settings.n_mels)
    values[:clip_frames] = log_mel(torch.from_numpy(used), settings.n_mels)[0]
    truncated_s = samples_to_time(max(0, len(waveform.samples) - count_samples(settings.n_frames)))
    return Spectrogram(settings.normalise(values).numpy(), clip_frames, truncated_s, settings)


@lru_cache(maxsize=1)
def _window() -> Tensor:
    """Hann window (400,) in double precision."""
    return torch.hann_window(FRAME_LENGTH, periodic=False, dtype=torch.float64)


@lru_cache(maxsize=8)
def filter_bank(n_mels: int) -> Tensor:
    """(257, n_mels): triangles whose sides are straight on the mel scale, neighbours crossing at one half."""
    mel_of_bin = hz_to_mel(np.linspace(0, SAMPLE_RATE / 2, FFT_LENGTH // 2 + 1))[:, None]
    corners = mel_corners(n_mels)
    width = corners[1] - corners[0]
    rising, falling = (mel_of_bin - corners[:-2]) / width, (corners[2:] - mel_of_bin) / width
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling))).to(torch.float32)
