"""What headers, tags and containers say is a hint; what comes back is what is in the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.endings import mend_last_page, split_joined, split_links
from ast_demo.errors import AudioError
from tests.audio.lies import MAKERS, RATE, Lie, mono, put, resum
from tests.audio.made import as_bytes, compare, source
from tests.clips import encode


@pytest.mark.parametrize("maker", MAKERS, ids=[maker.__name__.strip("_") for maker in MAKERS])
def test_what_is_there_is_read(maker: Callable[[], Iterator[Lie]]) -> None:
    wrong = [f"{lie.name}: {complaint}" for lie in maker() if (complaint := complain(lie))]
    assert wrong == []


def complain(lie: Lie) -> str:
    """What is not as it should be."""
    try:
        waveform = read_audio(lie.content)
    except AudioError as error:
        return f"refused: {error}"
    n_slack = max(2, round(lie.slack_s * RATE))
    if abs(len(waveform.samples) - len(lie.sound)) > n_slack:
        return f"{waveform.duration_s:.3f} s instead of {len(lie.sound) / RATE:.3f} s"
    # The beginning and the end apart: between recordings that are joined lies the padding of their encoder.
    part = min(len(waveform.samples), len(lie.sound)) // 3
    parts = [(waveform.samples[:part], lie.sound[:part]), (waveform.samples[-part:], lie.sound[-part:])]
    for one, other in parts[: 1 if "cut" in lie.name else 2]:  # where it is cut through is the codec's affair
        difference = compare(one, other)
        if abs(difference.lag) > n_slack:
            return f"{difference.lag} samples late"
        if abs(difference.level_db) > (0.5 if lie.is_lossy else 0.1) or difference.correlation < (
            0.95 if lie.is_lossy else 0.999
        ):
            return f"{difference.level_db:.2f} dB, correlation {difference.correlation:.4f}"
    if lie.is_noted and not any("cut off" in note for note in waveform.notes):
        return f"nothing says that it is cut off, but {waveform.notes}"
    return ""


def test_what_holds_no_sound_stays_refused() -> None:
    empty = as_bytes(np.zeros(0), RATE, "WAV")
    chunk = b"LIST\4\0\0\0INFO"
    for content in (empty, empty + chunk, put(empty, 4, "<I", 0), as_bytes(np.zeros(0), RATE, "AIFF")):
        with pytest.raises(AudioError, match="holds no sound at all"):
            read_audio(content)


def test_a_header_that_is_right_keeps_what_stands_behind_the_sound_out() -> None:
    plain = as_bytes(mono(1.0), RATE, "WAV")
    for behind in (b"LIST\4\0\0\0INFO", b"TAG" + bytes(125), b"\0" * 9, b"APETAGEX" + bytes(24)):
        assert len(read_audio(plain + behind).samples) == RATE


def test_a_damaged_header_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """An AIFF whose first chunk has no end that could be: libsndfile looks for the next one before the file's beginning."""
    whole = as_bytes(mono(0.3), RATE, "AIFF", "PCM_24")
    for place in range(12, 44):
        for value in (0x7F, 0xFF):
            with suppress(AudioError):
                read_audio(put(whole, place, ">B", value))
    assert "Traceback" not in capfd.readouterr().err


def test_the_limit_holds_whatever_the_header_says() -> None:
    long = encode(mono(6.0), RATE, "adts", "aac"), put(as_bytes(mono(6.0), RATE, "WAV"), 40, "<I", 320)
    for content in long:
        with pytest.raises(AudioError, match=r"is more than 3 s long, but at most 3 s are accepted here\."):
            read_audio(content, max_s=3.0)
        assert read_audio(content, max_s=7.0).duration_s == pytest.approx(6.0, abs=0.1)


def test_a_short_recording_that_calls_itself_long_is_read() -> None:
    flac = as_bytes(mono(2.0), RATE, "FLAC")
    waveform = read_audio(put(flac, 22, ">I", 16_000 * 3600), max_s=10.0)
    assert waveform.duration_s == 2.0
    assert "it promises 3600.00 s, but ends after 2.00 s" in waveform.notes[0]


def test_links_of_a_chained_ogg() -> None:
    links = [encode(mono(0.5), RATE, "OGG", "VORBIS"), encode(source(44_100, 2, 0.5), 44_100, "OGG", "VORBIS")]
    assert split_links(b"".join(links)) == links
    assert split_links(links[0]) == [links[0]]
    assert len(split_links(links[0][:300] * 3000)) <= 1000
    # Sound and pictures that begin side by side are no links.
    page = links[0][: 28 + links[0][26] + 30]
    assert split_links(page * 2 + links[0][len(page) :])[0].startswith(page)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.9])
def test_of_a_page_that_is_cut_through_its_whole_packets_are_read(share: float) -> None:
    """Two seconds are one page of Vorbis: decoders drop it, and with it all there is."""
    sound = mono(2.0)
    content = encode(sound, RATE, "OGG", "VORBIS")
    pages = content.count(b"OggS")
    cut = content[: round(len(content) * share)]
    mended = mend_last_page(cut)
    assert mended == resum(mended, mended.rfind(b"OggS"))
    assert mend_last_page(content) == content
    waveform = read_audio(cut)
    assert any("cut off" in note for note in waveform.notes), pages
    assert 0.2 < waveform.duration_s < 2.0
    n = len(waveform.samples) - 2048
    assert np.corrcoef(waveform.samples[:n], sound[:n])[0, 1] > 0.95


def test_a_link_that_is_damaged_does_not_take_the_others_along() -> None:
    one, other = (encode(mono(seconds), RATE, "OGG", "VORBIS") for seconds in (1.0, 2.0))
    damaged = bytearray(one)
    damaged[30:400] = bytes(370)
    waveform = read_audio(bytes(damaged) + other)
    assert waveform.duration_s == pytest.approx(2.0, abs=0.02)
    assert "A part of the recording could not be decoded and was left out." in waveform.notes


def test_a_second_sound_track_is_told() -> None:
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        tracks = [output.add_stream("flac", rate=RATE, layout="mono") for _ in range(2)]
        for track in tracks:
            samples = (mono(1.0)[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            output.mux(track.encode(frame))
            output.mux(track.encode(None))
    assert "The recording has 2 sound tracks; the first one was read." in read_audio(file.getvalue()).notes


def test_that_several_recordings_were_joined_is_told() -> None:
    for container in ("WAV", "AIFF", "FLAC", "AU", "CAF", "W64"):
        one = as_bytes(mono(0.5), RATE, container)
        assert split_joined(one) == [one]
        assert split_joined(one * 3) == [one] * 3
        (note,) = read_audio(one * 3).notes
        assert note == "The file holds 3 recordings, one after the other: they were read as one."
    assert len(split_joined(as_bytes(mono(0.1), RATE, "WAV") * 1500)) == 1000
    with pytest.raises(AudioError, match="more than 3 s long"):
        read_audio(as_bytes(mono(1.0), RATE, "WAV") * 4, max_s=3.0)


def test_of_joined_recordings_the_one_that_is_damaged_is_left_out() -> None:
    one = as_bytes(mono(1.0), RATE, "FLAC")
    waveform = read_audio(one + one[:42] + bytes(4000) + one)
    assert waveform.duration_s == pytest.approx(2.0, abs=0.01)
    assert "A part of the recording could not be decoded and was left out." in waveform.notes


def test_a_film_from_a_pipe_that_ends_in_the_middle_is_told() -> None:
    """Neither tells its length beforehand: pieces of MP4, and clusters of WebM without a size."""
    sound = mono(3.0, 48_000)
    for container, codec, options in (
        ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
        ("webm", "libopus", {"live": "1"}),
    ):
        content = encode(sound, 48_000, container, codec, options)
        assert read_audio(content).notes == ()
        for share in (0.5, 0.7, 0.9):
            cut = read_audio(content[: round(len(content) * share)])
            assert 0.2 < cut.duration_s < 3.0
            assert any("cut off" in note for note in cut.notes), (container, share)
