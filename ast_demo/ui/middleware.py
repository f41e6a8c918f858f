"""What stands between the network and Gradio: bounds on requests, headers of answers, no traceback in any.

Gradio's server does more than this page needs: it fetches addresses that a request names, and reads a request of any
size into memory. Here such requests get a sentence instead.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ast_demo.settings import Settings

log = logging.getLogger("ast_demo")
_API = "/gradio_api"
_MAX_BODY = 2_000_000  # bytes of a request that uploads nothing: the page's own take some thousand
_BASE64 = 1.4  # how much longer a file becomes in the text of a request
_LONGEST_NAME = 64  # of a visitor's session: Gradio keeps it, and takes an empty one for none at one place only
# What Gradio would fetch or run for others, and this page has no use for.
_CLOSED = re.compile(
    rf"{_API}/(file[=/]\s*\w{{2,}}:/|proxy=|process_recording|component_server|vibe|undo-vibe|stream/|dev/|run-history|deep_link)",
    re.IGNORECASE,
)
_OWN_FILE = re.compile(rf"https?://[^/]+(/[^?#]*)?{_API}/file=(?P<path>[^?#]+)")
_ADDRESS = re.compile(r"\s*\w{2,}:/")
# The page asks no other machine for anything; the Hub shows it in a frame, and passes the microphone on to it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class _TooLargeError(Exception):
    """A request has gone beyond its bound while it was read."""


class Gate:
    """ASGI middleware around the whole page."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._upload_bytes = int(settings.max_upload_mb * 1e6) + 100_000  # and what the form around it takes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        path = scope["path"]
        problem: Response | None = None
        try:
            if _CLOSED.match(path):
                problem = _sentence("There is nothing here.", 404)
            else:
                await self._app(scope, await self._check(scope, receive, path), headed)
        except _TooLargeError:
            problem = _sentence("This request is too large.", 413)
        except _RefusedError as error:
            problem = _sentence(str(error), 400)
        except Exception as error:
            log_failure(f"{scope['method']} {_name_of(path)}", error)
            problem = _sentence("This request does not make sense here.", 500)
        if problem is not None and not started:
            await problem(scope, receive, headed)

    async def _check(self, scope: Scope, receive: Receive, path: str) -> Receive:
        """The request's body within its bound; where it is JSON, without addresses that Gradio would fetch."""
        uploads = path.rstrip("/") == f"{_API}/upload"
        bound = self._upload_bytes if uploads else _MAX_BODY
        if path.startswith(f"{_API}/mcp"):
            bound = int(_BASE64 * self._upload_bytes)
        if _declared_length(scope) > bound:
            raise _TooLargeError
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        limited = _limit(receive, bound)
        if uploads:
            return limited
        body = bytearray()
        while True:
            message = await limited()
            if message["type"] != "http.request":
                return _replay([message], receive)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        content = bytes(body) if path.startswith(f"{_API}/mcp") else _check_json(bytes(body))
        return _replay([{"type": "http.request", "body": content, "more_body": False}], receive)


class _RefusedError(Exception):
    """What the message says is not done here."""


def health(ready: threading.Event) -> Route:
    """`/healthz`: 200 and `ready` once the first checkpoint has been loaded, 503 and `starting` before."""

    def answer(request: Request) -> Response:
        text, status = ("ready", 200) if ready.is_set() else ("starting", 503)
        return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})

    return Route("/healthz", answer)


def log_failure(event: str, error: BaseException) -> None:
    """Tell what failed and where in the code, and nothing of what a visitor sent: an error's text may quote it."""
    trace, where = error.__traceback__, "?"
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    log.error("%s failed: %s in %s", event, type(error).__name__, where)


async def sentence_for_wrong_form(request: Request, error: Exception) -> Response:
    """For FastAPI: a body that is not of the form that a route wants."""
    return _sentence("This request does not have the form that is expected here.", 422)


def _sentence(text: str, status: int) -> Response:
    return JSONResponse({"error": text, "detail": text}, status)


def _name_of(path: str) -> str:
    """A route without what a visitor put into it."""
    return "/".join(path.split("/")[:3]).partition("=")[0]


def _declared_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _limit(receive: Receive, bound: int) -> Receive:
    n_bytes = 0

    async def limited() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > bound:
            raise _TooLargeError
        return message

    return limited


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


def _check_json(body: bytes) -> bytes:
    """A JSON body in which no file is an address: one of a file on this server becomes its path, others are refused.

    So is the name of a session that Gradio would stumble over, or that would take memory.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return body  # Gradio says so
    session = content.get("session_hash") if isinstance(content, dict) else None
    if isinstance(session, str) and not 0 < len(session) <= _LONGEST_NAME:
        raise _RefusedError(f"The session's name has {len(session)} characters. Expected 1 to {_LONGEST_NAME}.")
    return json.dumps(_localised(content)).encode() if _names_address(content) else body


def _files(content: Any) -> list[dict[str, Any]]:
    """All objects in a JSON value that could stand for a file."""
    found, rest = [], [content]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                found.append(one)
            rest += one.values()
        elif isinstance(one, list):
            rest += one
    return found


def _names_address(content: Any) -> bool:
    return any(_ADDRESS.match(file["path"]) for file in _files(content))


def _localised(content: Any) -> Any:
    from urllib.parse import unquote

    for file in _files(content):
        if _ADDRESS.match(file["path"]):
            own = _OWN_FILE.fullmatch(file["path"])
            if own is None:
                raise _RefusedError("Files are not fetched from other places. Upload the file instead.")
            file["path"] = unquote(own["path"])
    return content
