"""The Evaluate tab: labelled clips through one to four checkpoints, and the worst mistakes to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers
from ast_demo.ui import components
from ast_demo.ui.accessibility import scroll_to
from ast_demo.ui.evaluate import data_choice, mistakes, running
from ast_demo.ui.evaluate.running import Asked, Run, Services
from ast_demo.ui.evaluate.widgets import Widgets, lay_out
from ast_demo.ui.inspect.tab import InspectTab


@dataclass(frozen=True)
class EvaluateTab:
    """What the page needs of the tab."""

    checkpoints: gr.Dropdown
    data: data_choice.DataControls
    run: gr.State
    mistakes: mistakes.MistakeList


def build_tab(checkpoints: CheckpointCache, settings: Settings, viewers: Viewers) -> EvaluateTab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    widgets = lay_out(settings)
    _wire(widgets, Services(checkpoints, settings, viewers))
    return EvaluateTab(widgets.chosen, widgets.data, widgets.run, widgets.mistakes)


def _wire(widgets: Widgets, services: Services) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def start(
        references: list[str] | None, explain_all: bool, old: Run | None, *choices: Any
    ) -> Iterator[dict[Any, object]]:
        named = tuple(reference.strip() for reference in references or [])
        yield from running.run_evaluation(
            widgets, services, old, Asked(data_choice.Choice(*choices), named, explain_all)
        )

    def choose(now: Run | None, event: gr.SelectData) -> dict[Any, object]:
        if now is None or now.result is None:
            return {widgets.mistakes.box: gr.skip()}
        return mistakes.choose(widgets.mistakes, now.result, now.references, event.index[0])

    going = widgets.go.click(
        start,
        [widgets.chosen, widgets.explain_all, widgets.run, *widgets.data.inputs],
        [
            *(widgets.run, widgets.status, widgets.answer, widgets.results, widgets.metrics, widgets.spotlight),
            *(widgets.mistakes.table, widgets.mistakes.box, widgets.labels, widgets.confusion, widgets.downloads),
            *(widgets.go, widgets.stop),
        ],
        show_progress="minimal",  # the place in the queue
        show_progress_on=[widgets.status],
        api_visibility="private",
        **components.pool(components.EVALUATION, services.settings),
    )
    widgets.stop.click(
        lambda: {widgets.status: running.STOPPED, **running.rest(widgets)},
        outputs=[widgets.status, widgets.go, widgets.stop],
        cancels=[going],
        api_visibility="private",
    )
    widgets.explore.click(
        lambda now: running.open_in_spotlight(now, services.viewers),
        [widgets.run],
        [widgets.spotlight],
        show_progress_on=[widgets.spotlight],
        api_visibility="private",
    ).then(None, js=scroll_to("spotlight"), **quiet)
    widgets.mistakes.table.select(choose, [widgets.run], widgets.mistakes.outputs, **quiet).then(
        None, js=scroll_to("mistake"), **quiet
    )


def connect_to_inspect(tab: EvaluateTab, bar: mistakes.Bar, tabs: gr.Tabs, inspected: InspectTab) -> None:
    """Wire the way of a mistake to Inspect, with its checkpoint and its label, and back to the list."""
    opens = [*bar.outputs, inspected.clip, inspected.checkpoints, tabs]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def open_one(mistake: mistakes.Mistake | None) -> dict[Any, object]:
        if mistake is None:
            return {tabs: gr.skip()}
        return {
            **mistakes.tell(bar, mistake),
            inspected.clip: mistake.sound,
            inspected.checkpoints: mistake.checkpoint,
            tabs: gr.Tabs(selected="inspect"),
        }

    def open_next(now: Run | None, opened: mistakes.Mistake | None) -> dict[Any, object]:
        if now is None or now.result is None or opened is None or opened.place + 1 >= opened.total:
            return {tabs: gr.skip()}
        return open_one(mistakes.find(now.result, now.references, opened.place + 1))

    def follow_clip(clip: str | None, opened: mistakes.Mistake | None) -> Any:
        return gr.update(visible=mistakes.is_of(opened, clip))

    def name_it(clip: str | None, opened: mistakes.Mistake | None) -> Any:
        return opened.label if opened is not None and mistakes.is_of(opened, clip) else gr.skip()

    inspected.clip.change(follow_clip, [inspected.clip, bar.opened], [bar.box], **quiet)
    for arrived in inspected.arrived:
        arrived.then(name_it, [inspected.clip, bar.opened], [inspected.label], **quiet)
    for opened in (
        tab.mistakes.open.click(open_one, [tab.mistakes.chosen], opens, **quiet),
        bar.following.click(open_next, [tab.run, bar.opened], opens, **quiet),
    ):
        opened.then(None, js=scroll_to("from-mistakes"), **quiet)
    bar.back.click(lambda: gr.Tabs(selected="evaluate"), outputs=[tabs], **quiet).then(
        None, js=scroll_to("mistakes"), **quiet
    )
