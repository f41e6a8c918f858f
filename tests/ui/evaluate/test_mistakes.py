"""The worst mistakes, of clips and checkpoints whose names want to break the page."""

from __future__ import annotations

import asyncio
import json
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import gradio as gr
import pytest
from gradio_client.utils import strip_invalid_filename_characters

from ast_demo.data import read_labelled_clips_of_visitor
from ast_demo.evaluation import Evaluation, evaluate, read_evaluation
from ast_demo.models import load_checkpoint
from ast_demo.settings import PUBLIC
from ast_demo.ui.evaluate import mistakes, views
from tests.clips import encode, melody

CHECKPOINT = "sounds-and-digits-16-16"
SCRIPT = "<img src=x onerror=alert(1)>"
NAMES = (
    f"{SCRIPT}.wav", "a" * 300 + ".wav", "é" * 200 + ".wav", "🏳️‍🌈" * 60 + ".wav", "a\nb.wav", "\u202egpj.wav", "%00%2e%2e.wav",
    "e" + "\u0301" * 900 + ".wav", "=cmd|'/C calc'!A0.wav", "'\"><script>alert(1)</script>.wav", "-.wav", "CON.wav", "$x^{$.wav",
)  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """An evaluation of clips with these names, of which each is a mistake, and of a column and a cell like them."""
    folder = tmp_path_factory.mktemp("hostile")
    sound = encode(melody(0.3), 16_000, "wav", "PCM_16")
    rows = [{"file_name": name, "label": "rooster", SCRIPT: SCRIPT} for name in NAMES]
    with zipfile.ZipFile(folder / "clips.zip", "w") as archive:
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
        for name in NAMES:
            archive.writestr(name, sound)
    clips = read_labelled_clips_of_visitor("samples", str(folder / "clips.zip"), PUBLIC)
    return read_evaluation(evaluate(clips, [CHECKPOINT], load_checkpoint, folder / "out").folder)


class Tags(HTMLParser):
    """The tags of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


async def build() -> tuple[mistakes.MistakeList, mistakes.Bar]:
    with gr.Blocks(analytics_enabled=False):  # outside of a loop, Gradio would make one and leave it open
        return mistakes.build_list(), mistakes.build_bar()


def test_every_mistake_is_shown_and_told(result: Evaluation) -> None:
    listed, bar = asyncio.run(build())
    total = len(views.worst(result))
    assert total == len(NAMES)
    seen = set()
    for place in range(total):
        shown = mistakes.choose(listed, result, {CHECKPOINT: CHECKPOINT}, place)
        mistake = shown[listed.chosen]
        assert isinstance(mistake, mistakes.Mistake)
        sound = Path(mistake.sound)
        assert sound.is_file()
        assert sound.is_relative_to(result.folder)
        assert strip_invalid_filename_characters(sound.name) == sound.name  # so that Gradio's copy is known again
        told = mistakes.tell(bar, mistake)[bar.text]
        for text in (shown[listed.facts], told):
            assert isinstance(text, str)
            assert Tags(text).tags <= {"p", "b", "dl", "dt", "dd"}, text
        seen.add(mistake.name)
    assert seen == set(NAMES)


def test_all_that_is_said_of_it_is_text(result: Evaluation) -> None:
    noted = views.notes_list(replace(result, computing_notes=(SCRIPT,)))
    for text in (views.metrics_table(result), views.labels_table(result), noted):
        assert not Tags(text).tags & {"img", "script", "a", "iframe", "style"}, text
    assert {file.name for file in map(Path, views.write_downloads(result))} >= {"evaluation.csv", "metrics.json"}
