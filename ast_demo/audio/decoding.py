"""Any recording to the one waveform that everything else starts from: mono float32 at 16 kHz.

It is decoded, mixed and resampled a piece at a time, so that memory holds little more than the result, however wide the
recording is. All channels are averaged, except where they cancel each other out. soxr resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr

from ast_demo.audio.decoders import Piece, decode
from ast_demo.audio.flaws import Sound, find_flaws
from ast_demo.audio.waveform import FRAME_LENGTH, SAMPLE_RATE, Waveform
from ast_demo.errors import AstDemoError, AudioError
from ast_demo.settings import Settings

_LOWEST_RATE, _HIGHEST_RATE = 4_000, 768_000  # Hz; beyond these a header is damaged rather than unusual
_LOUDEST = 4.0  # floats may overshoot full scale (an MP3 does); beyond this they are on another scale
_BLOCK = 1 << 18  # samples of an array that are mixed at a time
_AT_FULL_SCALE = 0.999  # 16-bit recordings clip at 32767 / 32768
# The power of the mean of channels, relative to that of channels that have nothing in common: below this they cancel.
_CANCELS = 0.1


def read_audio(source: str | Path | bytes, *, name: str | None = None, max_s: float = Settings.max_clip_s) -> Waveform:
    """Decode a recording, as far as it can be decoded.

    Args:
        source: Path of a file, or the bytes of one.
        name: What to call it in messages; the file's name by default.
        max_s: Longest recording that is accepted, in seconds.

    Raises:
        AudioError: No such file; not audio; empty; shorter than one frame (0.025 s); longer than `max_s`; nothing in it
            can be decoded; samples that are not numbers, or not on the scale from -1 to 1.
    """
    content, name = _load(source, name)
    if not content:
        raise AudioError(f"{name!r} is empty (0 bytes). Record again or choose another file.")
    return _assemble(lambda: _tell(decode(content), name), name, max_s)


def waveform_from_samples(
    samples: np.ndarray, rate: int, *, name: str = "recording", max_s: float = Settings.max_clip_s
) -> Waveform:
    """A waveform from decoded samples.

    Args:
        samples: (n,) or (n, channels): floats in [-1, 1], or integers, which are divided by their type's range.
        rate: Sampling rate in hertz.

    Raises:
        AudioError: As `read_audio`.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] == 0):
        raise AudioError(f"Expected samples of shape (n,) or (n, channels); {name!r} has shape {samples.shape}.")
    if samples.dtype.kind not in "iuf":
        raise AudioError(f"Expected samples that are integers or floats; {name!r} has {samples.dtype}.")
    columns = samples if samples.ndim == 2 else samples[:, None]
    return _assemble(lambda: _slice(columns, rate), name, max_s)


def _load(source: str | Path | bytes, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, name or "recording"
    path = Path(source)
    try:
        return path.read_bytes(), name or path.name
    except (FileNotFoundError, ValueError):  # the latter for what cannot be a path, such as a zero byte
        raise AudioError(f"There is no file {str(path)!r}. Check the path.") from None
    except OSError as error:
        raise AudioError(f"{str(path)!r} cannot be opened: {error.strerror or error}.") from None


def _tell(pieces: Iterator[Piece], name: str) -> Iterator[Piece]:
    """The pieces; whatever a decoder raises becomes a sentence about the recording."""
    try:
        yield from pieces
    except AstDemoError as error:
        raise AudioError(f"{name!r} {error}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise AudioError(f"{name!r} cannot be decoded ({reason}). Export it again, for example as WAV.") from error


def _slice(columns: np.ndarray, rate: int) -> Iterator[Piece]:
    """An array as pieces of floats; integers are divided by their type's range."""
    n_frames = max(1, _BLOCK // columns.shape[1])
    if not len(columns):
        return
    for start in range(0, len(columns), n_frames):
        block = columns[start : start + n_frames]
        if block.dtype.kind in "iu":
            limits = np.iinfo(block.dtype)
            middle = (int(limits.max) + int(limits.min) + 1) // 2  # 0, or 128 where 8-bit samples are unsigned
            block = (block.astype(np.float64) - middle) / (int(limits.max) + 1 - middle)
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and that is refused
            yield Piece(block.astype(np.float32), rate, len(columns) / rate if rate > 0 else None)


@dataclass
class _Tally:
    """What is counted while a recording goes by, at its own rate."""

    n: int = 0
    n_values: int = 0
    n_of_rate: dict[int, int] = field(default_factory=dict)
    not_numbers: int = 0
    beyond: int = 0
    at_full_scale: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    mixed_power: float = 0.0
    power: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of each channel
    rates: list[int] = field(default_factory=list)
    channels: int = 0
    header_rate: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(n / rate for rate, n in self.n_of_rate.items())

    @property
    def peak(self) -> float:
        return max(self.highest, -self.lowest, 0.0)

    @property
    def cancels(self) -> bool:
        """Whether the channels' mean is far quieter than it were if they had nothing in common."""
        expected = float(self.power.sum()) / max(1, len(self.power)) ** 2
        return len(self.power) > 1 and self.mixed_power < _CANCELS * expected


def _assemble(
    decoded: Callable[[], Iterator[Piece]], name: str, max_s: float, only_channel: int | None = None
) -> Waveform:
    """Mix, check and resample what is decoded; once more, with one channel alone, where the channels cancel."""
    tally, parts = _Tally(), []
    resampler: soxr.ResampleStream | None = None
    for piece in decoded():
        if piece.note and piece.note not in tally.notes:
            tally.notes.append(piece.note)
        if not len(piece.samples):
            continue
        if not tally.rates or tally.rates[-1] != piece.rate:
            _check_rate(piece.rate, name)
            parts += _rest(resampler)
            resampler = None if piece.rate == SAMPLE_RATE else _resampler(piece.rate)
            tally.rates.append(piece.rate)
        mono = _mix(piece, tally, only_channel)
        _check_longest(tally.seconds, piece.promised_s, name, max_s)
        # The low-pass filter of the resampler overshoots at steps: what leaves the range by that is cut back.
        parts.append(mono if resampler is None else resampler.resample_chunk(mono).clip(-1, 1))
    parts += _rest(resampler)
    _check(tally, name)
    if only_channel is None and tally.cancels:
        loudest = int(np.argmax(tally.power > 0.99 * tally.power.max()))  # the first of those that are as loud
        return _assemble(decoded, name, max_s, loudest)
    samples = np.concatenate(parts)
    if len(samples) < FRAME_LENGTH:
        raise AudioError(
            f"{name!r} is {len(samples) / SAMPLE_RATE:.3f} s long, but at least {FRAME_LENGTH / SAMPLE_RATE:.3f} s "
            "(one frame of the spectrogram) are needed. Record again, a little longer."
        )
    return _finish(samples, tally, name, only_channel)


def _finish(samples: np.ndarray, tally: _Tally, name: str, only_channel: int | None) -> Waveform:
    notes = list(tally.notes)
    if tally.beyond:
        notes.append(
            f"{tally.beyond / tally.n:.2%} of the samples were beyond full scale (up to {tally.peak:.2f}) "
            "and were limited to it."
        )
    if len(tally.rates) > 1:
        rates = " and ".join(f"{rate} Hz" for rate in sorted(set(tally.rates)))
        notes.append(f"The recording changes its sampling rate: parts of it are at {rates}.")
    sound = Sound(
        samples,
        max(tally.rates),
        tally.channels,
        (tally.lowest, tally.highest),
        tally.at_full_scale / tally.n_values,
        only_channel,
        tally.header_rate,
    )
    flaws = find_flaws(sound)
    return Waveform(
        np.ascontiguousarray(samples, dtype=np.float32),
        name,
        tally.rates[0],
        tally.channels,
        (*notes, *(flaw.sentence for flaw in flaws)),
        flaws=tuple(flaw.name for flaw in flaws),
    )


def _mix(piece: Piece, tally: _Tally, only_channel: int | None) -> np.ndarray:
    """(n,) the mean of a piece's channels, or one of them, within full scale; counted in the tally."""
    samples = piece.samples
    channels = samples.shape[1]
    # Infinite samples of both signs, or sums beyond what a float holds: what is not a number is refused later.
    with np.errstate(invalid="ignore", over="ignore"):
        if channels == 1 or only_channel is not None:
            mono = samples[:, min(only_channel or 0, channels - 1)].copy()
        else:
            mono = samples.mean(axis=1, dtype=np.float32)
            powers = np.einsum("ij,ij->j", samples, samples)
            tally.power = np.pad(tally.power, (0, max(0, channels - len(tally.power))))
            tally.power[:channels] += powers
            tally.mixed_power += float(mono @ mono)
    tally.at_full_scale += int(
        np.count_nonzero(samples >= _AT_FULL_SCALE) + np.count_nonzero(samples <= -_AT_FULL_SCALE)
    )
    tally.n += len(mono)
    tally.n_values += samples.size
    tally.n_of_rate[piece.rate] = tally.n_of_rate.get(piece.rate, 0) + len(mono)
    tally.channels = max(tally.channels, channels)
    tally.header_rate = tally.header_rate or piece.header_rate
    lowest, highest = float(mono.min()), float(mono.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        tally.not_numbers += len(mono) - int(np.isfinite(mono).sum())
        mono = np.nan_to_num(mono, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        lowest, highest = float(mono.min()), float(mono.max())
    tally.lowest, tally.highest = min(tally.lowest, lowest), max(tally.highest, highest)
    if max(highest, -lowest) > 1:
        tally.beyond += int(np.count_nonzero(np.abs(mono) > 1))
        mono = mono.clip(-1, 1)
    return mono


def _resampler(rate: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")


def _rest(resampler: soxr.ResampleStream | None) -> list[np.ndarray]:
    """What a resampler still holds back."""
    return [] if resampler is None else [resampler.resample_chunk(np.zeros(0, np.float32), last=True).clip(-1, 1)]


def _check(tally: _Tally, name: str) -> None:
    """Refuse a recording whose samples make no sense."""
    if not tally.n:
        raise AudioError(f"{name!r} holds no sound at all (0 samples). Record again or choose another file.")
    if tally.not_numbers:
        how_many = "only" if tally.not_numbers == tally.n else f"{tally.not_numbers} of {tally.n}"
        raise AudioError(f"{name!r} holds {how_many} samples that are not numbers (NaN or infinite). Export it again.")
    if tally.peak > _LOUDEST:
        raise AudioError(
            f"{name!r} has samples up to {tally.peak:.0f}, but samples must lie between -1 and 1. "
            "If they are 16-bit integers saved as floats, divide them by 32768."
        )


def _check_rate(rate: int, name: str) -> None:
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(
            f"{name!r} says that it was sampled at {rate} Hz. Expected {_LOWEST_RATE} to {_HIGHEST_RATE} Hz: "
            "the file is probably damaged."
        )


def _check_longest(seconds: float, promised_s: float | None, name: str, max_s: float) -> None:
    """Refuse a recording when more than the limit was decoded; its header may know how long it is."""
    if seconds > max_s:
        how_long = f"{promised_s:.1f} s" if promised_s and promised_s > max_s else f"more than {max_s:g} s"
        raise AudioError(
            f"{name!r} is {how_long} long, but at most {max_s:g} s are accepted here. Cut out the part of interest."
        )
