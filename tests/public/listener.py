"""Somebody whom the server must not call."""

from __future__ import annotations

import socket
import threading


class Listener:
    """Listens on a port of the loopback, and remembers whether anybody came. Close it by leaving its `with`."""

    def __init__(self) -> None:
        self.called = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._wait, daemon=True).start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _wait(self) -> None:
        try:
            one, _ = self._socket.accept()
        except OSError:
            return
        self.called = True
        one.close()
