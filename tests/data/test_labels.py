"""Labels: which are the same, in which order they stand, and what a map makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ast_demo.data.clips import LabelledClip, LabelledClips, map_labels, one_spelling, spell_labels
from ast_demo.data.labels import match_key, read_label_map, sort_labels
from ast_demo.data.splits import known_split
from ast_demo.errors import DataError
from tests.data.making import make, read, said, write


def clips_of(*labels: str) -> LabelledClips:
    return LabelledClips("made", tuple(LabelledClip(f"{i}.wav", b"", (label,)) for i, label in enumerate(labels)))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Dog bark", "dog_bark", True),
        ("DOGBARK", "dog-bark", True),
        ("Straße", "STRASSE", True),
        ("Ba\u0308r", "b\u00e4r", True),
        (" rain ", "Rain", True),
        ("1 1", "11", False),
        ("class_1_1", "class_11", False),
        ("-1", "1", False),
        ("²", "2", False),
        ("rain", "train", False),
        ("_", "-", False),
    ],
)
def test_which_labels_match(one: str, other: str, same: bool) -> None:
    assert (match_key(one) == match_key(other)) == same


def test_labels_that_look_like_numbers_and_are_none() -> None:
    """`²` is a digit and no number; of digits by the thousand Python makes none."""
    long, longer = "1" * 6000, "2" + "0" * 6000
    assert sort_labels(["rain", "²", longer, "10", long, "2", "٣"]) == ("2", "٣", "10", long, longer, "rain", "²")


def test_two_spellings_are_one_label_and_said(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}.wav" for name in "abcd"))
    write(tmp_path / "metadata.csv", "file_name,label", "a.wav,Rain", "b.wav,rain", "c.wav,rain", "d.wav,Dog Bark")
    clips = read(tmp_path)
    assert clips.labels == ("Dog Bark", "rain")
    assert [clip.label for clip in clips.clips] == ["rain", "rain", "rain", "Dog Bark"]
    assert "Note: 'Rain' and 'rain' are one label, 'rain'." in said(clips)
    assert one_spelling(clips) == clips


def test_labels_are_spelled_as_they_are_elsewhere() -> None:
    clips = spell_labels(clips_of("Dog Bark", "rain", "other"), ["dog_bark", "RAIN", "rain"])
    assert [clip.label for clip in clips.clips] == ["dog_bark", "rain", "other"]


def test_a_map_names_merges_and_drops(tmp_path: Path) -> None:
    file = write(tmp_path / "map.csv", "Puppy,dog", "", "hound;dog".replace(";", ","), "noise,", ",,", "gone,x")
    mapped = map_labels(clips_of("puppy", "Hound", "noise", "rain", "noise"), read_label_map(file))
    assert [clip.label for clip in mapped.clips] == ["dog", "dog", "rain"]
    assert "Left out: 2 clips of 'noise', which the label map drops." in said(mapped)
    assert "Note: The data do not have these labels of the label map: gone." in said(mapped)
    with pytest.raises(DataError, match="drops every clip"):
        map_labels(clips_of("noise"), read_label_map(file))


def test_a_map_is_applied_once() -> None:
    assert map_labels(clips_of("a", "b"), {"a": "b", "b": "a"}).clips[0].label == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", r"Row 1 of the label map 'map.csv' has 3 cells\. Expected two\."),
        ("a,b\nc\nd,e,f\n", "Row 2 of the label map 'map.csv' says what|Row 3 of the label map"),
        ("alone\n", "Row 1 of the label map 'map.csv' has 1 cells"),
        (",b\n", "Row 1 .* not of which label"),
        ("a,b\nA,c\n", "Row 2 .* calls 'A' 'c', and a row before it called it another"),
        (b"\xff\xfea", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_map_that_is_wrong_gets_a_sentence(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "map.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_label_map(tmp_path / "map.csv")


def test_a_map_with_semicolons(tmp_path: Path) -> None:
    assert read_label_map(write(tmp_path / "map.csv", "zero;0", "one;1", end="\r\n", encoding="utf-8-sig")) == {
        "zero": "0",
        "one": "1",
    }


def test_several_labels_by_the_separator_that_occurs(tmp_path: Path) -> None:
    make(tmp_path, "a.wav", "b.wav")
    for separator in (";", ",", "|"):
        write(tmp_path / "metadata.csv", "file_name\tlabel", f"a.wav\tdog{separator} rain", "b.wav\train")
        assert [clip.labels for clip in read(tmp_path, multi_label=True).clips] == [("dog", "rain"), ("rain",)]
    write(tmp_path / "metadata.csv", "file_name\tlabel", "a.wav\tdog, wet; rain", "b.wav\train")
    assert [clip.labels for clip in read(tmp_path, multi_label=True).clips] == [("dog, wet", "rain"), ("rain",)]
    assert "is taken for one label. If it is several, say that the data are multi-label." in said(read(tmp_path))


def test_rows_of_one_file_are_labels_of_one_clip(tmp_path: Path) -> None:
    make(tmp_path, "a.wav")
    write(tmp_path / "metadata.csv", "file_name,label", "a.wav,dog", "a.wav,rain")
    assert [clip.labels for clip in read(tmp_path, multi_label=True).clips] == [("dog", "rain")]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "training"), ("Training", "training"), ("train_1", "training"), ("audio_train", "training"),
        ("train_curated", "training"), ("VAL", "validation"), ("dev", "validation"), ("FSD50K.dev_audio", "validation"),
        ("Testing", "test"), ("eval", "test"), ("evaluation", "test"), ("Test set", "test"), ("test2017", "test"),
        ("rain", None), ("testtone", None), ("train whistle", None), ("trainvaltest", None), ("", None), ("held-out", None),
        ("train-test", None), ("devil", None), ("_background_noise_", None),
    ],
)  # fmt: skip
def test_names_of_splits(name: str, split: str | None) -> None:
    assert known_split(name) == split
