"""The page as a whole: its tabs, its look, and how it is served."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import gradio as gr
import numpy as np
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from ast_demo.audio import SAMPLE_RATE, waveform_from_samples
from ast_demo.errors import AstDemoError, SettingsError
from ast_demo.export import draw
from ast_demo.inspection import inspect as inspect_clip
from ast_demo.models import CheckpointCache, default_checkpoint
from ast_demo.runtime import UPLOADS, Room, keep_small, visitors_folder
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers, route
from ast_demo.ui import accessibility, compare, components, gradio_limits
from ast_demo.ui.connections import bound_connections
from ast_demo.ui.endpoints import add_endpoints
from ast_demo.ui.evaluate import data_choice
from ast_demo.ui.evaluate import tab as evaluate
from ast_demo.ui.evaluate.mistakes import build_bar
from ast_demo.ui.inspect import tab as inspect
from ast_demo.ui.log import keep_content_out_of_the_log, log_failure
from ast_demo.ui.middleware import BoundsMiddleware, health, sentence_for_wrong_form

_FOLDER = Path(__file__).resolve().parent
GUIDE_PICTURES = _FOLDER.parent.parent / "assets" / "guide"
_TRIM_S = 30.0
_UNFETCHED = 2000  # visitors; as many as Gradio keeps unfetched answers of
_CONFUSED = (
    "Something in this request does not make sense here. Reload the page, or look at how the endpoint is called."
)


class Page(gr.Blocks):
    """The page; whatever goes wrong in one of its events becomes a sentence, and a line in the log without content."""

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        except gr.Error as error:
            raise gr.Error(error.message, print_exception=False) from None
        except AstDemoError as error:
            raise gr.Error(str(error), print_exception=False) from None
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
            with gr.Tab("Compare", id="compare"):
                compared = compare.build_tab(checkpoints, settings)
            with gr.Tab("Evaluate", id="evaluate"):
                evaluated = evaluate.build_tab(checkpoints, settings, viewers)
            with gr.Tab("How to read this", id="guide"):
                gr.Markdown(_guide(), elem_classes="guide")
        gr.HTML(f"<p>{_kept(settings)}</p>", elem_classes="kept")
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
    minutes = settings.kept_s / 60
    how_long = "an hour" if minutes == 60 else f"{minutes:g} minutes"
    return (
        f"What you record or upload, and what comes of it, is deleted from this server after {how_long}, and when the program "
        "ends: download what you want to keep. Nobody else sees it."
    )


def launch(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Serve the page until the program is stopped, by Ctrl-C or SIGTERM; then delete what visitors have left.

    Args:
        host, port: Where to listen; by default what Gradio's own environment variables say, else 127.0.0.1:7860.

    Raises:
        SettingsError: That port is in use, or that host is not this machine.
        CheckpointError: This copy of the program came without checkpoints.
    """
    # Neither fonts nor usage counts are fetched from anywhere: the page works without a network.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # not at once, but by way of what is to be done at the end
    try:
        with visitors_folder(settings) as folder:
            _serve_from(folder, settings, host, port)
    except SystemExit:
        os._exit(0)  # threads that compute cannot be waited for, and would abort where the interpreter ends around them


def _serve_from(folder: Path, settings: Settings, host: str | None, port: int | None) -> None:
    gradio_limits.keep_uploads_in(folder / UPLOADS)
    gradio_limits.bound_uploads()
    checkpoints, viewers, ready, ended = CheckpointCache(settings), Viewers(settings), Event(), Event()
    page = build_page(settings, checkpoints, viewers)
    keep_small(min(_TRIM_S, settings.kept_s / 4), ended)
    Thread(target=_warm_up, args=[checkpoints, ready], daemon=True).start()
    page.queue(default_concurrency_limit=settings.concurrency, max_size=settings.max_waiting, api_open=False)
    gradio_limits.bound_queue(page)
    sessions = gradio_limits.FairSessions()
    bounds = Middleware(
        BoundsMiddleware,
        settings=settings,
        uploads=folder / UPLOADS,
        forms=gradio_limits.forms_of(page),
        room=Room(folder, settings),
        came=sessions.came,
        forwarded="SPACE_ID" in os.environ,
    )
    guide = Mount("/guide", StaticFiles(directory=GUIDE_PICTURES))
    try:
        _serve(page, settings, host, port, [route(viewers, settings.hosts), health(ready), guide], bounds)
        gradio_limits.use_sessions(page, sessions)
        gradio_limits.tell_sentences_over_mcp(page)
        bound_connections(page.server.config, settings)
        keep_content_out_of_the_log()
        page.block_thread()
    except OSError:
        asked = f"port {port} of {host}" if port else "the port that was asked for"
        raise SettingsError(
            f"Cannot listen on {asked}: it is in use, or not on this machine. Choose another."
        ) from None
    finally:
        ended.set()
        page.close(verbose=False)
        viewers.close_all()


def _add_clip(added: data_choice.Added, clip: str | None, label: str | None) -> tuple[object, ...]:
    more = data_choice.add_clip(added, clip, label)
    gr.Info(f"Added. The Evaluate tab has {len(more)} clip{'s' if len(more) > 1 else ''} of yours now.")
    return more, *data_choice.show_added(more)


def _guide() -> str:
    """The guide, with its pictures where they are served."""
    text = (_FOLDER / "guide.md").read_text(encoding="utf-8")
    return text.replace("](../../assets/guide/", "](guide/")


def _serve(
    page: gr.Blocks, settings: Settings, host: str | None, port: int | None, routes: list[BaseRoute], bounds: Middleware
) -> None:
    page.launch(
        prevent_thread_lock=True,
        server_name=host,
        server_port=port,
        theme=_theme(),
        css_paths=_FOLDER / "style.css",
        head='<meta name="viewport" content="width=device-width, initial-scale=1">' + accessibility.script(),
        i18n=accessibility.words(),
        footer_links=[],
        max_file_size=int(settings.max_upload_mb * 1e6),
        state_session_capacity=settings.max_visitors,
        enable_monitoring=False,
        run_history=False,
        mcp_server=True,
        app_kwargs={
            "routes": routes,
            "middleware": [bounds],
            "exception_handlers": {RequestValidationError: sentence_for_wrong_form},
            **dict.fromkeys(("docs_url", "redoc_url", "openapi_url")),  # Gradio tells of the endpoints at /?view=api
        },
        ssr_mode=False,  # Gradio's own proxy for it would not pass on Spotlight's WebSocket
    )


def _warm_up(checkpoints: CheckpointCache, ready: Event) -> None:
    """Load the default checkpoint and run it once, so that the first visitor need not wait for it."""
    silence = waveform_from_samples(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    draw(inspect_clip(silence, checkpoints.load(default_checkpoint())))
    ready.set()


def _theme() -> gr.themes.Base:
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    return gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=fonts,
        font_mono=["ui-monospace", "Consolas", "monospace"],
        radius_size="md",
        text_size="md",
    ).set(
        body_background_fill="#ffffff",
        body_background_fill_dark="#14171f",
        body_text_color_subdued="*neutral_500",  # the paler grey of the theme is hard to read on white
        background_fill_primary_dark="#14171f",
        block_background_fill_dark="#14171f",
        block_border_width="0px",
        block_shadow="none",
        button_primary_background_fill="#0b7a75",
        button_primary_background_fill_hover="#096661",
        button_primary_text_color="#ffffff",
        button_primary_background_fill_dark="#0b7a75",
        button_primary_background_fill_hover_dark="#096661",
        link_text_color="#0b7a75",
        link_text_color_hover="#096661",
        link_text_color_visited="#0b7a75",
        link_text_color_dark="#3fd0c4",
        link_text_color_hover_dark="#7fe3da",
        link_text_color_visited_dark="#3fd0c4",
        color_accent="#0b7a75",
        slider_color="#0b7a75",
        slider_color_dark="#3fd0c4",
    )
