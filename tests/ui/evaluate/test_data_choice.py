"""Which clips the Evaluate tab evaluates."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ast_demo.data.reading import read_labelled_clips
from ast_demo.errors import DataError
from ast_demo.models.loading import shipped_names
from ast_demo.settings import Settings
from ast_demo.ui.evaluate import data_choice
from ast_demo.ui.evaluate.data_choice import Added, Choice, add_clip, read_choice
from tests.clips import SAMPLES

SEVEN, RAIN = (next((SAMPLES / label).glob("*.ogg")) for label in ("7", "rain"))


def choose(
    kind: str, *, text: str = "", added: Added = (), multi_label: bool = False, held_out: bool = False
) -> Choice:
    return Choice(kind, None, text, added, None, "", multi_label, None, held_out)


def test_a_clip_that_is_added_again_gets_its_new_label() -> None:
    added = add_clip(add_clip(add_clip((), str(SEVEN), "1"), str(RAIN), " rain "), str(SEVEN), "7")
    assert added == ((str(RAIN), "rain"), (str(SEVEN), "7"))


@pytest.mark.parametrize(("path", "label"), [(None, "rain"), (str(RAIN), None), (str(RAIN), "  ")])
def test_a_clip_without_a_label_is_not_added(path: str | None, label: str | None) -> None:
    with pytest.raises(DataError, match=r"to add|before adding"):
        add_clip((), path, label)


def test_added_clips_join_those_of_the_data_and_recordings_keep_apart(tmp_path: Path) -> None:
    recordings = [tmp_path / folder / "audio.ogg" for folder in ("a", "b")]
    for recording, sample in zip(recordings, (SEVEN, RAIN), strict=True):
        recording.parent.mkdir()
        shutil.copy(sample, recording)
    added = tuple((str(path), label) for path, label in zip(recordings, ("7", "rain; sea_waves"), strict=True))
    alone = read_choice(choose(data_choice.ADDED, added=added, multi_label=True), [], Settings())
    assert [(clip.name, clip.labels, clip.source) for clip in alone.clips] == [
        ("audio.ogg", ("7",), recordings[0]),
        ("2-audio.ogg", ("rain", "sea_waves"), recordings[1]),
    ]
    joined = read_choice(choose(data_choice.SAMPLES, added=added), [], Settings())
    assert joined.clips == (*read_labelled_clips("samples").clips, *read_choice(choose(data_choice.ADDED, added=added), [], Settings()).clips)  # fmt: skip


def test_held_out_clips_are_those_that_the_first_checkpoint_did_not_learn_from(tmp_path: Path) -> None:
    for number, name in enumerate(("learnt.wav", "held.wav", "new.wav")):
        path = tmp_path / "data" / "7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]))
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(SAMPLES.parent / "checkpoints" / shipped_names()[0], checkpoint)
    (checkpoint / "split.csv").write_text("file_name,label,split\n7/learnt.wav,7,training\n7/held.wav,7,validation\n")
    data = str(tmp_path / "data")
    references = [str(checkpoint), shipped_names()[0]]
    kept = read_choice(choose(data_choice.ELSEWHERE, text=data, held_out=True), references, Settings())
    assert [clip.name for clip in kept.clips] == ["7/held.wav", "7/new.wav"]
    everything = read_choice(choose(data_choice.ELSEWHERE, text=data), references, Settings())
    assert len(everything.clips) == 3


def test_the_page_says_what_it_understood_and_offers_what_else_the_label_may_be(tmp_path: Path) -> None:
    for name in ("train/a.wav", "test/b.wav"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(SEVEN, tmp_path / name)
    (tmp_path / "list.csv").write_text("file;kind;speaker;label\ntrain/a.wav;x;theo;Rain\ntest/b.wav;<y>;lucas;rain\n")
    choice = choose(data_choice.ELSEWHERE, text=str(tmp_path))
    text, update = data_choice.describe_choice(choice, Settings())
    assert "2 clips of 1 label: Rain 2." in text or "2 clips of 1 label: rain 2." in text
    assert "are one label" in text
    assert update["choices"] == ["told from the data", "folder", "file", "kind", "speaker", "label"]
    text, _ = data_choice.describe_choice(replace(choice, label_from="kind"), Settings())
    assert "2 clips of 2 labels: &lt;y&gt; 1, x 1." in text
    assert read_choice(replace(choice, label_from="speaker"), [], Settings()).labels == ("lucas", "theo")
    assert read_choice(replace(choice, label_from="folder"), [], Settings()).labels == ("test", "train")
    text, _ = data_choice.describe_choice(replace(choice, label_from="nothing"), Settings())
    assert 'role="alert"' in text
    assert str(tmp_path) not in data_choice.describe_choice(replace(choice, audio_folder="gone"), Settings())[0]
