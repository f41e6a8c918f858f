"""The Compare tab: one clip, two to four checkpoints, side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components
from ast_demo.ui.compare import events
from ast_demo.ui.compare.widgets import build_widgets
from ast_demo.ui.latest import Latest

# The width of a column once there are as many as `beside`; 0 where there are none, or the tab is not to be seen.
_COLUMN_WIDTH = """(beside => {
    const all = document.querySelector('#compare-columns')?.parentElement.clientWidth ?? 0;
    const fitting = Math.max(1, Math.min(beside, Math.floor((all + 16) / 300)));
    return beside && all && Math.floor((all - 16 * (fitting - 1)) / fitting);
})"""
_SHOWN = "[...document.querySelectorAll('#compare-columns > .column')].filter(one => one.clientWidth).length"


def build_tab(checkpoints: CheckpointCache, settings: Settings) -> components.Tab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    state = gr.State(Latest(events.Page()), time_to_live=settings.kept_s, delete_callback=_forget)
    tab = build_widgets(settings)
    asked = gr.on(  # one event for both, so that a visitor's runs follow one another
        [tab.clip.change, tab.go.click],
        events.ask,
        [state, tab.clip, tab.chosen, tab.seen],
        [state],
        js=f"async (visit, clip, chosen, seen) => [visit, clip, chosen, await {_see('chosen.length')}]",
        trigger_mode="multiple",
        **components.NOTED,
    )
    seen = tab.eyes.input(
        events.ask_look,
        [state, tab.seen],
        [state],
        js=f"async (visit, seen) => [visit, await {_see(_SHOWN)}]",
        trigger_mode="multiple",
        **components.NOTED,
    )
    busy: dict[str, Any] = {
        "trigger_mode": "always_last",
        "api_visibility": "private",
        **components.pool(components.MODEL, settings),
    }
    show = partial(events.show, tab, checkpoints, settings)
    asked.then(show, [state], tab.outputs, show_progress_on=[tab.message], **busy)
    seen.then(partial(events.redraw, tab), [state], tab.outputs, show_progress="hidden", **busy)
    return components.Tab(tab.clip, tab.chosen, tab.to_inspect)


def _see(beside: str) -> str:
    return components.see(f"{_COLUMN_WIDTH}({beside})")


def _forget(visit: Latest[events.Page] | None) -> None:
    """End the work for a visitor who has left, and delete their files."""
    if visit is not None:
        shown = visit.value.shown
        visit.change(turn=visit.value.turn + 1, shown=None)
        events.forget(shown)
