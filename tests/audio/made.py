"""Recordings of every kind, made by ffmpeg and sox, and what both of them hear in these."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

SECONDS = 2.0
RATE = 16_000  # to compare at


def has_programs() -> bool:
    return all(map(shutil.which, ("ffmpeg", "sox")))


def source(rate: int = 44_100, channels: int = 1, seconds: float = SECONDS) -> np.ndarray:
    """(n, channels) noise, most of it between 200 Hz and 2 kHz, whose loudness changes as that of speech does: it correlates with
    itself at one lag alone, and every codec keeps it. The channels differ, and add up."""
    n = round(seconds * rate)
    random = np.random.default_rng(7)
    spectrum = np.fft.rfft(random.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / rate)
    # A steep edge only at the bottom: codecs may do with the top as they like.
    spectrum *= (hz > 200) * (hz < 7500) / (1 + (hz / 700) ** 2)
    sound = np.fft.irfft(spectrum, n)
    time = np.arange(n) / rate
    sound *= 0.6 + 0.4 * np.sin(2 * np.pi * 2.5 * time)
    sound *= 0.3 / np.abs(sound).max()
    loudness = np.array((1.0, 0.5, 0.8, 0.0, 0.6, 0.7))[:channels]
    return sound[:, None] * loudness


@dataclass(frozen=True)
class Recipe:
    """How a recording is made.

    Attributes:
        name: Of the file, its suffix included.
        arguments: What ffmpeg or sox gets between the input and the output.
        rate, channels: Of the sound that it gets.
        program: What makes it.
        inputs: Of ffmpeg, in front of the sound: pictures.
    """

    name: str
    arguments: str = ""
    rate: int = 44_100
    channels: int = 1
    program: str = "ffmpeg"
    inputs: str = ""


def _each(suffix: str, arguments: str, rates: tuple[int, ...], channels: tuple[int, ...] = ()) -> list[Recipe]:
    """One for each rate, with two channels and one in turn, or with each number of channels that is asked for."""
    kind = "-".join(arguments.replace("-c:a", "").split()) or "plain"
    return [
        Recipe(f"{kind}-{rate}-{n}.{suffix}".replace("/", ""), arguments, rate, n)
        for place, rate in enumerate(rates)
        for n in channels or (2 - place % 2,)
    ]


_PICTURES = "-f lavfi -i testsrc=size=64x48:rate=10:duration={seconds}"

RECIPES: tuple[Recipe, ...] = (
    # Plain samples.
    *(r for codec in ("pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw")
      for r in _each("wav", f"-c:a {codec}", (16_000, 44_100))),
    *_each("wav", "-c:a pcm_s16le", (8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000), (1, 2)),
    *(r for codec in ("adpcm_ima_wav", "adpcm_ms") for r in _each("wav", f"-c:a {codec}", (16_000, 44_100))),
    *_each("wav", "-c:a pcm_s16le -rf64 always", (44_100,)),
    *_each("wav", "-c:a libmp3lame", (44_100,)),
    *(r for codec in ("pcm_s16be", "pcm_s24be", "pcm_f32be", "pcm_mulaw") for r in _each("aiff", f"-c:a {codec}", (44_100,))),
    *(r for codec in ("pcm_s16be", "pcm_f32be", "pcm_mulaw") for r in _each("au", f"-c:a {codec}", (22_050,))),
    *(r for codec in ("pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_f32be", "alac") for r in _each("caf", f"-c:a {codec}", (44_100,))),
    *(r for codec in ("pcm_s16le", "pcm_f32le") for r in _each("w64", f"-c:a {codec}", (44_100,))),
    # Packets.
    *_each("flac", "-c:a flac", (8_000, 16_000, 44_100, 96_000), (1, 2, 6)),
    *_each("flac", "-c:a flac -sample_fmt s32", (48_000,)),
    *_each("oga", "-c:a flac -f ogg", (44_100,)),
    *_each("mp3", "-c:a libmp3lame -b:a 96k", (16_000, 22_050, 44_100, 48_000)),
    *_each("mp3", "-c:a libmp3lame -b:a 16k", (8_000,), (1,)),
    *_each("mp3", "-c:a libmp3lame -q:a 4", (44_100,)),
    *_each("mp3", "-c:a libmp3lame -q:a 4 -write_xing 0", (44_100,)),
    *_each("mp3", "-c:a libmp3lame -b:a 64k -write_xing 0 -id3v2_version 0", (16_000, 44_100)),
    *_each("mp3", "-c:a libmp3lame -b:a 64k -write_id3v1 1 -metadata title=Grüße", (44_100,)),
    *_each("mp2", "-c:a mp2", (16_000, 44_100)),
    *_each("ogg", "-c:a libvorbis -q:a 6", (8_000, 16_000, 22_050, 44_100, 48_000)),
    *_each("opus", "-c:a libopus -b:a 96k", (8_000, 16_000, 48_000)),
    *_each("webm", "-c:a libopus -b:a 96k", (48_000,)),
    *_each("webm", "-c:a libvorbis -q:a 6", (44_100,)),
    *_each("webm", "-c:a libopus -b:a 96k -live 1", (48_000,)),
    *_each("aac", "-c:a aac -b:a 128k", (16_000, 44_100, 48_000)),
    *_each("m4a", "-c:a aac -b:a 128k", (16_000, 22_050, 44_100, 48_000)),
    *_each("m4a", "-c:a alac", (44_100,)),
    *_each("mp4", "-c:a aac -b:a 128k -movflags +faststart", (44_100,)),
    *_each("mp4", "-c:a aac -b:a 128k -movflags +frag_keyframe+empty_moov", (44_100,)),
    *_each("mp4", "-c:a libmp3lame", (44_100,)),
    *_each("mp4", "-c:a libopus -b:a 96k", (48_000,)),
    *_each("mp4", "-c:a flac -strict -2", (44_100,)),
    *_each("mov", "-c:a pcm_s16le", (44_100,)),
    *_each("3gp", "-c:a aac -b:a 128k", (44_100,)),
    *(r for codec in ("aac", "flac", "pcm_s16le", "libmp3lame", "libopus") for r in _each("mka", f"-c:a {codec} -b:a 128k", (48_000,))),
    # Pictures that run longer than the sound, or begin before it or after it.
    Recipe("longer-picture.mp4", "-c:v mpeg4 -c:a aac", inputs=_PICTURES.format(seconds=5)),
    Recipe("longer-picture.mkv", "-c:v mpeg4 -c:a aac", inputs=_PICTURES.format(seconds=5)),
    Recipe("longer-picture.webm", "-c:v libvpx -c:a libopus -b:a 96k", 48_000, inputs=_PICTURES.format(seconds=4)),
    Recipe("shorter-picture.mp4", "-c:v mpeg4 -c:a aac", inputs=_PICTURES.format(seconds=1)),
    Recipe("late-picture.mp4", "-c:v mpeg4 -c:a aac", inputs="-itsoffset 1.5 " + _PICTURES.format(seconds=2)),
    Recipe("late-sound.mkv", "-c:v mpeg4 -c:a aac", inputs="-itsoffset -1.5 " + _PICTURES.format(seconds=2)),
    Recipe("still-picture.mp4", "-c:v mpeg4 -c:a aac -map 0:v -map 1:a", inputs=_PICTURES.format(seconds=0.2)),
    # As sox writes them.
    *(Recipe(f"sox{n}-{kind}.{suffix}", arguments, 16_000, n, "sox")
      for n in (1, 2)
      for kind, suffix, arguments in (
          ("ima", "wav", "-e ima-adpcm"), ("ms", "wav", "-e ms-adpcm"), ("rifx", "wav", "-B"), ("s24", "wav", "-b 24"),
          ("plain", "aiff", ""), ("plain", "aifc", ""), ("ulaw", "au", "-e mu-law"), ("plain", "caf", ""), ("plain", "w64", ""),
          ("plain", "voc", ""), ("plain", "sf", ""), ("plain", "sph", ""), ("plain", "flac", ""), ("plain", "ogg", "-C 6"),
          ("plain", "avr", ""),
      )),
    Recipe("sox-gsm.wav", "-e gsm-full-rate", 8_000, 1, "sox"),
)  # fmt: skip


def make(recipe: Recipe, folder: Path) -> Path:
    """Write a recording of `source`."""
    sound, path = folder / "source.wav", folder / recipe.name
    soundfile.write(sound, source(recipe.rate, recipe.channels), recipe.rate, subtype="PCM_16")
    if recipe.program == "sox":
        command = ["sox", "-D", str(sound), *recipe.arguments.split(), str(path)]
    else:
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            *recipe.inputs.split(),
            "-i",
            str(sound),
            *recipe.arguments.split(),
            str(path),
        ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


def heard_by_ffmpeg(path: Path, channels: int) -> np.ndarray:
    """(n,) the mean of the channels at 16 kHz, as ffmpeg decodes the first sound track."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-c:a",
        "pcm_f32le",
        "-f",
        "wav",
        "-bitexact",
        "-",
    ]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return _read(done.stdout, channels)


def heard_by_sox(path: Path, channels: int, skip: int = 0) -> np.ndarray | None:
    """The same by sox, without so many samples at the beginning; None for what it cannot read."""
    command = ["sox", "-D", str(path), "-b", "32", "-e", "floating-point", "-t", "wav", "-"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return _read(done.stdout, channels, skip) if done.returncode == 0 and len(done.stdout) > 1000 else None


def _read(wav: bytes, channels: int, skip: int = 0) -> np.ndarray:
    at = wav.index(b"data") + 8
    rate = int.from_bytes(wav[24:28], "little")
    frames = np.frombuffer(wav[at : at + (len(wav) - at) // (4 * channels) * 4 * channels], "<f4").reshape(-1, channels)
    return to_16_khz(frames[skip:].mean(axis=1), rate)


def to_16_khz(samples: np.ndarray, rate: int) -> np.ndarray:
    common = gcd(rate, RATE)
    return scipy.signal.resample_poly(samples.astype(np.float64), RATE // common, rate // common)


@dataclass(frozen=True)
class Difference:
    """Between two decodes at 16 kHz.

    Attributes:
        lag: Samples by which the one comes later than the other.
        samples: By how many the one is longer.
        level_db: By how much the one is louder.
        correlation: At that lag.
    """

    lag: int
    samples: int
    level_db: float
    correlation: float


def compare(one: np.ndarray, other: np.ndarray) -> Difference:
    n = max(len(one), len(other))
    one, other = one.astype(np.float64), other.astype(np.float64)
    crossed = scipy.signal.correlate(np.pad(one, (0, n - len(one))), np.pad(other, (0, n - len(other))), method="fft")
    lag = int(np.abs(crossed).argmax()) - (n - 1)
    first, second = (one[lag:], other) if lag >= 0 else (one, other[-lag:])
    shared = min(len(first), len(second))
    first, second = first[:shared], second[:shared]
    level = 10 * np.log10(np.mean(first**2) / np.mean(second**2))
    return Difference(lag, len(one) - len(other), float(level), float(np.corrcoef(first, second)[0, 1]))


def as_bytes(samples: np.ndarray, rate: int, container: str, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()
