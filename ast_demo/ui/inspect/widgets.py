"""How the Inspect tab is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ast_demo.models import default_checkpoint
from ast_demo.settings import Settings
from ast_demo.ui import components, html
from ast_demo.ui.inspect import explain, hear, onnx_panel, patch_panel, timeline

_ALT = {
    "waveform": "Waveform of the clip over time",
    "spectrogram": "Normalised log-mel spectrogram, as the model was fed it",
    "patch_grid": "The spectrogram cut into the model's patches; click one to look from it",
    "rollout": "Attention rollout over the spectrogram; click a patch to look from it",
}


@dataclass(frozen=True)
class Side:
    """The narrow column: what goes in, and the scores."""

    clip: gr.Audio
    message: gr.HTML
    scores: gr.HTML
    checkpoint: gr.Dropdown
    to_compare: gr.Button
    label: gr.Dropdown  # what the clip is
    add: gr.Button  # adds it to an evaluation


@dataclass(frozen=True)
class Widgets:
    """The tab: its side, and the wide column from top to bottom.

    While the welcome is there, the style sheet shows nothing else in the wide column. All of it is laid out from the
    start: mounted part after part, it would push about what is seen already.
    """

    side: Side
    eyes: gr.HTML  # say that the place of the pictures has changed
    seen: gr.JSON  # what the browser tells of it
    welcome: gr.HTML
    timeline: timeline.Panel
    pictures: dict[str, gr.Image]
    why: explain.Panel
    depth: gr.Slider
    zoom: gr.Checkbox
    patch: patch_panel.Panel
    halves: hear.Panel
    facts: gr.HTML
    downloads: gr.Files
    onnx: onnx_panel.Panel

    @property
    def outputs(self) -> list[Any]:
        """All that changes when another clip is shown."""
        one, side = self, self.side
        mine = [side.message, side.scores, side.label, one.welcome, *one.pictures.values(), one.depth]
        mine += [one.facts, one.downloads]
        panels: list[Any] = [one.timeline, one.why, one.patch, one.halves, one.onnx]
        return list(dict.fromkeys([*mine, *(output for panel in panels for output in panel.outputs)]))


def build(settings: Settings) -> Widgets:
    """Lay out the tab. Must be called inside a `gr.Blocks`."""
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300, elem_classes="side"):
            side = _build_side(settings)
        with gr.Column(scale=3, min_width=300, elem_id="pictures"):
            return _build_pictures(side)


def _build_side(settings: Settings) -> Side:
    clip = components.clip_input("")
    message = gr.HTML(elem_id="message", elem_classes="message")
    scores = gr.HTML(html.scores_table([]), elem_id="scores")
    components.sample_buttons(clip, "samples")
    checkpoint = gr.Dropdown(
        components.checkpoint_choices(settings),
        value=default_checkpoint(),
        label="Checkpoint",
        info=components.other_checkpoints(settings),
        allow_custom_value=True,
        elem_id="checkpoint",
    )
    to_compare = gr.Button("Compare checkpoints on this clip", size="sm", elem_id="to-compare")
    with gr.Accordion("Add this clip to an evaluation", open=False, elem_id="add"):
        label = gr.Dropdown([], value=None, label="What it really is", allow_custom_value=True, elem_id="add-label")
        add = gr.Button("Add it", size="sm", elem_id="add-go")
    return Side(clip, message, scores, checkpoint, to_compare, label, add)


def _build_pictures(side: Side) -> Widgets:
    eyes, seen = components.eyes("#pictures"), gr.JSON(visible=False)
    welcome = gr.HTML(_WELCOME, elem_id="welcome")
    along = timeline.build_panel()
    pictures = {}
    for name, alt in _ALT.items():
        if name == "rollout":  # what speaks for the label comes first
            why = explain.build_panel()
        pictures[name] = components.picture(f"picture-{name.replace('_', '-')}", alt)
    with gr.Column(elem_id="controls"):
        with gr.Row(equal_height=True):
            depth = gr.Slider(1, 12, step=1, label="Depth: layers of the rollout", elem_id="depth", min_width=260)
            zoom = gr.Checkbox(label="Zoom to the clip", elem_id="zoom", min_width=160)
        gr.HTML(_CAUTION, elem_classes="caution")
    patch = patch_panel.build_panel(pictures["patch_grid"])
    halves = hear.build_panel()
    with gr.Accordion("What the model was fed", open=True, elem_id="facts"):
        facts = gr.HTML()
    with gr.Accordion("Downloads", open=False, elem_id="downloads"):
        downloads = gr.Files(interactive=False, show_label=False)
        onnx = onnx_panel.build_panel()
    return Widgets(
        side,
        eyes,
        seen,
        welcome,
        along,
        pictures,
        why,
        depth,
        zoom,
        patch,
        halves,
        facts,
        downloads,
        onnx,
    )


_WELCOME = """
<h2>See what the model hears</h2>
<p>Press <b>Record</b>, say a digit from zero to nine, press <b>Stop</b>. Or drop a file, or pick a sample.</p>
<p>You will see the scores, the waveform, the spectrogram that the model is really fed, the patches that it cuts it
into, and where its attention flowed.</p>
"""
_CAUTION = """
<p>Rollout shows where information flowed, not why a label won: it is the same for every label. Click a patch to look
from there.</p>
"""
