"""Recordings that are longer than the input, in the Inspect tab: a timeline of their windows, and the choice of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from ast_demo.audio import Waveform
from ast_demo.errors import AstDemoError
from ast_demo.figures import Look, envelope, time_at_pixel, timeline_figure
from ast_demo.inspection import NAMED, Inspection, begin_timeline, follow_windows, nearest_window, window_starts
from ast_demo.models import Checkpoint, CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.inspect.visit import WINDOWS, Page, Recording, Visit
from ast_demo.ui.latest import ends_with_nothing
from ast_demo.ui.messages import alert


@dataclass(frozen=True)
class Panel:
    picture: gr.Image
    window: gr.Slider
    note: gr.HTML
    stop: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.picture, self.window, self.note, self.stop]


def build_panel() -> Panel:
    """Lay out the panel; the style sheet shows it while it has a picture. Must be called inside a `gr.Blocks`."""
    with gr.Column(elem_id="timeline"):
        picture = components.picture(
            "picture-timeline", "The best labels along the whole recording; click a time to see its window"
        )
        with gr.Row(equal_height=True):
            window = gr.Slider(1, 2, step=1, label="Window", elem_id="window", min_width=260)
            stop = gr.Button("Stop", size="sm", elem_id="stop-timeline", scale=0, min_width=120)
        note = gr.HTML(elem_id="timeline-note", elem_classes="caution")
    return Panel(picture, window, note, stop)


def begin(recording: Waveform, first: Inspection, checkpoint: Checkpoint, look: Look) -> Recording | None:
    """What is known of a recording whose first window was inspected; None if that is all of it."""
    starts = tuple(window_starts(len(recording.samples), checkpoint))
    if len(starts) == 1:
        return None
    outline = envelope(recording.samples, look, 0, recording.duration_s)
    return Recording(starts, begin_timeline(recording, first), outline)


def fill(panel: Panel, page: Page) -> dict[Any, Any]:
    """The panel for what is shown; hidden where that has no windows."""
    if page.recording is None:
        return {panel.picture: None}
    n, window_s = len(page.recording.starts), page.recording.timeline.windows[0].end_s
    return {
        panel.window: gr.update(
            maximum=n, value=page.window + 1, label=f"Window of {window_s:.2f} s, 1 to {n}"
        ),
        **draw(panel, page),
    }  # fmt: skip


def draw(panel: Panel, page: Page) -> dict[Any, Any]:
    """The timeline as far as it is known; nothing where there is none."""
    now = page.recording
    if now is None:
        return {}
    figure = timeline_figure(now.timeline, now.outline, page.look, now.seconds_of(page.window))
    return {
        panel.picture: files.write_picture(page.look, "timeline", figure),
        panel.note: _note(now, page.window),
        panel.stop: gr.update(visible=(page.listening and not now.is_complete) or components.HIDDEN),
    }


@ends_with_nothing
def follow(panel: Panel, checkpoints: CheckpointCache, settings: Settings, visit: Visit) -> Iterator[dict[Any, Any]]:
    """Listen to the windows that are still unknown, and show the timeline grow."""
    yield {panel.note: gr.skip()}  # Gradio empties the outputs of a generator that yields nothing
    page = visit.change(listener=object())
    if page.ready is None or page.clip is None or not page.listening:
        return
    if page.recording is None or page.recording.is_complete:
        return
    try:
        loaded = checkpoints.load(page.checkpoint)
        recording = components.read_clip(page.clip, settings)
        for known in follow_windows(recording, loaded, page.recording.timeline):
            now = replace(page.recording, timeline=known)
            if not visit.change_if(page, WINDOWS, recording=now):
                if not visit.value.listening:  # the last picture may still be on its way, with the button
                    yield {panel.stop: gr.update(visible=components.HIDDEN)}
                return
            yield draw(panel, replace(page, recording=now))
    except AstDemoError as error:
        if visit.still(page, WINDOWS):
            yield {panel.note: alert(error)}


def stop(visit: Visit) -> dict[str, Any]:
    """The visitor has heard enough; the windows that are known stay. Returns the update of the button."""
    visit.change(listening=False)
    return gr.update(visible=components.HIDDEN)


def window_under(recording: Recording, look: Look, x: float) -> int:
    """Place of the window under a pixel from the left of the timeline."""
    seconds = time_at_pixel(recording.timeline, look, x)
    return nearest_window(recording.starts, recording.timeline.windows[0].end_s, seconds)


def describe_shown(page: Page) -> str:
    """Which window is shown, of what; nothing of a clip that fits in the input."""
    if page.recording is None:
        return ""
    start_s, end_s = page.recording.seconds_of(page.window)
    return (
        f"{page.window + 1} of {len(page.recording.starts)}: {start_s:.2f}–{end_s:.2f} s of a recording of "
        f"{page.recording.timeline.duration_s:.2f} s"
    )


def _note(now: Recording, window: int) -> str:
    start_s, end_s = now.seconds_of(window)
    known = len(now.timeline.windows)
    best = ", ".join(f"{label.replace('_', ' ')} {score:.0%}" for label, score in now.timeline.pooled.top(NAMED))
    of_what = f"Mean of {known} windows" if now.is_complete else f"So far, {known} of {len(now.starts)} windows"
    return (
        f"<p>The recording is longer than the model's input, so it hears overlapping windows. Scores and pictures are "
        f"those of <b>{start_s:.2f}–{end_s:.2f} s</b>; click a time to see another window. "
        f"{of_what}: {escape(best)}.</p>"
    )
