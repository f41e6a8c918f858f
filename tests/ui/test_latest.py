"""Who works with what was asked for a while ago notices that it no longer is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass

import gradio as gr

from ast_demo.ui.latest import Latest, ends_with_nothing


@dataclass(frozen=True)
class Asked:
    clip: str = ""
    label: str = ""
    count: int = 0


def test_a_result_is_kept_only_while_what_it_is_of_is_asked_for() -> None:
    latest = Latest(Asked("crow", "bird"))
    begun = latest.value
    assert latest.still(begun, ("clip", "label"))
    assert latest.change(label="crow") == Asked("crow", "crow")
    assert latest.still(begun, ("clip",))
    assert not latest.still(begun, ("clip", "label"))
    assert not latest.change_if(begun, ("clip", "label"), count=1)
    assert latest.change_if(begun, ("clip",), count=1)
    assert latest.value == Asked("crow", "crow", 1)
    latest.change(label="bird")  # asked for again: what is of it may come after all
    assert latest.change_if(begun, ("clip", "label"), count=2)


def test_each_visitor_has_their_own() -> None:
    first = Latest(Asked("crow"))
    second = deepcopy(first)
    second.change(clip="dog")
    assert (first.value, second.value) == (Asked("crow"), Asked("dog"))


def test_no_change_is_lost_among_threads() -> None:
    latest = Latest(Asked())

    def count(_: int) -> None:
        while True:
            now = latest.value
            if latest.change_if(now, ("count",), count=now.count + 1):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(500)))
    assert latest.value.count == 500


def test_gradio_leaves_a_page_alone_for_the_last_that_is_nothing() -> None:
    """What Gradio sends when a generator ends is its last update once more: of all of them, nothing."""

    async def updates() -> list:
        with gr.Blocks(analytics_enabled=False) as page:  # in an event loop: without one, Gradio leaves its own open
            first, second = gr.Textbox(), gr.Textbox()

            @ends_with_nothing
            def tell() -> Iterator[dict]:
                yield {first: "3", second: "begun"}

            gr.Button().click(tell, None, [first, second])
        told, iterator = [], None
        while True:
            answer = await page.process_api(page.fns[0], [], iterator=iterator)
            iterator = answer["iterator"]
            if not answer["is_generating"]:
                return told
            told.append(answer["data"])

    assert asyncio.run(updates()) == [["3", "begun"], [gr.skip(), gr.skip()]]
