"""What happens in the Inspect tab: what is asked for is noted at once, and shown when it is there, if it still is.

Handlers whose name begins with `ask_` only note, outside of the queue. The others do what was asked for last, and look
again whether it still is before they show anything; see `Latest`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ast_demo import export, figures
from ast_demo.data import sort_labels
from ast_demo.errors import AstDemoError
from ast_demo.inspection import Inspection, cut_window, inspect, window_starts
from ast_demo.models import CheckpointCache, default_checkpoint
from ast_demo.settings import SHOWN_SCORES, Settings
from ast_demo.ui import components, files, html
from ast_demo.ui.inspect import explain, hear, onnx_panel, patch_panel, timeline
from ast_demo.ui.inspect import facts as facts_of
from ast_demo.ui.inspect.visit import PICTURES, ROLLOUT, WINDOW, Page, Shown, Visit
from ast_demo.ui.inspect.widgets import Widgets
from ast_demo.ui.latest import ends_with_nothing
from ast_demo.ui.messages import alert

# Of another clip or window, nothing that was chosen or made for the last one holds.
_ANEW: dict[str, Any] = {
    "depth": 0, "patch": None, "patch_seen": None, "label": None, "against": "", "explained": None, "map_look": None,
    "card": None, "testing": False, "listening": True,
}  # fmt: skip


def ask_clip(
    visit: Visit, clip: str | None, reference: str | None, seen_by: dict[str, Any] | None, zoomed: bool
) -> Visit:
    page, reference = visit.value, reference or default_checkpoint()
    if (clip, reference) != (page.clip, page.checkpoint):  # else the list of checkpoints has come from the Hub
        look = components.look(seen_by, page.look, zoom=zoomed)
        asked = {"clip": clip, "checkpoint": reference, "window": 0, "recording": None, "look": look}
        visit.change(turn=page.turn + 1, **asked, **_ANEW)
    return visit


def ask_window(visit: Visit, number: float) -> Visit:
    """Another window of the recording that is shown, by its number from 1."""
    page, place = visit.value, round(number) - 1
    is_there = page.ready is not None and page.recording is not None and 0 <= place < len(page.recording.starts)
    if is_there and place != page.window:
        visit.change_if(page, WINDOW, turn=page.turn + 1, window=place, **_ANEW)
    return visit


def ask_time(visit: Visit, event: gr.SelectData) -> Visit:
    """The window under a click on the timeline."""
    page = visit.value
    if page.ready is None or page.recording is None:
        return visit
    return ask_window(visit, 1 + timeline.window_under(page.recording, page.ready.look, event.index[0]))


def ask_look(visit: Visit, seen_by: dict[str, Any] | None, zoomed: bool) -> Visit:
    visit.change(look=components.look(seen_by, visit.value.look, zoom=zoomed))
    return visit


@ends_with_nothing
def show(
    tab: Widgets, checkpoints: CheckpointCache, settings: Settings, visit: Visit, progress: gr.Progress = gr.Progress()
) -> Iterator[dict[Any, object]]:
    """Inspect what is asked for, unless it is shown."""
    unchanged = {tab.facts: gr.skip()}
    yield unchanged
    page = visit.value
    if page.ready is not None:
        return
    replaced = None
    try:
        if page.clip is None:
            replaced = page.shown
            if visit.change_if(page, WINDOW, shown=None):
                yield clear(tab)
            return
        progress(0.1, "Reading the recording")
        whole = components.read_clip(page.clip, settings)
        yield unchanged  # here, and below, the work ends where the visitor has left
        progress(0.3, "Loading the checkpoint")
        loaded = checkpoints.load(page.checkpoint)
        yield unchanged
        if not visit.still(page, WINDOW):
            return
        progress(0.6, "Running the model")
        start = window_starts(len(whole.samples), loaded)[page.window]
        inspection = inspect(cut_window(whole, loaded, start), loaded)
        yield unchanged
        if not visit.still(page, WINDOW):
            return
        progress(0.8, "Drawing")
        new = _draw_into_folder(page, inspection)
        recording = page.recording or timeline.begin(whole, inspection, loaded, new.look)
        replaced = visit.value.shown
        if not visit.change_if(page, WINDOW, shown=new, recording=recording):
            replaced = new
            return
        yield fill(tab, visit.value)
        yield from redraw(tab, visit)  # where the look has changed meanwhile
    except AstDemoError as error:
        replaced = page.shown
        if visit.change_if(page, WINDOW, shown=None):
            yield clear(tab, error)
    finally:
        if replaced is not visit.value.shown:
            files.forget(replaced.folder if replaced else None)


@ends_with_nothing
def redraw(tab: Widgets, visit: Visit) -> Iterator[dict[Any, object]]:
    """Draw what is shown in the look that is asked for, unless it is."""
    yield {tab.facts: gr.skip()}
    page = visit.value
    old = page.ready
    if old is None or old.look == page.look:
        return
    new = _draw_into_folder(page, old.inspection)
    if not visit.change_if(page, (*PICTURES, "shown"), shown=new):
        files.forget(new.folder)
        return
    try:
        page = visit.value
        yield {
            **_pictures(tab, new),
            **_draw_depth(tab, page),
            **patch_panel.draw_latest(tab.patch, visit, with_grid=True),
            **timeline.draw(tab.timeline, page),
            tab.downloads: files.files_in(new.folder),
        }
    finally:
        files.forget(old.folder)


def change_depth(tab: Widgets, visit: Visit, layers: int) -> dict[Any, object]:
    if visit.value.ready is None:
        return {tab.facts: gr.skip()}
    page = visit.change(depth=layers)
    values = _draw_depth(tab, page) | patch_panel.draw_latest(tab.patch, visit, with_grid=False)
    return values if values and visit.still(page, ROLLOUT) else {tab.facts: gr.skip()}


def clear(tab: Widgets, error: AstDemoError | None = None) -> dict[Any, object]:
    """The tab without a clip."""
    values: dict[Any, object] = dict.fromkeys(tab.outputs, gr.skip())
    return values | {
        **dict.fromkeys(tab.pictures.values()),
        **explain.empty(tab.why),
        **hear.empty(tab.halves),
        **onnx_panel.empty(tab.onnx),
        tab.timeline.picture: None,
        tab.patch.column: gr.update(visible=False),
        tab.side.message: alert(error) if error else "",
        tab.side.scores: html.scores_table([]),
        tab.side.label: gr.update(value=None),
        tab.welcome: gr.update(visible=True),
        tab.facts: "",
        tab.downloads: None,
    }


def fill(tab: Widgets, page: Page) -> dict[Any, object]:
    """The tab with what is shown, and nothing that belongs to what was shown before."""
    shown = page.ready
    if shown is None:
        return clear(tab)
    one, facts = shown.inspection, shown.inspection.checkpoint
    return {
        tab.side.message: "",
        tab.side.scores: html.scores_table(one.prediction.top(SHOWN_SCORES), html.activation_note(facts), one.notes),
        tab.side.label: gr.update(choices=list(sort_labels(facts.labels)), value=None),
        tab.welcome: gr.update(visible=False),
        **_pictures(tab, shown),
        **timeline.fill(tab.timeline, page),
        **explain.begin(tab.why, page),
        **hear.empty(tab.halves),
        **onnx_panel.empty(tab.onnx),
        tab.patch.column: gr.update(visible=False),
        tab.depth: gr.update(maximum=facts.n_layers, value=facts.n_layers),
        tab.facts: facts_of.facts_table(one, timeline.describe_shown(page)),
        tab.downloads: files.files_in(shown.folder),
    }


def _pictures(tab: Widgets, shown: Shown) -> dict[Any, object]:
    """A checkpoint without a patch grid has neither a spectrogram nor patches to show."""
    paths = {name: shown.folder / f"{name}.png" for name in tab.pictures}
    return {picture: str(paths[name]) if paths[name].is_file() else None for name, picture in tab.pictures.items()}


def _draw_depth(tab: Widgets, page: Page) -> dict[Any, object]:
    """The rollout through as many layers as are asked for; nothing where those are all or none is shown."""
    shown = page.ready
    if shown is None or page.depth == 0:
        return {}
    layers = min(page.depth, shown.inspection.checkpoint.n_layers)
    picture = figures.rollout_figure(shown.inspection, page.look, layers)
    return {tab.pictures["rollout"]: files.write_picture(page.look, "rollout", picture)}


def _draw_into_folder(page: Page, inspection: Inspection) -> Shown:
    folder = files.result_folder()
    export.write_inspection(inspection, folder, export.draw(inspection, page.look))
    return Shown(page.turn, page.look, inspection, folder)
