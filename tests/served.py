"""The app as it is started by a user: `python app.py`, in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.clips import REPOSITORY

_START_S = 180


@dataclass
class App:
    """A running app.

    Attributes:
        folder: Where it keeps what it writes, and its log.
    """

    url: str
    folder: Path
    process: subprocess.Popen

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def results(self) -> set[Path]:
        """Folders of what visitors were shown."""
        found = self.folder.glob("ast-demo-run-*/ast-demo-*")
        return {path for path in found if not path.name.startswith("ast-demo-viewer-")}

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def stop(self) -> None:
        """End it by SIGTERM, or else by force."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, *, port: int | None = None, repository: Path = REPOSITORY, **environment: str) -> App:
    """Start it, and wait until it is ready to serve.

    Args:
        environment: What to add to the environment; `max_clip_s="3"` stands for `AST_DEMO_MAX_CLIP_S=3`.
    """
    port = port or free_port()
    named = {(name if name.isupper() else f"AST_DEMO_{name.upper()}"): value for name, value in environment.items()}
    changed = {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **named}
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=repository,
            env={**os.environ, **changed},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    app = App(f"http://127.0.0.1:{port}", folder, process)
    until = time.monotonic() + _START_S
    while not is_ready(app):
        if process.poll() is not None or time.monotonic() > until:
            app.stop()
            pytest.fail(f"The app did not start:\n{app.log.read_text(errors='replace')}")
        time.sleep(0.2)
    return app


def is_ready(app: App) -> bool:
    try:
        return httpx.get(f"{app.url}/healthz", timeout=5, trust_env=False).text == "ready"
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
