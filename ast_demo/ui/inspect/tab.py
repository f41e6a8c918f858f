"""The Inspect tab: a clip goes in, and what one checkpoint heard comes out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.inspect import events, explain, hear, onnx_panel, patch_panel, timeline, widgets
from ast_demo.ui.inspect.visit import Page, Visit
from ast_demo.ui.latest import Latest


@dataclass(frozen=True)
class InspectTab(components.Tab):
    """What the page needs of the tab."""

    label: gr.Dropdown  # what the clip is
    add: gr.Button  # adds it to an evaluation
    arrived: tuple[Dependency, ...]  # the events at the end of which something else is shown


def build_tab(checkpoints: CheckpointCache, settings: Settings) -> InspectTab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    state = gr.State(Latest(Page()), time_to_live=settings.kept_s, delete_callback=_forget)
    tab = widgets.build(settings)
    arrived = _wire_clip(tab, state, checkpoints, settings)
    made = explain.wire(tab.why, state, tab.downloads, checkpoints, settings, arrived)
    hear.wire(tab.halves, state, checkpoints, settings, made)
    follow = partial(timeline.follow, tab.timeline, checkpoints, settings)
    for event in arrived:
        event.then(follow, [state], tab.timeline.outputs, **_QUIET, **components.pool(components.LONG, settings))
    tab.timeline.stop.click(timeline.stop, [state], [tab.timeline.stop], **components.NOTED)
    _wire_patches(tab, state, checkpoints, settings)
    onnx_panel.wire(tab.onnx, state, checkpoints, settings)
    side = tab.side
    return InspectTab(side.clip, side.checkpoint, side.to_compare, side.label, side.add, tuple(arrived))


_SEE = components.see("document.querySelector('#pictures')?.clientWidth ?? 0")
_QUIET: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}


def _wire_clip(
    tab: widgets.Widgets, state: gr.State, checkpoints: CheckpointCache, settings: Settings
) -> list[Dependency]:
    """Another clip, checkpoint, window or look. Returns the events at the end of which something else is shown."""
    side, noted = tab.side, {"trigger_mode": "multiple", **components.NOTED}
    chosen = gr.on(
        [side.clip.change, side.checkpoint.change],
        events.ask_clip,
        [state, side.clip, side.checkpoint, tab.seen, tab.zoom],
        [state],
        js=f"async (visit, clip, checkpoint, seen, zoom) => [visit, clip, checkpoint, await {_SEE}, zoom]",
        **noted,
    )
    slid = tab.timeline.window.input(events.ask_window, [state, tab.timeline.window], [state], **noted)
    clicked = tab.timeline.picture.select(events.ask_time, [state], [state], **noted)
    seen = gr.on(
        [tab.eyes.input, tab.zoom.change],
        events.ask_look,
        [state, tab.seen, tab.zoom],
        [state],
        js=f"async (visit, seen, zoom) => [visit, await {_SEE}, zoom]",
        **noted,
    )
    show = partial(events.show, tab, checkpoints, settings)
    pool = components.pool(components.MODEL, settings)
    busy: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private", **pool}
    shown = [
        asked.then(show, [state], tab.outputs, show_progress_on=[side.scores, side.message], **busy)
        for asked in (chosen, slid, clicked)
    ]
    drawn = seen.then(partial(events.redraw, tab), [state], tab.outputs, show_progress="hidden", **busy)
    return [*shown, drawn]


def _wire_patches(tab: widgets.Widgets, state: gr.State, checkpoints: CheckpointCache, settings: Settings) -> None:
    def choose(visit: Visit, event: gr.SelectData) -> dict[Any, Any]:
        return patch_panel.choose(tab.patch, checkpoints, visit, *event.index)

    pool = components.pool(components.MODEL, settings)
    for name in ("patch_grid", "rollout"):
        chosen = tab.pictures[name].select(choose, [state], tab.patch.outputs, **_QUIET, **pool)
        chosen.then(None, js=patch_panel.SCROLL, api_visibility="private")
    tab.patch.close.click(partial(patch_panel.close, tab.patch), [state], tab.patch.outputs, **_QUIET)
    of_depth = [tab.pictures["rollout"], tab.facts, *tab.patch.outputs]
    tab.depth.input(partial(events.change_depth, tab), [state, tab.depth], of_depth, **_QUIET)


def _forget(visit: Visit | None) -> None:
    """End all work for a visitor who has left, and delete their files."""
    if visit is not None:
        shown = visit.value.shown
        visit.change(clip=None, shown=None)
        files.forget(shown.folder if shown else None)
