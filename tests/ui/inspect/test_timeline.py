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
from ast_demo.models.loading import load_checkpoint
from ast_demo.ui.inspect import timeline
from tests.clips import melody
from tests.tiny import save_tiny


def test_who_moves_on_ends_the_work_and_it_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "pictures"))
    path = tmp_path / "long.wav"
    soundfile.write(path, melody(20.0), SAMPLE_RATE)
    recording, checkpoint = read_audio(path), load_checkpoint(save_tiny(tmp_path / "tiny"))
    n = len(window_starts(len(recording.samples), checkpoint))
    panel = timeline.Panel("column", "recording", "picture", "window", "note", "stop")  # names do for components

    def follow(now: timeline.Recording) -> Iterator[dict]:
        return timeline.follow(panel, str(path), now, checkpoint, max_s=30)

    first = inspect(cut_window(recording, checkpoint, 0), checkpoint)
    begun = timeline.begin(panel, recording, first, checkpoint, Look(400))[panel.recording]
    assert (len(begun.timeline.windows), begun.is_complete) == (1, False)
    steps = follow(begun)
    assert list(next(steps)) == [panel.note]  # nothing new, but not nothing: Gradio would empty the panel
    now = next(steps)[panel.recording]
    assert 1 < len(now.timeline.windows) < n
    assert timeline.stop(now) == gr.update(visible=False)
    assert list(steps) == []

    chosen = timeline.choose(panel, now, 2)[panel.recording]
    assert chosen.shown_s == pytest.approx((0.88, 0.88 + 0.905))
    *_, last = follow(chosen)
    assert last[panel.recording].is_complete
    assert last[panel.recording].chosen == 2
    assert len(last[panel.recording].timeline.windows) == n
    assert [list(step) for step in follow(last[panel.recording])] == [[panel.note]]
