"""How the tab is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ast_demo.inspection import MOST
from ast_demo.settings import Settings
from ast_demo.ui import components
from ast_demo.ui.accessibility import answer_for_ears

_PICTURES = {
    "waveform": "Waveform of the clip over time",
    "spectrogram": "Spectrogram, as this checkpoint was fed it",
    "patch_grid": "This checkpoint's patches",
    "rollout": "This checkpoint's attention rollout",
    "difference": "This checkpoint's rollout less that of the first",
}
_NO_GRID = """
<p>No spectrogram and no patch grid: this checkpoint reads the sound as a sequence over time, and so its rollout is over
time only.</p>
"""


@dataclass(frozen=True)
class Column:
    """The components of one checkpoint's column."""

    panel: gr.Column
    text: gr.HTML
    pictures: dict[str, gr.Image]
    no_grid: gr.HTML  # in the place of the pictures that a checkpoint without a patch grid does not have


@dataclass(frozen=True)
class Widgets:
    """The tab, from top to bottom."""

    clip: gr.Audio
    chosen: gr.Dropdown
    go: gr.Button
    to_inspect: gr.Button
    eyes: gr.HTML  # say that the place of the columns has changed
    seen: gr.JSON  # what the browser tells of itself, when it is asked
    message: gr.HTML
    answer: gr.HTML
    agreement: gr.HTML
    columns: list[Column]
    facts: gr.HTML
    downloads_panel: gr.Accordion
    downloads: gr.Files

    @property
    def outputs(self) -> list[Any]:
        mine = [self.message, self.answer, self.agreement, self.facts, self.downloads_panel, self.downloads]
        return mine + [
            output
            for column in self.columns
            for output in (column.panel, column.text, *column.pictures.values(), column.no_grid)
        ]


def build_widgets(settings: Settings) -> Widgets:
    """Lay out the tab. Must be called inside a `gr.Blocks`."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            clip = components.clip_input("compare-")
        with gr.Column(scale=2, min_width=300):
            chosen = components.several_checkpoints(
                settings,
                "Two to four checkpoints",
                "compare-checkpoints",
                f"{components.other_checkpoints(settings)}; press Enter after each",
            )
            with gr.Row():
                go = gr.Button("Compare", variant="primary", size="sm", elem_id="compare-go")
                to_inspect = gr.Button("Inspect this clip", size="sm", elem_id="to-inspect")
            components.sample_buttons(clip, "compare-samples")
    eyes, seen = components.eyes("#compare-columns"), gr.JSON(visible=False)
    message = gr.HTML(elem_id="compare-message", elem_classes="message")
    answer = answer_for_ears("compare-answer")
    agreement = gr.HTML(elem_id="agreement")
    with gr.Row(elem_id="compare-columns", equal_height=False):
        columns = [_column(number) for number in range(MOST)]
    facts = gr.HTML(elem_id="compare-facts")
    with gr.Accordion("Downloads", open=False, visible=False, elem_id="compare-downloads") as downloads_panel:
        downloads = gr.Files(interactive=False, show_label=False)
    return Widgets(
        clip, chosen, go, to_inspect, eyes, seen,
        message, answer, agreement, columns, facts, downloads_panel, downloads,
    )  # fmt: skip


def _column(number: int) -> Column:
    with gr.Column(visible=False, elem_id=f"compare-column-{number + 1}") as panel:
        text = gr.HTML(elem_classes="heading")
        pictures = {
            name: components.picture(f"compare-{number + 1}-{name.replace('_', '-')}", alt)
            for name, alt in _PICTURES.items()
        }
        no_grid = gr.HTML(_NO_GRID, visible=False, elem_id=f"compare-{number + 1}-no-grid")
    return Column(panel, text, pictures, no_grid)
