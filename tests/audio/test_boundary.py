"""Whatever a decoder makes of a recording, what comes back is a waveform or a sentence."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.flaws import Flaw, Sound, find_flaws
from ast_demo.errors import AudioError
from tests.audio.lies import RATE, all_lies, mono
from tests.clips import encode
from tests.fuzz.inputs import mutate


def test_mutated_lies() -> None:
    dice = random.Random(11)
    contents = [lie.content for lie in all_lies() if len(lie.content) < 200_000]
    for content in dice.sample(contents, 60):
        for _ in range(3):
            how, changed = mutate(dice, content)
            try:
                waveform = read_audio(changed, max_s=30.0)
            except AudioError as error:
                assert str(error).startswith("'recording' "), how
                assert str(error).endswith("."), how
            else:
                assert np.isfinite(waveform.samples).all(), how
                assert np.abs(waveform.samples).max() <= 1, how


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "aac"), ("ipod", "aac"), ("mp3", "libmp3lame"), ("flac", "flac"), ("matroska", "flac"), ("ogg", "flac")],
)
@pytest.mark.parametrize(
    "title", ["Grüße".encode("latin-1"), "こんにちは".encode("shift-jis"), b"\xff\xfe\x00\xd8", b"\x80" * 40]
)
def test_titles_in_any_encoding(container: str, codec: str, title: bytes) -> None:
    content = with_title(container, codec, len(title))
    lying = content.replace(b"T" * len(title), title)
    assert lying != content
    waveform = read_audio(lying)
    assert waveform.duration_s == pytest.approx(1.0, abs=0.2)


def with_title(container: str, codec: str, length: int) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata["title"] = output.metadata["artist"] = "T" * length
        track = output.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(mono(1.0)[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(track.codec_context.format, "mono", RATE, frame_size=track.frame_size or None)
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(track.encode(block))
        output.mux(track.encode(None))
    return file.getvalue()


def test_a_long_and_wide_recording_takes_little_memory() -> None:
    """20 s at 655,350 Hz are 52 MB of floats, and 48 kB of FLAC."""
    import tracemalloc

    import soundfile

    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 655_350, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(20):
            flac.write(np.zeros(655_350, np.int16))
    content = file.getvalue()
    assert len(content) < 60_000
    tracemalloc.start()
    waveform = read_audio(content, max_s=20.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert waveform.duration_s == 20.0
    assert peak < 15e6  # the samples at 16 kHz are 1.3 MB; they are put together once, and once looked at
    with pytest.raises(AudioError, match=r"is 20\.0 s long, but at most 10 s are accepted here"):
        read_audio(content, max_s=10.0)


def test_a_flaw_has_a_name_and_a_sentence() -> None:
    silent = find_flaws(Sound(np.zeros(RATE, np.float32), RATE, 1, (0.0, 0.0), 0.0))
    assert [flaw.name for flaw in silent] == ["silent"]
    assert isinstance(silent[0], Flaw)
    assert silent[0].sentence.endswith(".")


def test_many_channels_are_read() -> None:
    sound = mono(0.5)
    content = encode(np.outer(sound, np.ones(64)), RATE, "WAV", "PCM_16")
    waveform = read_audio(content)
    assert waveform.channels == 64
    np.testing.assert_allclose(waveform.samples, sound, atol=1e-4)
