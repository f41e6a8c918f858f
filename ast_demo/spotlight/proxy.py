"""The way to the viewers: a reverse proxy on the program's own port, so that one port is enough.

Whoever has the token of an evaluation sees that evaluation and nothing else: only the routes that Spotlight's page
needs are let through, requests of other sites' pages are refused, and a viewer gets no cookie and no address but its
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections import Counter
from collections.abc import Collection
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ast_demo.errors import DataError
from ast_demo.settings import FRAME_ANCESTORS
from ast_demo.spotlight.viewers import PREFIX, Viewer, Viewers

_NAME = r"(?!\.{1,2}(/|$))[^/]+"
# What Spotlight's page asks for; its file browser, its reading of other files and its documentation are not there.
_ALLOWED = (
    ({"GET"}, re.compile(r"")),
    ({"GET"}, re.compile(rf"static(/{_NAME})+")),
    ({"GET"}, re.compile(rf"api/table/({_NAME}(/\d+(/waveform)?)?)?")),
    ({"GET", "PUT"}, re.compile(r"api/layout/")),
    ({"PUT"}, re.compile(r"api/layout/reset")),
    ({"GET", "PUT", "DELETE"}, re.compile(rf"api/config/{_NAME}")),
    ({"GET"}, re.compile(r"api/issues/")),
    ({"GET"}, re.compile(rf"api/plugins/({_NAME}/main\.js)?")),
)
_SOCKET = "api/ws"
_REOPEN = "reopen"
_SMUGGLED = re.compile(r"%2f|%5c|%2e|%00|\\", re.IGNORECASE)  # separators and dots in disguise
_MAX_BODY = 1_000_000  # bytes; layouts and settings are small
_MAX_QUESTION = 1_000_000  # bytes of a message to a viewer
_MAX_ANSWER = 64_000_000  # bytes of a message from it
_WAITING_ANSWERS = 2  # messages from it that wait until the one before is sent
_MOST_SOCKETS = 16  # that show the same evaluation
# Of the request, what a viewer may know; of its answer, what concerns the content.
_TO_VIEWER = ("accept", "accept-encoding", "content-type", "if-none-match", "if-modified-since", "range")
_FROM_VIEWER = ("content-type", "content-encoding", "content-length", "content-range", "accept-ranges", "etag")
_HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address is the key
    "X-Content-Type-Options": "nosniff",
    # The page is this program's and asks no other machine for anything, whatever the data say.
    "Content-Security-Policy": (
        f"default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; form-action 'none'; {FRAME_ANCESTORS}"
    ),
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Closed</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em">
<p>{sentence}</p><p>{link}</p></body></html>"""


def route(viewers: Viewers, hosts: Collection[str] = ()) -> Mount:
    """What the program's server has to be given: `launch(app_kwargs={"routes": [route(viewers)]}, ssr_mode=False)`.

    Args:
        hosts: Names by which browsers know this server, besides those that a request's headers say.
    """
    return Mount(PREFIX, app=_Proxy(viewers, frozenset(hosts)))


class _Proxy:
    """The proxy as an ASGI app. Its client belongs to the loop that serves."""

    def __init__(self, viewers: Viewers, hosts: frozenset[str]) -> None:
        self._viewers, self._hosts = viewers, hosts
        self._sockets: Counter[str] = Counter()  # by token
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token, slash, path = _split(scope)
        viewer = await anyio.to_thread.run_sync(self._viewers.find, token)
        allowed = viewer is not None and _same_origin(Headers(scope=scope), self._hosts) and not _SMUGGLED.search(path)
        if scope["type"] == "websocket":
            socket = WebSocket(scope, receive, send)
            if viewer is None or not allowed or path != _SOCKET or viewer.process is None:
                await socket.close(1008)
            elif self._sockets[token] >= _MOST_SOCKETS:
                await socket.close(1013)
            else:
                self._sockets[token] += 1
                try:
                    await self._pass_messages(socket, viewer)
                finally:
                    self._sockets -= Counter([token])
            return
        request = Request(scope, receive)
        response: Response
        if viewer is None:
            response = PlainTextResponse("There is nothing here.", 404)
        elif not allowed:
            response = PlainTextResponse("This is not allowed.", 403)
        elif not slash:
            response = RedirectResponse(f"{scope.get('root_path', '').removesuffix(PREFIX)}{viewer.path}", 307)
        elif path == _REOPEN and request.method == "GET":
            response = await self._reopen(viewer)
        elif not any(request.method in methods and known.fullmatch(path) for methods, known in _ALLOWED):
            response = PlainTextResponse("There is nothing here.", 404)
        else:
            response = await self._pass_request(request, viewer, path)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        await response(scope, receive, send)

    async def _pass_request(self, request: Request, viewer: Viewer, path: str) -> Response:
        process = viewer.process
        if process is None:
            return _closed_page(viewer.closed)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                return PlainTextResponse("This is too large.", 413)
        if self._client is None:
            # A connection for each request: on one machine they cost nothing, and none outlives its viewer.
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.AsyncClient(timeout=httpx.Timeout(60, connect=5), limits=limits, trust_env=False)
        query = request.scope["query_string"].decode("latin-1")
        sent = self._client.build_request(
            request.method,
            f"http://127.0.0.1:{process.port}/{path}{'?' if query else ''}{query}",
            headers={
                **{name: request.headers[name] for name in _TO_VIEWER if name in request.headers},
                "cookie": f"browser_id={viewer.browser_id}",
            },
            content=bytes(body),
        )
        try:
            answer = await self._client.send(sent, stream=True)
        except httpx.TransportError:
            now = await anyio.to_thread.run_sync(self._viewers.find, viewer.token)
            return _closed_page(now.closed if now and now.closed else "It does not answer.")
        return _Passed(answer)

    async def _pass_messages(self, socket: WebSocket, viewer: Viewer) -> None:
        assert viewer.process is not None
        try:
            upstream = await connect(
                f"ws://127.0.0.1:{viewer.process.port}/{_SOCKET}",
                additional_headers={"Cookie": f"browser_id={viewer.browser_id}"},
                max_size=_MAX_ANSWER,
                max_queue=_WAITING_ANSWERS,
                proxy=None,
            )
        except (OSError, InvalidHandshake, TimeoutError):
            await socket.close(1013)
            return
        async with upstream:
            await socket.accept()
            tasks = [
                asyncio.create_task(self._ask(socket, upstream, viewer)),
                asyncio.create_task(_answer(socket, upstream)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may be closed already
            await socket.close(1001)

    async def _ask(self, socket: WebSocket, upstream: ClientConnection, viewer: Viewer) -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, KeyError):  # a message without text ends it
            while True:
                text = await socket.receive_text()
                if len(text) > _MAX_QUESTION:
                    return
                self._viewers.find(viewer.token)
                await upstream.send(text)

    async def _reopen(self, viewer: Viewer) -> Response:
        try:
            await anyio.to_thread.run_sync(self._viewers.open, viewer.folder)
        except DataError as error:
            return _closed_page(str(error))
        return RedirectResponse("./", 303)


async def _answer(socket: WebSocket, upstream: ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, RuntimeError):
        async for message in upstream:
            await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))


class _Passed(Response):
    """A viewer's answer, passed on as it comes, still compressed if it was."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(status_code=answer.status_code)
        self.raw_headers = [
            (name.encode(), answer.headers[name].encode("latin-1")) for name in _FROM_VIEWER if name in answer.headers
        ]
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in self._answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()


def _split(scope: Scope) -> tuple[str, str, str]:
    """Token, slash and path behind it, as they were sent: nothing is decoded on the way."""
    raw = scope.get("raw_path") or scope["path"].encode()
    behind = raw.decode("latin-1").partition(f"{PREFIX}/")[2]
    return behind.partition("/")


def _same_origin(headers: Headers, hosts: frozenset[str]) -> bool:
    """Whether a request comes from this server's own pages, or from no page at all.

    Browsers name the origin of every request that could change something and of every WebSocket. Behind a proxy, the
    host that the browser knows is the forwarded one; where there is none, that header does not come as far as here.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    forwarded = {host.strip() for host in headers.get("x-forwarded-host", "").split(",")}
    return urlsplit(origin).netloc in (hosts | forwarded | {headers.get("host")}) - {"", None}


def _closed_page(why: str) -> Response:
    sentence = f"This viewer is closed. {why}"
    link = f'<a href="./{_REOPEN}">Open it again</a>: nothing is lost, and it takes a few seconds.'
    return HTMLResponse(_PAGE.format(sentence=html.escape(sentence), link=link), 410)
