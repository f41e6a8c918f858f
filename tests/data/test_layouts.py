"""Public data sets, each made small in its own shape, and what the program says that it understood of them."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ast_demo.errors import DataError
from tests.data.layouts import (
    INTENTS,
    audioset,
    birdclef,
    common_voice,
    esc50,
    free_spoken_digits,
    fsd50k,
    gtzan,
    kaggle,
    minds14,
    speech_commands,
    urbansound8k,
)
from tests.data.making import CLIP, labels_of, make, read, said, splits_of, write


def test_esc50(tmp_path: Path) -> None:
    clips = read(esc50(tmp_path))
    assert set(labels_of(clips).values()) == {"dog", "rain"}
    assert [clip.columns["fold"] for clip in clips.clips] == ["1", "1", "2", "2"]
    assert "4 clips of 2 labels: dog 2, rain 2." in said(clips)
    assert "Labels come from the column 'category' of" in said(clips)
    assert "Left out: meta/esc50-human.xlsx: a kind of table that is not read here; save it as CSV if" in said(clips)
    alone = read(tmp_path / "meta/esc50.csv")
    assert labels_of(alone) == labels_of(clips)
    assert read(tmp_path, label_from="target").labels == ("0", "10")


def test_urbansound8k(tmp_path: Path) -> None:
    clips = read(urbansound8k(tmp_path))
    assert clips.labels == ("dog_bark", "siren")
    assert {clip.columns["fold"] for clip in clips.clips} == {"1", "10"}
    assert all(clip.end_s is None for clip in clips.clips)
    assert "Note: The columns 'start' and 'end' are not used" in said(clips)
    shutil.rmtree(tmp_path / "metadata")
    with pytest.raises(DataError, match="fold1 and fold10 are groups, audio is only a folder around them"):
        read(tmp_path)


@pytest.mark.parametrize("around", ["", "train/audio/"])  # as published, and as on Kaggle
def test_speech_commands(tmp_path: Path, around: str) -> None:
    clips = read(speech_commands(tmp_path, around))
    assert clips.labels == ("one", "seven")
    assert splits_of(clips) == {"training": 2, "validation": 2, "test": 2}
    assert all(clip.columns["speaker"] == clip.name.split("/")[-1][:8] for clip in clips.clips)
    assert "_background_noise_: noise to mix in, and no label." in said(clips)
    assert f"1 lines of {around}testing_list.txt, whose recordings are not there." in said(clips)
    assert f"Splits, from {around}testing_list.txt and {around}validation_list.txt" in said(clips)


def test_free_spoken_digits(tmp_path: Path) -> None:
    clips = read(free_spoken_digits(tmp_path))
    assert clips.labels == ("0", "7")
    assert dict(clips.clips[-1].columns) == {"speaker": "theo", "index": "12"}
    assert "Labels come from the names of the files, which are digit_speaker_index." in said(clips)
    by_speaker = read(tmp_path, label_from="{digit}_{label}_{index}")
    assert by_speaker.labels == ("lucas", "theo")


def test_audio_mnist_has_a_folder_for_each_speaker(tmp_path: Path) -> None:
    make(tmp_path, *(f"data/{who}/{digit}_{who}_{k}.wav" for digit in (3, 8) for who in ("01", "12") for k in (0, 1)))
    assert read(tmp_path).labels == ("3", "8")


def test_gtzan(tmp_path: Path) -> None:
    clips = read(gtzan(tmp_path))
    assert clips.labels == ("blues", "rock")
    assert len(clips.clips) == 4
    assert "The table Data/features_3_sec.csv: none of the files that it names in 'filename' is there." in said(clips)
    (tmp_path / "Data/features_30_sec.csv").unlink()
    assert read(tmp_path).labels == ("blues", "rock")


def test_fsd50k(tmp_path: Path) -> None:
    clips = read(fsd50k(tmp_path))
    assert labels_of(clips) == {
        "FSD50K.dev_audio/64760.wav": "Dog;Rain",
        "FSD50K.dev_audio/64761.wav": "Rain",
        "FSD50K.eval_audio/37199.wav": "Rain;Dog",
    }
    assert splits_of(clips) == {"training": 1, "validation": 1, "test": 1}
    assert "several to a clip" in said(clips)
    by_id = read(tmp_path, label_from="mids", multi_label=True)
    assert by_id.labels == ("Dog", "Rain")
    assert "named by FSD50K.ground_truth/vocabulary.csv" in said(by_id)


@pytest.mark.parametrize("file", ["{id}.wav", "Y{id}.wav", "{id}_{ms}_{end}.wav", "Y{id}_{s}.000_{end}.000.wav"])
def test_audioset(tmp_path: Path, file: str) -> None:
    clips = read(audioset(tmp_path, file))
    assert [clip.labels for clip in clips.clips] == [("Domestic animals, pets", "Rain"), ("Rain",)] * 2
    assert all(clip.end_s is None for clip in clips.clips)  # ten seconds each were cut from the videos
    assert "1 rows of" in said(clips)
    assert "whose videos are not there" in said(clips)
    assert "named by class_labels_indices.csv" in said(clips)
    (tmp_path / "class_labels_indices.csv").unlink()
    assert set(read(tmp_path).labels) == {"/m/068hy", "/m/06mb1"}


def test_common_voice(tmp_path: Path) -> None:
    clips = read(common_voice(tmp_path), label_from="gender")
    assert sorted(labels_of(clips).values()) == ["female", "female", "male", "male"]
    assert splits_of(clips) == {"training": 2, "validation": 1, "test": 1}
    assert "1 rows of" in said(clips)
    assert "without a label" in said(clips)
    assert "The table validated.tsv: as" in said(clips)
    assert "The table invalidated.tsv: as" in said(clips)
    with pytest.raises(
        DataError,
        match=r"no column for the label: expected one of .*the columns are client_id, path.* 3 more are left out",
    ):
        read(tmp_path)


def test_minds14(tmp_path: Path) -> None:
    clips = read(minds14(tmp_path))
    assert clips.labels == ("1", "6")
    write(tmp_path / "intents.txt", *INTENTS)
    assert read(tmp_path).labels == ("address", "card_issues")


def test_kaggle(tmp_path: Path) -> None:
    clips = read(kaggle(tmp_path))
    assert labels_of(clips)["audio_train/00004347.wav"] == "Hi-hat"
    assert Counter(labels_of(clips).values()) == {"Hi-hat": 2, "Dog": 2}
    assert splits_of(clips) == {"training": 4}
    assert "The table sample_submission.csv: an example of answers, and no truth." in said(clips)
    assert "1 recordings of which nothing says what they are, such as audio_test/00063640.wav." in said(clips)


def test_birdclef(tmp_path: Path) -> None:
    clips = read(birdclef(tmp_path))
    assert labels_of(clips)["train_audio/abethr1/XC1.ogg"] == "abethr1"
    assert Counter(labels_of(clips).values()) == {"abethr1": 2, "zitcis1": 2}
    assert read(tmp_path, label_from="secondary_labels", multi_label=True).labels == ("abethr1", "x")


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("classes.txt", ("dog", "rain")),
        ("labels.txt", ("0 dog", "1 rain")),
        ("label_names.csv", ("id,name", "1,rain", "0,dog")),
        ("id2label.json", ('{"0": "dog", "1": "rain"}',)),
        ("label2id.json", ('{"dog": 0, "rain": 1}',)),
        ("class_names.json", ('["dog", "rain"]',)),
    ],
)
def test_ids_with_a_list_of_names(tmp_path: Path, file: str, lines: tuple[str, ...]) -> None:
    make(tmp_path, "a.wav", "b.wav")
    write(tmp_path / "metadata.csv", "file_name,label", "a.wav,0", "b.wav,1")
    write(tmp_path / file, *lines)
    clips = read(tmp_path)
    assert labels_of(clips) == {"a.wav": "dog", "b.wav": "rain"}
    assert f"named by {file}" in said(clips)
    assert f"The table {file}" not in said(clips)
    assert labels_of(read(tmp_path / "metadata.csv")) == labels_of(clips)


def test_names_counted_from_one_and_names_that_are_too_few(tmp_path: Path) -> None:
    make(tmp_path, "1/a.wav", "2/b.wav")
    write(tmp_path / "classes.txt", "dog", "rain")
    assert read(tmp_path).labels == ("dog", "rain")
    make(tmp_path, "7/c.wav")
    assert read(tmp_path).labels == ("1", "2", "7")  # some would have no name: the file is about something else


# Splits and groups in folders


@pytest.mark.parametrize("name", ["Train", "TRAINING", "Validation", "valid", "VAL", "Dev", "Test", "testing", "eval", "Evaluation"])  # fmt: skip
@pytest.mark.parametrize("inside", [True, False])
def test_split_folders_in_any_case_on_either_side_of_the_label(tmp_path: Path, name: str, inside: bool) -> None:
    make(tmp_path, *(f"{label}/{name}/a.wav" if inside else f"{name}/{label}/a.wav" for label in ("dog", "rain")))
    clips = read(tmp_path)
    assert clips.labels == ("dog", "rain")
    (split,) = splits_of(clips)
    assert split == ("training" if name.lower().startswith("train") else "test" if name[0] in "Tte" or name == "Evaluation" else "validation")  # fmt: skip
    assert "Splits, from the folders" in said(clips)


@pytest.mark.parametrize("folders", [("train", "test"), ("fold1", "fold2"), ("site1", "site2"), ("set_a", "set_b"), ("audio", "wavs"), ("Train_1", "Test_1")])  # fmt: skip
def test_folders_that_only_group_are_no_labels(tmp_path: Path, folders: tuple[str, str]) -> None:
    make(tmp_path, *(f"{folder}/{name}.wav" for folder in folders for name in ("rain.0", "dog.1")))
    with pytest.raises(DataError, match="holds no labelled clips") as caught:
        read(tmp_path)
    assert all(folder in str(caught.value) for folder in folders)
    assert "{label}" in str(caught.value)
    clips = read(tmp_path, label_from="{label}.{take}")
    assert clips.labels == ("dog", "rain")
    assert {clip.columns["take"] for clip in clips.clips} == {"0", "1"}
    assert len(read(tmp_path, label_from="folder").labels) == 2  # whoever says so is believed
    write(tmp_path / "list.csv", "file,class", *(f"{folder}/{name}.wav,{name[:-2]}" for folder in folders for name in ("rain.0", "dog.1")))  # fmt: skip
    assert read(tmp_path).labels == ("dog", "rain")


@pytest.mark.parametrize("group", ["fold1", "site3", "2021-05-01", "speaker12", "Actor_03", "clips"])
def test_folders_that_group_within_labels_or_around_them(tmp_path: Path, group: str) -> None:
    make(tmp_path / "within", f"dog/{group}/a.wav", f"rain/{group}/b.wav")
    make(tmp_path / "around", f"{group}/dog/a.wav", f"{group}/rain/b.wav")
    assert read(tmp_path / "within").labels == ("dog", "rain")
    assert read(tmp_path / "around").labels == ("dog", "rain")


def test_who_speaks_may_be_the_label(tmp_path: Path) -> None:
    make(tmp_path, "speaker1/a.wav", "speaker2/b.wav")
    assert read(tmp_path).labels == ("speaker1", "speaker2")


def test_recordings_beside_folders_of_labels_are_named(tmp_path: Path) -> None:
    make(tmp_path, "dog/a.wav", "rain/b.wav", "test/c.wav", "loose.wav")
    write(tmp_path / "dog/old.wma", "-")
    clips = read(tmp_path)
    assert labels_of(clips) == {"dog/a.wav": "dog", "rain/b.wav": "rain"}
    assert "1 recordings, such as test/c.wav: they lie in folders that are no labels: test is a split." in said(clips)
    assert "1 recordings, such as loose.wav: they lie in no folder." in said(clips)
    assert "1 .wma" in said(clips)


def test_folders_of_operating_systems_are_none(tmp_path: Path) -> None:
    make(tmp_path, "dog/a.wav", "rain/b.wav", "@eaDir/a.wav", "dog/@eaDir/a.wav/x.wav", "__MACOSX/dog/._a.wav", "dog/._a.wav", "#recycle/c.wav")  # fmt: skip
    write(tmp_path / "dog/.DS_Store", "-")
    write(tmp_path / "dog/Thumbs.db", "-")
    clips = read(tmp_path)
    assert labels_of(clips) == {"dog/a.wav": "dog", "rain/b.wav": "rain"}
    assert "Left out" not in said(clips)
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in tmp_path.rglob("*"):
            if path.is_file() and path != archive:
                file.write(path, path.relative_to(tmp_path))
    assert labels_of(read(archive)) == labels_of(clips)


def test_tables_that_are_not_used_are_named(tmp_path: Path) -> None:
    make(tmp_path, "dog/a.wav", "rain/b.wav")
    write(tmp_path / "notes/weather.csv", "day,degrees", "1,20")
    write(tmp_path / "info.csv", "file,seconds", "dog/a.wav,0.5")
    clips = read(tmp_path)
    assert clips.labels == ("dog", "rain")
    assert "Left out: The table notes/weather.csv: " in said(clips)
    assert "has no column for the file: expected" in said(clips)
    assert "Left out: The table info.csv: " in said(clips)
    assert "has no column for the label: expected" in said(clips)
    write(tmp_path / "metadata.csv", "file_name,label", "dog/a.wav,bark")
    clips = read(tmp_path)
    assert clips.labels == ("bark",)
    assert "The table info.csv, as metadata.csv says what the clips are." in said(clips)
    assert "1 recordings of which nothing says what they are, such as rain/b.wav." in said(clips)


# Links


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "sea/a.wav", "sea/deep/b.wav")
    data = make(tmp_path / "data", "rain/a.wav")
    (data / "sea_waves").symlink_to(tmp_path / "elsewhere/sea", target_is_directory=True)
    (data / "dog").mkdir()
    (data / "dog" / "d.wav").symlink_to(tmp_path / "elsewhere/sea/a.wav")
    (data / "rain" / "circle").symlink_to(data, target_is_directory=True)
    (data / "sea_again").symlink_to(tmp_path / "elsewhere/sea", target_is_directory=True)
    (data / "nowhere").symlink_to(tmp_path / "gone")
    clips = read(data)
    labels = labels_of(clips)
    assert labels.pop("rain/a.wav") == "rain"
    assert labels.pop("dog/d.wav") == "dog"
    assert len(labels) == 2
    assert "The link 'rain/circle' leads to a folder that is read already, and is not followed." in said(clips)
    assert "The link 'nowhere' leads nowhere." in said(clips)
    inside = read(data, root=data)
    assert set(labels_of(inside)) == {"rain/a.wav", "dog/d.wav"}
    assert "The link 'sea_waves' leads to a folder, and is not followed here." in said(inside)


def test_every_suffix_that_is_read_counts(tmp_path: Path) -> None:
    make(tmp_path, *(f"dog/a.{suffix}" for suffix in ("WAV", "au", "caf", "w64", "mp2", "mka", "Flac")))
    assert len(read(tmp_path).clips) == 7


# Where the recordings of a table are


def test_the_folder_of_the_recordings_can_be_said(tmp_path: Path) -> None:
    make(tmp_path / "data", "set_a/a.wav", "set_b/a.wav")
    make(tmp_path / "far", "a.wav")
    write(tmp_path / "data/list.csv", "file_name,label", "a.wav,dog")
    with pytest.raises(DataError, match=r"Row 2 of .* may be any of 2 files, such as set_a/a.wav and set_b/a.wav"):
        read(tmp_path / "data")
    for data in (tmp_path / "data", tmp_path / "data/list.csv"):
        assert [Path(clip.source) for clip in read(data, audio_folder="set_a").clips] == [tmp_path / "data/set_a/a.wav"]
        (clip,) = read(data, audio_folder=str(tmp_path / "far")).clips
        assert Path(clip.source) == tmp_path / "far/a.wav"
        with pytest.raises(DataError):
            read(data, audio_folder=str(tmp_path / "far"), root=tmp_path / "data")
    with pytest.raises(DataError, match="There is no folder 'nothing' with recordings"):
        read(tmp_path / "data", audio_folder="nothing")


@pytest.mark.parametrize(
    "written",
    [
        "rain/a.wav",
        "rain\\a.wav",
        ".\\rain\\a.wav",
        "./rain/a.wav",
        "a.wav",
        "rain/a",
        "RAIN/A.WAV",
        "C:\\Users\\me\\data\\rain\\a.wav",
        "/home/me/data/rain/a.wav",
        "~me/data/rain/a.wav",
        "{folder}/rain/a.wav",
    ],
)
@pytest.mark.parametrize("table", ["metadata.csv", "lists/all.csv"])
def test_paths_as_people_write_them(tmp_path: Path, written: str, table: str) -> None:
    make(tmp_path, "rain/a.wav")
    write(tmp_path / table, "file_name,label", f"{written.format(folder=tmp_path)},dog")
    for data in (tmp_path, tmp_path / table):
        (clip,) = read(data).clips
        assert Path(clip.source).resolve() == tmp_path / "rain/a.wav"
        assert clip.labels == ("dog",)


def test_a_name_in_another_folder_is_not_taken_for_the_one_that_is_written(tmp_path: Path) -> None:
    make(tmp_path, "rooster/a.wav", "b.wav")
    for written in ("rain/a.wav", "rain/b.wav", "../b.wav", "c.wav"):
        write(tmp_path / "metadata.csv", "file_name,label", f"{written},dog")
        with pytest.raises(DataError, match="which is not there"):
            read(tmp_path)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same(tmp_path: Path, on_disk: str) -> None:
    import unicodedata

    make(tmp_path, unicodedata.normalize(on_disk, "bär/knurrt.wav"))
    for form in ("NFC", "NFD"):
        write(tmp_path / "metadata.csv", "file_name,label", unicodedata.normalize(form, "bär/knurrt.wav,Bär"))
        (clip,) = read(tmp_path).clips
        assert Path(clip.source).is_file()


def test_of_files_of_one_name_the_fold_decides(tmp_path: Path) -> None:
    make(tmp_path, "audio/fold1/a.wav", "audio/fold2/a.wav")
    write(tmp_path / "metadata/list.csv", "filename,fold,class", "a.wav,2,dog", "a.wav,1,rain")
    assert labels_of(read(tmp_path)) == {"audio/fold2/a.wav": "dog", "audio/fold1/a.wav": "rain"}


def test_an_archive_reads_the_same_layouts(tmp_path: Path) -> None:
    for name, build in {"esc": esc50, "fsd": fsd50k, "kaggle": kaggle}.items():
        data = build(tmp_path / name)
        archive = Path(shutil.make_archive(str(tmp_path / f"{name} packed"), "zip", tmp_path, name))
        assert labels_of(read(archive)) == labels_of(read(data))
        with pytest.raises(DataError, match="There is no folder"):
            read(archive, audio_folder="/")


def test_tables_of_splits_beside_each_other(tmp_path: Path) -> None:
    make(tmp_path, "wavs/a.wav", "wavs/b.wav")
    write(tmp_path / "train.csv", "path,label", "a.wav,dog")
    write(tmp_path / "test.csv", "path,label", "b.wav,rain")
    clips = read(tmp_path)
    assert splits_of(clips) == {"training": 1, "test": 1}
    assert len(labels_of(clips)) == 2


def test_manifests_of_json_lines_as_speech_programs_write_them(tmp_path: Path) -> None:
    make(tmp_path, "a.wav")
    rows = [{"audio_filepath": str(tmp_path / "a.wav"), "offset": k / 5, "duration": 0.2, "command": c} for k, c in enumerate(("go", "stop"))]  # fmt: skip
    write(tmp_path / "train_manifest.jsonl", *(json.dumps(row) for row in rows))
    clips = read(tmp_path / "train_manifest.jsonl")
    assert [(clip.labels, clip.start_s, clip.end_s) for clip in clips.clips] == [
        (("go",), 0, 0.2),
        (("stop",), 0.2, 0.4),
    ]


@pytest.mark.parametrize("table", ["labels.xlsx", "metadata.parquet", "Labels.ODS"])
def test_tables_of_kinds_that_are_not_read_are_named(tmp_path: Path, table: str) -> None:
    make(tmp_path, "a.wav")
    write(tmp_path / table, "-")
    with pytest.raises(DataError, match=f"{table}: a kind of table that is not read here; save it as CSV"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    make(tmp_path, "dog/a.wav", "rain/b.wav")
    (tmp_path / "rain").chmod(0)
    try:
        assert "The folder 'rain' cannot be opened" in said(read(tmp_path))
    finally:
        (tmp_path / "rain").chmod(0o700)


def test_the_clip_is_what_was_written(tmp_path: Path) -> None:
    (clip,) = read(make(tmp_path, "dog/a.wav")).clips
    assert Path(clip.source).read_bytes() == CLIP
