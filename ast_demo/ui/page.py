"""The page as a whole: its tabs, and what leads from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo.errors import AstDemoError
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers
from ast_demo.ui import accessibility, components
from ast_demo.ui.compare import tab as compare
from ast_demo.ui.endpoints import add_endpoints
from ast_demo.ui.evaluate import data_choice
from ast_demo.ui.evaluate import tab as evaluate
from ast_demo.ui.evaluate.mistakes import build_bar
from ast_demo.ui.inspect import tab as inspect
from ast_demo.ui.log import log_failure
from ast_demo.ui.messages import in_words, sentence

_FOLDER = Path(__file__).resolve().parent
_FOR_PROGRAMS = '<p><a class="to-api" href="?view=api">For programs: this page as an API, and as tools over MCP</a></p>'
_CONFUSED = (
    "Something in this request does not make sense here. Reload the page, or look at how the endpoint is called."
)


class Page(gr.Blocks):
    """The page; whatever goes wrong in one of its events becomes a sentence, and a line in the log without content."""

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        except gr.Error as error:
            raise gr.Error(sentence(error.message), print_exception=False) from None
        except AstDemoError as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        except Exception as error:
            log_failure(f"event {getattr(block_fn, 'name', block_fn)}", error)
            raise gr.Error(_CONFUSED, print_exception=False) from None


def build_page(settings: Settings, checkpoints: CheckpointCache, viewers: Viewers) -> gr.Blocks:
    """Lay out the page."""
    with Page(title="AST Demo", analytics_enabled=False) as page:
        gr.HTML(
            "<h1>AST Demo</h1><p>What did this audio model hear, and why was it wrong?</p>", elem_classes="masthead"
        )
        with gr.Tabs() as tabs:
            with gr.Tab("Inspect", id="inspect"):
                bar = build_bar()
                inspected = inspect.build_tab(checkpoints, settings)
                answer = accessibility.answer_for_ears("answer")
            with gr.Tab("Compare", id="compare"):
                compared = compare.build_tab(checkpoints, settings)
            with gr.Tab("Evaluate", id="evaluate"):
                evaluated = evaluate.build_tab(checkpoints, settings, viewers)
            with gr.Tab("How to read this", id="guide"):
                gr.Markdown(_guide(), elem_classes="guide")
        gr.HTML(f"<p>{_kept(settings)}</p>{_FOR_PROGRAMS}", elem_classes="kept")
        add_endpoints(checkpoints, settings)
        for here, there, tab in (
            (inspected, compared, "compare"),
            (compared, inspected, "inspect"),
        ):
            here.leave.click(
                lambda clip, tab=tab: (clip, gr.Tabs(selected=tab)),
                [here.clip],
                [there.clip, tabs],
                api_visibility="private",
            )
        evaluate.connect_to_inspect(evaluated, bar, tabs, inspected)
        for arrived in inspected.arrived:
            arrived.then(
                None,
                outputs=[answer],
                js=accessibility.SCORES_IN_A_SENTENCE,
                show_progress="hidden",
                api_visibility="private",
            )
        inspected.add.click(
            _add_clip,
            [evaluated.data.added, inspected.clip, inspected.label],
            [evaluated.data.added, evaluated.data.list_of_added, evaluated.data.remove],
            api_visibility="private",
        )
        page.load(
            lambda: [gr.update(choices=components.checkpoint_choices(settings, ask_hub=True))] * 3,
            outputs=[inspected.checkpoints, compared.checkpoints, evaluated.checkpoints],
            show_progress="hidden",
            api_visibility="private",
        )
    return page


def _kept(settings: Settings) -> str:
    return (
        f"What you record or upload, and what comes of it, is deleted from this server after {in_words(settings.kept_s)}, "
        "and when the program ends: download what you want to keep. Nobody else sees it."
    )


def _add_clip(added: data_choice.Added, clip: str | None, label: str | None) -> tuple[object, ...]:
    more = data_choice.add_clip(added, clip, label)
    gr.Info(f"Added. The Evaluate tab has {len(more)} clip{'s' if len(more) > 1 else ''} of yours now.")
    return more, *data_choice.show_added(more)


def _guide() -> str:
    """The guide, with its pictures where they are served."""
    text = (_FOLDER / "guide.md").read_text(encoding="utf-8")
    return text.replace("](../../assets/guide/", "](guide/")
