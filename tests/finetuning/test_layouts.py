"""Each shape of a public data set is understood, learnt from and evaluated by the command line, and shown in the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from ast_demo.data import ReadingOptions, read_labelled_clips
from ast_demo.finetuning.split import read_split
from ast_demo.settings import Settings
from ast_demo.ui.evaluate.data_choice import ELSEWHERE, Choice, describe_choice
from tests.conftest import Done
from tests.data.layouts import LAYOUTS

SCANT = ("--epochs", "1", "--batch-size", "2", "--seed", "0")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_learnt_from_and_evaluated(
    name: str, run: Callable[..., Done], tmp_path: Path, tiny_folder: Path
) -> None:
    layout = LAYOUTS[name]
    data = layout.make(tmp_path / "data")
    output = tmp_path / "mine"
    done = run("finetune", data, *layout.options, "--base", tiny_folder, "--output", output, *SCANT)
    assert done.code == 0, done.err
    said = done.out + done.err
    assert [line for line in layout.says if line not in said] == []
    assert set(json.loads((output / "config.json").read_text())["label2id"]) == set(layout.labels)
    clips = read_labelled_clips(data, ReadingOptions(label_from=layout.options[1] if layout.options else "")).clips
    tests = {clip.name for clip in clips if clip.columns.get("split", "").startswith(("test", "eval"))}
    assert {name for name, part in read_split(output).items() if part == "test"} == tests
    done = run("evaluate", data, *layout.options, "--checkpoint", output, "--output", tmp_path / "table")
    assert done.code == 0, done.err
    said = done.out + done.err
    assert [line for line in layout.says if line not in said] == []
    shown = _in_the_page(data, layout.options)
    assert [line for line in layout.says if line not in shown] == []


def _in_the_page(data: Path, options: tuple[str, ...]) -> str:
    label_from = options[1] if options else None
    choice = Choice(ELSEWHERE, None, str(data), (), None, None, False, None, False, label_from)
    text, _ = describe_choice(choice, Settings())
    return unescape(text)
