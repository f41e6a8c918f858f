"""Recordings that are longer than the input, in the Inspect tab: a timeline of their windows, and the choice of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import escape
from threading import Event
from typing import Any

import gradio as gr
import numpy as np

from ast_demo.audio import Waveform
from ast_demo.features import samples_to_time
from ast_demo.figures import Look, envelope, time_at_pixel, timeline_figure
from ast_demo.inspection import (
    NAMED,
    Inspection,
    Timeline,
    begin_timeline,
    follow_windows,
    nearest_window,
    window_starts,
)
from ast_demo.models import Checkpoint
from ast_demo.settings import Settings
from ast_demo.ui import components, files


@dataclass(frozen=True)
class Recording:
    """What a visitor's page knows of a recording. Its samples are not kept: they are read again when they are needed.

    Attributes:
        starts: First sample of each window.
        chosen: Place of the window that is shown.
        timeline: As far as it is known.
        outline: The waveform for the picture; see `envelope`.
        left: Set once the visitor has moved on, or pressed Stop: who still listens to windows ends.
    """

    starts: tuple[int, ...]
    chosen: int
    timeline: Timeline
    outline: tuple[np.ndarray, np.ndarray, np.ndarray]
    look: Look
    left: Event = field(default_factory=Event)

    @property
    def is_complete(self) -> bool:
        return len(self.timeline.windows) == len(self.starts)

    @property
    def shown_s(self) -> tuple[float, float]:
        """Start and end of the window that is shown."""
        start_s = samples_to_time(self.starts[self.chosen])
        return start_s, start_s + self.timeline.windows[0].end_s


@dataclass(frozen=True)
class Panel:
    column: gr.Column
    recording: gr.State
    picture: gr.Image
    window: gr.Slider
    note: gr.HTML
    stop: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.column, self.recording, self.picture, self.window, self.note, self.stop]


def build_panel(settings: Settings) -> Panel:
    """Lay out the panel, hidden. Must be called inside a `gr.Blocks`."""
    recording = gr.State(None, time_to_live=settings.kept_s)
    with gr.Column(visible=False, elem_id="timeline") as column:
        picture = components.picture(
            "picture-timeline",
            "The best labels along the whole recording; click a time to see its window",
            visible=True,
        )
        with gr.Row(equal_height=True):
            window = gr.Slider(1, 2, step=1, label="Window", elem_id="window", min_width=260)
            stop = gr.Button("Stop", size="sm", elem_id="stop-timeline", scale=0, min_width=120)
        note = gr.HTML(elem_id="timeline-note", elem_classes="caution")
    return Panel(column, recording, picture, window, note, stop)


def hide(panel: Panel) -> dict[Any, Any]:
    return {panel.column: gr.update(visible=False), panel.recording: None}


def begin(panel: Panel, recording: Waveform, first: Inspection, checkpoint: Checkpoint, look: Look) -> dict[Any, Any]:
    """Show a recording whose first window was inspected; nothing if that is all of it."""
    starts = tuple(window_starts(len(recording.samples), checkpoint))
    if len(starts) == 1:
        return hide(panel)
    outline = envelope(recording.samples, look, 0, recording.duration_s)
    now = Recording(starts, 0, begin_timeline(recording, first), outline, look)
    label = f"Window of {first.waveform.duration_s:.2f} s, 1 to {len(starts)}"
    return {
        panel.column: gr.update(visible=True),
        panel.window: gr.update(maximum=len(starts), value=1, label=label),
        **draw(panel, now),
    }


def choose(panel: Panel, now: Recording, number: int) -> dict[Any, Any]:
    """Mark a window, by its place."""
    return {panel.window: number + 1, **draw(panel, replace(now, chosen=number, left=Event()))}


def draw(panel: Panel, now: Recording) -> dict[Any, Any]:
    figure = timeline_figure(now.timeline, now.outline, now.look, now.shown_s)
    return {
        panel.recording: now,
        panel.picture: files.write_picture(now.look, "timeline", figure),
        panel.note: _note(now),
        panel.stop: gr.update(visible=not now.is_complete),
    }


def follow(panel: Panel, path: str, now: Recording, checkpoint: Checkpoint, settings: Settings) -> Iterator[dict]:
    """Listen to the windows that are still unknown, and show the timeline grow."""
    yield {panel.note: gr.skip()}  # Gradio empties the outputs of a generator that yields nothing
    if now.is_complete:
        return
    recording = components.read_clip(path, settings)
    for timeline in follow_windows(recording, checkpoint, now.timeline):
        if now.left.is_set():
            return
        now = replace(now, timeline=timeline)
        yield draw(panel, now)


def leave(now: Recording | None) -> None:
    """End what still listens to windows of this recording."""
    if now is not None:
        now.left.set()


def stop(now: Recording | None) -> dict[str, Any]:
    """The visitor has heard enough; the windows that are known stay. Returns the update of the button."""
    leave(now)
    return gr.update(visible=False)


def window_under(now: Recording, x: float) -> int:
    """Place of the window under a pixel from the left of the timeline."""
    seconds = time_at_pixel(now.timeline, now.look, x)
    return nearest_window(now.starts, now.timeline.windows[0].end_s, seconds)


def describe_shown(now: Recording) -> str:
    """Which window is shown, of what."""
    start_s, end_s = now.shown_s
    return (
        f"{now.chosen + 1} of {len(now.starts)}: {start_s:.2f}–{end_s:.2f} s of a recording of "
        f"{now.timeline.duration_s:.2f} s"
    )


def _note(now: Recording) -> str:
    start_s, end_s = now.shown_s
    known = len(now.timeline.windows)
    best = ", ".join(f"{label.replace('_', ' ')} {score:.0%}" for label, score in now.timeline.pooled.top(NAMED))
    of_what = f"Mean of {known} windows" if now.is_complete else f"So far, {known} of {len(now.starts)} windows"
    return (
        f"<p>The recording is longer than the model's input, so it hears overlapping windows. Scores and pictures are "
        f"those of <b>{start_s:.2f}–{end_s:.2f} s</b>; click a time to see another window. "
        f"{of_what}: {escape(best)}.</p>"
    )
