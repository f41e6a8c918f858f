"""Labelled clips to the batches that a spectrogram model is trained on.

Clips are decoded, varied as sound (`vary_sound`, audiomentations) and turned into log-mel by the same `log_mel` that
the pictures and the scores use, once. Every batch then draws from that bank and varies what it draws in the
spectrogram, which is cheap: gain, tilt, frequency warp, time stretch, where the sound lies in the clip, a noise
floor, digital silence, padding, mixup, masks. Batch number i is a function of the seed and i alone, so that a run
that was killed goes on with the batches that it would have seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, Waveform
from ast_demo.patches import PatchGrid
from ast_demo.spectrogram import InputSettings, log_mel

FLOOR = math.log(1.192092955078125e-07)  # log-mel of digital silence
_DECIBEL = math.log(10) / 10  # natural logarithm of power, for one decibel
_N_NOISES = 64


@dataclass(frozen=True)
class Augmentation:
    """How much a training clip is varied. All zero: not at all.

    Attributes:
        copies: Versions of each clip that are varied as sound, before the spectrogram, beside the clip itself.
        speed: Copies are resampled by a factor within ± this share: pitch, timbre and duration together.
        pitch: Copies are shifted by at most this many semitones, with probability 0.5.
        stretch: Copies are stretched in time by at most this share, with probability 0.5.
        sound_noise: Probability that Gaussian noise is added to a copy, at 5 to 40 dB below it.
        transition: Probability that a copy is faded from one gain to another.
        clipping: Probability that a copy is driven into clipping.
        gain_db: Gain of each draw, from minus this to plus a fifth of it, in decibels.
        tilt_db: Largest rise or fall from the middle of the mel scale to its ends, in decibels.
        warp: Frequency axis scaled by at most this share.
        time_warp: Time axis scaled by at most this share.
        placement: Probability that a clip shorter than the input is moved to a random place of a longer clip.
        noise: Probability of a noise floor, 5 to 45 dB below the sound.
        crop: Probability that a clip is shortened to a random part of at least a fifth of the input.
        mixup: Probability that two clips are mixed, with their labels (Zhang et al. 2018).
        mixup_alpha: Both parameters of the beta distribution that the shares are drawn from.
        mask_bins, mask_frames: Widest band and longest time that are masked (SpecAugment, Park et al. 2019).
    """

    copies: int = 0
    speed: float = 0.0
    pitch: float = 0.0
    stretch: float = 0.0
    sound_noise: float = 0.0
    transition: float = 0.0
    clipping: float = 0.0
    gain_db: float = 0.0
    tilt_db: float = 0.0
    warp: float = 0.0
    time_warp: float = 0.0
    placement: float = 0.0
    noise: float = 0.0
    crop: float = 0.0
    mixup: float = 0.0
    mixup_alpha: float = 0.3
    mask_bins: int = 0
    mask_frames: int = 0


@dataclass(frozen=True)
class Stage:
    """A part of a training run.

    Attributes:
        steps: Batches.
        batch_size: Clips in each.
        time_columns: How many of the time columns of the patch grid the model is shown of each clip; None: all.
            The tokens of the others are left out, as in PaSST's patchout (Koutini et al. 2022): the cost falls with
            the number of tokens, and each token keeps its position in the full input.
    """

    steps: int
    batch_size: int
    time_columns: int | None = None


@dataclass(frozen=True)
class TrainingClip:
    """What training knows of one clip: log-mel of each version, (frames, n_mels) float16; target (n_labels,)."""

    versions: tuple[np.ndarray, ...]
    target: np.ndarray
    extra: bool = False


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


def make_versions(
    waveform: Waveform, settings: InputSettings, how: Augmentation, seed: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Log-mel of a clip and of its varied copies, (frames, n_mels) float16 each.

    Each is cut to twice the model's input, to bound the memory.
    """
    longest = 2 * settings.n_frames * HOP_LENGTH + FRAME_LENGTH
    rng = np.random.default_rng(seed)
    sounds = [waveform.samples[:longest]]
    sounds += [vary_sound(sounds[0], how, rng) for _ in range(how.copies)]
    return tuple(log_mel(torch.from_numpy(s)[None], settings.n_mels)[0].numpy().astype(np.float16) for s in sounds)


def save_bank(folder: Path, key: str, versions: Sequence[Sequence[np.ndarray]]) -> None:
    """Keep the log-mel of all clips on the disk, for when a run goes on.

    Args:
        key: Says what they were computed from and how.
        versions: For each clip its versions, (frames, n_mels) float16; none for a clip that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "values.npy", np.concatenate([version for clip in versions for version in clip]))
    index = {"key": key, "frames": [[len(version) for version in clip] for clip in versions]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")  # last: it makes the bank complete


def load_bank(folder: Path, key: str) -> list[tuple[np.ndarray, ...]] | None:
    """What `save_bank` kept under this key, mapped into memory as it is needed; None if there is no such thing."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        values = np.load(folder / "values.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None
    if index.get("key") != key or sum(map(sum, index["frames"])) != len(values):
        return None
    ends = iter(np.cumsum([n for clip in index["frames"] for n in clip]).tolist())
    return [tuple(values[(end := next(ends)) - n : end] for n in clip) for clip in index["frames"]]


def measure_statistics(clips: Sequence[TrainingClip]) -> tuple[float, float]:
    """Mean and standard deviation of the log-mel of the clips as recorded, extra clips and copies left out."""
    count, total, squares = 0, 0.0, 0.0
    for clip in clips:
        if not clip.extra:
            values = clip.versions[0].astype(np.float64)
            count, total, squares = count + values.size, total + values.sum(), squares + (values**2).sum()
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 1e-12))


class DrawingOrder:
    """Which clip is drawn when: a function of the seed and the number of the batch alone.

    Args:
        targets: (n_clips, n_labels), above 0 where a label holds.
        extra: (n_clips,), whether a clip is an extra one.
        stages: Parts of the run.
        balanced: Draw labels by their weight; otherwise each clip comes once in an epoch.
        label_power: Where balanced, a label's weight is the number of its clips, extra ones aside, to this power:
            0 draws each label equally often, 1 each clip.
        extra_share: Where balanced, the share of a label's draws that are extra clips, if it has both.
        seed: Of all draws.
    """

    def __init__(
        self,
        targets: np.ndarray,
        extra: np.ndarray,
        stages: Sequence[Stage],
        *,
        balanced: bool,
        label_power: float,
        extra_share: float,
        seed: int,
    ) -> None:
        self._n_clips, self._stages, self._seed = len(targets), list(stages), seed
        self._balanced, self._extra_share = balanced, extra_share
        self._ends = np.cumsum([stage.steps for stage in stages])
        self._starts = np.cumsum([0] + [stage.steps * stage.batch_size for stage in stages])
        pools = [(np.flatnonzero(on & ~extra), np.flatnonzero(on & extra)) for on in (targets > 0).T]
        self._pools = [(own, others) for own, others in pools if len(own) or len(others)]
        weights = np.array([max(len(own), 1) ** label_power for own, _ in self._pools])
        self._until = np.cumsum(weights) / weights.sum()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def begin(self, index: int) -> tuple[Stage, list[int], np.random.Generator]:
        """Stage and clips of batch number `index`, and the generator for whatever else is drawn for it."""
        which = int(np.searchsorted(self._ends, index, side="right"))
        stage = self._stages[which]
        into_stage = index - (int(self._ends[which - 1]) if which else 0)
        first = int(self._starts[which]) + into_stage * stage.batch_size
        rng = np.random.default_rng((self._seed, 2, index))
        return stage, [self._draw(first + i, rng) for i in range(stage.batch_size)], rng

    def draw_partner(self, rng: np.random.Generator) -> int:
        """Any clip, to mix with."""
        own, extra = self._pools[min(int(np.searchsorted(self._until, rng.random())), len(self._pools) - 1)]
        pool = extra if len(extra) and (not len(own) or rng.random() < self._extra_share) else own
        return int(pool[rng.integers(len(pool))])

    def _draw(self, position: int, rng: np.random.Generator) -> int:
        if self._balanced:
            return self.draw_partner(rng)
        epoch, place = divmod(position, self._n_clips)
        return int(np.random.default_rng((self._seed, 3, epoch)).permutation(self._n_clips)[place])


class SpectrogramBatches(Dataset):
    """The batches of a run, in order: item i is a dict of `input_values`, `labels` and, perhaps, `columns`.

    `input_values` is (batch, n_frames, n_mels), normalised; `labels` (batch, n_labels) float, mixed where clips
    are; `columns` (batch, time_columns) int64, the columns of the patch grid that are shown.
    """

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        order: DrawingOrder,
        settings: InputSettings,
        grid: PatchGrid,
        how: Augmentation,
        seed: int,
    ) -> None:
        self._clips, self._order, self._settings, self._grid, self._how = list(clips), order, settings, grid, how
        self._noises = make_noises(settings, np.random.default_rng((seed, 1))) if how.noise else None

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        stage, drawn, rng = self._order.begin(index)
        events, labels = zip(*(self._mix(self._clips[i], rng) for i in drawn), strict=True)
        placed = [_place(event, self._settings.n_frames, self._how, rng) for event in events]
        batch = {"input_values": self._finish(placed, rng), "labels": torch.from_numpy(np.stack(labels))}
        if stage.time_columns and stage.time_columns < self._grid.n_time:
            columns = [choose_columns(p, self._grid, stage.time_columns, rng) for p in placed]
            batch["columns"] = torch.from_numpy(np.stack(columns))
        return batch

    def _mix(self, clip: TrainingClip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """An event's log-mel and its target, perhaps mixed with another clip of about the same length."""
        event, target = self._event(clip, rng), clip.target
        if rng.random() >= self._how.mixup:
            return event, target.astype(np.float32)
        for _ in range(8):  # a word mixed with five seconds of rain is rain: look for a partner that can be heard
            partner = self._clips[self._order.draw_partner(rng)]
            if 0.4 < len(partner.versions[0]) / len(event) < 2.5:
                break
        other = self._event(partner, rng)
        share = _draw_share(self._how, rng)
        n_frames = max(len(event), len(other))
        event, other = (np.pad(x, ((0, n_frames - len(x)), (0, 0)), constant_values=FLOOR) for x in (event, other))
        mixed = np.logaddexp(event + 2 * math.log(share), other + 2 * math.log(max(1 - share, 1e-4)))
        return np.maximum(mixed, FLOOR), (share * target + (1 - share) * partner.target).astype(np.float32)

    def _event(self, clip: TrainingClip, rng: np.random.Generator) -> np.ndarray:
        values = clip.versions[rng.integers(len(clip.versions))].astype(np.float32)
        return _vary(values, self._how, rng)

    def _finish(self, placed: list[_Placed], rng: np.random.Generator) -> Tensor:
        """Noise, masks, padding, normalisation: for the whole batch at once."""
        how, settings = self._how, self._settings
        values = torch.from_numpy(np.stack([p.values for p in placed]))
        if self._noises is not None:
            noisy = np.flatnonzero(rng.random(len(placed)) < how.noise)
            if len(noisy):
                noises = torch.stack([self._noise(self._noises, placed[i].level, rng) for i in noisy])
                values[noisy] = torch.logaddexp(values[noisy], noises)
        for i, p in enumerate(placed):
            low, high = _mask_band(settings.n_mels, how.mask_bins, rng)
            values[i, :, low:high] = settings.mean
            low, high = _mask_band(p.stop - p.start, min(how.mask_frames, (p.stop - p.start) // 5), rng)
            values[i, p.start + low : p.start + high] = settings.mean
        clip_frames = torch.tensor([p.clip_frames for p in placed])
        values[torch.arange(settings.n_frames) >= clip_frames[:, None]] = 0.0  # padded before it is normalised
        return values.sub_(settings.mean).div_(2 * settings.std)

    @staticmethod
    def _noise(noises: Tensor, level: float, rng: np.random.Generator) -> Tensor:
        noise = noises[rng.integers(len(noises))]
        noise = torch.roll(noise, int(rng.integers(len(noise))), dims=0)
        return noise + (level - _DECIBEL * rng.uniform(5, 45))


class WaveformBatches(Dataset):
    """As `SpectrogramBatches`, for models that have a feature extractor of their own: sounds go through it.

    Args:
        sounds: Mono samples at 16 kHz of each clip.
        targets: (n_clips, n_labels).
        order: Which clip comes when.
        extract: From a list of sounds to the model's inputs.
        how: Copies are varied at each draw; what is done to spectrograms does not apply here.
        max_samples: Longest sound; a longer one is cut at a random place.
    """

    def __init__(
        self,
        sounds: Sequence[np.ndarray],
        targets: np.ndarray,
        order: DrawingOrder,
        extract: Callable[[list[np.ndarray]], dict[str, Tensor]],
        how: Augmentation,
        max_samples: int,
    ) -> None:
        self._sounds, self._targets, self._order = list(sounds), targets, order
        self._extract, self._how, self._max_samples = extract, how, max_samples

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        _, drawn, rng = self._order.begin(index)
        sounds, targets = [], []
        for i in drawn:
            sound, target = self._vary(self._sounds[i], rng), self._targets[i]
            if rng.random() < self._how.mixup:
                partner = self._order.draw_partner(rng)
                share = _draw_share(self._how, rng)
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


def _draw_share(how: Augmentation, rng: np.random.Generator) -> float:
    """The larger share of a mixture."""
    share = float(rng.beta(how.mixup_alpha, how.mixup_alpha))
    return max(share, 1 - share)


@dataclass(frozen=True)
class _Placed:
    """An event in a clip: log-mel (n_frames, n_mels), where the event lies, how much is clip, how loud the event is."""

    values: np.ndarray
    start: int
    stop: int
    clip_frames: int
    level: float


def _vary(values: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Warp both axes of a log-mel, tilt it, change its gain. Digital silence stays digital silence."""
    if how.time_warp:
        n_frames = max(8, round(len(values) * math.exp(rng.uniform(-1, 1) * math.log1p(how.time_warp))))
        position = np.linspace(0, len(values) - 1, n_frames)
        below = position.astype(np.int64)
        above = np.minimum(below + 1, len(values) - 1)
        share = (position - below).astype(np.float32)[:, None]
        values = values[below] * (1 - share) + values[above] * share
    if how.warp:
        values = values @ _warp_matrix(values.shape[1], math.exp(rng.uniform(-1, 1) * math.log1p(how.warp)))
    change = rng.uniform(-how.gain_db, how.gain_db / 5) * _DECIBEL if how.gain_db else 0.0
    n_mels = values.shape[1]
    tilt = np.linspace(-1, 1, n_mels, dtype=np.float32) * (rng.uniform(-how.tilt_db, how.tilt_db) * _DECIBEL)
    changed = np.maximum(values + np.float32(change) + tilt, FLOOR)
    return np.where(values <= FLOOR + 0.1, np.float32(FLOOR), changed).astype(np.float32)


def _warp_matrix(n_mels: int, factor: float) -> np.ndarray:
    """(n_mels, n_mels): columns interpolate between the bins of a spectrum whose frequencies are scaled by `factor`."""
    corners = np.linspace(1127 * math.log1p(20 / 700), 1127 * math.log1p(SAMPLE_RATE / 2 / 700), n_mels + 2)
    centre, width = corners[1:-1], corners[1] - corners[0]
    source_hz = 700 * np.expm1(centre / 1127) / factor
    position = np.clip((1127 * np.log1p(source_hz / 700) - centre[0]) / width, 0, n_mels - 1)
    distance = np.abs(np.arange(n_mels)[:, None] - position[None, :])
    return np.maximum(0, 1 - distance).astype(np.float32)


def _place(event: np.ndarray, n_frames: int, how: Augmentation, rng: np.random.Generator) -> _Placed:
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
    return _Placed(values, start, start + len(event), clip_frames, level)


def choose_columns(placed: _Placed, grid: PatchGrid, n_columns: int, rng: np.random.Generator) -> np.ndarray:
    """Columns of the patch grid to show: most of them around the event, the others from anywhere; (n_columns,)."""
    first = placed.start // grid.time_stride
    last = min(grid.n_time, -(-placed.stop // grid.time_stride))
    if last - first <= n_columns:
        shown = np.arange(first, last)
    else:  # a window of a long event, where it is loud
        loudness = placed.values[placed.start : placed.stop].mean(axis=1)
        centres = np.flatnonzero(loudness >= np.quantile(loudness, 0.6 if rng.random() < 0.7 else 0.0))
        centre = (placed.start + int(rng.choice(centres))) // grid.time_stride
        width = n_columns if rng.random() < 0.5 else n_columns // 2
        low = int(np.clip(centre - rng.integers(width), first, last - width))
        shown = np.arange(low, low + width)
    others = np.setdiff1d(np.arange(grid.n_time), shown)
    return np.sort(np.concatenate((shown, rng.choice(others, n_columns - len(shown), replace=False))))


def _mask_band(length: int, widest: int, rng: np.random.Generator) -> tuple[int, int]:
    width = int(rng.integers(max(0, widest) + 1))
    low = int(rng.integers(length - width + 1))
    return low, low + width


def make_noises(settings: InputSettings, rng: np.random.Generator) -> Tensor:
    """Log-mel of noise floors, (64, n_frames, n_mels), mean power 1: white to brown, some low-passed, some with hum."""
    n_samples = (settings.n_frames - 1) * HOP_LENGTH + FRAME_LENGTH
    hertz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    noises = []
    for _ in range(_N_NOISES):
        shape = np.maximum(hertz, 30) ** (-rng.uniform(0, 1.2))
        if rng.random() < 0.5:
            shape *= 1 / (1 + (hertz / rng.uniform(1000, 7000)) ** rng.uniform(2, 16))
        noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(n_samples)), n_samples)
        noise /= noise.std()
        time = np.arange(n_samples) / SAMPLE_RATE
        if rng.random() < 0.3:
            mains = float(rng.choice((50, 60)))
            noise += sum(rng.uniform(0, 1.5) / k * np.sin(2 * np.pi * mains * k * time) for k in range(1, 8))
        if rng.random() < 0.3:
            noise *= 1 + rng.uniform(0, 0.7) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * time)
        noises.append(noise * 0.1 / noise.std())
    values = log_mel(torch.from_numpy(np.stack(noises).astype(np.float32)), settings.n_mels)
    return values - values.exp().mean(dim=(1, 2), keepdim=True).log()
