"""No test sees the user's home, caches or settings, nor, without the mark `network`, any other machine."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ast_demo.models.checkpoint import Checkpoint
    from tests.served import App

# Some libraries read these while they are imported: hence here, before any of them is. The pictures' fonts are found
# once for the whole run, and child processes inherit all of it.
_HOME = Path(tempfile.mkdtemp(prefix="ast-demo-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
NETWORK, GPU = (os.environ.get(f"AST_DEMO_{what}_TESTS") == "1" for what in ("NETWORK", "GPU"))
for _variable in list(os.environ):
    if _variable != "AST_DEMO_TEST_DATA" and _variable.startswith(
        ("AST_DEMO_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "GRADIO_", "SPACE_", "XDG_")
    ):
        del os.environ[_variable]
os.environ |= {
    "HOME": str(_HOME),
    "HF_HOME": str(_HOME / "huggingface"),
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MPLCONFIGDIR": str(_HOME / "matplotlib"),
}
if not NETWORK:
    os.environ["HF_HUB_OFFLINE"] = "1"
if not GPU:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is tested is the same on every machine


# A shell that starts the tests in the background has Ctrl-C ignored, and every child process would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    import av
    import numpy
    import soundfile
    import torch
    import transformers

    modules = (torch, transformers, numpy, soundfile, av)
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    return f"{versions}; {torch.get_num_threads()} threads"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not GPU:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: set AST_DEMO_GPU_TESTS=1"))
    if NETWORK:
        return
    skip = pytest.mark.skip(reason="needs the Hugging Face Hub: set AST_DEMO_NETWORK_TESTS=1")
    for item in items:
        if "network" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, small enough to be run hundreds of times."""
    from tests.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> Checkpoint:
    """The same, loaded."""
    from ast_demo.models.loading import load_checkpoint

    return load_checkpoint(tiny_folder)


@pytest.fixture(scope="session")
def start_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., App]]:
    """Start the app, with settings; all that are started so are stopped at the end."""
    from tests.served import start

    running: list[App] = []

    def start_one(**environment: str) -> App:
        running.append(start(tmp_path_factory.mktemp("app"), **environment))
        return running[-1]

    try:
        yield start_one
    finally:
        for one in running:
            one.stop()


@pytest.fixture(scope="session")
def public_app(start_app: Callable[..., App]) -> App:
    """The app as it is open to strangers."""
    return start_app(SPACE_ID="somebody/ast-demo", max_upload_mb="5", max_archive_files="200")


@pytest.fixture(autouse=True)
def hermetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Environment as above again after each test; without the mark `network`, no connection leaves this machine."""
    import huggingface_hub.constants

    before = dict(os.environ)
    if "network" not in request.keywords:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(socket.socket, "connect", _refuse_other_machines(socket.socket.connect))
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse_other_machines(socket.socket.connect_ex))
    yield
    os.environ.clear()
    os.environ.update(before)


def _refuse_other_machines(connect):
    def checked(self: socket.socket, address):
        is_local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost")
        if not is_local:
            raise AssertionError(f"This test wants to connect to {address}, but is not marked `network`.")
        return connect(self, address)

    return checked


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process."""
    from ast_demo.cli import main

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["ast_demo", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return Done(exit_.value.code or 0, printed.out, printed.err)

    return call
