"""What speaks against a recording before any model hears it: nothing to hear, or not what it seems to be.

Of silence, too, a model says what it is, and with confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.audio.waveform import SAMPLE_RATE

_ALMOST_SILENT = 0.001  # -60 dB of full scale
_CLIPPED_THROUGHOUT = 0.3  # share of the samples at full scale; of a sine that is amplified twentyfold, 97 % are
_SHORT_S = 0.15
_NARROW_HZ = 4_000  # what a telephone lets through, and every recording at 8 kHz
_EDGE_DB = 25.0  # by which the spectrum falls at that edge
_N_FFT, _MOST_WINDOWS = 512, 64  # samples, and windows that are looked at: spread over the recording


@dataclass(frozen=True)
class Sound:
    """What was decoded.

    Attributes:
        samples: (n,) float32, mono, 16 kHz.
        rate: The recording's own sampling rate, in hertz; the highest where it changes.
        channels: Channels of the recording.
        range: Lowest and highest sample, before resampling.
        clipped_share: Share of the samples at full scale, before mixing.
        only_channel: The channel, from 0, that stands for all because they cancel each other out.
        header_rate: What an Opus header calls the rate of the original.
    """

    samples: np.ndarray
    rate: int
    channels: int
    range: tuple[float, float]
    clipped_share: float
    only_channel: int | None = None
    header_rate: int | None = None


@dataclass(frozen=True)
class Flaw:
    """Its name, to filter by, and a sentence for people."""

    name: str
    sentence: str


def find_flaws(sound: Sound) -> tuple[Flaw, ...]:
    """Everything that speaks against a recording, what matters most first."""
    quiet = _find_quiet(sound)
    found = [quiet] if quiet else []
    if sound.only_channel is not None:
        found.append(
            Flaw(
                "channels cancel",
                f"The {sound.channels} channels of the recording cancel each other out: channel {sound.only_channel + 1} "
                "alone was heard.",
            )
        )
    if quiet is None:
        found += _find_distorted(sound)
    duration_s = len(sound.samples) / SAMPLE_RATE
    if duration_s < _SHORT_S:
        found.append(Flaw("very short", f"The recording is only {duration_s:.2f} s long."))
    return tuple(found)


def _find_quiet(sound: Sound) -> Flaw | None:
    """Whether there is nothing, or next to nothing, to hear."""
    lowest, highest = sound.range
    if lowest == highest == 0:
        return Flaw("silent", "The recording is silent: every sample is 0. Whatever the scores say, nothing is heard.")
    middle = (lowest + highest) / 2
    if highest - lowest < 2 * _ALMOST_SILENT and abs(middle) > _ALMOST_SILENT:
        return Flaw(
            "constant",
            f"The recording is a straight line at {middle:.3f}, as of a microphone that is not connected. "
            "Whatever the scores say, nothing is heard.",
        )
    peak = float(np.abs(sound.samples).max())
    if peak < _ALMOST_SILENT:
        level = f"{20 * np.log10(peak):.0f} dB of full scale" if peak > 0 else "0"
        return Flaw(
            "almost silent",
            f"The recording is almost silent (peak {level}). The scores say little about so quiet a sound.",
        )
    return None


def _find_distorted(sound: Sound) -> list[Flaw]:
    found = []
    if sound.clipped_share >= _CLIPPED_THROUGHOUT:
        found.append(
            Flaw(
                "clipped throughout",
                f"{sound.clipped_share:.0%} of the samples are at full scale: the recording was far too loud, and is distorted.",
            )
        )
    narrow = is_narrow(sound.samples)
    if narrow and (sound.header_rate or sound.rate) > 2 * _NARROW_HZ:
        found.append(
            Flaw(
                "nothing above 4 kHz",
                f"There is nothing above 4 kHz, as if 8 kHz sound had been stored at {sound.rate} Hz: the upper part of the "
                "spectrogram is empty.",
            )
        )
    if sound.header_rate and sound.header_rate <= 2 * _NARROW_HZ and not narrow:
        found.append(
            Flaw(
                "header lies",
                f"The header calls this a recording at {sound.header_rate} Hz, but it holds sound above "
                f"{sound.header_rate / 2000:g} kHz: all of it was read.",
            )
        )
    return found


def is_narrow(samples: np.ndarray) -> bool:
    """Whether sound at 16 kHz ends at 4 kHz: its spectrum falls there as no sound in nature does, and nothing of what
    is above moves with what is below."""
    n_windows = min(_MOST_WINDOWS, max(1, len(samples) // _N_FFT))
    if len(samples) < _N_FFT:
        return False
    starts = np.linspace(0, len(samples) - _N_FFT, n_windows).astype(int)
    windows = samples[starts[:, None] + np.arange(_N_FFT)] * np.hanning(_N_FFT).astype(np.float32)
    power = (np.abs(np.fft.rfft(windows)) ** 2).mean(axis=0)
    hz = np.fft.rfftfreq(_N_FFT, 1 / SAMPLE_RATE)

    def level(low: float, high: float) -> float:
        return float(np.median(power[(hz >= low) & (hz < high)]))

    below, above = level(2_500, 3_400), power[(hz >= 4_800) & (hz < 7_900)].max()
    return bool(below > 10 ** (_EDGE_DB / 10) * max(above, 1e-20))
