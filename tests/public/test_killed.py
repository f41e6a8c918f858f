"""The app is ended in the middle of an evaluation: by SIGTERM nothing is left; by SIGKILL, nothing once it runs again."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import psutil
import pytest

from ast_demo.models.loading import shipped_names
from tests.served import App, start
from tests.waiting import wait_for


def begin_evaluation(app: App) -> None:
    """Until the first clips are on the disk."""
    answer = httpx.post(
        f"{app.url}/gradio_api/call/evaluate", json={"data": [None, shipped_names()]}, timeout=60, trust_env=False
    )
    assert answer.status_code == 200
    assert wait_for(lambda: list(app.folder.glob("ast-demo-run-*/ast-demo-*/parts/*.parquet")), 120)


def what_is_left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "log.txt"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_an_app_that_was_ended_starts_again_and_leaves_nothing(how: signal.Signals, tmp_path: Path) -> None:
    app = start(tmp_path)
    begin_evaluation(app)
    helpers = psutil.Process(app.process.pid).children(recursive=True)
    app.process.send_signal(how)
    app.process.wait(60)
    assert wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in helpers), 120)
    if how is signal.SIGTERM:
        assert app.process.returncode == 0
        assert what_is_left(tmp_path) == []
        return
    left = set(what_is_left(tmp_path))
    assert left
    again = start(tmp_path, port=int(app.port))
    try:
        assert not left & set(what_is_left(tmp_path))
        with httpx.Client(base_url=again.url, timeout=300, trust_env=False) as client:
            begin_evaluation(again)  # and is served again
            page = client.get("/config").text
        assert "is deleted from this server after an hour, and when the program ends" in page
    finally:
        again.stop()
