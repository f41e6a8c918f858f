"""Hostile inputs through the running server, and what is left of them."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.clips import encode, melody
from tests.fuzz.inputs import Input, inputs
from tests.public.caller import DONE, FAILED, call, sentence_of, upload
from tests.served import App, is_ready, start

KEPT_S = 20  # uploads and results of the server under attack are deleted after this
_WARM_UP = 3  # one input in so many comes before memory is looked at: imports, decoders, sessions up to their bound
# That the process may have grown by afterwards: holes between what is in use come and go, by a hundred megabytes. Of 1,000
# inputs, a third of a megabyte each would be too much: a session that is never let go, or an inspected clip.
_MORE_MB, _MORE_MB_AN_INPUT = 150, 0.05
_VISITORS = 20  # whose sessions the server keeps: few, so that they are all there after the warm-up
_LONGEST_S = 120  # for one answer


@dataclass
class Report:
    """What came of it: an outcome for each input; memory at the start, after the warm-up and at the end; temporary files
    before and after; what should not be."""

    outcomes: list[str] = field(default_factory=list)
    memory_mb: tuple[float, float, float] = (0, 0, 0)
    files: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)


def attack(number: int, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None) -> Report:
    """Start the app as strangers meet it, but that checkpoint folders may be named, and send it so many inputs."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    (folder / "server").mkdir()
    app = start(
        folder / "server", SPACE_ID="a/b", local_paths="yes", max_upload_mb="5", max_archive_mb="50", kept_s=str(KEPT_S),
        checkpoint_cache_mb="100", max_visitors=str(_VISITORS),
    )  # fmt: skip
    report = Report()
    try:
        with httpx.Client(base_url=app.url, timeout=_LONGEST_S, trust_env=False) as client:
            for shown in ("sounds-and-digits-16-16", "sounds-and-digits-10-10"):  # so that both are in memory before
                _check_alive(client, shown)
            _check_evaluates(client)  # it imports a hundred megabytes when it is asked for first
            started_mb, before = _memory_mb(app), _files(app)
            warm_mb = started_mb
            for place, one in enumerate(islice(inputs(seed, folder), number)):
                try:
                    outcome = _send(client, one)
                    report.outcomes.append(f"{one.kind.split(' ')[0]}: {outcome}")
                except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
                    report.problems.append(
                        f"input {place} of seed {seed}, {one.kind}: {type(error).__name__} {str(error)[:300]}"
                    )
                    tell(report.problems[-1])
                if app.process.poll() is not None:
                    report.problems.append(f"input {place} of seed {seed}, {one.kind}, ended the server")
                    return report
                if place == number // _WARM_UP:
                    warm_mb = _rested_mb(app)
                if place % 50 == 49:
                    tell(f"{place + 1} of {number}, {_memory_mb(app):.0f} MB, {len(report.problems)} problems")
            _check_alive(client, "sounds-and-digits-16-16")
        until = time.monotonic() + 4 * KEPT_S
        while _files(app) > before and time.monotonic() < until:
            time.sleep(1)
        after_mb, after = _rested_mb(app), _files(app)
        report.memory_mb, report.files = (started_mb, warm_mb, after_mb), (before, after)
        if after_mb > warm_mb + _MORE_MB + _MORE_MB_AN_INPUT * number:
            report.problems.append(f"memory went from {warm_mb:.0f} MB after the warm-up to {after_mb:.0f} MB")
        if after > before:
            report.problems.append(f"temporary files went from {before} to {after}")
        log = app.log.read_text(errors="replace")
        if "Traceback" in log:
            report.problems.append(f"a traceback in the log: {log[log.index('Traceback') :][:3000]}")
    finally:
        app.stop()
    left = [path.name for path in (folder / "server").iterdir() if path != app.log]
    if left:
        report.problems.append(f"left behind at the end: {left}")
    return report


def _send(client: httpx.Client, one: Input) -> str:
    """Send an input; whether it got an answer, or a sentence.

    Raises:
        AssertionError: Neither.
    """
    if one.route:
        answer = client.post(f"/gradio_api/{one.route}", content=one.body, headers={"content-type": "application/json"})
        if answer.status_code >= 400 and not one.route.startswith("mcp"):
            sentence_of(answer.json())
        return f"status {answer.status_code}"
    kind, answer = call(client, one.endpoint, [_sent(client, value, one.name) for value in one.data])
    if kind != DONE:
        sentence_of(answer)
    return "an answer" if kind == DONE else "a sentence" if kind == FAILED else "refused with a sentence"


def _sent(client: httpx.Client, value: Any, name: str) -> Any:
    if not isinstance(value, bytes):
        return value
    return {"path": upload(client, name, value), "meta": {"_type": "gradio.FileData"}}


def _check_alive(client: httpx.Client, checkpoint: str) -> None:
    sound = encode(melody(1.0), 16_000, "wav", "PCM_16")
    kind, answer = call(client, "inspect", [_sent(client, sound, "clip.wav"), checkpoint])
    assert kind == DONE, answer


def _check_evaluates(client: httpx.Client) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("7/clip.wav", encode(melody(1.0), 16_000, "wav", "PCM_16"))
    kind, answer = call(
        client, "evaluate", [_sent(client, content.getvalue(), "clips.zip"), ["sounds-and-digits-16-16"]]
    )
    assert kind == DONE, answer


def _memory_mb(app: App) -> float:
    assert is_ready(app)
    return psutil.Process(app.process.pid).memory_info().rss / 1e6


def _rested_mb(app: App) -> float:
    """Memory after what is free has gone back to the system: the least of some seconds."""
    lowest = _memory_mb(app)
    for _ in range(2 * KEPT_S // 4):  # it goes back as often as old files do
        time.sleep(1)
        lowest = min(lowest, _memory_mb(app))
    return lowest


def _files(app: App) -> int:
    """Temporary files of visitors."""
    return sum(path.is_file() and "ast-demo-viewer-" not in str(path) for path in app.folder.rglob("*"))
