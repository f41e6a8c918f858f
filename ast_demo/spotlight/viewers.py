"""Viewers of evaluations: a process for each, one ready ahead, as many as the limit allows, closed when not used."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock, Thread

from ast_demo.errors import DataError
from ast_demo.evaluation import read_evaluation
from ast_demo.extras import missing, need
from ast_demo.runtime import VIEWERS
from ast_demo.settings import Settings
from ast_demo.spotlight.view import View, build_view

PREFIX = "/spotlight"
_PACKAGES = Path(__file__).resolve().parents[2]  # where this program is imported from


class ViewerProcess:
    """Spotlight's server in a process of its own (see `process`), with folders of its own for what it remembers."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=VIEWERS))
        paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from ast_demo.spotlight.process import main; main()", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # a group of its own, so that it is ended together with its workers
        )
        self.port = 0
        self._stopping = Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> bool:
        """Whether it has started; the port is known then. Takes ten seconds or more."""
        if not self.port:
            self.port = self._read_answer().get("port", 0)
        return bool(self.port)

    def show(self, view: View) -> None:
        """Show this, and nothing else any more.

        Raises:
            DataError: Spotlight cannot, or the process has ended.
        """
        issues = [asdict(issue) for issue in view.issues]
        assert self._process.stdin is not None
        try:
            pickle.dump((view.table, dict(view.dtypes), dict(view.layout), issues), self._process.stdin, protocol=5)
            self._process.stdin.flush()
            error = self._read_answer().get("error", "its process has ended")
        except OSError:
            error = "its process has ended"
        if error:
            raise DataError(f"Spotlight cannot show this evaluation: {error}.")

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()

    def stop(self) -> None:
        """End the process and its workers; returns when they are gone."""
        with self._stopping:
            if not self.folder.exists():  # it was stopped before
                return
            if sys.platform == "win32":
                self._process.kill()
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):  # what it has not read cannot be written any more
                    pipe.close()  # type: ignore[union-attr]
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read_answer(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # empty as soon as the process has ended
        return json.loads(line) if line else {}


class Viewer:
    """An evaluation that somebody has opened, and the process that shows it, if there is one.

    Attributes:
        token: 192 random bits, which whoever wants to see the evaluation has to know.
        browser_id: What the viewer's server knows all its visitors as.
        closed: Why there is no process any more, for people.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_urlsafe(24)
        self.browser_id = secrets.token_hex(16)
        self.process: ViewerProcess | None = None
        self.shown: int = 0
        self.last_used = time.monotonic()
        self.closed = ""

    @property
    def path(self) -> str:
        return f"{PREFIX}/{self.token}/"

    def close(self, why: str) -> None:
        process, self.process = self.process, None
        self.closed = why
        if process is not None:
            process.stop()


class Viewers:
    """All viewers of a running program. Safe to use from several threads.

    At most `settings.viewers` evaluations are open at a time; one more process waits, so that the next one opens in
    less than a second. Close them with `close_all`; at the program's exit that happens by itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit, self._idle_s = settings.viewers, settings.viewer_idle_s
        self._viewers: dict[str, Viewer] = {}  # by token; those that are closed too, so that they can say so
        self._processes: set[ViewerProcess] = set()
        self._spare: ViewerProcess | None = None
        self._lock = Lock()  # of the two above; held for moments only
        self._opening = Lock()  # one evaluation is opened at a time
        self._ended = Event()
        atexit.register(self.close_all)
        Thread(target=self._watch, daemon=True).start()

    def prepare(self) -> None:
        """Start a process in the background, so that the next evaluation opens at once; none where Spotlight is missing."""
        if missing("spotlight"):
            return
        with self._lock:
            if self._spare is not None and not self._spare.alive:
                self._spare.stop()  # what is left of it
                self._spare = None
            if self._spare is None:
                self._spare = self._start()

    def open(self, folder: Path) -> str:
        """Path on this server of the viewer of a finished evaluation, which is opened if need be.

        Raises:
            DataError: There is no evaluation in the folder, or Spotlight cannot show it.
            SettingsError: Spotlight is not installed.
        """
        need("spotlight")
        folder = folder.resolve()
        with self._opening:
            viewer = next((one for one in self._viewers.values() if one.folder == folder), None) or Viewer(folder)
            table = folder / "evaluation.parquet"
            written = table.stat().st_mtime_ns if table.is_file() else 0
            viewer.last_used = time.monotonic()
            process = viewer.process if viewer.process is not None and viewer.process.alive else None
            if process is not None and viewer.shown == written:
                return viewer.path
            view = build_view(read_evaluation(folder))
            if process is None:
                viewer.close("It is being opened again.")
                self._make_room(viewer)
                process = self._take_spare()
            try:
                process.show(view)
            except DataError:
                process.stop()
                raise
            viewer.process, viewer.shown, viewer.closed = process, written, ""
            viewer.last_used = time.monotonic()
            self._viewers[viewer.token] = viewer
        self.prepare()
        return viewer.path

    def find(self, token: str) -> Viewer | None:
        """The viewer with this token, which counts as used now."""
        viewer = self._viewers.get(token)
        if viewer is not None:
            viewer.last_used = time.monotonic()
            if viewer.process is not None and not viewer.process.alive:
                viewer.close("It has ended unexpectedly.")
        return viewer

    def close_idle(self) -> None:
        """Close the viewers that nobody has used for `settings.viewer_idle_s`. Happens by itself every few seconds."""
        for viewer in list(self._viewers.values()):
            if viewer.process is not None and time.monotonic() - viewer.last_used > self._idle_s:
                viewer.close(f"Nobody has used it for {self._idle_s / 60:g} minutes.")

    def close_all(self) -> None:
        """End all processes, those that are just being started too. No further one starts."""
        atexit.unregister(self.close_all)
        self._ended.set()
        with self._lock:
            processes, self._processes = self._processes, set()
        for process in processes:
            process.stop()

    @property
    def pids(self) -> list[int]:
        """Of all processes that run."""
        with self._lock:
            return [process.pid for process in self._processes if process.alive]

    def _start(self) -> ViewerProcess:
        if self._ended.is_set():
            raise DataError("The program is being closed.")
        process = ViewerProcess()
        self._processes = {one for one in self._processes if one.alive} | {process}
        return process

    def _take_spare(self) -> ViewerProcess:
        """A process that is ready. One that does not start is tried a second time."""
        for _ in range(2):
            self.prepare()
            with self._lock:
                process, self._spare = self._spare, None
            if process is not None:
                if process.wait_until_ready():
                    return process
                process.stop()
        raise DataError("Spotlight's server does not start.")

    def _make_room(self, for_: Viewer) -> None:
        """Close the least recently used viewers, so that one more stays within the limit."""
        others = [one for one in self._viewers.values() if one.process is not None and one is not for_]
        others.sort(key=lambda viewer: viewer.last_used)
        for viewer in others[: max(0, len(others) - self._limit + 1)]:
            viewer.close(f"Others were opened after it, and at most {self._limit} are open at a time.")

    def _watch(self) -> None:
        while not self._ended.wait(min(10.0, self._idle_s / 4)):
            self.close_idle()


def serve_evaluation(folder: Path, tell: Callable[[str], None]) -> None:
    """Show one evaluation, tell its URL, and serve it until Ctrl-C or SIGTERM.

    Raises:
        DataError: There is no evaluation in the folder, or Spotlight cannot show it.
        SettingsError: Spotlight is not installed.
    """
    need("spotlight")
    view = build_view(read_evaluation(folder))
    process = ViewerProcess()
    try:
        if not process.wait_until_ready():
            raise DataError("Spotlight's server does not start.")
        process.show(view)
        tell(f"http://127.0.0.1:{process.port}/")
        process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        process.stop()
