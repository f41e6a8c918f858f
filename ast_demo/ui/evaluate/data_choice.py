"""Which labelled clips are evaluated: the part of the Evaluate tab that asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ast_demo.data import (
    LABEL_SEPARATOR,
    LabelledClip,
    LabelledClips,
    ReadingOptions,
    describe_clips,
    join_clips,
    map_labels,
    read_label_map,
    read_labelled_clips_of_visitor,
)
from ast_demo.errors import DataError
from ast_demo.finetuning import keep_held_out
from ast_demo.models import find_checkpoint
from ast_demo.settings import Settings
from ast_demo.ui import components
from ast_demo.ui.messages import alert

SAMPLES, UPLOAD, ELSEWHERE, ADDED = (
    "The shipped samples",
    "A ZIP of mine",
    "A folder, table or Hub data set",
    "Only the clips that I added",
)
_TOLD = "told from the data"  # of what the label is
Added = tuple[tuple[str, str], ...]  # paths of inspected clips, and what each is


@dataclass(frozen=True)
class Choice:
    """What the controls say, in the order of `DataControls.inputs`."""

    kind: str
    file: str | None
    text: str | None
    added: Added
    label_column: str | None
    file_column: str | None
    multi_label: bool
    label_map: str | None
    held_out: bool
    label_from: str | None = None
    audio_folder: str | None = None


@dataclass(frozen=True)
class DataControls:
    """The controls that ask for the clips."""

    added: gr.State
    list_of_added: gr.HTML
    remove: gr.Button
    inputs: list[Component]


def build_controls(settings: Settings) -> DataControls:
    """Lay out the controls and wire those that act on each other. Must be called inside a `gr.Blocks`."""
    added = gr.State((), time_to_live=settings.kept_s)
    elsewhere = [ELSEWHERE] if settings.local_paths or settings.hub_datasets else []
    kind = gr.Radio([SAMPLES, UPLOAD, *elsewhere, ADDED], value=SAMPLES, label="Labelled clips", elem_id="data")
    upload = gr.File(
        label="A folder per label, or with a metadata.csv, as a ZIP",
        file_types=[".zip"],
        visible=False,
        elem_id="data-file",
        elem_classes="drop",
        height=96,
    )
    path = gr.Textbox(
        label="Folder, .csv or .jsonl table, or Hub data set name[:config][@split]", visible=False, elem_id="data-path"
    )
    list_of_added = gr.HTML(elem_id="added")
    remove = gr.Button("Remove the clips that I added", size="sm", visible=False, elem_id="added-remove")
    look = gr.Button("Show what is understood of them", size="sm", elem_id="data-look")
    understood = gr.HTML(elem_id="data-understood", elem_classes="message-plain")
    options, label_from, audio_folder = _build_options()
    kind.change(
        lambda kind: (gr.update(visible=kind == UPLOAD), gr.update(visible=kind == ELSEWHERE)),
        [kind],
        [upload, path],
        show_progress="hidden",
        api_visibility="private",
    )
    remove.click(
        lambda: ((), *show_added(())), outputs=[added, list_of_added, remove], api_visibility="private", queue=False
    )
    inputs: list[Component] = [kind, upload, path, added, *options]

    def show_understood(*choices: Any) -> tuple[str, Any]:
        return describe_choice(Choice(*choices), settings)

    for event in (look.click, upload.upload, path.submit, label_from.input, audio_folder.submit):
        event(
            show_understood,
            inputs,
            [understood, label_from],
            show_progress="hidden",
            api_visibility="private",
            **components.pool(components.MODEL, settings),
        )
    kind.change(lambda: "", outputs=[understood], show_progress="hidden", api_visibility="private")
    return DataControls(added, list_of_added, remove, inputs)


def _build_options() -> tuple[list[Component], gr.Dropdown, gr.Textbox]:
    """What the clips' labels are and which clips count, folded: in the order of the fields of `Choice`; the last two of
    them once more, as they ask at once what is understood of the clips.
    """
    with gr.Accordion("Columns, labels, held-out clips", open=False, elem_id="data-options"):
        with gr.Row():
            label_from = gr.Dropdown(
                [_TOLD],
                value=_TOLD,
                allow_custom_value=True,
                label="What the label is",
                info="folder, a column, or a pattern on the file's name such as {label}.{take}",
                min_width=200,
                elem_id="label-from",
            )
            audio_folder = gr.Textbox(
                label="Folder of the recordings",
                info="Of a table, if they are not found without",
                min_width=200,
                elem_id="audio-folder",
            )
        with gr.Row():
            label_column = gr.Textbox(
                label="Column with the label", info="If it has no usual name", min_width=200, elem_id="label-column"
            )
            file_column = gr.Textbox(
                label="Column with the file", info="If it has no usual name", min_width=200, elem_id="file-column"
            )
        multi_label = gr.Checkbox(
            label=f"A clip may have several labels, with “{LABEL_SEPARATOR}” between them", elem_id="multi-label"
        )
        held_out = gr.Checkbox(
            label="Only the clips that the first checkpoint was not trained on",
            info="For a checkpoint that was fine-tuned here: it says which clips those are",
            elem_id="held-out",
        )
        label_map = gr.File(
            label="Label map, a CSV: a label of the data, and what the checkpoints call it",
            file_types=[".csv"],
            elem_id="label-map",
            elem_classes="drop",
            height=96,
        )
    options: list[Component] = [label_column, file_column, multi_label, label_map, held_out, label_from, audio_folder]
    return options, label_from, audio_folder


def describe_choice(choice: Choice, settings: Settings) -> tuple[str, Any]:
    """What the page says that it understood of the clips that were chosen, and what else the labels may be."""
    try:
        clips = map_labels(read_choice(choice, [], settings), read_map(choice))
    except DataError as error:
        return alert(error), gr.skip()
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in describe_clips(clips))
    return f"<ul>{listed}</ul>", gr.update(choices=[_TOLD, *clips.understanding.choices])


def add_clip(added: Added, path: str | None, label: str | None) -> Added:
    """The list with one more clip; one that is there already gets its new label.

    Raises:
        DataError: There is no clip, or it has no label.
    """
    if path is None:
        raise DataError("There is no clip to add. Record one, drop a file, or pick a sample first.")
    if not label or not label.strip():
        raise DataError("Say what the clip is before adding it: choose a label, or type one.")
    return (*((old, its) for old, its in added if old != path), (path, label.strip()))


def show_added(added: Added) -> tuple[str, Any]:
    """What the page says of the clips that were added, and whether they can be removed."""
    listed = "".join(f"<li>{escape(Path(path).name)}: {escape(label)}</li>" for path, label in added)
    text = f"<p>Evaluated too, as you added them in Inspect:</p><ul>{listed}</ul>" if added else ""
    return text, gr.update(visible=bool(added))


def read_choice(choice: Choice, references: list[str], settings: Settings) -> LabelledClips:
    """The clips that were chosen, with those that were added.

    Raises:
        DataError: Nothing was chosen, or it cannot be read; see `read_labelled_clips` and `keep_held_out`.
        CheckpointError: There is no such checkpoint as the first one, whose held-out clips are asked for.
    """
    added = _labelled(choice)
    if choice.kind == ADDED:
        if not added.clips:
            raise DataError("No clip was added yet. Open one in Inspect, say what it is, and add it.")
        return added
    data = {SAMPLES: "samples", UPLOAD: choice.file or "", ELSEWHERE: (choice.text or "").strip()}[choice.kind]
    if not data:
        raise DataError(
            "Choose a ZIP first." if choice.kind == UPLOAD else "Type a folder, a table or a data set first."
        )
    options = ReadingOptions(
        file_column=(choice.file_column or "").strip(),
        label_column=(choice.label_column or "").strip(),
        multi_label=choice.multi_label,
        label_from="" if choice.label_from in (None, _TOLD) else str(choice.label_from).strip(),
        audio_folder=(choice.audio_folder or "").strip(),
    )
    clips = read_labelled_clips_of_visitor(data, choice.file if choice.kind == UPLOAD else None, settings, options)
    if choice.held_out and references:
        clips = keep_held_out(clips, find_checkpoint(references[0], settings)[0])
    return join_clips([clips, added]) if added.clips else clips


def read_map(choice: Choice) -> dict[str, str]:
    """The label map that was given, or none.

    Raises:
        DataError: It cannot be read.
    """
    return read_label_map(choice.label_map) if choice.label_map else {}


def _labelled(choice: Choice) -> LabelledClips:
    clips: dict[str, LabelledClip] = {}
    for path, label in choice.added:
        labels = label.split(LABEL_SEPARATOR) if choice.multi_label else [label]
        name, number = Path(path).name, 1
        while name in clips:  # every recording from the microphone has the same name
            number += 1
            name = f"{number}-{Path(path).name}"
        clips[name] = LabelledClip(name, Path(path), tuple(part.strip() for part in labels if part.strip()))
    return LabelledClips("added", tuple(clips.values()))
