"""How a training clip is varied: as sound once, and as a spectrogram at every draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import FRAME_LENGTH, SAMPLE_RATE
from ast_demo.features import (
    InputSettings,
    count_samples,
    hz_to_mel,
    log_mel,
    mel_corners,
    mel_to_hz,
    samples_to_time,
)
from ast_demo.finetuning.options import Augmentation

FLOOR = math.log(1.192092955078125e-07)  # log-mel of digital silence
DECIBEL = math.log(10) / 10  # natural logarithm of power, for one decibel
_N_NOISES = 64


def vary_sound(samples: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """One varied copy of a clip: mono 16 kHz samples in, samples out (of another length, if stretched)."""
    import audiomentations
    import soxr

    if how.speed:
        rate = SAMPLE_RATE * rng.uniform(1 - how.speed, 1 + how.speed)
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality="MQ")
    steps: list[audiomentations.core.transforms_interface.BaseWaveformTransform] = []
    if how.pitch:
        steps.append(audiomentations.PitchShift(-how.pitch, how.pitch, p=0.5))
    if how.stretch:
        low, high = 1 / (1 + how.stretch), 1 + how.stretch
        steps.append(audiomentations.TimeStretch(low, high, leave_length_unchanged=False, p=0.5))
    if how.sound_noise:
        steps.append(audiomentations.AddGaussianSNR(min_snr_db=5, max_snr_db=40, p=how.sound_noise))
    if how.transition:
        steps.append(audiomentations.GainTransition(-18, 6, p=how.transition))
    if how.clipping:
        steps.append(audiomentations.ClippingDistortion(0, 10, p=how.clipping))
    # audiomentations draws from the global generators: they are set for this copy alone, and put back.
    import random

    kept = random.getstate(), np.random.get_state()
    seed = int(rng.integers(2**31))
    random.seed(seed)
    np.random.seed(seed)
    try:
        varied = audiomentations.Compose(steps, shuffle=True)(samples.astype(np.float32), SAMPLE_RATE)
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
    varied = np.clip(varied, -1, 1)
    return varied if len(varied) >= FRAME_LENGTH else np.pad(varied, (0, FRAME_LENGTH - len(varied)))


def vary_spectrogram(values: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Trim a log-mel, warp both axes, change its frequency response and gain. Digital silence stays what it is."""
    if how.trim:
        first, last = (rng.uniform(0, how.trim, 2) * len(values)).astype(int)
        values = values[first : max(len(values) - last, first + 8)]
    if how.time_warp or how.time_bend:
        n_frames = max(8, round(len(values) * math.exp(rng.uniform(-1, 1) * math.log1p(how.time_warp))))
        bend = math.exp(rng.uniform(-1, 1) * how.time_bend)
        position = np.linspace(0, 1, n_frames) ** bend * (len(values) - 1)
        below = position.astype(np.int64)
        above = np.minimum(below + 1, len(values) - 1)
        share = (position - below).astype(np.float32)[:, None]
        values = values[below] * (1 - share) + values[above] * share
    n_mels = values.shape[1]
    if how.warp:
        values = values @ _warp_matrix(n_mels, math.exp(rng.uniform(-1, 1) * math.log1p(how.warp)))
    change = rng.uniform(-how.gain_db, how.gain_db / 5) if how.gain_db else 0.0
    response = change + np.linspace(-1, 1, n_mels) * rng.uniform(-how.tilt_db, how.tilt_db)
    if how.equaliser_db:
        hills = np.cos(np.pi * np.outer(np.arange(2, 8), np.linspace(0, 1, n_mels)) + rng.uniform(0, 2 * np.pi, (6, 1)))
        response += rng.dirichlet(np.ones(6)) @ hills * rng.uniform(0, how.equaliser_db)
    changed = np.maximum(values + (response * DECIBEL).astype(np.float32), FLOOR)
    return np.where(values <= FLOOR + 0.1, np.float32(FLOOR), changed).astype(np.float32)


def _warp_matrix(n_mels: int, factor: float) -> np.ndarray:
    """(n_mels, n_mels): columns interpolate between the bins of a spectrum whose frequencies are scaled by `factor`."""
    corners = mel_corners(n_mels)
    centre, width = corners[1:-1], corners[1] - corners[0]
    source_hz = mel_to_hz(centre) / factor
    position = np.clip((hz_to_mel(source_hz) - centre[0]) / width, 0, n_mels - 1)
    distance = np.abs(np.arange(n_mels)[:, None] - position[None, :])
    return np.maximum(0, 1 - distance).astype(np.float32)


@dataclass(frozen=True)
class Placed:
    """An event in a clip: log-mel (n_frames, n_mels), where the event lies, how much is clip, how loud the event is."""

    values: np.ndarray
    start: int
    stop: int
    clip_frames: int
    level: float


def place_event(event: np.ndarray, n_frames: int, how: Augmentation, rng: np.random.Generator) -> Placed:
    """Lay an event into a clip: as recorded, or at a random place of a longer one; or cut it if it is longer."""
    if rng.random() < how.crop and len(event) > n_frames // 5:
        kept = int(rng.integers(n_frames // 5, len(event) + 1))
        first = int(rng.integers(len(event) - kept + 1))
        event = event[first : first + kept]
    elif how.crop and len(event) > n_frames // 2:  # long sounds have no beginning: turn them round
        event = np.roll(event, int(rng.integers(len(event))), axis=0)
    if len(event) > n_frames:
        first = int(rng.integers(len(event) - n_frames + 1)) if how.placement or how.crop else 0
        event = event[first : first + n_frames]
    start, clip_frames = 0, len(event)
    if len(event) < n_frames and rng.random() < how.placement:
        clip_frames = int(rng.integers(len(event), n_frames + 1))
        start = int(rng.integers(clip_frames - len(event) + 1))
    values = np.full((n_frames, event.shape[1]), FLOOR, dtype=np.float32)
    values[start : start + len(event)] = event
    level = float(np.log(np.exp(event).mean()))
    return Placed(values, start, start + len(event), clip_frames, level)


def draw_mask(length: int, widest: int, rng: np.random.Generator) -> tuple[int, int]:
    """First and last place, exclusive, of a mask of at most `widest` places."""
    width = int(rng.integers(max(0, widest) + 1))
    low = int(rng.integers(length - width + 1))
    return low, low + width


def draw_share(how: Augmentation, rng: np.random.Generator) -> float:
    """The larger share of a mixture."""
    share = float(rng.beta(how.mixup_alpha, how.mixup_alpha))
    return max(share, 1 - share)


def make_noises(settings: InputSettings, rng: np.random.Generator) -> Tensor:
    """Log-mel of noise floors, (64, n_frames, n_mels), mean power 1: white to brown, some low-passed, some with hum."""
    n_samples = count_samples(settings.n_frames)
    hertz = np.fft.rfftfreq(n_samples, samples_to_time(1))
    noises = []
    for _ in range(_N_NOISES):
        shape = np.maximum(hertz, 30) ** (-rng.uniform(0, 1.2))
        if rng.random() < 0.5:
            shape *= 1 / (1 + (hertz / rng.uniform(1000, 7000)) ** rng.uniform(2, 16))
        noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(n_samples)), n_samples)
        noise /= noise.std()
        time = samples_to_time(np.arange(n_samples))
        if rng.random() < 0.3:
            mains = float(rng.choice((50, 60)))
            noise += sum(rng.uniform(0, 1.5) / k * np.sin(2 * np.pi * mains * k * time) for k in range(1, 8))
        if rng.random() < 0.3:
            noise *= 1 + rng.uniform(0, 0.7) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * time)
        noises.append(noise * 0.1 / noise.std())
    values = log_mel(torch.from_numpy(np.stack(noises).astype(np.float32)), settings.n_mels)
    return values - values.exp().mean(dim=(1, 2), keepdim=True).log()
