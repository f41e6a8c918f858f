"""The panel with the map of a label."""

from __future__ import annotations

import asyncio

import gradio as gr

from ast_demo.settings import Settings
from ast_demo.ui.inspect import explain


async def build(settings: Settings) -> explain.Panel:
    """In an event loop: without one, Gradio makes its own and leaves it open."""
    with gr.Blocks(analytics_enabled=False):
        return explain.build_panel(settings)


def test_a_map_is_kept_as_long_as_everything_of_a_visitor() -> None:
    assert asyncio.run(build(Settings(kept_s=40))).explained.time_to_live == 40
