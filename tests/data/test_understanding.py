"""What the command line says that it understood of the data, and that public layouts go all the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from ast_demo.data import ReadingOptions, map_labels, read_label_map, read_labelled_clips
from ast_demo.errors import DataError
from ast_demo.finetuning.options import Augmentation, FinetuneOptions
from ast_demo.finetuning.run import finetune
from ast_demo.finetuning.split import read_split
from tests.clips import REPOSITORY, tone
from tests.data.layouts import speech_commands
from tests.data.making import make, write
from tests.tiny import build_model, save, save_tiny

QUICK = FinetuneOptions(epochs=1, batch_size=4, evaluations=1, augmentation=Augmentation())


def test_parts_of_a_long_recording_are_learnt(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.wav", tone(500, 8.0), 16_000)
    write(tmp_path / "day.txt", *(f"{k}.0\t{k}.9\t{'dog' if k % 2 else 'rain'}" for k in range(8)))
    clips = read_labelled_clips(tmp_path)
    base = save(build_model(1, clips.labels), tmp_path / "base")
    finetune(clips, base, tmp_path / "learnt", QUICK, progress=lambda _: None)
    assert len(read_split(tmp_path / "learnt")) == 8


def test_the_command_line_says_what_it_understood_before_it_computes(tmp_path: Path) -> None:
    data = speech_commands(tmp_path / "data")
    write(tmp_path / "map.csv", "seven,nothing that the checkpoint knows")
    done = subprocess.run(
        [sys.executable, "-m", "ast_demo", "evaluate", str(data), "--checkpoint", str(save_tiny(tmp_path / "model")), "--output", str(tmp_path / "out"), "--label-map", str(tmp_path / "map.csv")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[:3] == [
        f"{data}: 6 clips of 2 labels: nothing that the checkpoint knows 3, one 3.",
        "Labels come from the folders.",
        "Splits, from testing_list.txt and validation_list.txt: training 2, validation 2, test 2.",
    ]
    assert "Left out: 1 recordings, such as _background_noise_/pink_noise.wav" in done.stderr
    assert "does not know these labels of the data: nothing that the checkpoint knows, one." in lines[-1]


def test_a_map_that_is_larger_than_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_bytes(b"," * 6_000_000)
    with pytest.raises(DataError, match=r"has 6\.0 MB; tables of at most 1 MB"):
        read_label_map(tmp_path / "map.csv")
    (tmp_path / "map.csv").write_bytes(b"," * 900_000)
    with pytest.raises(DataError, match="has 900,001 columns"):
        read_label_map(tmp_path / "map.csv")


def test_a_column_of_splits_decides_what_is_learnt(tmp_path: Path) -> None:
    make(tmp_path, *(f"{k}.wav" for k in range(8)))
    splits = ("training", "validation", "testing", "training")
    write(tmp_path / "metadata.csv", "file_name,label,Split", *(f"{k}.wav,{'dog' if k < 4 else 'rain'},{splits[k % 4]}" for k in range(8)))  # fmt: skip
    clips = map_labels(read_labelled_clips(tmp_path, ReadingOptions()), {})
    base = save(build_model(1, clips.labels), tmp_path / "base")
    finetune(clips, base, tmp_path / "learnt", QUICK, progress=lambda _: None)
    split = read_split(tmp_path / "learnt")
    assert {name for name, part in split.items() if part == "test"} == {"2.wav", "6.wav"}
    assert {name for name, part in split.items() if part == "validation"} == {"1.wav", "5.wav"}
