"""The checkpoint that a clip was shown to as ONNX, in the Inspect tab: to be run without this program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from ast_demo.errors import AstDemoError, CheckpointError
from ast_demo.export import zip_onnx
from ast_demo.models import CheckpointCache, CheckpointFacts
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.inspect.visit import WINDOW, Visit
from ast_demo.ui.latest import ends_with_nothing
from ast_demo.ui.messages import alert

_WHAT = "<p>It then runs without this program: in goes sound, the spectrogram is made inside, out come the scores.</p>"
_MB_A_PARAMETER = 5.3e-6  # in single precision, and in 8 bits
_SHARE = 20  # one download may take one in so many of the megabytes that the program keeps for its visitors


@dataclass(frozen=True)
class Panel:
    write: gr.Button
    message: gr.HTML
    file: gr.File

    @property
    def outputs(self) -> list[Any]:
        return [self.message, self.file]


def build_panel() -> Panel:
    """Lay out the panel. Must be called inside a `gr.Blocks`."""
    write = gr.Button("Write this checkpoint as ONNX", size="sm", elem_id="onnx-write")
    return Panel(
        write,
        gr.HTML(_WHAT, elem_id="onnx-message"),
        gr.File(interactive=False, show_label=False, elem_id="onnx", visible=False),
    )


def empty(panel: Panel) -> dict[Any, object]:
    """The panel of another clip or checkpoint."""
    return {panel.message: _WHAT, panel.file: gr.update(value=None, visible=False)}


def wire(panel: Panel, state: gr.State, checkpoints: CheckpointCache, settings: Settings) -> None:
    panel.write.click(
        partial(write, panel, checkpoints, settings),
        [state],
        panel.outputs,
        show_progress="hidden",
        api_visibility="private",
        **components.pool(components.EVALUATION, settings),
    )


@ends_with_nothing
def write(panel: Panel, checkpoints: CheckpointCache, settings: Settings, visit: Visit) -> Iterator[dict[Any, object]]:
    page = visit.value
    if page.ready is None:
        yield {panel.message: alert("Record, upload or choose a clip first: it is the checkpoint that hears it.")}
        return
    name = escape(page.ready.inspection.checkpoint.name)
    yield {panel.message: f"<p>Writing {name}: some seconds for a small one, a minute for a large one …</p>"}
    folder = None
    try:
        _check_size(page.ready.inspection.checkpoint, settings)
        loaded = checkpoints.load(page.checkpoint)
        folder = files.new_folder()
        path = folder / files.name_after(f"{loaded.facts.name.replace('/', ' ')}.", " onnx.zip")
        zip_onnx(loaded, path)
    except AstDemoError as error:
        files.forget(folder)
        if visit.still(page, WINDOW):
            yield {panel.message: alert(error)}
        return
    if not visit.still(page, WINDOW):
        files.forget(folder)
        return
    yield {panel.message: f"<p>{name}:</p>", panel.file: gr.update(value=str(path), visible=True)}


def _check_size(facts: CheckpointFacts, settings: Settings) -> None:
    size_mb, most_mb = facts.n_parameters * _MB_A_PARAMETER, settings.kept_mb / _SHARE
    if size_mb > most_mb:
        raise CheckpointError(
            f"{facts.name!r} would take about {size_mb:.0f} MB as ONNX, but one download may take {most_mb:.0f} MB here. "
            f"Write it on a machine of your own: python -m ast_demo export {facts.name} --output onnx"
        )
