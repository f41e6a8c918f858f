"""What is told of a map or of its test is taken back once it is of something that is not wanted any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from ast_demo.audio import read_audio
from ast_demo.explain import explain
from ast_demo.figures import Look
from ast_demo.inspection import inspect
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui.inspect import explain as panels
from ast_demo.ui.inspect.visit import Explained, Page, Shown, Visit
from ast_demo.ui.latest import Latest
from tests.clips import sample_clips
from tests.tiny import save_tiny

# Names do for components: what a handler gives is a dictionary of them.
PANEL = panels.Panel("method", "label", "against", "picture", "remarks", "go", "stop", "verdict", "curves")  # type: ignore[arg-type]
CHECKPOINTS = CheckpointCache(Settings())


@pytest.fixture
def visit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visit:
    """A page that shows a clip and its rollout."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "pictures"))
    reference, clip, look = str(save_tiny(tmp_path / "tiny")), str(sample_clips(20)[3]), Look(400)
    loaded = CHECKPOINTS.load(reference)
    inspection = inspect(read_audio(clip), loaded)
    label = inspection.prediction.top(1)[0][0]
    rollout = Explained(inspection, ("rollout", label, ""), explain(inspection, loaded, "rollout"), {})
    return Latest(
        Page(
            turn=1, clip=clip, checkpoint=reference, look=look, method="rollout", label=label,
            shown=Shown(1, look, inspection, tmp_path), explained=rollout, map_look=look,
        )
    )  # fmt: skip


def shown_after(updates: Iterator[dict[Any, object]], page: dict[Any, Any]) -> dict[Any, Any]:
    """What stands on a page once these have come, one after the other."""
    for update in updates:
        if update != gr.skip():
            page = page | {name: value for name, value in update.items() if value != gr.skip()}
    return page


def begin_test(visit: Visit) -> tuple[Iterator[dict[Any, object]], dict[Any, Any]]:
    """A test that has told how far it is, and the page meanwhile."""
    page, running = panels.ask_card(PANEL, visit), panels.test(PANEL, CHECKPOINTS, visit)
    while "Running the model" not in str(page["verdict"]):
        page = shown_after(iter([next(running)]), page)
    assert page["go"]["interactive"] is False
    return running, page


def test_another_map_takes_back_what_was_told_of_a_test(visit: Visit) -> None:
    running, page = begin_test(visit)
    panels.ask(PANEL, visit, "random", visit.value.label or "", "")  # what it clears may come before what was told
    page = shown_after(running, page)
    assert page["verdict"] == ""
    assert page["go"]["interactive"] is True
    assert page["stop"]["interactive"] is False


def test_a_stopped_test_says_so_and_nothing_more(visit: Visit) -> None:
    running, page = begin_test(visit)
    panels.stop_test(PANEL, visit)
    page = shown_after(running, page)
    assert page["verdict"] == "<p>Stopped.</p>"
    assert page["go"]["interactive"] is True


def test_a_newer_test_is_not_taken_back(visit: Visit) -> None:
    running, page = begin_test(visit)
    visit.change(label="another", testing=True)  # a test of another map was asked for meanwhile
    page = shown_after(running, page)
    assert page["go"]["interactive"] is False
    assert page["stop"]["interactive"] is True


def test_back_to_the_map_that_is_shown_takes_back_how_far_another_came(visit: Visit) -> None:
    label = visit.value.label or ""
    panels.ask(PANEL, visit, "perturbation", label, "")
    making, page = panels.make(PANEL, "downloads", CHECKPOINTS, visit), {"remarks": ""}  # type: ignore[arg-type]
    while "Taking parts away" not in str(page["remarks"]):
        page = shown_after(iter([next(making)]), page)
    panels.ask(PANEL, visit, "rollout", label, "")
    page = shown_after(making, page)
    page = shown_after(panels.make(PANEL, "downloads", CHECKPOINTS, visit), page)  # type: ignore[arg-type]
    assert "Taking parts away" not in page["remarks"]
    assert page["remarks"] != ""
