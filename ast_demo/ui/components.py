"""Pieces that several tabs are built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ast_demo.audio import Waveform, read_audio
from ast_demo.data import one_sample_per_label
from ast_demo.errors import AudioError
from ast_demo.figures import Look
from ast_demo.inspection import MOST
from ast_demo.models import allowed_on_hub, catalogue, shipped_names
from ast_demo.settings import Settings
from ast_demo.ui.messages import in_words


@dataclass(frozen=True)
class Tab:
    """What the page needs of a tab, to wire tabs together."""

    clip: gr.Audio  # who changes it starts the tab's work
    checkpoints: gr.Dropdown  # what to choose from
    leave: gr.Button  # takes the clip to the other tab


# Events that run a model, by how long they take: each kind shares a limit of how many run at a time.
MODEL, LONG, EVALUATION = "model", "long", "evaluation"

# What an event is wired with that only notes what a visitor has asked for.
NOTED: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

# What comes later is laid out from the start, and hidden: mounted only when it is needed, part after part, it would push
# about what is seen already.
HIDDEN: Literal["hidden"] = "hidden"

_WATCH = """
    const place = document.querySelector(props.place) ?? document.body;
    let waiting;
    const tell = () => { clearTimeout(waiting); waiting = setTimeout(() => place.clientWidth && trigger('input'), 300); };
    new ResizeObserver(tell).observe(place);
    new MutationObserver(tell).observe(document.body, {attributes: true, attributeFilter: ['class']});
"""
# Gradio's recorder throws where the browser gives it no microphone, and says nothing. It is told of the refusal first.
_NO_MICROPHONE = """
    const media = navigator.mediaDevices;
    const say = reason => {
        const told = document.createElement('p');
        told.setAttribute('role', 'alert');
        told.textContent = reason;
        element.replaceChildren(told);
    };
    const why = {
        NotAllowedError: 'The browser does not let this page use the microphone. Allow it: by the sign beside the address '
            + 'of the page, or in the settings of the browser; then press Record again. Or drop a recording below.',
        NotFoundError: 'There is no microphone. Connect one and press Record again, or drop a recording below.',
        NotReadableError: 'The microphone does not answer: another program may be using it. Close that and press Record '
            + 'again, or drop a recording below.',
    };
    const other = 'The microphone cannot be used here. Drop a recording below.';
    // On the document, as the recorder may come after this.
    document.addEventListener('click', event => {
        if (!event.target.closest(`${props.clip} .record-button`)) return;
        element.replaceChildren();
        window.recordAt = say;
        if (!media) say('The browser gives a microphone to pages on https or on localhost only. Drop a recording below.');
    }, true);
    if (media && !media.isWatched) {
        media.isWatched = true;
        const ask = media.getUserMedia.bind(media);
        media.getUserMedia = wanted => ask(wanted).catch(error => {
            if (!window.recordAt) throw error;
            window.recordAt(why[error.name] ?? other);
            return new Promise(() => {});
        });
    }
"""
_WIDEST_PX, _NARROWEST_PX = 1200, 280


def pool(kind: str, settings: Settings) -> dict[str, Any]:
    """What an event is wired with that belongs to a kind."""
    return {"concurrency_id": kind, "concurrency_limit": 1 if kind == EVALUATION else settings.concurrency}


def clip_input(prefix: str) -> gr.Audio:
    """Record a clip, or drop a file; the value of what is returned is the clip's path."""
    clip = gr.Audio(
        sources=["microphone"],
        type="filepath",
        label="Say “seven”",
        elem_id=f"{prefix}clip",
        elem_classes="clip",
        buttons=["download"],
    )
    gr.HTML(js_on_load=_NO_MICROPHONE, elem_id=f"{prefix}microphone", elem_classes="message", clip=f"#{prefix}clip")
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


def read_clip(path: str, settings: Settings) -> Waveform:
    """The recording that a visitor has sent or chosen.

    Raises:
        AudioError: It was deleted meanwhile; or as `read_audio`.
    """
    if not Path(path).is_file():
        raise AudioError(
            f"This recording is no longer on the server, which keeps recordings for {in_words(settings.kept_s)}. "
            "Record it, upload it or choose it again."
        )
    return read_audio(path, max_s=settings.max_clip_s)


def sample_buttons(clip: gr.Audio, elem_id: str) -> None:
    """A button for one sample of each label, which puts it into the clip.

    Each click gives the visitor a copy of their own among the uploads, which is deleted as these are. `gr.Examples` would
    make one copy of each when the page is built, and all visitors would lose it.
    """
    samples = one_sample_per_label()
    names = [sample.label.replace("_", " ") for sample in samples]
    buttons = gr.Dataset(
        components=["textbox"],
        samples=[[name] for name in names],
        sample_labels=names,
        type="index",
        samples_per_page=len(samples) or 1,
        label="Or listen to a sample",
        elem_id=elem_id,
    )
    buttons.click(
        lambda place: str(samples[place].path), [buttons], [clip],
        show_progress="hidden", queue=False, api_visibility="private",
    )  # fmt: skip


def picture(elem_id: str, alt: str) -> gr.Image:
    """A picture to come: the style sheet shows its place once there is one."""
    return gr.Image(
        alt_text=alt,
        type="filepath",
        format="png",
        interactive=False,
        show_label=False,
        container=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="picture",
    )


def see(width: str) -> str:
    """JavaScript, to be awaited, of what the browser alone knows: how wide the pictures will be, and whether it is dark.

    Args:
        width: An expression for it, 0 while their tab is hidden: where it comes to the front only now, it is there soon.
    """
    return f"""(async () => {{
    const width = () => {width};
    for (let tries = 0; !width() && tries < 40; tries++) await new Promise(resolve => setTimeout(resolve, 50));
    return {{width: width(), dark: document.body.classList.contains('dark')}};
}})()"""


def eyes(place: str) -> gr.HTML:
    """What says, by its `input`, that pictures may have to be drawn anew: their place has another width, or the page
    has turned dark or light.

    Args:
        place: CSS selector of what is as wide as the pictures.
    """
    return gr.HTML(visible="hidden", js_on_load=_WATCH, place=place)


def look(seen_by: dict[str, Any] | None, before: Look = Look(), *, zoom: bool) -> Look:
    """What the browser told of itself, within bounds; where it shows no place for pictures now, as wide as before."""
    seen_by = seen_by if isinstance(seen_by, dict) else {}
    width = seen_by.get("width")
    width = int(width) if isinstance(width, int | float) and width > 0 else before.width_px
    return Look(min(max(width, _NARROWEST_PX), _WIDEST_PX), bool(seen_by.get("dark")), zoom)
