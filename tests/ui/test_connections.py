"""Connections that are held, on a real server of uvicorn's with an app of one line."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from ast_demo.settings import Settings
from ast_demo.ui.connections import bound_connections
from tests.served import free_port
from tests.sockets import is_closed
from tests.waiting import wait_for

LONG = b"x" * 20_000_000
SETTINGS = replace(Settings(), max_connections=8, arrival_s=1.0)


async def answer(request: Request) -> Response:
    return PlainTextResponse(LONG if request.url.path == "/long" else "here")


async def refuse(socket: WebSocket) -> None:
    await asyncio.sleep(0.2)  # so that something has come before
    await socket.close(1008)


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


@contextmanager
def served(settings: Settings = SETTINGS, *, behind_proxy: bool = False) -> Iterator[int]:
    """The port of a server with these settings."""
    port = free_port()
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    app = Starlette(routes=[*routes, WebSocketRoute("/echo", echo), WebSocketRoute("/refused", refuse)])
    config = uvicorn.Config(app, port=port, log_level="critical")
    server = uvicorn.Server(config)
    config.load()
    bound_connections(config, settings, behind_proxy=behind_proxy)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert wait_for(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served() as one:
        yield one


def opened(port: int, sent: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    one.sendall(sent)
    return one


def held(port: int, *beginnings: bytes) -> float:
    """Seconds until connections that have sent these beginnings, and no more, are all closed."""
    began = time.monotonic()
    with ExitStack() as stack:
        ones = [stack.enter_context(opened(port, beginning)) for beginning in beginnings]
        assert wait_for(lambda: all(map(is_closed, ones)), 20)
    return time.monotonic() - began


def test_a_request_is_answered_and_a_connection_kept(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert [client.get("/").text for _ in range(3)] == ["here"] * 3
        assert client.post("/", content=b"x" * 300_000).text == "here"
        assert len(client.get("/long").content) == len(LONG)


def test_a_websocket_lives_longer_than_headers_may_take(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/echo", proxy=None) as one:
        time.sleep(1.5 * SETTINGS.arrival_s)
        one.send("a")
        assert one.recv(10) == "a"


def test_who_was_refused_and_sends_on_is_no_error(port: int, caplog: pytest.LogCaptureFixture) -> None:
    handshake = (
        b"GET /refused HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frame = b"\x81\x85" + bytes(4) + b"hello"
    for sent in (b"x" * 300, frame):  # before it is refused, and after
        with opened(port, handshake) as one:
            with suppress(OSError):  # closed already
                for _ in range(4):
                    one.sendall(sent)
                    time.sleep(0.1)
            assert wait_for(lambda one=one: is_closed(one))
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_half_headers_have_a_deadline(port: int) -> None:
    assert held(port, b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n") < 5


def test_so_have_those_of_a_second_request(port: int) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with opened(port, whole) as one:
        assert b"200 OK" in one.recv(1000)
        one.sendall(b"GET / HT")
        time.sleep(0.1)
        one.sendall(b"TP/1.1\r\nX: y")
        assert wait_for(lambda: is_closed(one), 4)  # earlier than by being idle, which takes five seconds


@pytest.mark.parametrize("line", [b"X-Long: " + b"x" * 1000, b"X: y\r\n" * 200], ids=["one line", "many lines"])
def test_headers_without_an_end_are_not_kept(port: int, line: bytes) -> None:
    sent = 0
    with opened(port, b"GET / HTTP/1.1\r\n") as one, pytest.raises(OSError):
        for _ in range(5000):
            one.sendall(line)
            sent += len(line)
        is_closed(one)
    assert sent < 5_000_000  # what the system's own buffers take


def test_nobody_holds_all_connections() -> None:
    with served(replace(SETTINGS, arrival_s=30.0)) as port, ExitStack() as stack:
        ones = [stack.enter_context(opened(port, b"GET / HT")) for _ in range(30)]
        assert wait_for(lambda: sum(map(is_closed, ones)) >= 30 - SETTINGS.max_connections // 2)
        assert not all(map(is_closed, ones))


def test_a_proxy_may_hold_them_all_and_the_oldest_goes() -> None:
    with served(replace(SETTINGS, arrival_s=30.0), behind_proxy=True) as port, ExitStack() as stack:
        ones = [stack.enter_context(opened(port, b"GET / HT")) for _ in range(30)]
        assert wait_for(lambda: sum(map(is_closed, ones)) == 30 - SETTINGS.max_connections)
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "here"


def test_who_never_reads_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ast_demo.ui.connections._UNREAD_S", 0.5)
    with opened(port, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as one:
        time.sleep(3)
        got = b""
        with pytest.raises(OSError):
            while chunk := one.recv(1_000_000):
                got += chunk
            raise ConnectionResetError("closed in the middle")
        assert len(got) < len(LONG)


def test_the_rest_of_a_body_has_a_deadline(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ast_demo.ui.connections._REST_S", 0.5)
    assert held(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf") < 5


def drip(one: socket.socket, data: bytes, until: Callable[[], bool]) -> None:
    while not until():
        one.sendall(data)
        time.sleep(0.2)


def test_a_drip_does_not_put_the_deadline_off(port: int) -> None:
    began = time.monotonic()
    with opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n") as one, pytest.raises(OSError):
        drip(one, b"A: b\r\n", lambda: time.monotonic() - began > 15)
        raise AssertionError("it was never closed")
    assert time.monotonic() - began < 10
