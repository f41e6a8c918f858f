"""One patch, in the Inspect tab: what it sees, and where attention flows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ast_demo import figures
from ast_demo.errors import AstDemoError
from ast_demo.inspection import inspect_patch
from ast_demo.models import CheckpointCache
from ast_demo.ui import components, files
from ast_demo.ui.inspect import facts
from ast_demo.ui.inspect.visit import PATCH, PICTURES, Page, Visit
from ast_demo.ui.messages import alert

# The panel opens below the pictures, which may be far from the click: as much as is needed, the page goes there.
SCROLL = """() => setTimeout(() => document.querySelector('#patch')?.scrollIntoView({
    block: 'nearest',
    behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth',
}), 100)"""


@dataclass(frozen=True)
class Panel:
    """Its components; `grid` is the picture above, in which the patch is outlined."""

    column: gr.Column
    grid: gr.Image
    facts: gr.HTML
    rollout: gr.Image
    attention: gr.Image
    close: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.column, self.grid, self.facts, self.rollout, self.attention]


def build_panel(grid: gr.Image) -> Panel:
    """Lay out the panel, hidden. Must be called inside a `gr.Blocks`."""
    with gr.Column(visible=False, elem_id="patch") as column:
        told = gr.HTML()
        rollout = components.picture("picture-patch-rollout", "Attention rollout that starts from the chosen patch")
        attention = components.picture("picture-patch-attention", "What the chosen patch attends to in one layer")
        close = gr.Button("Close the patch", size="sm")
    return Panel(column, grid, told, rollout, attention, close)


def choose(panel: Panel, checkpoints: CheckpointCache, visit: Visit, x: float, y: float) -> dict[Any, Any]:
    """Look at the clip from the patch under a pixel of the grid or of the rollout."""
    nothing = {panel.facts: gr.skip()}
    page = visit.value
    shown = page.ready
    if shown is None:
        return nothing
    if shown.inspection.checkpoint.grid is None:
        gr.Info("This checkpoint has no patches to choose from.")
        return nothing
    where = figures.patch_at_pixel(shown.inspection, shown.look, x, y)
    if where is None or not visit.change_if(page, PICTURES, patch=where):
        return nothing
    page = visit.value
    opened = {panel.column: gr.update(visible=True)}
    try:
        seen = inspect_patch(shown.inspection, checkpoints.load(page.checkpoint), *where)
    except AstDemoError as error:
        return {**opened, panel.facts: alert(error)} if visit.still(page, PATCH) else nothing
    if not visit.change_if(page, PATCH, patch_seen=seen):
        return nothing
    values = draw_latest(panel, visit, with_grid=True)
    return {**values, **opened} if values else nothing


def draw_latest(panel: Panel, visit: Visit, *, with_grid: bool) -> dict[Any, Any]:
    """The chosen patch as it is asked for now, drawn again if that changes meanwhile; nothing without a patch.

    Args:
        with_grid: Draw the patch grid, too, with the patch outlined.
    """
    while True:
        page = visit.value
        values = _draw(panel, page)
        if values and with_grid:
            values |= _draw_grid(panel, page)
        if visit.still(page, (*PATCH, "depth", "patch_seen")):
            return values


def close(panel: Panel, visit: Visit) -> dict[Any, Any]:
    page = visit.change(patch=None, patch_seen=None)
    return {panel.column: gr.update(visible=False), **_draw_grid(panel, page)}


def _draw(panel: Panel, page: Page) -> dict[Any, Any]:
    shown, patch = page.ready, page.patch_seen
    if shown is None or patch is None:
        return {}
    layers = page.depth or shown.inspection.checkpoint.n_layers
    rollout = figures.rollout_figure(shown.inspection, page.look, layers, patch)
    attention = figures.attention_figure(shown.inspection, patch, page.look, layers)
    return {
        panel.facts: facts.patch_facts(shown.inspection, patch),
        panel.rollout: files.write_picture(page.look, "patch_rollout", rollout),
        panel.attention: files.write_picture(page.look, "patch_attention", attention),
    }


def _draw_grid(panel: Panel, page: Page) -> dict[Any, Any]:
    shown = page.ready
    if shown is None or shown.inspection.checkpoint.grid is None:
        return {}
    figure = figures.patch_grid_figure(shown.inspection, page.look, page.patch)
    return {panel.grid: files.write_picture(page.look, "patch_grid", figure)}
