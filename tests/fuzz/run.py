"""Hostile inputs through the running server, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import psutil

from tests.fuzz.inputs import Input, inputs
from tests.fuzz.sending import evaluate_honestly, events_of, hold, inspect_honestly, send
from tests.fuzz.strangers import Place, strangers
from tests.fuzz.watched import Peak, calls, watched
from tests.public.listener import Listener
from tests.served import App, is_ready, start
from tests.sockets import is_closed
from tests.waiting import wait_for

KEPT_S = 20  # uploads and results of the server under attack are deleted after this
_WARM_UP = 3  # one input in so many comes before memory is looked at: imports, decoders, sessions up to their bound
# That the process may have grown by afterwards: holes between what is in use come and go, by a hundred megabytes. Of 1,000
# inputs, a third of a megabyte each would be too much: a session that is never let go, or an inspected clip.
_MORE_MB, _MORE_MB_AN_INPUT = 150, 0.05
_VISITORS = 20  # whose sessions the server keeps: few, so that they are all there after the warm-up
LONGEST_S = 120  # for one answer
HONEST_CLIPS = 100  # of the evaluation that an attack's memory is measured by
PEAK, _REST = 1.5, 1.1  # times its peak that an attack may take, and times the rest before that is left a minute later
HELD = 40  # connections that are held at a time
SLOW_S = 5.0  # longest that an honest visitor waits meanwhile


@dataclass
class Report:
    """What came of it: an outcome for each input; memory at the start, after the warm-up and at the end; temporary files
    before and after; what should not be.

    Of the strangers' inputs: an honest evaluation's peak, theirs, and memory before and a minute after them; seconds of an
    honest visitor's inspections and of the health check.
    """

    outcomes: list[str] = field(default_factory=list)
    memory_mb: tuple[float, float, float] = (0, 0, 0)
    files: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)
    peaks_mb: tuple[float, float, float, float] = (0, 0, 0, 0)
    inspections_s: list[float] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Attack:
    """Where it goes, with which seed; what is written down, and who is told meanwhile."""

    app: App
    client: httpx.Client
    seed: int
    report: Report
    tell: Callable[[str], None]


def attack(
    number: int, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None, *, of_strangers: int = 0
) -> Report:
    """Start the app as strangers meet it, but that checkpoint folders may be named, and send it so many inputs.

    Args:
        of_strangers: How many of `strangers` come after those of `inputs`.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    (folder / "server").mkdir()
    (folder / "watched").mkdir()
    report = Report()
    with Listener() as listener:
        app = start(
            folder / "server", SPACE_ID="a/b", local_paths="yes", max_upload_mb="5", max_archive_mb="50",
            kept_s=str(KEPT_S), kept_mb="100", checkpoint_cache_mb="100", max_visitors=str(_VISITORS), arrival_s="5",
            **watched(folder / "watched", listener.port),
        )  # fmt: skip
        try:
            with httpx.Client(base_url=app.url, timeout=LONGEST_S, trust_env=False) as client:
                one = _Attack(app, client, seed, report, tell)
                _attack(one, inputs(seed, folder), number)
                if of_strangers and app.process.poll() is None:
                    place = Place(folder, f"127.0.0.1:{listener.port}", folder / "marker", events_of(client))
                    _attack_as_strangers(one, strangers(seed, place), of_strangers)
                    if place.marker.exists():
                        report.problems.append("code of a stranger's was run")
            log = app.log.read_text(errors="replace")
            if "Traceback" in log:
                report.problems.append(f"a traceback in the log: {log[log.index('Traceback') :][:3000]}")
            if "forged" in log:
                report.problems.append("the log holds what was sent")
        finally:
            app.stop()
        report.problems += [f"it wanted to {one}" for one in calls(folder / "watched")]
        if listener.called:
            report.problems.append("it called a listener")
    left = [path.name for path in (folder / "server").iterdir() if path != app.log]
    if left:
        report.problems.append(f"left behind at the end: {left}")
    return report


def _attack(attack: _Attack, sent: Iterator[Input], number: int) -> None:
    """Mutated inputs: memory and temporary files have to come back."""
    app, client, report = attack.app, attack.client, attack.report
    for shown in ("sounds-and-digits-16-16", "sounds-and-digits-10-10"):  # so that both are in memory before
        inspect_honestly(client, shown)
    evaluate_honestly(client)  # it imports a hundred megabytes when it is asked for first
    started_mb, before = _memory_mb(app), _files(app)
    warm_mb = started_mb
    for place, one in enumerate(islice(sent, number)):
        if not _try(attack, one, f"input {place}"):
            return
        if place == number // _WARM_UP:
            warm_mb = _rested_mb(app)
        if place % 50 == 49:
            attack.tell(f"{place + 1} of {number}, {_memory_mb(app):.0f} MB, {len(report.problems)} problems")
    inspect_honestly(client, "sounds-and-digits-16-16")
    until = time.monotonic() + 4 * KEPT_S
    while _files(app) > before and time.monotonic() < until:
        time.sleep(1)
    after_mb, after = _rested_mb(app), _files(app)
    report.memory_mb, report.files = (started_mb, warm_mb, after_mb), (before, after)
    if after_mb > warm_mb + _MORE_MB + _MORE_MB_AN_INPUT * number:
        report.problems.append(f"memory went from {warm_mb:.0f} MB after the warm-up to {after_mb:.0f} MB")
    if after > before:
        report.problems.append(f"temporary files went from {before} to {after}")


def _attack_as_strangers(attack: _Attack, sent: Iterator[Input], number: int) -> None:
    """Those who want to break it, beside one honest visitor: its peak of memory is measured by an honest evaluation's."""
    app, client, report = attack.app, attack.client, attack.report
    peak = Peak(app.process.pid)
    try:
        rest_mb = _rested_mb(app)
        peak.take()
        evaluate_honestly(client, HONEST_CLIPS)
        honest_mb = peak.take()
        with contextlib.ExitStack() as stack:
            held: list[socket.socket] = []
            for place, one in enumerate(islice(sent, number)):
                if one.held is not None:
                    held.append(stack.enter_context(hold(app, one.held)))
                    while len(held) > HELD:
                        held.pop(0).close()
                    report.outcomes.append("held: a connection")
                elif not _try(attack, one, f"stranger {place}"):
                    return
                if place % 10 == 9:
                    _visit(client, report)
                if place % 50 == 49:
                    attack.tell(
                        f"{place + 1} of {number} by strangers, {peak._peak:.0f} MB, {len(report.problems)} problems"
                    )
            # Headers and bodies have five seconds; who was answered before all of the body had come, a minute.
            wait_for(lambda: all(map(is_closed, held)), 80)
            if still := sum(not is_closed(one) for one in held):
                report.problems.append(f"{still} connections are still held")
        attack_mb = peak.take()
    finally:
        peak.stop()
    after_mb = min(_rested_mb(app) for _ in range(6))
    report.peaks_mb = honest_mb, attack_mb, rest_mb, after_mb
    if attack_mb > PEAK * honest_mb:
        report.problems.append(f"memory went up to {attack_mb:.0f} MB; an honest evaluation took {honest_mb:.0f} MB")
    if after_mb > _REST * max(rest_mb, honest_mb):
        report.problems.append(f"memory went from {rest_mb:.0f} MB to {after_mb:.0f} MB after a minute")
    if max(report.inspections_s, default=0) > SLOW_S * pace():
        report.problems.append(f"an honest visitor waited {max(report.inspections_s):.1f} s")


def pace() -> float:
    """How much slower this machine is than one that does nothing else: its load for each processor, at least one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _visit(client: httpx.Client, report: Report) -> None:
    began = time.monotonic()
    inspect_honestly(client, "sounds-and-digits-16-16")
    report.inspections_s.append(time.monotonic() - began)
    began = time.monotonic()
    assert client.get("/healthz").text == "ready"
    report.health_s.append(time.monotonic() - began)


def percentile(seconds: list[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) if seconds else float("nan")


def _try(attack: _Attack, one: Input, where: str) -> bool:
    """Send an input, and write down what came of it; whether the server goes on."""
    try:
        outcome = send(attack.client, one)
        attack.report.outcomes.append(f"{one.kind.split(' ')[0]}: {outcome}")
    except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
        attack.report.problems.append(
            f"{where} of seed {attack.seed}, {one.kind}: {type(error).__name__} {str(error)[:300]}"
        )
        attack.tell(attack.report.problems[-1])
    if attack.app.process.poll() is not None:
        attack.report.problems.append(f"{where} of seed {attack.seed}, {one.kind}, ended the server")
        return False
    return True


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
