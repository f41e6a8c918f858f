"""Hear what the model heard, in the Inspect tab: the clip in two halves, both scored again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ast_demo.audio import to_wav
from ast_demo.errors import AstDemoError
from ast_demo.explain import DEFAULT_KEEP, Halves, split_clip, tell_halves
from ast_demo.figures import Look, map_title, spectrogram_figure
from ast_demo.inspection import Inspection
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.inspect.visit import HALVES, Visit
from ast_demo.ui.messages import alert


@dataclass(frozen=True)
class Panel:
    accordion: gr.Accordion
    keep: gr.Slider
    scores: gr.HTML
    players: dict[str, gr.Audio]
    pictures: dict[str, gr.Image]

    @property
    def outputs(self) -> list[Any]:
        return [self.scores, *self.players.values(), *self.pictures.values()]


def build_panel() -> Panel:
    """Lay out the panel, folded. Must be called inside a `gr.Blocks`."""
    with gr.Accordion("Hear what the model heard", open=False, elem_id="hear") as accordion:
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
                for name in _ALT
            }
        pictures = {name: components.picture(f"picture-{name}", alt) for name, alt in _ALT.items()}
    return Panel(accordion, keep, scores, players, pictures)


def wire(
    panel: Panel, state: gr.State, checkpoints: CheckpointCache, settings: Settings, made: Sequence[Dependency]
) -> None:
    """Split the clip while the panel is unfolded: whenever there is another map, or more or less is to be kept.

    Args:
        state: The `Visit`.
        made: Events at the end of which there may be another map.
    """
    noted: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    job: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
    job |= components.pool(components.MODEL, settings)
    panel.accordion.collapse(_fold, [state], None, **noted)
    unfolded = panel.accordion.expand(_unfold, [state], None, **noted)
    moved = panel.keep.change(_ask_keep, [state, panel.keep], None, trigger_mode="multiple", **noted)
    work = partial(split, panel, checkpoints)
    for asked in (unfolded, moved):
        asked.then(work, [state], panel.outputs, show_progress_on=[panel.scores], **job)
    for event in made:
        event.then(work, [state], panel.outputs, show_progress="hidden", **job)


def _fold(visit: Visit) -> None:
    visit.change(hearing=False)


def _unfold(visit: Visit) -> None:
    visit.change(hearing=True)


def _ask_keep(visit: Visit, keep: float) -> None:
    visit.change(keep=keep)


def split(panel: Panel, checkpoints: CheckpointCache, visit: Visit) -> dict[Any, Any]:
    """Split the clip by the map that is shown, if the halves are wanted."""
    page = visit.value
    shown, explained = page.ready, page.map
    if shown is None or not page.hearing:
        return {panel.scores: gr.skip()}
    if explained is None:
        return {panel.scores: "<p>There is no map yet to split the clip by.</p>"}
    try:
        halves = split_clip(shown.inspection, explained.relevance, checkpoints.load(page.checkpoint), page.keep / 100)
        values = fill(panel, shown.inspection, halves, page.look)
    except AstDemoError as error:
        values = {panel.scores: alert(error)}
    return values if visit.still(page, HALVES) else {panel.scores: gr.skip()}


def empty(panel: Panel) -> dict[Any, Any]:
    """The panel without the halves of a clip."""
    return {panel.scores: "", **dict.fromkeys([*panel.players.values(), *panel.pictures.values()])}


def fill(panel: Panel, inspection: Inspection, halves: Halves, look: Look) -> dict[Any, Any]:
    """Both halves to listen to and to look at, with their scores beside the clip's."""
    what = f"<p>Split by <b>{escape(map_title(halves.relevance))}</b>.</p>"
    values: dict[Any, Any] = {panel.scores: what + _scores(inspection, halves)}
    for name, half in (("kept", halves.kept), ("removed", halves.removed)):
        values[panel.players[name]] = files.write_file(f"{name}.wav", to_wav(half.waveform))
        if half.spectrogram is not None:
            figure = spectrogram_figure(half, look, name.capitalize())
            values[panel.pictures[name]] = files.write_picture(look, name, figure)
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


_ALT = {
    "kept": "Spectrogram of what was kept, as the model was fed it",
    "removed": "Spectrogram of what was removed, as the model was fed it",
}
_WHAT = """
<p>The map that is chosen above splits the clip: where it is high, the sound is <b>kept</b>; the rest is what was <b>removed</b>. Together
they are the clip, and the model scores each. If the map shows what the label rests on, the kept part keeps the label
and the removed part loses it. That is the model's word, not an ear's: neither part is a kind of sound that it was
trained on, some labels survive in both, and a map of plain loudness may do as well.</p>
"""
