"""What speaks against a recording is said, and nothing is said of a good one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from ast_demo.audio.decoding import read_audio, waveform_from_samples
from ast_demo.audio.waveform import SAMPLE_RATE, Waveform
from tests.audio.lies import put
from tests.audio.made import as_bytes, compare, source
from tests.clips import encode, melody, noise, sample_clips, tone


def heard(samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Waveform:
    """As a file is read."""
    return read_audio(as_bytes(samples, rate, "WAV", subtype))


def speechlike(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise with energy at all frequencies, louder and quieter."""
    sound = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return 0.1 * sound * (1 + np.sin(np.arange(len(sound)) / rate * 15)) / 2


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_silence(rate: int) -> None:
    for channels in (1, 2):
        waveform = heard(np.zeros((rate, channels)), rate)
        assert waveform.flaws == ("silent",)
        assert "every sample is 0" in waveform.notes[0]
    assert waveform_from_samples(np.zeros(rate), rate).flaws == ("silent",)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("level_db", [-90, -75, -61])
def test_almost_silence(rate: int, level_db: float) -> None:
    sound = noise(2.0, level=0.2)[:rate]
    sound = sound / np.abs(sound).max() * 10 ** (level_db / 20)
    waveform = heard(sound, rate, "FLOAT")
    assert waveform.flaws == ("almost silent",)
    peak = float(waveform.notes[0].partition("(peak ")[2].partition(" dB")[0])
    assert peak == pytest.approx(level_db, abs=6)  # less of it where part lies above 8 kHz


def test_ultrasound_is_silence_to_the_model() -> None:
    fade = np.hanning(48_000)  # a tone that begins at once is a click, which is heard
    assert heard(fade * tone(18_000, 1.0, 48_000), 48_000).flaws == ("almost silent",)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("level", [0.5, -0.01, 1.0])
def test_a_straight_line(rate: int, level: float) -> None:
    line = np.full(rate, level)
    assert heard(line, rate, "FLOAT").flaws == ("constant",)
    # With the noise of a converter on it.
    assert heard(line + noise(3.0, level=1e-4)[:rate], rate, "FLOAT").flaws[:1] == ("constant",)


@pytest.mark.parametrize("codec", ["PCM_16", "VORBIS", "flac", "aac"])
def test_channels_that_cancel_are_heard_one_at_a_time(codec: str) -> None:
    sound = source(SAMPLE_RATE)[:, 0]
    opposite = np.stack([sound, -sound], axis=1)
    container = {"PCM_16": "WAV", "VORBIS": "OGG", "flac": "flac", "aac": "adts"}[codec]
    waveform = read_audio(encode(opposite, SAMPLE_RATE, container, codec))
    assert (waveform.flaws, waveform.channels) == (("channels cancel",), 2)
    assert waveform.notes == ("The 2 channels of the recording cancel each other out: channel 1 alone was heard.",)
    difference = compare(waveform.samples, sound)
    assert difference.correlation > 0.8
    assert np.std(waveform.samples) == pytest.approx(np.std(sound), rel=0.15)


def test_the_louder_of_channels_that_cancel_is_heard() -> None:
    sound = speechlike(2.0, 44_100)
    waveform = waveform_from_samples(np.stack([-0.9 * sound, sound], axis=1), 44_100)
    assert "channel 2 alone was heard" in waveform.notes[0]


@pytest.mark.parametrize("loudness", [(1, 1), (1, 0), (1, 0.2), (1, 1, 0, 0, 0, 0), (1,) + (0,) * 7, (1, -0.3)])
def test_channels_that_do_not_cancel_are_averaged(loudness: tuple[float, ...]) -> None:
    sound = speechlike(1.0, SAMPLE_RATE)
    waveform = waveform_from_samples(np.outer(sound, loudness), SAMPLE_RATE)
    assert waveform.flaws == ()
    np.testing.assert_allclose(waveform.samples, sound * np.mean(loudness), atol=1e-6)


def test_channels_that_differ_are_averaged() -> None:
    different = np.stack([speechlike(1.0, SAMPLE_RATE, seed) for seed in range(4)], axis=1)
    assert waveform_from_samples(different, SAMPLE_RATE).flaws == ()


@pytest.mark.parametrize("gain", [3, 20, 1000])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_clipped_throughout(gain: float, rate: int) -> None:
    waveform = heard(np.clip(gain * tone(440, 1.0, rate, 1.0), -1, 1), rate)
    assert waveform.flaws == ("clipped throughout",)
    assert "of the samples are at full scale" in waveform.notes[0]


def test_a_few_clipped_samples_are_no_flaw() -> None:
    assert heard(np.clip(15 * speechlike(1.0, SAMPLE_RATE), -1, 1)).flaws == ()


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("how", ["soxr", "scipy"])
def test_8_khz_sound_in_a_faster_file(rate: int, how: str) -> None:
    slow = speechlike(2.0, 8_000)
    common = np.gcd(rate, 8_000)
    fast = (
        soxr.resample(slow, 8_000, rate)
        if how == "soxr"
        else scipy.signal.resample_poly(slow, rate // common, 8_000 // common)
    )
    waveform = heard(fast, rate)
    assert waveform.flaws == ("nothing above 4 kHz",)
    assert f"as if 8 kHz sound had been stored at {rate} Hz" in waveform.notes[0]


def test_sound_that_is_8_khz_by_its_header_is_no_news() -> None:
    assert heard(speechlike(2.0, 8_000), 8_000).flaws == ()
    assert read_audio(encode(speechlike(2.0, 8_000), 8_000, "OGG", "OPUS")).flaws == ()


def test_tones_and_low_sounds_are_not_taken_for_8_khz_sound() -> None:
    for sound in (tone(300, 2.0), tone(3_000, 2.0), melody(2.0, SAMPLE_RATE), 0.3 * noise(2.0)):
        assert heard(sound).flaws == ()
    # A sound that falls off by itself, however steeply.
    spectrum = np.fft.rfft(noise(2.0)) / (1 + (np.fft.rfftfreq(32_000, 1 / SAMPLE_RATE) / 500) ** 2)
    assert heard(np.fft.irfft(spectrum)).flaws == ()


def test_an_opus_header_that_lies_about_the_rate() -> None:
    content = encode(speechlike(2.0, 48_000), 48_000, "ogg", "libopus")
    assert read_audio(content).flaws == ()
    from tests.audio.lies import resum

    lying = resum(put(content, content.index(b"OpusHead") + 12, "<I", 8_000), 0)
    waveform = read_audio(lying)
    assert (waveform.flaws, waveform.original_rate) == (("header lies",), 48_000)
    np.testing.assert_array_equal(waveform.samples, read_audio(content).samples)


def test_a_blip() -> None:
    waveform = heard(noise(0.1))
    assert waveform.flaws == ("very short",)
    assert waveform.notes == ("The recording is only 0.10 s long.",)


def test_nothing_is_said_of_good_recordings() -> None:
    told = {path.name: waveform.flaws for path in sample_clips(40) if (waveform := read_audio(path)).flaws}
    assert {flaw for flaws in told.values() for flaw in flaws} <= {"nothing above 4 kHz"}  # through walls, by telephone
    assert len(told) <= 4


def test_flaws_and_notes_survive_in_what_is_read_piece_by_piece() -> None:
    """Longer than one piece, at a rate of its own, in several channels."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([speechlike(20.0, 48_000)] * 2, axis=1) * [1, -1], 48_000, format="FLAC")
    waveform = read_audio(buffer.getvalue())
    assert waveform.flaws == ("channels cancel",)
    assert waveform.duration_s == 20.0
