"""Every shape that labelled clips come in, and every way in which they can be wrong."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ast_demo.audio.decoding import SAMPLE_RATE, read_audio
from ast_demo.data.clips import LabelledClip, LabelledClips, ReadingOptions, join_clips
from ast_demo.data.hub_datasets import clips_of_dataset
from ast_demo.data.labels import sort_labels
from ast_demo.data.reading import read_labelled_clips
from ast_demo.errors import AudioError, DataError
from tests.clips import noise, tone

FILES = ("bell/b1.wav", "bell/b2.wav", "dog/d1.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder per label, with what should be passed over: a note, a hidden file."""
    data = tmp_path / "data"
    for i, name in enumerate(FILES):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(data / name, tone(300 + 100 * i, 0.2), 16_000)
    (data / "bell" / "notes.txt").write_text("recorded on Sunday")
    (data / "bell" / ".b3.wav").write_bytes(b"")
    return data


def write_csv(file: Path, *rows: tuple[str, ...]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return file


def facts(clips: LabelledClips) -> list[tuple[str, tuple[str, ...], dict[str, str]]]:
    return [(clip.name, clip.labels, dict(clip.columns)) for clip in clips.clips]


def test_a_folder_per_label(folder: Path) -> None:
    clips = read_labelled_clips(folder)
    assert facts(clips) == [(name, (name.split("/")[0],), {}) for name in FILES]
    assert [clip.source for clip in clips.clips] == [folder / name for name in FILES]
    assert clips.labels == ("bell", "dog")


def test_a_folder_per_split_keeps_the_split(folder: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits"
    splits.mkdir()
    folder.rename(splits / "train")
    (splits / "test" / "dog").mkdir(parents=True)
    soundfile.write(splits / "test" / "dog" / "d2.wav", tone(500, 0.2), 16_000)
    assert facts(read_labelled_clips(splits)) == [
        ("test/dog/d2.wav", ("dog",), {"split": "test"}),
        *((f"train/{name}", (name.split("/")[0],), {"split": "train"}) for name in FILES),
    ]


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_a_table_in_the_folder_decides(folder: Path, table: str) -> None:
    if table.endswith(".csv"):
        write_csv(folder / table, ("file_name", "label", "fold"), ("dog/d1.wav", "bark", "3"))
    else:
        (folder / table).write_text(json.dumps({"file_name": "dog/d1.wav", "label": "bark", "fold": 3}) + "\n\n")
    assert facts(read_labelled_clips(folder)) == [("dog/d1.wav", ("bark",), {"fold": "3"})]


def test_a_table_for_each_split(folder: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits"
    splits.mkdir()
    folder.rename(splits / "validation")
    write_csv(splits / "validation" / "metadata.csv", ("file_name", "label"), ("dog/d1.wav", "bark"))
    assert facts(read_labelled_clips(splits)) == [("validation/dog/d1.wav", ("bark",), {"split": "validation"})]


def test_a_manifest_alone_with_columns_of_other_names(folder: Path) -> None:
    table = write_csv(folder / "list.csv", ("path", "what", "speaker"), ("dog/d1.wav", "bark", "rex"))
    clips = read_labelled_clips(table, ReadingOptions(label_column="what"))
    assert facts(clips) == [("dog/d1.wav", ("bark",), {"speaker": "rex"})]
    assert clips.clips[0].source == folder / "dog/d1.wav"


@pytest.mark.parametrize("inside", ["", "data/"])
def test_an_archive_gives_what_its_folder_gives(folder: Path, tmp_path: Path, inside: str) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, inside + path.relative_to(folder).as_posix())
        file.writestr("__MACOSX/._b1.wav", b"\x00")
    clips = read_labelled_clips(archive)
    assert facts(clips) == facts(read_labelled_clips(folder))
    assert [clip.source for clip in clips.clips] == [(folder / name).read_bytes() for name in FILES]


def test_an_archive_with_a_table(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "dog/d1.wav", "clips/d1.wav")
        file.writestr("clips/metadata.csv", "file_name,label\nd1.wav,bark\n")
    assert facts(read_labelled_clips(archive)) == [("d1.wav", ("bark",), {})]


def test_several_labels_for_a_clip(folder: Path) -> None:
    table = write_csv(folder / "list.csv", ("file", "labels"), ("dog/d1.wav", "dog; rain"), ("bell/b1.wav", ""))
    clips = read_labelled_clips(table, ReadingOptions(multi_label=True))
    assert [clip.labels for clip in clips.clips] == [("dog", "rain"), ()]
    assert clips.multi_label
    assert not read_labelled_clips(folder).multi_label


def test_the_shipped_samples_can_be_named() -> None:
    clips = read_labelled_clips("samples")
    assert {"0", "9", "dog_bark", "sea_waves"} < set(clips.labels)
    assert all(isinstance(clip.source, Path) and clip.source.is_file() for clip in clips.clips)


def test_a_loaded_dataset_is_read_undecoded(folder: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="🤗 Datasets is not installed")
    content = (folder / FILES[2]).read_bytes()
    rows = {"audio": [{"bytes": content, "path": "d1.wav"}], "label": [1], "take": [7]}
    dataset = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio())
    dataset = dataset.cast_column("label", datasets.ClassLabel(names=["bell", "dog"]))
    clips = clips_of_dataset(dataset, "train", "someone/sounds", ReadingOptions())
    assert [(c.name, c.source, c.labels, dict(c.columns)) for c in clips] == [
        ("train/000000-d1.wav", content, ("dog",), {"take": "7", "split": "train"})
    ]
    with pytest.raises(DataError, match=r"someone/sounds has no column for the label: expected 'species'"):
        clips_of_dataset(dataset, "train", "someone/sounds", ReadingOptions(label_column="species"))


def test_labels_are_sorted_as_people_do() -> None:
    assert sort_labels(["dog", "10", "2", "take 10", "take 9", "bell"]) == (
        "2",
        "10",
        "bell",
        "dog",
        "take 9",
        "take 10",
    )


def test_joined_sources_keep_names_apart(folder: Path) -> None:
    one = read_labelled_clips(folder)
    other = LabelledClips(
        "else/more", (LabelledClip("dog/d1.wav", b"", ("dog",)), LabelledClip("x.wav", b"", ("dog",)))
    )
    names = [clip.name for clip in join_clips([one, other]).clips]
    assert names == ["bell/b1.wav", "bell/b2.wav", "data/dog/d1.wav", "more/dog/d1.wav", "x.wav"]
    with pytest.raises(DataError, match="given twice"):
        join_clips([one, one])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("name", "label")], "has no rows"),
        (
            [("name", "label"), ("dog/d1.wav", "dog")],
            "no column for the file: expected one of file_name, .*; the columns are name, label",
        ),
        (
            [("file_name", "kind"), ("dog/d1.wav", "dog")],
            "no column for the label: .*; the columns are file_name, kind",
        ),
        (
            [("file_name", "label"), ("dog/d9.wav", "dog")],
            "Row 2 of .* names the file 'dog/d9.wav', which is not there",
        ),
        ([("file_name", "label"), ("dog/d1.wav", " ")], r"Row 2 of .* \('dog/d1.wav'\) has no label"),
        ([("file_name", "label"), ("", "dog")], "Row 2 of .* names no file"),
        ([("file_name", "label"), ("dog/d1.wav", "dog"), ("dog/d1.wav", "dog")], "names the file 'dog/d1.wav' twice"),
    ],
)
@pytest.mark.parametrize("name", ["metadata.csv", "list.csv"])
def test_wrong_tables_are_refused_with_a_sentence(folder: Path, name: str, rows: list, message: str) -> None:
    table = write_csv(folder / name, *rows)
    with pytest.raises(DataError, match=message):
        read_labelled_clips(folder if name == "metadata.csv" else table)


def test_wrong_sources_are_refused_with_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "clip.wav").write_bytes((folder / FILES[0]).read_bytes())
    (tmp_path / "latin.csv").write_bytes("file_name,label\nd.wav,Bär\n".encode("latin-1"))
    (tmp_path / "list.jsonl").write_text('{"file_name": "d1.wav", "label": ["a", "b"]}\n')
    expected = {
        "empty": "holds no labelled clips. Expected a folder for each label",
        "text.zip": "'text.zip' cannot be unpacked",
        "clip.wav": "neither a folder, nor a .csv or .jsonl table",
        "latin.csv": "latin.csv cannot be read as a UTF-8 table",
        "list.jsonl": "has 2 labels, but one is expected. Say that the data are multi-label",
        "nowhere.csv": "There is nothing at",
        "no such thing": "There is nothing at",
    }
    for name, message in expected.items():
        with pytest.raises(DataError, match=message):
            read_labelled_clips(tmp_path / name)


def test_a_strangers_table_reaches_no_file_outside(folder: Path) -> None:
    inside = write_csv(folder / "inside.csv", ("file_name", "label"), ("dog/d1.wav", "dog"))
    options = ReadingOptions(root=folder)
    assert len(read_labelled_clips(inside, options).clips) == 1
    for name in ("../secret.wav", str(folder.parent / "secret.wav")):
        (folder.parent / "secret.wav").write_bytes(b"RIFF")
        outside = write_csv(folder / "outside.csv", ("file_name", "label"), (name, "dog"))
        with pytest.raises(DataError, match="outside of the data's folder"):
            read_labelled_clips(outside, options)


def test_an_archive_that_unpacks_to_too_much_is_refused(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("dog/silence.wav", bytes(3_000_000))
    with pytest.raises(DataError, match="holds 3 MB of clips; at most 1 MB are read"):
        read_labelled_clips(archive, ReadingOptions(max_archive_mb=1))


def test_a_folder_in_a_bucket_is_read_as_one_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    soundfile.write(tmp_path / "dog" / "a b.wav", noise(0.5), SAMPLE_RATE)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.wav").write_text("not this one")
    bucket = f"file://{tmp_path}"  # Arrow reads a disk and a cloud by the same calls
    (clip,) = read_labelled_clips(bucket, ReadingOptions(buckets=True)).clips
    (same,) = read_labelled_clips(tmp_path).clips
    assert (clip.name, clip.labels) == (same.name, same.labels)
    np.testing.assert_array_equal(read_audio(clip.content).samples, read_audio(same.content).samples)
    (tmp_path / "metadata.csv").write_text("file_name,label\ndog/a b.wav,cat\n")
    assert read_labelled_clips(bucket, ReadingOptions(buckets=True)).labels == ("cat",)
    (tmp_path / "dog" / "a b.wav").unlink()
    with pytest.raises(AudioError, match=r"a%20b\.wav' cannot be opened"):
        _ = clip.content


def test_buckets_are_read_only_where_that_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is nothing at"):
        read_labelled_clips(f"file://{tmp_path}")
    with pytest.raises(DataError, match=r"no-such-folder' cannot be listed"):
        read_labelled_clips(f"file://{tmp_path}/no-such-folder", ReadingOptions(buckets=True))
