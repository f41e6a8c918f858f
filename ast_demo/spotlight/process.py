"""A viewer: Spotlight's server in a process of its own, told on standard input what to show.

This is what runs in that process; `viewers` starts it. Nothing is shared with any other viewer, and when the pipe to
the program that started it closes, for whatever reason, the process ends at once: none is left behind.
"""

from __future__ import annotations

import json
import os
import pickle
import secrets
import shutil
import signal
import socket
import sys
from multiprocessing.connection import Connection, Listener
from queue import Queue
from threading import Thread
from typing import Any, BinaryIO


def main() -> None:
    """Serve on a free port of the loopback; answer each command with a line of JSON. The one argument is a folder for
    what Spotlight writes down.

    The first line says `port`. Then, for each pickled table, types, layout and issues that come in, a line with
    `error`, which is null where they are shown.
    """
    commands, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # neither prints nor workers get hold of the pipes
    os.dup2(nothing, 1)
    os.environ |= {"XDG_CONFIG_HOME": f"{sys.argv[1]}/config", "XDG_CACHE_HOME": f"{sys.argv[1]}/cache"}
    tables: Queue[Any] = Queue()
    Thread(target=_receive, args=[commands, tables], daemon=True).start()

    import uvicorn
    from renumics.spotlight.app import SpotlightApp

    # Spotlight's server wants to report to the program that has started it: that is this one.
    secret = secrets.token_hex(16)
    listener = Listener(("127.0.0.1", 0), authkey=secret.encode())
    os.environ |= {"CONNECTION_PORT": str(listener.address[1]), "CONNECTION_AUTHKEY": secret}
    reports: Queue[Any] = Queue()
    Thread(target=_read_reports, args=[listener, reports], daemon=True).start()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app = SpotlightApp()
    Thread(target=_show_all, args=[app, tables, reports, answers, listening.getsockname()[1]], daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2)).run(sockets=[listening])


def _receive(commands: BinaryIO, tables: Queue[Any]) -> None:
    try:
        while True:
            tables.put(pickle.load(commands))
    except (EOFError, pickle.UnpicklingError):
        _leave()


def _leave() -> None:
    """End at once, with the workers of this process and what it has written down. There is nothing to save."""
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if sys.platform == "win32":
        os._exit(0)
    os.killpg(0, signal.SIGKILL)  # the process leads a group of its own


def _read_reports(listener: Listener, reports: Queue[Any]) -> None:
    connection: Connection = listener.accept()
    while True:
        try:
            report = connection.recv()
        except EOFError:
            return
        if report.get("kind") in ("startup", "update_complete"):  # others tell who comes and goes
            reports.put(report)


def _show_all(app: Any, tables: Queue[Any], reports: Queue[Any], answers: Any, port: int) -> None:
    reports.get()  # it has started
    _answer(answers, port=port)
    while True:
        table, dtypes, layout, issues = tables.get()
        try:
            app.update(_config(table, dtypes, layout, issues))
            error = None
            while (report := reports.get()).get("error") is not None:
                error = error or f"{type(report['error']).__name__}: {report['error']}"
        except Exception as problem:  # whatever it is, the program that waits for an answer has to know
            error = f"{type(problem).__name__}: {problem}"
        _answer(answers, error=error)


def _answer(answers: Any, **values: Any) -> None:
    print(json.dumps(values), file=answers, flush=True)


def _config(table: Any, dtypes: dict[str, str], layout: dict[str, Any], issues: list[dict[str, Any]]) -> Any:
    from renumics.spotlight.analysis.typing import DataIssue
    from renumics.spotlight.app_config import AppConfig
    from renumics.spotlight.dtypes import CategoryDType, create_dtype
    from renumics.spotlight.layout import Layout

    return AppConfig(
        dataset=table,
        dtypes={
            name: CategoryDType(table[name].cat.categories.tolist()) if dtype == "category" else create_dtype(dtype)
            for name, dtype in dtypes.items()
        },
        custom_issues=[DataIssue(**issue) for issue in issues],
        layout=Layout.model_validate(layout),
        analyze=False,
        embed=False,
        filebrowsing_allowed=False,
    )
