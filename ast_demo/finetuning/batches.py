"""Labelled clips to the batches that a spectrogram model is trained on.

Clips are decoded, varied as sound (`vary_sound`, audiomentations) and turned into log-mel by the same `log_mel` that
the pictures and the scores use, once. Every batch then draws from these and varies what it draws in the
spectrogram, which is cheap: gain, tilt, frequency warp, time stretch, where the sound lies in the clip, a noise
floor, digital silence, padding, mixup, masks. Batch number i is a function of the seed and i alone, so that a run
that was killed goes on with the batches that it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ast_demo.features import InputSettings
from ast_demo.finetuning.augmentation import (
    DECIBEL,
    FLOOR,
    Placed,
    draw_mask,
    draw_share,
    make_noises,
    place_event,
    vary_sound,
    vary_spectrogram,
)
from ast_demo.finetuning.clip_versions import TrainingClip
from ast_demo.finetuning.options import Augmentation
from ast_demo.finetuning.sampler import ClipSampler

Batch = dict[str, Tensor]


class SpectrogramBatches(Dataset):
    """The batches of a run, in order: item i is a dict of `input_values` and `labels`.

    `input_values` is (batch, n_frames, n_mels), normalised; `labels` (batch, n_labels) float, mixed where clips are.
    """

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        sampler: ClipSampler,
        settings: InputSettings,
        how: Augmentation,
        seed: int,
    ) -> None:
        self._clips, self._sampler, self._settings, self._how = list(clips), sampler, settings, how
        self._noises = make_noises(settings, np.random.default_rng((seed, 1))) if how.noise else None

    def __len__(self) -> int:
        return len(self._sampler)

    def __getitem__(self, index: int) -> Batch:
        return self.draw(index)[0]

    def draw(self, index: int) -> tuple[Batch, list[Placed], np.random.Generator]:
        """A batch, where the events lie in its clips, and the generator for whatever else is drawn for it."""
        drawn, rng = self._sampler.draw(index)
        events, labels = zip(*(self._mix(self._clips[i], rng) for i in drawn), strict=True)
        placed = [place_event(event, self._settings.n_frames, self._how, rng) for event in events]
        batch = {"input_values": self._finish(placed, rng), "labels": torch.from_numpy(np.stack(labels))}
        return batch, placed, rng

    def _mix(self, clip: TrainingClip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """An event's log-mel and its target, perhaps mixed with another clip of about the same length."""
        event, target = self._event(clip, rng), clip.target
        if rng.random() >= self._how.mixup:
            return event, target.astype(np.float32)
        for _ in range(8):  # a word mixed with five seconds of rain is rain: look for a partner that can be heard
            partner = self._clips[self._sampler.draw_partner(rng)]
            if 0.4 < len(partner.versions[0]) / len(event) < 2.5:
                break
        other = self._event(partner, rng)
        share = draw_share(self._how, rng)
        n_frames = max(len(event), len(other))
        event, other = (np.pad(x, ((0, n_frames - len(x)), (0, 0)), constant_values=FLOOR) for x in (event, other))
        mixed = np.logaddexp(event + 2 * math.log(share), other + 2 * math.log(max(1 - share, 1e-4)))
        return np.maximum(mixed, FLOOR), (share * target + (1 - share) * partner.target).astype(np.float32)

    def _event(self, clip: TrainingClip, rng: np.random.Generator) -> np.ndarray:
        values = clip.versions[rng.integers(len(clip.versions))].astype(np.float32)
        return vary_spectrogram(values, self._how, rng)

    def _finish(self, placed: list[Placed], rng: np.random.Generator) -> Tensor:
        """Noise, masks, padding, normalisation: for the whole batch at once."""
        how, settings = self._how, self._settings
        values = torch.from_numpy(np.stack([p.values for p in placed]))
        if self._noises is not None:
            noisy = np.flatnonzero(rng.random(len(placed)) < how.noise)
            if len(noisy):
                noises = torch.stack([self._noise(self._noises, placed[i].level, rng) for i in noisy])
                values[noisy] = torch.logaddexp(values[noisy], noises)
        for i, p in enumerate(placed):
            low, high = draw_mask(settings.n_mels, how.mask_bins, rng)
            values[i, :, low:high] = settings.mean
            low, high = draw_mask(p.stop - p.start, min(how.mask_frames, (p.stop - p.start) // 5), rng)
            values[i, p.start + low : p.start + high] = settings.mean
        clip_frames = torch.tensor([p.clip_frames for p in placed])
        values[torch.arange(settings.n_frames) >= clip_frames[:, None]] = 0.0  # padded before it is normalised
        return settings.normalise(values)

    @staticmethod
    def _noise(noises: Tensor, level: float, rng: np.random.Generator) -> Tensor:
        noise = noises[rng.integers(len(noises))]
        noise = torch.roll(noise, int(rng.integers(len(noise))), dims=0)
        return noise + (level - DECIBEL * rng.uniform(5, 45))


class WaveformBatches(Dataset):
    """As `SpectrogramBatches`, for models that have a feature extractor of their own: sounds go through it.

    Args:
        sounds: Mono samples at 16 kHz of each clip.
        targets: (n_clips, n_labels).
        sampler: Which clip comes when.
        extract: From a list of sounds to the model's inputs.
        how: Copies are varied at each draw; what is done to spectrograms does not apply here.
        max_samples: Longest sound; a longer one is cut at a random place.
    """

    def __init__(
        self,
        sounds: Sequence[np.ndarray],
        targets: np.ndarray,
        sampler: ClipSampler,
        extract: Callable[[list[np.ndarray]], dict[str, Tensor]],
        how: Augmentation,
        max_samples: int,
    ) -> None:
        self._sounds, self._targets, self._sampler = list(sounds), targets, sampler
        self._extract, self._how, self._max_samples = extract, how, max_samples

    def __len__(self) -> int:
        return len(self._sampler)

    def __getitem__(self, index: int) -> Batch:
        drawn, rng = self._sampler.draw(index)
        sounds, targets = [], []
        for i in drawn:
            sound, target = self._vary(self._sounds[i], rng), self._targets[i]
            if rng.random() < self._how.mixup:
                partner = self._sampler.draw_partner(rng)
                share = draw_share(self._how, rng)
                other = np.resize(self._vary(self._sounds[partner], rng), len(sound))
                sound = share * sound + (1 - share) * other
                target = share * target + (1 - share) * self._targets[partner]
            sounds.append(sound.astype(np.float32))
            targets.append(target.astype(np.float32))
        return {**self._extract(sounds), "labels": torch.from_numpy(np.stack(targets))}

    def _vary(self, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self._how.copies and rng.integers(self._how.copies + 1):
            sound = vary_sound(sound, self._how, rng)
        if len(sound) > self._max_samples:
            first = int(rng.integers(len(sound) - self._max_samples + 1))
            sound = sound[first : first + self._max_samples]
        if self._how.gain_db:
            sound = sound * 10 ** (rng.uniform(-self._how.gain_db, self._how.gain_db / 5) / 20)
        return np.clip(sound, -1, 1)
