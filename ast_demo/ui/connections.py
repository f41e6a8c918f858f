"""Connections that are bounded before there is a request: in number, in time, in bytes of headers, in what waits to be read.

uvicorn has no limits of this kind, so its protocol is subclassed; `tests/ui/test_connections.py` fails where it changes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ast_demo.settings import Settings

_HEADER_BYTES = 64_000
_REST_S = 60.0  # seconds in which the rest of a body, whose request was answered before, has to have come
_UNREAD_S = 60.0  # seconds in which somebody has to read some of what waits for them
_MESSAGE_BYTES, _MESSAGES = 1_000_000, 4  # of a WebSocket's messages, and how many of them wait
_SHARE = 2  # one address holds at most one in so many of all connections


def bound_connections(config: Config, settings: Settings, *, behind_proxy: bool) -> None:
    """Have a server that runs, or is about to, bound all connections that come from now on."""
    of_one = None if behind_proxy else max(1, settings.max_connections // _SHARE)
    limits = {"most": settings.max_connections, "most_of_one": of_one, "headers_s": settings.arrival_s}
    config.http_protocol_class = type("Bounded", (BoundedProtocol,), limits)
    config.ws_protocol_class = BoundedSocketProtocol
    config.ws_max_size, config.ws_max_queue = _MESSAGE_BYTES, _MESSAGES


class _ReadInTime(asyncio.Protocol):
    """For a protocol of uvicorn's: who reads nothing for a minute of what waits for them is let go."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _unread: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_whether_read(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _look_whether_read(self, before: int) -> None:
        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now >= before:
                self.transport.abort()
            else:
                self._look_whether_read(now)

        self._unread = self.loop.call_later(_UNREAD_S, look)


class BoundedProtocol(_ReadInTime, HttpToolsProtocol):
    """uvicorn's protocol, with deadlines.

    Attributes:
        most: Connections at a time.
        most_of_one: Those of one address; None where it does not count, as all come from a proxy.
        headers_s: Seconds in which a request's headers have to be there.
    """

    most = 1000
    most_of_one: int | None = 500
    headers_s = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._timer: asyncio.TimerHandle | None = None
        self._in_headers, self._header_bytes = True, 0
        super().connection_made(transport)
        self._opened = self.loop.time()
        if not self._make_room():
            self._give_up()
            return
        self._wait_at_most(self.headers_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_at_most(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._timer is None:  # the next request of this connection
                self._wait_at_most(self.headers_s)
        super().data_received(data)
        if self._in_headers and self._header_bytes > _HEADER_BYTES:
            self._give_up()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._wait_at_most(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_headers, self._header_bytes = True, 0
        self._wait_at_most(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_headers:
            self._wait_at_most(_REST_S)

    def handle_websocket_upgrade(self) -> None:
        self._wait_at_most(None)
        super().handle_websocket_upgrade()

    def _make_room(self) -> bool:
        """Whether this connection may stay. Where all places are taken, the oldest that has asked for nothing goes."""
        # Of many that come at once, those that were let go are still there for a moment.
        there = [one for one in self.connections if not one.transport.is_closing()]
        address = _address(self)
        same = sum(_address(one) == address for one in there)
        if self.most_of_one is not None and same > self.most_of_one:
            return False
        if len(there) <= self.most:
            return True
        idle = [one for one in there if isinstance(one, BoundedProtocol) and one is not self and one.idle]
        if idle:
            min(idle, key=lambda one: one._opened).transport.abort()
        return bool(idle)

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_at_most(self, seconds: float | None) -> None:
        """Close the connection after this time; forget it where there is none."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._wait_at_most(None)
        self.transport.abort()


class BoundedSocketProtocol(_ReadInTime, WebSocketsSansIOProtocol):
    """The same of WebSockets. Who was refused, and sends on, is no error of the program."""

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:
            self.transport.close()
        else:
            super().handle_parser_exception()


def _address(connection: Any) -> str:
    client = getattr(connection, "client", None)
    return client[0] if client else ""
