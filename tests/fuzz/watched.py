"""The server under attack, watched: whom it calls, whose name it looks up, how much memory it takes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil

# Run by Python at the start of the server and of its helpers. The system's own calls are seen, whatever library makes them.
_SITE = """
import os, sys

def _watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1")):
            _write(f"connect {address[0]}")
        elif isinstance(address, tuple) and address[1] == int(os.environ["WATCHED_PORT"]):
            _write("connect the listener")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if arguments[0] not in (None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1", b"127.0.0.1", b"localhost"):
            _write(f"look up {arguments[0]!r}")

def _write(line):
    with open(os.environ["WATCHED_FILE"], "a") as file:
        file.write(line[:200] + "\\n")

sys.addaudithook(_watch)
"""


def watched(folder: Path, listener_port: int) -> dict[str, str]:
    """The environment in which a program writes down, in `folder`, whom it calls outside, and whether it calls a listener."""
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "WATCHED_FILE": str(folder / "calls.txt"), "WATCHED_PORT": str(listener_port)}


def calls(folder: Path) -> list[str]:
    """What it has written down."""
    file = folder / "calls.txt"
    return sorted(set(file.read_text(encoding="utf-8").splitlines())) if file.is_file() else []


class Peak:
    """The most memory that a process takes, looked at twenty times a second. `take` gives it, and begins again."""

    def __init__(self, pid: int) -> None:
        self._process, self._peak, self._ended = psutil.Process(pid), 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> float:
        peak, self._peak = self._peak, 0.0
        return peak

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self._peak = max(self._peak, self._process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                return
