"""Sounds to test with: synthesised here, this project's samples, and real recordings where `AST_DEMO_TEST_DATA` names them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ast_demo.audio.decoding import SAMPLE_RATE, Waveform

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY / "assets" / "samples"
# Folder of public recordings; see CONTRIBUTING.
RECORDINGS = Path(os.environ["AST_DEMO_TEST_DATA"]).resolve() if os.environ.get("AST_DEMO_TEST_DATA") else None


def sample_clips(n: int) -> list[Path]:
    """n of the shipped samples, spread over all labels."""
    return _spread(sorted(path for path in SAMPLES.glob("*/*") if path.suffix in {".ogg", ".flac", ".wav"}), n)


def recordings() -> Path:
    """The folder of public recordings; the test is skipped without it."""
    if RECORDINGS is None:
        pytest.skip(reason="needs real recordings: set AST_DEMO_TEST_DATA to a folder of them, see CONTRIBUTING")
    return RECORDINGS


def real_clips(n: int) -> list[Path]:
    """n real recordings, half of ESC-10 and half of the Free Spoken Digit Dataset; the test is skipped without them."""
    sounds, digits = sorted(recordings().glob("esc10/*/*.ogg")), sorted(recordings().glob("fsdd/*.wav"))
    return _spread(sounds, n - n // 2) + _spread(digits, n // 2)


def clips_of(source: str, n: int) -> list[Path]:
    """For tests that are parametrised by where their clips come from: `samples` or `recordings`."""
    clips = {"samples": sample_clips, "recordings": real_clips}[source](n)
    assert len(clips) == n
    return clips


def _spread(paths: list[Path], n: int) -> list[Path]:
    return [paths[i * len(paths) // n] for i in range(n)]


def waveform(samples: np.ndarray, name: str = "clip") -> Waveform:
    """A waveform as the decoder would give it, of samples at 16 kHz."""
    return Waveform(np.ascontiguousarray(samples, dtype=np.float32), name, SAMPLE_RATE, 1)


def tone(hz: float, seconds: float, rate: int = SAMPLE_RATE, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def melody(seconds: float = 2.0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Quiet noise, and in it 700 Hz in the second quarter and 1900 Hz, twice as loud, in the last; nothing beyond 3 kHz,
    so that every codec and every rate from 8 kHz on keeps all of it."""
    n = round(seconds * rate)
    samples = 0.001 * np.random.default_rng(0).standard_normal(n)
    for start, hz, level in ((0.25, 700, 0.2), (0.75, 1900, 0.4)):
        begin, stop = round(start * n), round((start + 0.25) * n)
        # Faded over 10 ms, as a step is a click at every frequency.
        fade = np.clip(np.minimum(np.arange(stop - begin), np.arange(stop - begin)[::-1]) / (0.01 * rate), 0, 1)
        samples[begin:stop] += fade * tone(hz, (stop - begin) / rate, rate, level)[: stop - begin]
    return samples


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    samples = level * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return samples.clip(-1, 1).astype(np.float32)


def encode(samples: np.ndarray, rate: int, container: str, codec: str, options: dict[str, str] | None = None) -> bytes:
    """A recording as a file's bytes: by libsndfile for the formats that it writes, else by FFmpeg's libraries.

    Args:
        samples: (n,) or (n, channels).
        container: "wav", "aiff", "flac", "mp3", "ogg" for libsndfile; "mp4", "webm", "adts", … for FFmpeg.
        codec: libsndfile's subtype in capitals, or FFmpeg's encoder in small letters.
        options: Of FFmpeg's container.
    """
    if codec.isupper():
        return _encode_with_soundfile(samples, rate, container, codec)
    return _encode_with_pyav(samples, rate, container, codec, options)


def _encode_with_soundfile(samples: np.ndarray, rate: int, container: str, codec: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container.upper(), subtype=codec)
    return file.getvalue()


def _encode_with_pyav(
    samples: np.ndarray, rate: int, container: str, codec: str, options: dict[str, str] | None = None
) -> bytes:
    import av

    samples = np.atleast_2d(samples.T)  # (channels, n)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, dtype=np.float32), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, frame_size=stream.frame_size or None)
        blocks = [*resampler.resample(frame), *resampler.resample(None)]
        for block in blocks:
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return file.getvalue()
