"""The Inspect tab as a whole."""

from __future__ import annotations

import asyncio

import gradio as gr

from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui.inspect.tab import build_tab


async def build(settings: Settings) -> gr.Blocks:
    """In an event loop: without one, Gradio makes its own and leaves it open."""
    with gr.Blocks(analytics_enabled=False) as page:
        build_tab(CheckpointCache(settings), settings)
    return page


def test_all_of_a_visitor_is_kept_as_long_as_the_setting_says() -> None:
    page = asyncio.run(build(Settings(kept_s=40)))
    states = [block for block in page.blocks.values() if isinstance(block, gr.State)]
    assert states
    assert {state.time_to_live for state in states} == {40}
