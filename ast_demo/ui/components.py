"""Pieces that several tabs are built from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ast_demo.data import one_sample_per_label
from ast_demo.figures import Figure, Look, to_png
from ast_demo.inspection import MOST
from ast_demo.models import CheckpointFacts, allowed_on_hub, catalogue, shipped_names
from ast_demo.settings import Settings


@dataclass(frozen=True)
class Tab:
    """What the page needs of a tab, to wire tabs together."""

    clip: gr.Audio  # who changes it starts the tab's work
    checkpoints: gr.Dropdown  # what to choose from
    leave: gr.Button  # takes the clip to the other tab


# Events that run a model, by how long they take: each kind shares a limit of how many run at a time.
MODEL, LONG, EVALUATION = "model", "long", "evaluation"

# The browser alone knows how wide the pictures will be, and whether the page is dark.
LOOK_OF_BROWSER = """{
    width: (document.querySelector('#pictures') || document.body).clientWidth,
    dark: document.body.classList.contains('dark')
}"""
_WIDEST_PX, _NARROWEST_PX = 1200, 280


def pool(kind: str, settings: Settings) -> dict[str, Any]:
    """What an event is wired with that belongs to a kind."""
    return {"concurrency_id": kind, "concurrency_limit": 1 if kind == EVALUATION else settings.concurrency}


def clip_input(prefix: str) -> gr.Audio:
    """Record a clip, or drop a file; the value of what is returned is the clip's path."""
    clip = gr.Audio(
        sources=["microphone"], type="filepath", label="Say “seven”", elem_id=f"{prefix}clip", buttons=["download"]
    )
    # Apart from the microphone, as an upload to `gr.Audio` takes no WebM and no MP4: to it those are videos.
    file = gr.File(label="Or drop a recording", elem_id=f"{prefix}file", elem_classes="drop", height=96)
    file.upload(lambda path: (path, None), [file], [clip, file], api_visibility="private", show_progress="hidden")
    return clip


def checkpoint_choices(settings: Settings, *, ask_hub: bool = False) -> list[tuple[str, str]]:
    """(text, name) of all checkpoints that can be named.

    Args:
        ask_hub: Also say what cannot be had now; that takes a moment without a network.
    """
    if not ask_hub:
        return [(name, name) for name in (*shipped_names(), *allowed_on_hub(settings))]
    return [
        (entry.name if entry.available else f"{entry.name} (not available now)", entry.name)
        for entry in catalogue(settings)
    ]


def other_checkpoints(settings: Settings) -> str:
    """What else can be typed in where checkpoints are chosen."""
    kinds = ["a folder"] if settings.local_paths else []
    kinds += ["a Hugging Face Hub id"] if settings.hub_checkpoints else []
    return f"Or type {', or '.join(kinds)}" if kinds else ""


def several_checkpoints(settings: Settings, label: str, elem_id: str, info: str | None = None) -> gr.Dropdown:
    """Choose up to four checkpoints, the shipped ones at first; others can be typed in."""
    return gr.Dropdown(
        checkpoint_choices(settings),
        value=shipped_names()[:MOST],
        multiselect=True,
        max_choices=MOST,
        allow_custom_value=True,
        label=label,
        info=info,
        elem_id=elem_id,
    )


def sample_buttons(clip: gr.Audio, elem_id: str) -> None:
    """A button for one sample of each label, which puts it into the clip."""
    samples = one_sample_per_label()
    gr.Examples(
        [[str(sample.path)] for sample in samples],
        inputs=[clip],
        example_labels=[sample.label.replace("_", " ") for sample in samples],
        examples_per_page=len(samples) or 1,
        label="Or listen to a sample",
        elem_id=elem_id,
        api_visibility="private",
    )


def picture(elem_id: str, alt: str, *, visible: bool = False) -> gr.Image:
    return gr.Image(
        alt_text=alt,
        type="filepath",
        format="png",
        interactive=False,
        visible=visible,
        show_label=False,
        container=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="picture",
    )


def look(seen_by: dict | None, *, zoom: bool) -> Look:
    """What the browser told of itself, within bounds."""
    seen_by = seen_by if isinstance(seen_by, dict) else {}
    width = seen_by.get("width")
    width = int(width) if isinstance(width, int | float) else 900
    return Look(min(max(width, _NARROWEST_PX), _WIDEST_PX), bool(seen_by.get("dark")), zoom)


def write_picture(look: Look, name: str, figure: Figure) -> str:
    """Draw a picture that replaces one on the page."""
    return write_file(f"{name}.png", to_png(figure, look))


def write_file(name: str, content: bytes) -> str:
    """Write what the page shows for now among the uploads, which Gradio serves.

    Each has a folder of its own: a file that is written again while a browser reads it would arrive damaged.
    """
    path = new_folder() / name
    path.write_bytes(content)
    return str(path)


def result_folder() -> Path:
    """An empty folder for a visitor's results, which are deleted by age; see `temporary`."""
    return Path(tempfile.mkdtemp(prefix="ast-demo-"))


def new_folder() -> Path:
    """An empty folder among the uploads, which Gradio serves, and which are deleted by age; see `temporary`."""
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache))


def files_in(folder: Path) -> list[str]:
    """The files of a folder by name; none of one that was deleted meanwhile."""
    return [str(path) for path in sorted(folder.glob("*")) if path.is_file()]


def forget(folder: Path | None) -> None:
    """Delete the files behind what a visitor no longer sees."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def scores_table(scores: Sequence[tuple[str, float | None]], note: str = "") -> str:
    """Labels with a bar each, and a dash for a label without a score. As high without any, so that nothing jumps."""
    rows = "".join(
        f"<li><span>{escape(label.replace('_', ' '))}</span><b>{'–' if score is None else f'{score:.1%}'}</b>"
        f'<i style="{"visibility: hidden" if score is None else f"width: {score:.1%}"}"></i></li>'
        for label, score in scores
    )
    if not scores:
        return '<h3>Scores</h3><p>They appear here once there is a clip.</p><ol class="scores"></ol>'
    return f'<h3>Scores</h3><ol class="scores">{rows}</ol><p>{escape(note)}</p>'


def activation_note(facts: CheckpointFacts) -> str:
    """How its logits became scores, and why so."""
    return f"{facts.activation.capitalize()}: {facts.activation_reason}."


def table(title: str, rows: Mapping[str, str]) -> str:
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    return f'{heading}<dl class="facts">{body}</dl>'
