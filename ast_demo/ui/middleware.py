"""What stands between the network and Gradio: bounds on requests, headers of answers, no traceback in any.

Gradio's server does more than this page needs: it fetches addresses that a request names, reads a request of any size
into memory, and queues whatever it was sent. Here such requests get a sentence instead; `request_checks` says which,
and `connections` bounds what comes before there is a request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ast_demo.runtime import NoRoomError, Room
from ast_demo.settings import FRAME_ANCESTORS, Settings
from ast_demo.spotlight import PREFIX
from ast_demo.ui.log import log_failure
from ast_demo.ui.messages import sentence
from ast_demo.ui.request_checks import (
    EventForm,
    RefusedError,
    check_arguments,
    check_inputs,
    check_mcp,
    check_session,
    localise_files,
    read_json,
)

_API = "/gradio_api"
_BASE64 = 1.4  # how much longer a file becomes in the text of a request
_FORM_BYTES = 100_000  # that the form around an upload takes
_VIEWER_BYTES = 1_000_000  # of a request to Spotlight; layouts and settings are small
_SLOWEST = 20_000  # bytes a second that a body has to come with
_NETWORK = 64  # bits of an address of version 6 that tell whose it is
_LONGEST_ADDRESS = 50
_OF_MCP = 2  # MCP may take one in so many of the bytes in flight
_TOO_LARGE = "This request is too large."
_TOO_SLOW = "This request came too slowly. Try again on a better connection, or send less."
_BUSY = "The program is busy with what others send. Try again in a minute."
# What Gradio would fetch or run for others, and this page has no use for.
_CLOSED = re.compile(
    rf"{_API}/(file[=/]\s*\w{{2,}}:/|proxy=|process_recording|component_server|custom_component|vibe|undo-vibe|stream/|dev/|"
    r"run-history|deep_link|mcp/sse|mcp/messages)",
    re.IGNORECASE,
)
_CALL = re.compile(rf"{_API}/(?:queue/join|(?:call|run|api)/(?P<name>[^/]+)|call/(?P<v2>v2)/(?P<other>[^/]+))/?")
# The page asks no other machine for anything; the Hub shows it in a frame, and passes the microphone on to it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; object-src 'none'; base-uri 'self'; "
        f"form-action 'self'; {FRAME_ANCESTORS}"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Forms:
    """What the page's events take.

    Attributes:
        by_number: Of each event, as the page calls it.
        by_name: Of each event that programs may call.
        tools: The latter by their names over MCP, which are known once the server runs.
    """

    by_number: Mapping[int, EventForm]
    by_name: Mapping[str, EventForm]
    tools: Callable[[], Mapping[str, EventForm]]


class BoundsMiddleware:
    """ASGI middleware around the whole page.

    Args:
        uploads: Where Gradio keeps what visitors upload.
        came: Told the name of every session that somebody uses, and who, by address.
        forwarded: Whether a proxy in front says who asks, if not for which host, as in a Hugging Face Space.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        uploads: Path,
        forms: Forms,
        room: Room,
        came: Callable[[str, str], None],
        *,
        forwarded: bool,
    ) -> None:
        self._app, self._settings, self._forms, self._room, self._came = app, settings, forms, room, came
        self._forwarded = forwarded
        # By which Gradio, when it calls itself for a tool, hands on who has asked; nobody else knows its name.
        self._relayed = f"x-{secrets.token_hex(16)}"
        self._uploads = tuple({str(uploads), str(uploads.resolve())})
        self._in_flight = _InFlight(int(settings.max_in_flight_mb * 1e6))
        self._mcp_in_flight = _InFlight(int(settings.max_in_flight_mb * 1e6 / _OF_MCP))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = self._address(scope)
        if not self._settings.behind_proxy:  # only a proxy may say what a browser has asked for
            scope["headers"] = [one for one in scope["headers"] if not one[0].startswith(b"x-forwarded-")]
        scope["client"] = (address, 0)  # so that Gradio's queue knows it, too
        if scope["path"].startswith(f"{_API}/mcp"):
            scope["headers"] = [*scope["headers"], (self._relayed.encode(), address.encode("latin-1", "replace"))]
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        started = without_length = False

        async def headed(message: Message) -> None:
            nonlocal started, without_length
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                without_length = "content-length" not in headers
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        arrival = self._expect(scope, receive)
        problem: Response | None = None
        try:
            if _CLOSED.match(scope["path"]):
                problem = _sentence("There is nothing here.", 404)
            elif scope["method"] in ("GET", "HEAD", "OPTIONS"):
                await self._app(scope, receive, headed)
            elif arrival.uploads:
                await self._upload(scope, arrival, headed, address)
            else:
                await self._judge(scope, arrival, headed, address)
        except ClientDisconnect:
            return
        except RefusedError as error:
            problem = _sentence(sentence(error), error.status)
        except Exception as error:
            log_failure(f"{scope['method']} {_pattern_of(scope)}", error)
            problem = _sentence("This request does not make sense here.", 500)
        finally:
            arrival.end()
        if problem is not None and not started:
            await problem(scope, receive, headed)
        elif problem is not None and without_length:  # the end of what has been said so far
            await send({"type": "http.response.body", "body": b""})

    def _expect(self, scope: Scope, receive: Receive) -> _Arrival:
        path, settings = scope["path"], self._settings
        if path.rstrip("/") == f"{_API}/upload":
            return _Arrival(
                receive, int(settings.max_upload_mb * 1e6) + _FORM_BYTES, (), settings.arrival_s, uploads=True
            )
        small = int(settings.max_request_kb * 1000)
        if path.startswith(f"{_API}/mcp"):
            bound = int(_BASE64 * settings.max_inline_mb * 1e6) + small
            return _Arrival(receive, bound, (self._in_flight, self._mcp_in_flight), settings.arrival_s)
        bound = _VIEWER_BYTES if path.startswith(f"{PREFIX}/") else small
        return _Arrival(receive, bound, (self._in_flight,), settings.arrival_s)

    async def _upload(self, scope: Scope, arrival: _Arrival, send: Send, address: str) -> None:
        """Pass an upload on as it comes, if there is room for it."""
        length = _declared_length(scope)
        if length > arrival.bound:
            most = f"At most {self._settings.max_upload_mb:g} MB are accepted here: choose a smaller file."
            raise RefusedError(f"This file is too large. {most}", 413)
        claimed = length or arrival.bound
        try:
            await anyio.to_thread.run_sync(self._room.claim, address, claimed)
        except NoRoomError as error:
            raise RefusedError(sentence(error), 507) from None
        try:
            await self._app(scope, arrival, send)
        finally:
            self._room.settle(address, claimed, arrival.n_bytes)

    async def _judge(self, scope: Scope, arrival: _Arrival, send: Send, address: str) -> None:
        """Read a request to its end, and pass it on if it makes sense."""
        if _declared_length(scope) > arrival.bound:
            raise RefusedError(_TOO_LARGE, 413)
        body = bytearray()
        more = True
        while more:
            message = await arrival()
            if message["type"] != "http.request":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        path, content = scope["path"], bytes(body)
        if path.startswith(f"{_API}/mcp"):
            answer = None
            if scope["method"] == "POST":
                most_text = int(self._settings.max_request_kb * 1000)
                answer = check_mcp(read_json(content), self._forms.tools(), self._uploads, most_text)
            if answer is not None:
                await JSONResponse(answer)(scope, arrival, send)
                return
        elif path.startswith(f"{_API}/"):
            content = self._check_call(scope["path"], content, address)
        await self._app(scope, _replay([{"type": "http.request", "body": content, "more_body": False}], arrival), send)

    def _check_call(self, path: str, body: bytes, address: str) -> bytes:
        """The body of a call of an event, with files named by their paths; also of whatever else takes JSON."""
        content = localise_files(read_json(body), self._uploads)
        check_session(content)
        call = _CALL.fullmatch(path)
        if call is None:
            return body
        if not isinstance(content, dict):
            raise RefusedError("This request does not have the form that is expected here.", 422)
        if call["v2"]:
            check_arguments(content, self._form(None, call["other"]))
        else:
            check_inputs(content.get("data"), self._form(content.get("fn_index"), call["name"]))
            if isinstance(content.get("session_hash"), str):
                self._came(content["session_hash"], address)
        return dumps(content).encode()

    def _form(self, number: Any, name: str | None) -> EventForm:
        form = self._forms.by_name.get(name or "") if number is None else None
        if isinstance(number, int):
            form = self._forms.by_number.get(number)
        if form is None:
            raise RefusedError("There is no such event on this page. Reload it, or look at how it is called.", 404)
        return form

    def _address(self, scope: Scope) -> str:
        """Who asks: as a proxy in front says, whose word is the last one, or else where the connection comes from."""
        headers = Headers(scope=scope)
        if self._relayed in headers:
            return headers[self._relayed]
        forwarded = headers.get("x-forwarded-for", "") if self._forwarded else ""
        text = forwarded.rpartition(",")[2].strip() or (scope.get("client") or ("",))[0]
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text[:_LONGEST_ADDRESS]
        return str(ipaddress.ip_network((address, _NETWORK), strict=False) if address.version == 6 else address)


class _InFlight:
    """Bytes of bodies that are in memory now, within a bound."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0

    def take(self, n_bytes: int) -> None:
        """Raises RefusedError where it would be too much."""
        if self._bytes + n_bytes > self._most:
            raise RefusedError(_BUSY, 503)
        self._bytes += n_bytes

    def give(self, n_bytes: int) -> None:
        self._bytes -= n_bytes


class _Arrival:
    """A request's body on its way: within its bound, in time, and counted among all that is in flight until `end`."""

    def __init__(
        self, receive: Receive, bound: int, counted: tuple[_InFlight, ...], arrival_s: float, *, uploads: bool = False
    ) -> None:
        self.bound, self.uploads, self.n_bytes = bound, uploads, 0
        self._receive, self._counted, self._there = receive, [(one, 0) for one in counted], False
        self._arrival_s, self._until = arrival_s, time.monotonic() + arrival_s

    async def __call__(self) -> Message:
        if self._there:  # what comes now is that somebody hangs up, which may take any time
            return await self._receive()
        left_s = min(self._arrival_s, self._until + self.n_bytes / _SLOWEST - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(left_s, 0.0))
        except TimeoutError:
            raise RefusedError(_TOO_SLOW, 408) from None
        n_bytes = len(message.get("body", b""))
        self.n_bytes += n_bytes
        if self.n_bytes > self.bound:
            raise RefusedError(_TOO_LARGE, 413)
        for place, (one, taken) in enumerate(self._counted):
            one.take(n_bytes)
            self._counted[place] = (one, taken + n_bytes)
        self._there = not message.get("more_body", False)
        return message

    def end(self) -> None:
        for one, taken in self._counted:
            one.give(taken)
        self._counted = []


def health(ready: threading.Event) -> Route:
    """`/healthz`: 200 and `ready` once the default checkpoint has been loaded, 503 and `starting` before."""

    async def answer(request: Request) -> Response:  # on the loop, so that no thread has to be free
        text, status = ("ready", 200) if ready.is_set() else ("starting", 503)
        return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})

    return Route("/healthz", answer)


async def sentence_for_wrong_form(request: Request, error: Exception) -> Response:
    """For FastAPI: a body that is not of the form that a route wants."""
    return _sentence("This request does not have the form that is expected here.", 422)


async def sentence_for_refusal(request: Request, error: Exception) -> Response:
    """For FastAPI: what Gradio refuses, without the path that it has found on the server."""
    assert isinstance(error, HTTPException)
    answer = _sentence(sentence(str(error.detail)), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _sentence(text: str, status: int) -> Response:
    return JSONResponse({"error": text, "detail": text}, status)


def _pattern_of(scope: Scope) -> str:
    """The pattern of the route that took a request: nothing of what a visitor put into its address."""
    pattern = getattr(scope.get("route"), "path", "")
    known = next((prefix for prefix in (PREFIX, f"{_API}/mcp") if scope["path"].startswith(prefix)), "another route")
    return pattern or known


def _declared_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again
