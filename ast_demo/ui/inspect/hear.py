"""Hear what the model heard, in the Inspect tab: the clip in two halves, both scored again."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ast_demo.audio import to_wav
from ast_demo.explain import DEFAULT_KEEP, Halves, tell_halves
from ast_demo.figures import Look, map_title, spectrogram_figure
from ast_demo.inspection import Inspection
from ast_demo.ui import components, files


@dataclass(frozen=True)
class Panel:
    accordion: gr.Accordion
    is_open: gr.State
    keep: gr.Slider
    scores: gr.HTML
    players: dict[str, gr.Audio]
    pictures: dict[str, gr.Image]

    @property
    def outputs(self) -> list[Any]:
        return [self.accordion, self.scores, *self.players.values(), *self.pictures.values()]


def build_panel() -> Panel:
    """Lay out the panel, hidden and folded. Must be called inside a `gr.Blocks`."""
    is_open = gr.State(False)
    with gr.Accordion("Hear what the model heard", open=False, visible=False, elem_id="hear") as accordion:
        gr.HTML(_WHAT, elem_classes="caution")
        keep = gr.Slider(
            10,
            90,
            value=round(100 * DEFAULT_KEEP),
            step=5,
            label="Keep: % of the clip's time and frequency",
            elem_id="keep",
        )
        scores = gr.HTML(elem_id="hear-scores")
        with gr.Row():
            players = {
                name: gr.Audio(
                    label=name.capitalize(), interactive=False, buttons=["download"], elem_id=name, min_width=220
                )
                for name in _HALVES
            }
        pictures = {name: components.picture(f"picture-{name}", alt) for name, alt in _HALVES.items()}
    accordion.expand(lambda: True, outputs=[is_open], show_progress="hidden", api_visibility="private")
    accordion.collapse(lambda: False, outputs=[is_open], show_progress="hidden", api_visibility="private")
    return Panel(accordion, is_open, keep, scores, players, pictures)


def show(panel: Panel, visible: bool) -> dict[Any, Any]:
    """The panel for another clip, without its halves."""
    values: dict[Any, Any] = {panel.accordion: gr.update(visible=visible), panel.scores: ""}
    values |= dict.fromkeys(panel.players.values())
    return values | {picture: gr.update(value=None, visible=False) for picture in panel.pictures.values()}


def fill(panel: Panel, inspection: Inspection, halves: Halves, look: Look) -> dict[Any, Any]:
    """Both halves to listen to and to look at, with their scores beside the clip's."""
    what = f"<p>Split by <b>{escape(map_title(halves.relevance))}</b>.</p>"
    values: dict[Any, Any] = {panel.scores: what + _scores(inspection, halves)}
    for name, half in (("kept", halves.kept), ("removed", halves.removed)):
        values[panel.players[name]] = files.write_file(f"{name}.wav", to_wav(half.waveform))
        if half.spectrogram is not None:
            figure = spectrogram_figure(half, look, name.capitalize())
            picture = files.write_picture(look, name, figure)
            values[panel.pictures[name]] = gr.update(value=picture, visible=True)
    return values


def _scores(inspection: Inspection, halves: Halves) -> str:
    columns = [one.prediction for one in (inspection, halves.kept, halves.removed)]
    labels = list(dict.fromkeys(label for one in columns for label, _ in one.top(3)))
    scores = [dict(one.top()) for one in columns]
    rows = "".join(
        f"<tr><th>{escape(label.replace('_', ' '))}</th>"
        + "".join(
            f"<td>{'<b>' if one.top(1)[0][0] == label else ''}{known[label]:.1%}</td>"
            for one, known in zip(columns, scores, strict=True)
        )
        + "</tr>"
        for label in labels
    )
    head = "<tr><th></th><th>the clip</th><th>kept</th><th>removed</th></tr>"
    sentence = escape(tell_halves(inspection, halves).partition(": ")[2]).replace("_", " ")
    return f'<div class="scrolls"><table class="facts">{head}{rows}</table></div><p>{sentence}</p>'


_HALVES = {
    "kept": "Spectrogram of what was kept, as the model was fed it",
    "removed": "Spectrogram of what was removed, as the model was fed it",
}
_WHAT = """
<p>The map that is chosen above splits the clip: where it is high, the sound is <b>kept</b>; the rest is what was <b>removed</b>. Together
they are the clip, and the model scores each. If the map shows what the label rests on, the kept part keeps the label
and the removed part loses it. That is the model's word, not an ear's: neither part is a kind of sound that it was
trained on, some labels survive in both, and a map of plain loudness may do as well.</p>
"""
