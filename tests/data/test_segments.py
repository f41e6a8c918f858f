"""Clips that are parts of a longer recording: which columns and files tell them, and that the right sound is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ast_demo.audio import read_audio
from ast_demo.data import read_clip
from ast_demo.data.clips import LabelledClip
from ast_demo.data.segments import parse_seconds
from ast_demo.errors import AudioError, DataError
from tests.clips import encode, noise, tone
from tests.data.making import read, said, write

RATE = 16_000


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A recording of five seconds, each at a pitch of its own."""
    samples = np.concatenate([tone(400 * (1 + second), 1.0, 44_100, 0.3) for second in range(5)])
    soundfile.write(tmp_path / "day.wav", samples, 44_100)
    return tmp_path / "day.wav"


def parts(data: Path, **options: object) -> list[tuple[str, float, float | None]]:
    return [(clip.label, clip.start_s, clip.end_s) for clip in read(data, **options).clips]


EXPECTED = [("dog", 1.0, 2.5), ("rain", 3.25, 4.0)]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("start,end", ("1,2.5", "3.25,4")),
        ("start_s,end_s", ("1.0,2.50", "3.250,4")),
        ("onset,offset", ("1,2.5", "3.25,4")),
        ("Begin Time (s),End Time (s)", ("1,2.5", "3.25,4")),
        ("begin_time,end_time", ("0:01,0:02.5", "0:00:03.25,00:04")),
        ("Start Time,Stop Time", ("1,2.5", "3.25,4")),
        ("start_seconds,end_seconds", ("1,2.5", "3.25,4")),
        ("start,duration", ("1,1.5", "3.25,0.75")),
        ("offset,duration", ("1,1.5", "3.25,0.75")),
        ("start_ms,end_ms", ("1000,2500", "3250,4000")),
        ("start,end", ('"1,0","2,5"', '"3,25",4')),
        ("t_start,t_end", ("1e0,2.5", "3.25,4")),
    ],
)
def test_columns_of_times(long: Path, columns: str, rows: tuple[str, str]) -> None:
    write(
        long.parent / "metadata.csv", f"file_name,label,{columns}", f"day.wav,dog,{rows[0]}", f"day.wav,rain,{rows[1]}"
    )
    clips = read(long.parent)
    assert parts(long.parent) == EXPECTED
    assert [clip.name for clip in clips.clips] == ["day.wav 1-2.5 s", "day.wav 3.25-4 s"]
    assert all(clip.source == long for clip in clips.clips)  # nothing is copied
    assert "tell which part of a recording a clip is." in said(clips)


def test_decimal_commas_in_a_table_with_semicolons(long: Path) -> None:
    write(long.parent / "metadata.csv", "file_name;label;start;end", "day.wav;dog;1,0;2,5", "day.wav;rain;3,25;4")
    assert parts(long.parent) == EXPECTED


def test_a_row_without_times_is_the_whole_recording(long: Path) -> None:
    write(long.parent / "metadata.csv", "file_name,label,start,end", "day.wav,dog,1,2.5", "day.wav,rain,,")
    assert parts(long.parent) == [("dog", 1, 2.5), ("rain", 0, None)]


def test_columns_that_only_look_like_times_are_left_alone(long: Path) -> None:
    write(long.parent / "metadata.csv", "file_name,label,start,end", "day.wav,dog,2021-05-01,2021-05-02")
    (clip,) = read(long.parent).clips
    assert (clip.end_s, clip.columns["start"]) == (None, "2021-05-01")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("2,1", r"Row 3 of .* is of 2 to 1 s\. Expected an end after a start"),
        ("-1,1", "Expected an end after a start, neither before 0"),
        ("1,", "Row 3 of .* says start = '1' and end = ''. Expected two times"),
        ("soon,later", "Row 3 of .* says start = 'soon' and end = 'later'"),
        ("1,inf", "Expected two times"),
        ("1,1e99", "Expected two times|Expected an end"),
        ("1,nan", "Expected two times"),
    ],
)
def test_wrong_times_get_a_sentence(long: Path, times: str, message: str) -> None:
    write(long.parent / "list.csv", "file_name,label,start,end", "day.wav,dog,0,1", f"day.wav,rain,{times}")
    with pytest.raises(DataError, match=message):
        read(long.parent / "list.csv")


def test_the_same_seconds_have_one_label_or_several(long: Path) -> None:
    write(long.parent / "metadata.csv", "file_name,label,start,end", "day.wav,dog,1,2", "day.wav,rain,1.0,2.0")
    with pytest.raises(DataError, match=r"names the file 'day\.wav 1-2 s' twice"):
        read(long.parent)
    assert [clip.labels for clip in read(long.parent, multi_label=True).clips] == [("dog", "rain")]


def test_times_of_what_files_were_cut_from_are_no_times_of_theirs(long: Path) -> None:
    """Each file is there once, and shorter than the end that its row tells."""
    for name in ("a", "b"):
        shutil.copy(long, long.with_name(f"{name}.wav"))
    write(long.parent / "list.csv", "file,label,start,end", "a.wav,dog,0,5", "b.wav,rain,30,35")
    assert parts(long.parent / "list.csv") == [("dog", 0, None), ("rain", 0, None)]
    write(long.parent / "list.csv", "file,label,start,end", "a.wav,dog,0,4", "b.wav,rain,1,5")
    assert parts(long.parent / "list.csv") == [("dog", 0, 4), ("rain", 1, 5)]


AUDACITY = (
    "1.000000\t2.500000\tdog",
    "\\\t100.0\t2000.0",
    "3,25\t4,0\train",
    "4.500000\t4.500000\tclick",
    "4.5\t4.75\t",
)


@pytest.mark.parametrize("name", ["day.txt", "day_labels.txt", "day.labels.txt", "Day.TXT"])
def test_an_audacity_label_track_beside_a_recording(long: Path, name: str) -> None:
    write(long.parent / name, *AUDACITY)
    write(long.parent / "notes.txt", "Recorded on Sunday\tby me")
    clips = read(long.parent)
    assert parts(long.parent) == EXPECTED
    assert f"Labels come from the times and labels in {name}." in said(clips)
    assert f"2 entries of {name} without a label or a duration." in said(clips)


RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation",
    "1\tWaveform 1\t1\t1.0\t2.5\t0.0\t8000.0\tdog",
    "1\tSpectrogram 1\t1\t1.0\t2.5\t0.0\t8000.0\tdog",
    "2\tSpectrogram 1\t1\t3.25\t4.0\t0.0\t8000.0\train",
    "3\tSpectrogram 1\t1\t4.2\t4.4\t0.0\t8000.0\t",
)


@pytest.mark.parametrize(
    "name", ["day.Table.1.selections.txt", "day.selections.txt", "day.BirdNET.selection.table.txt"]
)
@pytest.mark.parametrize("column", ["Annotation", "Species", "Common Name", "my own name"])
def test_a_raven_selection_table_beside_a_recording(long: Path, name: str, column: str) -> None:
    write(long.parent / name, *(line.replace("Annotation", column) for line in RAVEN))
    assert parts(long.parent) == EXPECTED
    assert f"1 entries of {name} without a label" in said(read(long.parent))


def test_a_selection_table_of_several_recordings(long: Path) -> None:
    """The times run on through the files; each row says its file and where in it."""
    shutil.copy(long, long.with_name("night.wav"))
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies"
    write(long.parent / "all.txt", header, "1\t1.0\t2.5\tday.wav\t1.0\tdog", "2\t8.25\t9.0\tnight.wav\t3.25\train")
    assert parts(long.parent) == EXPECTED
    assert [clip.name.split()[0] for clip in read(long.parent).clips] == ["day.wav", "night.wav"]


def test_tracks_beside_folders_of_labels(long: Path) -> None:
    (long.parent / "bell").mkdir()
    shutil.copy(long, long.parent / "bell/a.wav")
    write(long.parent / "day.txt", *AUDACITY)
    assert parts(long.parent) == [*EXPECTED, ("bell", 0, None)]


def test_a_track_with_a_wrong_line_gets_a_sentence(long: Path) -> None:
    write(long.parent / "day.txt", AUDACITY[0], "what is this")
    with pytest.raises(DataError, match=r"Line 2 of day\.txt is 'what is this'\. Expected start, end and label"):
        read(long.parent)
    write(long.parent / "day.txt", *RAVEN[:2], "1\tx\t1\tsoon\tlater\t0\t0\tdog")
    with pytest.raises(DataError, match=r"Row 3 of .*day\.txt says Begin Time \(s\) = 'soon'"):
        read(long.parent)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "PCM_16"), ("flac", "PCM_16"), ("aiff", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")],
)
@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_part_that_is_read_is_that_of_the_whole(
    tmp_path: Path, container: str, codec: str, as_bytes: bool, rate: int
) -> None:
    samples = np.concatenate([tone(400 * (1 + second), 1.0, rate, 0.3) for second in range(4)])
    content = encode(np.stack([samples, 0.5 * samples], axis=1), rate, container, codec)
    (tmp_path / "a").write_bytes(content)
    whole = read_audio(content)
    for start, end in ((0.0, 0.5), (1.0, 2.5), (3.5, 4.0)):
        source = content if as_bytes else tmp_path / "a"
        part = read_clip(LabelledClip("a", source, ("x",), {}, start, end), max_s=600)
        expected = whole.samples[round(start * RATE) : round(end * RATE)]
        assert abs(len(part.samples) - len(expected)) <= 1
        n = min(len(expected), len(part.samples))
        assert np.abs(part.samples[:n] - expected[:n]).max() < 0.02
        assert (part.original_rate, part.channels, part.name) == (rate, 2, "a")


def test_a_part_of_a_recording_that_is_longer_than_what_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(30.0), RATE)
    clip = LabelledClip("a", tmp_path / "a.wav", ("x",), {}, 28.0, 29.0)
    assert read_clip(clip, max_s=5).duration_s == 1
    with pytest.raises(AudioError, match=r"is 10\.0 s long, but at most 5 s"):
        read_clip(LabelledClip("a", tmp_path / "a.wav", ("x",), {}, 10, 20), max_s=5)


def test_a_part_beyond_the_end_is_cut_or_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2.0), RATE)
    part = read_clip(LabelledClip("a", tmp_path / "a.wav", ("x",), {}, 1.5, 4.0), max_s=600)
    assert part.duration_s == 0.5
    assert part.notes == ("The recording ends at 2.00 s, before the clip does.",)
    assert not read_clip(LabelledClip("a", tmp_path / "a.wav", ("x",), {}, 1.5, 2.05), max_s=600).notes
    for start, end, message in (
        (3.0, 4.0, "begins at 3 s, but the recording ends at 2.00 s"),
        (1.0, 1.001, "at least"),
    ):
        with pytest.raises(AudioError, match=message):
            read_clip(LabelledClip("a", tmp_path / "a.wav", ("x",), {}, start, end), max_s=600)
    (tmp_path / "b.wav").write_text("no sound")
    for end_s in (None, 1.0):
        with pytest.raises(AudioError, match="is not a recording"):
            read_clip(LabelledClip("b", tmp_path / "b.wav", ("x",), {}, 0.0, end_s), max_s=600)


@pytest.mark.parametrize(
    ("cell", "seconds"), [("1.5", 1.5), ("1,5", 1.5), ("1:02.5", 62.5), ("1:00:01", 3601), ("0", 0), (".5", 0.5)]
)
def test_times(cell: str, seconds: float) -> None:
    assert parse_seconds(cell) == seconds
    for wrong in ("", "x", "1:2:3:4", "0x10", "١s", "1_000", "nan", "inf"):
        with pytest.raises(ValueError):
            parse_seconds(wrong)


def test_json_rows_have_times(long: Path) -> None:
    rows = [{"file_name": "day.wav", "label": label, "start": start, "end": end} for label, start, end in EXPECTED]
    write(long.parent / "metadata.jsonl", *map(json.dumps, rows))
    assert parts(long.parent) == EXPECTED
