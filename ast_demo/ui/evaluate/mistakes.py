"""The worst mistakes of an evaluation: a list, one of them to hear and to see, and the way to Inspect and back."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo.evaluation import Evaluation, column, read_row
from ast_demo.ui import files
from ast_demo.ui.evaluate import views


@dataclass(frozen=True)
class Mistake:
    """One row of the list, as another tab opens it.

    Attributes:
        sound: Path of the clip.
        name: What the data call it.
        label: What it is.
        prediction: What the checkpoint took it for.
        checkpoint: The one that was wrong: what it was asked for by.
        place, total: Where in the list it stands, from 0, and how long that is.
    """

    sound: str
    name: str
    label: str
    prediction: str
    checkpoint: str
    place: int
    total: int


@dataclass(frozen=True)
class MistakeList:
    """The list, and the mistake that is looked at."""

    table: gr.Dataframe
    chosen: gr.State
    box: gr.Row
    clip: gr.Audio
    facts: gr.HTML
    open: gr.Button
    pictures: gr.Gallery

    @property
    def outputs(self) -> list[Any]:
        return [self.chosen, self.box, self.clip, self.facts, self.pictures]


@dataclass(frozen=True)
class Bar:
    """Above Inspect, while it shows a mistake: which one that is, and the way back."""

    box: gr.Row
    opened: gr.State
    text: gr.HTML
    back: gr.Button
    following: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.box, self.opened, self.text, self.following]


def build_list() -> MistakeList:
    """Lay it out. Must be called inside a `gr.Blocks`."""
    gr.Markdown("## The worst mistakes\nBy the loss of the first checkpoint. Choose a row to hear it.")
    table = gr.Dataframe(interactive=False, show_label=False, elem_id="mistakes", wrap=True)
    with gr.Row(visible=False, elem_id="mistake") as box:
        with gr.Column(min_width=280):
            clip = gr.Audio(
                label="The mistake", interactive=False, type="filepath", buttons=["download"], elem_id="mistake-clip"
            )
            facts = gr.HTML()
            to_inspect = gr.Button("Inspect this clip", size="sm", elem_id="mistake-inspect")
        pictures = gr.Gallery(
            columns=2,
            show_label=False,
            object_fit="contain",
            height=320,
            buttons=["download", "fullscreen"],
            elem_id="mistake-pictures",
        )
    return MistakeList(table, gr.State(None), box, clip, facts, to_inspect, pictures)


def build_bar() -> Bar:
    """Lay it out, hidden. Must be called inside a `gr.Blocks`."""
    with gr.Row(visible=False, elem_id="from-mistakes", equal_height=True) as box:
        text = gr.HTML()
        back = gr.Button("Back to the list", size="sm", scale=0, min_width=140, elem_id="back-to-mistakes")
        following = gr.Button("Next mistake", size="sm", scale=0, min_width=140, elem_id="next-mistake")
    return Bar(box, gr.State(None), text, back, following)


def choose(list_: MistakeList, result: Evaluation, references: dict[str, str], place: int) -> dict[Any, object]:
    """Show a row of the list: its sound, its pictures, its facts."""
    row, media = _read(result, place)
    folder = Path(tempfile.mkdtemp(dir=result.folder))
    seen = [("spectrogram", media.get("spectrogram"))]
    seen += [
        (caption, media.get(column(field, name)))
        for name in result.checkpoints
        for field, caption in views.captions(row, name).items()
    ]
    shown = []
    for number, (caption, content) in enumerate(seen):
        if isinstance(content, bytes):
            (folder / f"{number}.png").write_bytes(content)
            shown.append((str(folder / f"{number}.png"), caption))
    mistake = _make(result, references, row, media, place)
    return {
        list_.chosen: mistake,
        list_.box: gr.update(visible=True),
        list_.clip: mistake.sound,
        list_.pictures: shown,
        list_.facts: views.mistake_facts(row, result.checkpoints),
    }


def find(result: Evaluation, references: dict[str, str], place: int) -> Mistake:
    """A row of the list, to be opened elsewhere."""
    row, media = _read(result, place)
    return _make(result, references, row, media, place)


def tell(bar: Bar, mistake: Mistake) -> dict[Any, object]:
    """Say above Inspect which mistake it shows."""
    label, prediction = (text.replace("_", " ") for text in (mistake.label or "nothing", mistake.prediction))
    text = (
        f"<p><b>Mistake {mistake.place + 1} of {mistake.total}</b> of your evaluation: {escape(mistake.name)} is "
        f"<b>{escape(label)}</b>; {escape(mistake.checkpoint)} took it for <b>{escape(prediction)}</b>.</p>"
    )
    return {
        bar.box: gr.update(visible=True),
        bar.opened: mistake,
        bar.text: text,
        bar.following: gr.update(interactive=mistake.place + 1 < mistake.total),
    }


def is_of(mistake: Mistake | None, clip: str | None) -> bool:
    """Whether a clip that a tab shows is this mistake's: Gradio has its own copy of it, under the same name."""
    return mistake is not None and clip is not None and Path(clip).name == Path(mistake.sound).name


def _read(result: Evaluation, place: int) -> tuple[Any, dict[str, Any]]:
    row = views.worst(result).iloc[place]
    return row, read_row(result, int(row.name))


def _make(result: Evaluation, references: dict[str, str], row: Any, media: dict[str, Any], place: int) -> Mistake:
    """By the first checkpoint that was wrong: the list is in the order of the first, where it was."""
    name = next(name for name in result.checkpoints if not row[column("correct", name)])
    sound = Path(tempfile.mkdtemp(dir=result.folder)) / files.name_after(row["clip"], ".flac")
    sound.write_bytes(media["audio"])
    return Mistake(
        str(sound),
        str(row["clip"]),
        str(row["label"]),
        str(row[column("prediction", name)]),
        references[name],
        place,
        len(views.worst(result)),
    )
