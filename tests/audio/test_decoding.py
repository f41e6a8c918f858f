"""Recordings of every kind are made here, and what comes back is compared with the sound that went in."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from ast_demo.audio.decoding import read_audio, waveform_from_samples
from ast_demo.audio.formats import list_names
from ast_demo.audio.waveform import FRAME_LENGTH, SAMPLE_RATE, Waveform
from ast_demo.errors import AudioError
from tests.clips import clips_of, encode, melody, noise, tone

ALL_RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)
OPUS_RATES = (8_000, 16_000, 48_000)
MP3_RATES = ALL_RATES[:6]
AAC_RATES = ALL_RATES[:7]

# name: container, codec, rates, most channels, least correlation with what was recorded. PCM loses its last bit; the
# others are lossy, and are asked for the melody, not for its noise.
FORMATS = {
    "WAV 8 bit": ("wav", "PCM_U8", ALL_RATES, 6, 0.999),
    "WAV 16 bit": ("wav", "PCM_16", ALL_RATES, 6, 0.9999),
    "WAV 24 bit": ("wav", "PCM_24", ALL_RATES, 6, 0.9999),
    "WAV 32 bit": ("wav", "PCM_32", ALL_RATES, 6, 0.9999),
    "WAV float": ("wav", "FLOAT", ALL_RATES, 6, 0.9999),
    "WAV double": ("wav", "DOUBLE", ALL_RATES, 6, 0.9999),
    "AIFF": ("aiff", "PCM_16", ALL_RATES, 6, 0.9999),
    "FLAC": ("flac", "PCM_16", ALL_RATES, 6, 0.9999),
    "Ogg Vorbis": ("ogg", "VORBIS", ALL_RATES, 6, 0.98),
    "MP3": ("mp3", "MPEG_LAYER_III", MP3_RATES, 2, 0.98),
    "Ogg Opus": ("ogg", "libopus", OPUS_RATES, 6, 0.98),
    "WebM Opus": ("webm", "libopus", OPUS_RATES, 6, 0.98),
    "M4A AAC": ("ipod", "aac", AAC_RATES, 6, 0.98),
    "MP4 AAC": ("mp4", "aac", AAC_RATES, 6, 0.98),
}

# How loud the melody is in each channel. The mean is 1; the low-frequency channel of 5.1, which codecs strip of
# melodies and each container numbers as it likes (fourth or last), is silent.
LOUDNESS = {1: (1,), 2: (1.5, 0.5), 6: (2, 2, 1, 0, 1, 0)}


def amplitude(samples: np.ndarray, hz: float, start_s: float, stop_s: float) -> float:
    """Of the sine of that frequency between two times."""
    part = samples[round(start_s * SAMPLE_RATE) : round(stop_s * SAMPLE_RATE)]
    window = np.hanning(len(part))
    turns = np.exp(-2j * np.pi * hz * np.arange(len(part)) / SAMPLE_RATE)
    return 2 * abs(np.sum(part * window * turns)) / window.sum()


@pytest.mark.parametrize(("kind", "rate"), [(kind, rate) for kind, row in FORMATS.items() for rate in row[2]])
def test_each_format_rate_and_number_of_channels(kind: str, rate: int) -> None:
    container, codec, _, most_channels, least_correlation = FORMATS[kind]
    recorded = melody(2.0, rate)
    # Resampled by SciPy, whose filter is another: both keep everything below 3 kHz, and the melody has nothing above.
    common = np.gcd(rate, SAMPLE_RATE)
    expected = scipy.signal.resample_poly(recorded, SAMPLE_RATE // common, rate // common)
    for channels, loudness in LOUDNESS.items():
        if channels > most_channels:
            continue
        waveform = read_audio(encode(np.outer(recorded, loudness), rate, container, codec), name="melody")
        samples = waveform.samples
        assert (waveform.name, waveform.channels) == ("melody", channels)
        assert waveform.original_rate == (
            48_000 if "Opus" in kind else rate
        )  # Opus has no other, whatever its header says
        assert (samples.dtype, samples.ndim, samples.flags.c_contiguous) == (np.float32, 1, True)
        assert np.abs(samples).max() <= 1
        # AAC comes in packets of 1024 samples, of which MP4 keeps the last one whole.
        assert 2.0 - 0.001 < waveform.duration_s < 2.0 + 0.001 + 1024 / rate * ("AAC" in kind)
        # At the same time, not merely of the same shape: 1900 Hz that come 1 sample late correlate to 0.73 only.
        assert np.corrcoef(samples[: len(expected)], expected[: len(samples)])[0, 1] > least_correlation
        # 3 % off the level is what AAC needs, at its usual bit rate, at 96 kHz.
        assert amplitude(samples, 700, 0.55, 0.95) == pytest.approx(0.2, rel=0.03)
        assert amplitude(samples, 1900, 1.55, 1.95) == pytest.approx(0.4, rel=0.03)
        assert amplitude(samples, 700, 1.55, 1.95) < 0.01
        assert amplitude(samples, 1900, 0.55, 0.95) < 0.01
        assert np.abs(samples[8000 + 16000 + 800 : 24000 - 800]).max(initial=0) < 0.05


def test_rates_above_16_khz_do_not_fold_back() -> None:
    """11 kHz in a recording of 44.1 kHz is beyond what 16 kHz can hold; folded back it would sound at 5 kHz."""
    recorded = tone(11_000, 1.0, 44_100) + tone(1_000, 1.0, 44_100, level=0.1)
    samples = waveform_from_samples(recorded, 44_100).samples
    assert amplitude(samples, 5_000, 0.1, 0.9) < 1e-4
    assert amplitude(samples, 1_000, 0.1, 0.9) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("codec", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_path_bytes_and_array_give_the_same_waveform(codec: str, channels: int, rate: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(3).uniform(-0.9, 0.9, (rate, channels))
    path = tmp_path / "clip.wav"
    path.write_bytes(encode(samples, rate, "wav", codec))
    by_path, by_bytes = read_audio(path), read_audio(path.read_bytes(), name="clip.wav")
    # As Gradio hands over what it decoded: the file's own numbers.
    array, _ = soundfile.read(
        path, dtype={"PCM_16": "int16", "PCM_32": "int32", "DOUBLE": "float64"}.get(codec, "float32")
    )
    by_array = waveform_from_samples(array, rate, name="clip.wav")
    for other in (by_bytes, by_array):
        assert by_path.samples.tobytes() == other.samples.tobytes()
        assert (by_path.name, by_path.original_rate, by_path.channels) == (
            other.name,
            other.original_rate,
            other.channels,
        )
    assert read_audio(str(path)).samples.tobytes() == by_path.samples.tobytes()


def test_16_khz_mono_is_kept_as_it_is() -> None:
    samples = noise(1.0)
    assert waveform_from_samples(samples, 16_000).samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
    ("dtype", "lowest", "middle", "highest"),
    [
        (np.int16, -(2**15), 0, 2**15 - 1),
        (np.int32, -(2**31), 0, 2**31 - 1),
        (np.uint8, 0, 128, 255),
        (np.float32, -1, 0, 1),
        (np.float64, -1, 0, 1),
    ],
)
def test_arrays_of_each_type(dtype: type, lowest: int, middle: int, highest: int) -> None:
    values = np.array([lowest, middle, highest, *[middle] * 7] * 400, dtype=dtype)
    waveform = waveform_from_samples(values, SAMPLE_RATE)
    below_one = (highest - middle) / (middle - lowest)  # 32767 / 32768 for int16
    assert waveform.samples[:3].tolist() == [-1, 0, np.float32(below_one)]
    assert (waveform.channels, waveform.notes) == (1, ())

    stereo = waveform_from_samples(np.stack((values, np.full_like(values, middle)), axis=1), SAMPLE_RATE)
    assert stereo.samples[:3].tolist() == [-0.5, 0, np.float32(below_one) / 2]
    assert stereo.channels == 2


def test_the_callers_array_is_left_alone() -> None:
    samples = np.array([-1.5, 0.5, 1.5] * 300, dtype=np.float32)
    before = samples.copy()
    waveform = waveform_from_samples(samples, SAMPLE_RATE)
    waveform.samples[:] = 0
    np.testing.assert_array_equal(samples, before)


def test_floats_a_little_beyond_full_scale_are_limited_and_it_is_said() -> None:
    waveform = waveform_from_samples(np.array([0.5, -1.5, 0.25, 0.0] * 2500), SAMPLE_RATE)
    assert waveform.samples[:4].tolist() == [0.5, -1, 0.25, 0]
    assert waveform.notes == ("25.00% of the samples were beyond full scale (up to 1.50) and were limited to it.",)


def test_resampling_a_full_scale_square_wave_stays_within_full_scale() -> None:
    square = np.sign(tone(101, 1.0, 44_100) + 1e-9)
    assert np.abs(waveform_from_samples(square, 44_100).samples).max() == 1


def test_shortest_clip() -> None:
    assert len(waveform_from_samples(np.zeros(FRAME_LENGTH), SAMPLE_RATE).samples) == 400


def test_a_waveform_knows_its_duration() -> None:
    assert Waveform(np.zeros(24_000, np.float32), "clip", 8_000, 1).duration_s == 1.5


@pytest.mark.parametrize("source", ["samples", "recordings"])
def test_whole_collections_are_read(source: str) -> None:
    for path in clips_of(source, 24):
        waveform = read_audio(path)
        info = soundfile.info(path)
        assert waveform.duration_s == pytest.approx(info.frames / info.samplerate, abs=0.001)
        assert 0.001 < np.abs(waveform.samples).max() <= 1


# Bad input: each a sentence, matched in full.


def refused(message: str) -> pytest.RaisesExc:
    """The whole message, as a regular expression."""
    return pytest.raises(AudioError, match=rf"\A{message}\Z")


def literally(message: str) -> pytest.RaisesExc:
    return refused(re.escape(message))


NOT_A_RECORDING = f"is not a recording that can be read. Expected {list_names()}."


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.wav"
    with literally(f"There is no file {str(path)!r}. Check the path."):
        read_audio(path)


def test_a_path_that_no_file_can_have() -> None:
    with literally("There is no file 'a\\x00b.wav'. Check the path."):
        read_audio("a\0b.wav")


def test_a_directory(tmp_path: Path) -> None:
    with literally(f"{str(tmp_path)!r} cannot be opened: Is a directory."):
        read_audio(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"This is a text about a sound.\n" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(2000),
        b"<html><body>Not found</body></html>",
        b"%PDF-1.7\n" + bytes(500),
        b"PK\x03\x04" + bytes(500),
        b"x",
        bytes(5000),
    ],
    ids=["text", "png", "html", "pdf", "zip", "one byte", "zeros"],
)
def test_what_is_no_recording(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with literally(f"'clip.wav' {NOT_A_RECORDING}"):
        read_audio(path)


def test_a_picture() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 17, 13, "rgb24"
        picture = av.VideoFrame.from_ndarray(np.zeros((13, 17, 3), np.uint8), format="rgb24")
        output.mux([*stream.encode(picture), *stream.encode(None)])
    with literally(f"'picture.png' {NOT_A_RECORDING}"):
        read_audio(file.getvalue(), name="picture.png")


def test_random_bytes() -> None:
    random = np.random.default_rng(5)
    for size in random.integers(1, 30_000, 60):
        with literally(f"'noise' {NOT_A_RECORDING}"):
            read_audio(random.bytes(size), name="noise")


@pytest.mark.parametrize("path", ["secret.wav", "./secret.wav"])
def test_a_playlist_opens_no_other_file(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg would read the file that an uploaded playlist names, wherever the program runs."""
    soundfile.write(tmp_path / "secret.wav", noise(1.0), SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    with literally(f"'list' {NOT_A_RECORDING}"):
        read_audio(f"ffconcat version 1.0\nfile {path}\n".encode(), name="list")


def test_an_empty_file() -> None:
    with literally("'clip.wav' is empty (0 bytes). Record again or choose another file."):
        read_audio(b"", name="clip.wav")


@pytest.mark.parametrize("container", ["wav", "aiff"])
def test_no_samples(container: str) -> None:
    with literally("'clip' holds no sound at all (0 samples). Record again or choose another file."):
        read_audio(encode(np.zeros(0), 16_000, container, "PCM_16"), name="clip")


def test_no_samples_in_an_array() -> None:
    for samples in (np.zeros(0), np.zeros((0, 2))):
        with literally("'recording' holds no sound at all (0 samples). Record again or choose another file."):
            waveform_from_samples(samples, SAMPLE_RATE)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_shorter_than_one_frame(rate: int) -> None:
    with literally(
        "'clip' is 0.020 s long, but at least 0.025 s (one frame of the spectrogram) are needed. "
        "Record again, a little longer."
    ):
        read_audio(encode(tone(700, 0.02, rate), rate, "wav", "PCM_16"), name="clip")


@pytest.mark.parametrize("codec", ["FLOAT", "DOUBLE"])
def test_samples_that_are_not_numbers(codec: str) -> None:
    samples = noise(1.0)
    samples[[3, 700, 9001]] = np.nan, np.inf, -np.inf
    with literally("'clip' holds 3 of 16000 samples that are not numbers (NaN or infinite). Export it again."):
        read_audio(encode(samples, 16_000, "wav", codec), name="clip")
    with literally("'clip' holds only samples that are not numbers (NaN or infinite). Export it again."):
        read_audio(encode(np.full(16_000, np.nan), 16_000, "wav", codec), name="clip")


def test_an_array_of_samples_that_are_not_numbers() -> None:
    opposite = np.tile([np.inf, -np.inf], (16_000, 1))  # whose mean is undefined
    for samples in (np.full(16_000, np.nan), opposite, np.full(16_000, 1e300)):
        with literally("'recording' holds only samples that are not numbers (NaN or infinite). Export it again."):
            waveform_from_samples(samples, SAMPLE_RATE)


def test_floats_on_the_scale_of_16_bit_integers() -> None:
    samples = np.round(noise(1.0) / 0.1 * 5000)
    samples[0] = 23456
    for call in (
        lambda: waveform_from_samples(samples, SAMPLE_RATE, name="clip"),
        lambda: read_audio(encode(samples, SAMPLE_RATE, "wav", "FLOAT"), name="clip"),
    ):
        with literally(
            "'clip' has samples up to 23456, but samples must lie between -1 and 1. "
            "If they are 16-bit integers saved as floats, divide them by 32768."
        ):
            call()


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (5000, 0)])
def test_arrays_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    with literally(f"Expected samples of shape (n,) or (n, channels); 'recording' has shape {shape}."):
        waveform_from_samples(np.zeros(shape), SAMPLE_RATE)


@pytest.mark.parametrize("dtype", ["complex64", "bool", "<U3", "object"])
def test_arrays_of_the_wrong_type(dtype: str) -> None:
    with literally(f"Expected samples that are integers or floats; 'recording' has {np.dtype(dtype)}."):
        waveform_from_samples(np.zeros(1000, dtype=dtype), SAMPLE_RATE)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("kind", FORMATS)
def test_cut_off_in_the_middle(kind: str, share: float) -> None:
    container, codec, *_ = FORMATS[kind]
    rate = 48_000 if "Opus" in kind else 44_100
    content = encode(melody(5.0, rate), rate, container, codec)
    cut = content[: round(len(content) * share)]
    # MP4 tells where its packets lie at the end of the file; so little of the others holds a header, and no packet.
    least = {"Ogg Vorbis": 0.05, "Ogg Opus": 0.05}.get(kind, 0.002)
    if "AAC" in kind or (share <= least and "WAV" not in kind and kind != "AIFF"):
        with refused(r"'clip' (is cut off or damaged|holds no sound).*"):
            read_audio(cut, name="clip")
        return
    if share == 0.002:
        with refused(r"'clip' is 0\.0\d\d s long, but at least 0\.025 s .*"):
            read_audio(cut, name="clip")
        return
    waveform = read_audio(cut, name="clip")
    assert any(
        re.fullmatch(
            r"The recording is cut off or damaged(: it promises 5\.0\d s, but ends after [0-4]\.\d\d s)?\. What there is was read\.",
            note,
        )
        for note in waveform.notes
    )
    whole = read_audio(content)
    assert len(waveform.samples) < len(whole.samples)
    if (
        share >= 0.5 and "MP3" not in kind and "Vorbis" not in kind and "Opus" not in kind
    ):  # a third of the time, or more
        assert waveform.duration_s == pytest.approx(5 * share, abs=0.5)
    n = max(0, len(waveform.samples) - 4096)  # the decoder had no more to go by at the end
    np.testing.assert_allclose(waveform.samples[:n], whole.samples[:n], atol=1e-4)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_middle_never_escapes_as_another_error(kind: str) -> None:
    """A third of the bytes replaced by noise: some decoders play on, which is their right; none may raise its own kind."""
    container, codec, *_ = FORMATS[kind]
    rate = 48_000 if "Opus" in kind else 44_100
    content = bytearray(encode(melody(2.0, rate), rate, container, codec))
    random = np.random.default_rng(7)
    third = len(content) // 3
    for _ in range(5):
        content[third : 2 * third] = random.bytes(third)
        try:
            samples = read_audio(bytes(content)).samples
        except AudioError as error:
            assert str(error).startswith("'recording' ")
        else:
            assert np.isfinite(samples).all()
            assert np.abs(samples).max() <= 1


@pytest.mark.parametrize("kind", FORMATS)
def test_longer_than_the_limit(kind: str) -> None:
    container, codec, *_ = FORMATS[kind]
    rate = 48_000 if "Opus" in kind else 44_100
    content = encode(melody(3.0, rate), rate, container, codec)
    with refused(r"'clip' is 3\.\d s long, but at most 2\.5 s are accepted here\. Cut out the part of interest\."):
        read_audio(content, name="clip", max_s=2.5)
    assert read_audio(content, max_s=3.1).duration_s == pytest.approx(3, abs=0.03)


def test_an_array_longer_than_the_limit() -> None:
    with literally("'recording' is 3.0 s long, but at most 2.5 s are accepted here. Cut out the part of interest."):
        waveform_from_samples(np.zeros(48_000), SAMPLE_RATE, max_s=2.5)


def video(with_sound: bool) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        pictures = output.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 48, "yuv420p"
        sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if with_sound else None
        for _ in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 32, 3), np.uint8), format="rgb24")
            output.mux(pictures.encode(picture))
        output.mux(pictures.encode(None))
        if sound:
            samples = tone(700, 1.0).astype(np.float32)[None]
            for start in range(0, SAMPLE_RATE - 1024, 1024):
                frame = av.AudioFrame.from_ndarray(
                    samples[:, start : start + 1024].copy(), format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = SAMPLE_RATE, start
                output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return file.getvalue()


def test_a_video_without_sound() -> None:
    with literally(f"'film.mp4' holds no sound. Expected a recording ({list_names()})."):
        read_audio(video(with_sound=False), name="film.mp4")


def test_a_video_with_sound() -> None:
    samples = read_audio(video(with_sound=True)).samples
    assert amplitude(samples, 700, 0.2, 0.8) == pytest.approx(0.5, rel=0.02)


def wav_with_header(data_size: int | None = None, rate: int | None = None) -> bytes:
    """One second of 8 kHz, whose header says something else."""
    content = bytearray(encode(tone(700, 1.0, 8_000), 8_000, "wav", "PCM_16"))
    assert content[36:40] == b"data"
    if data_size is not None:
        content[40:44] = struct.pack("<I", data_size)
        content[4:8] = struct.pack("<I", min(data_size + 36, 0xFFFFFFFF))
    if rate is not None:
        content[24:28] = struct.pack("<I", rate)
    return bytes(content)


@pytest.mark.parametrize("data_size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_has_no_size_and_is_read_to_its_end(data_size: int) -> None:
    samples = read_audio(wav_with_header(data_size)).samples
    assert len(samples) == 16_000
    assert amplitude(samples, 700, 0.1, 0.9) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("data_size", [17_000, 24_000, 1_000_000_000])
def test_a_wav_that_promises_more_than_there_is(data_size: int) -> None:
    """What is there is read, and the promise is told."""
    waveform = read_audio(wav_with_header(data_size), name="clip")
    assert len(waveform.samples) == 16_000
    assert waveform.notes[0].startswith(
        f"The recording is cut off or damaged: it promises {data_size / 16_000:.2f} s, but ends after 1.00 s."
    )
    assert amplitude(waveform.samples, 700, 0.1, 0.9) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("data_size", [16_002, 16_044])
def test_a_wav_that_counts_its_header_as_sound(data_size: int) -> None:
    waveform = read_audio(wav_with_header(data_size))
    assert (len(waveform.samples), waveform.notes) == (16_000, ())


@pytest.mark.parametrize("rate", [1, 3_999, 800_000, 2**31 - 1])
def test_an_absurd_rate(rate: int) -> None:
    message = f"'clip' says that it was sampled at {rate} Hz. Expected 4000 to 768000 Hz: the file is probably damaged."
    with literally(message):
        read_audio(wav_with_header(rate=rate), name="clip")
    with literally(message):
        waveform_from_samples(np.zeros(16_000), rate, name="clip")
