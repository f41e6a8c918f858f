"""How the page is served: for how long, to whom, with what look and what limits."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread

import gradio as gr
import numpy as np
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from ast_demo.audio import SAMPLE_RATE, waveform_from_samples
from ast_demo.data import SAMPLES_FOLDER
from ast_demo.errors import SettingsError
from ast_demo.export import draw
from ast_demo.inspection import inspect as inspect_clip
from ast_demo.models import CheckpointCache, default_checkpoint
from ast_demo.runtime import UPLOADS, Room, keep_small, visitors_folder
from ast_demo.settings import Settings
from ast_demo.shipped import shipped_folder
from ast_demo.spotlight import Viewers, route
from ast_demo.ui import accessibility, gradio_limits
from ast_demo.ui.connections import bound_connections
from ast_demo.ui.log import keep_content_out_of_the_log
from ast_demo.ui.middleware import BoundsMiddleware, health, sentence_for_refusal, sentence_for_wrong_form
from ast_demo.ui.page import build_page

_FOLDER = Path(__file__).resolve().parent
_TRIM_S = 30.0


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
    gradio_limits.bound_queue()
    behind_proxy = settings.behind_proxy or "SPACE_ID" in os.environ
    if not behind_proxy:
        # uvicorn would believe whatever comes from this machine, and so any visitor of it
        os.environ["FORWARDED_ALLOW_IPS"] = ""
    checkpoints, viewers, ready, ended = CheckpointCache(settings), Viewers(settings), Event(), Event()
    page = build_page(settings, checkpoints, viewers)
    keep_small(min(_TRIM_S, settings.kept_s / 4), ended)
    Thread(target=_warm_up, args=[checkpoints, ready], daemon=True).start()
    page.queue(default_concurrency_limit=settings.concurrency, max_size=settings.max_waiting, api_open=False)
    sessions = gradio_limits.FairSessions()
    bounds = Middleware(
        BoundsMiddleware,
        settings=settings,
        uploads=folder / UPLOADS,
        forms=gradio_limits.forms_of(page),
        room=Room(folder, settings),
        came=sessions.came,
        forwarded=behind_proxy,
    )
    guide = Mount("/guide", StaticFiles(directory=shipped_folder("guide")))
    try:
        _serve(page, settings, host, port, [route(viewers, settings.hosts), health(ready), guide], bounds)
        gradio_limits.use_sessions(page, sessions)
        gradio_limits.tell_sentences_over_mcp(page)
        bound_connections(page.server.config, settings, behind_proxy=behind_proxy)
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


def _serve(
    page: gr.Blocks, settings: Settings, host: str | None, port: int | None, routes: list[BaseRoute], bounds: Middleware
) -> None:
    page.launch(
        prevent_thread_lock=True,
        server_name=host,
        server_port=port,
        theme=_theme(),
        css_paths=_FOLDER / "style.css",
        head=_head(settings) + accessibility.script(),
        i18n=accessibility.words(),
        footer_links=["api"],  # hidden, as `api_view.js` says; without it, Gradio would tell nothing of the endpoints
        allowed_paths=[str(SAMPLES_FOLDER)],  # and of nothing else of this machine
        max_file_size=int(settings.max_upload_mb * 1e6),
        state_session_capacity=settings.max_visitors,
        enable_monitoring=False,
        run_history=False,
        mcp_server=True,
        app_kwargs={
            "routes": routes,
            "middleware": [bounds],
            "exception_handlers": {
                RequestValidationError: sentence_for_wrong_form,
                HTTPException: sentence_for_refusal,
            },
            **dict.fromkeys(("docs_url", "redoc_url", "openapi_url")),  # Gradio tells of the endpoints at /?view=api
        },
        ssr_mode=False,  # Gradio's own proxy for it would not pass on Spotlight's WebSocket
    )


def _head(settings: Settings) -> str:
    """What a browser reads before the page: its width on a phone, the largest file that may be sent, the way to the API."""
    limit, view = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("upload_limit.js", "api_view.js"))
    limit = limit.replace("LIMIT_MB", f"{settings.max_upload_mb:g}")
    width = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f"{width}<script>{limit}</script><script>{view}</script>"


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
