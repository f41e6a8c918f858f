"""The panel of a long recording listens to its windows until the visitor moves on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
import soundfile

from ast_demo.audio.decoding import SAMPLE_RATE, read_audio
from ast_demo.figures import Look
from ast_demo.inspection.inspection import inspect
from ast_demo.inspection.windows import cut_window, window_starts
from ast_demo.models.cache import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui.components import HIDDEN
from ast_demo.ui.inspect import timeline
from ast_demo.ui.inspect.events import ask_window
from ast_demo.ui.inspect.visit import Page, Shown
from ast_demo.ui.latest import Latest
from tests.clips import melody
from tests.tiny import save_tiny

NOTHING = gr.skip()


def test_who_moves_on_ends_the_work_and_it_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "pictures"))
    path, tiny, look = tmp_path / "long.wav", str(save_tiny(tmp_path / "tiny")), Look(400)
    soundfile.write(path, melody(20.0), SAMPLE_RATE)
    checkpoints = CheckpointCache(Settings())
    recording, checkpoint = read_audio(path), checkpoints.load(tiny)
    n = len(window_starts(len(recording.samples), checkpoint))
    panel = timeline.Panel("picture", "window", "note", "stop")  # names do for components

    first = inspect(cut_window(recording, checkpoint, 0), checkpoint)
    begun = timeline.begin(recording, first, checkpoint, look)
    assert (len(begun.timeline.windows), begun.is_complete) == (1, False)
    page = Page(0, str(path), tiny, look=look, shown=Shown(0, look, first, tmp_path), recording=begun)
    visit = Latest(page)

    def follow() -> Iterator[dict]:
        return timeline.follow(panel, checkpoints, Settings(max_clip_s=30), visit)

    steps = follow()
    assert list(next(steps)) == [panel.note]  # nothing new, but not nothing: Gradio would empty the panel
    assert panel.picture in next(steps)
    assert 1 < len(visit.value.recording.timeline.windows) < n
    assert timeline.stop(visit) == gr.update(visible=HIDDEN)
    assert list(steps) == [
        {panel.stop: gr.update(visible=HIDDEN)},
        NOTHING,
    ]  # after the last picture, which had shown it again
    assert [list(step) for step in follow()] == [[panel.note], list(NOTHING)]  # until something else is asked for

    known = len(visit.value.recording.timeline.windows)
    ask_window(visit, 3)
    assert [list(step) for step in follow()] == [[panel.note], list(NOTHING)]  # it is not shown yet
    now = visit.change(shown=Shown(visit.value.turn, look, first, tmp_path))
    assert now.recording.seconds_of(now.window) == pytest.approx((0.88, 0.88 + 0.905))
    steps = follow()
    next(steps), next(steps)
    other = follow()
    assert list(next(other)) == [panel.note] and panel.picture in next(other)
    assert list(steps) == [NOTHING]  # one listens at a time: the one who began last
    *_, last, nothing = other
    assert nothing == NOTHING
    assert panel.picture in last
    assert visit.value.recording.is_complete
    assert visit.value.window == 2
    assert known < len(visit.value.recording.timeline.windows) == n
    assert [list(step) for step in follow()] == [[panel.note], list(NOTHING)]
