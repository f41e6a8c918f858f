"""An honest visitor beside each attack: `python -m tests.fuzz.siege --seconds 20 --attackers 6`.

Starts the app as strangers meet it, on the loopback. For each kind of `strangers` in turn, some attackers of one address send it
as fast as they are answered, while an honest visitor of another address inspects a clip, looks at the health check, and
pauses for half a second. Prints for each kind how long that took, and the most memory of the program; at last whether it passed.
Exit code 1 where an honest visitor got no answer or waited long, an attack got neither an answer nor a sentence, or memory went
half as high again as in an honest evaluation. "Long" is told for a machine that does nothing else, and grows with its load.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from tests.fuzz.inputs import Input
from tests.fuzz.run import HELD, HONEST_CLIPS, LONGEST_S, PEAK, SLOW_S, pace
from tests.fuzz.sending import evaluate_honestly, events_of, hold, inspect_honestly, send
from tests.fuzz.strangers import KINDS, Place
from tests.fuzz.watched import Peak
from tests.public.visitors import visitor
from tests.served import App, start
from tests.sockets import is_closed

_USUAL_S, _HEALTHY_S = 1.5, 0.2  # the 95th percentiles of an honest inspection and of the health check
_PAUSE_S = 0.5
_HELD_LOOKED_S = 0.05  # between two looks at which connections are still held
_DIFFERENT = 12  # inputs of a kind, made before: making them costs as much as reading them


@dataclass
class Siege:
    """One kind of attack: how many inputs were sent, and what an honest visitor met meanwhile."""

    kind: str
    sent: int = 0
    inspections_s: list[float] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0


@dataclass
class Seen:
    """All kinds; the peak of an honest evaluation; what should not be."""

    sieges: list[Siege] = field(default_factory=list)
    honest_mb: float = 0.0
    problems: list[str] = field(default_factory=list)


def besiege(
    kinds: Sequence[str],
    folder: Path,
    *,
    seconds: float,
    attackers: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> Seen:
    """Start the app and send each kind for so many seconds, by so many at a time."""
    (folder / "server").mkdir()
    app = start(folder / "server", SPACE_ID="a/b", local_paths="yes", kept_s="20", HF_HUB_OFFLINE="1")
    seen, peak = Seen(), Peak(app.process.pid)
    try:
        with visitor(app, "10.1.1.1", LONGEST_S) as honest, socket.create_server(("127.0.0.1", 0)) as nobody:
            address = f"127.0.0.1:{nobody.getsockname()[1]}"
            place = Place(folder, address, folder / "marker", events_of(honest))
            inspect_honestly(honest)
            peak.take()
            evaluate_honestly(honest, HONEST_CLIPS)
            seen.honest_mb = peak.take()
            for kind in kinds:
                dice = random.Random(f"{seed} {kind}")
                inputs = [KINDS[kind](dice, place) for _ in range(_DIFFERENT)]
                siege = Siege(kind)
                _besiege(app, honest, inputs, siege, seconds, attackers, seen.problems)
                siege.peak_mb = peak.take()
                seen.sieges.append(siege)
                seen.problems += _judge(siege, seen.honest_mb)
                tell(_line(siege))
    finally:
        peak.stop()
        app.stop()
    return seen


def _besiege(
    app: App,
    honest: httpx.Client,
    inputs: Sequence[Input],
    siege: Siege,
    seconds: float,
    attackers: int,
    problems: list[str],
) -> None:
    until = time.monotonic() + seconds

    def attack(which: int) -> int:
        sent = 0
        with visitor(app, "10.6.6.6", LONGEST_S) as client, contextlib.ExitStack() as stack:
            held: list[socket.socket] = []
            while time.monotonic() < until:
                one = inputs[(which + sent) % len(inputs)]
                try:
                    if one.held is None:
                        send(client, one)
                    else:
                        held.append(stack.enter_context(hold(app, one.held)))
                except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
                    problems.append(f"{one.kind}: {type(error).__name__} {str(error)[:300]}")
                sent += 1
                while len(held) == HELD and time.monotonic() < until:  # until the server lets some go
                    time.sleep(_HELD_LOOKED_S)
                    held = [one for one in held if not is_closed(one)]
        return sent

    with ThreadPoolExecutor(attackers) as people:
        jobs = [people.submit(attack, which) for which in range(attackers)]
        while time.monotonic() < until:
            siege.inspections_s.append(_seconds(lambda: inspect_honestly(honest)))
            siege.health_s.append(_seconds(lambda: honest.get("/healthz").raise_for_status()))
            time.sleep(_PAUSE_S)
        siege.sent = sum(job.result() for job in jobs)


def _seconds(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _judge(siege: Siege, honest_mb: float) -> list[str]:
    slower = pace()
    bounds = (
        ("an honest inspection's p95", np.percentile(siege.inspections_s, 95), _USUAL_S * slower, "s"),
        ("the longest honest inspection", max(siege.inspections_s), SLOW_S * slower, "s"),
        ("the health check's p95", np.percentile(siege.health_s, 95), _HEALTHY_S * slower, "s"),
        ("memory", siege.peak_mb, PEAK * honest_mb, "MB"),
    )
    return [
        f"{siege.kind}: {what} {value:.2f} {unit}, more than {bound:.2f}"
        for what, value, bound, unit in bounds
        if value > bound
    ]


def _line(siege: Siege) -> str:
    p50, p95, worst = np.percentile(siege.inspections_s, [50, 95, 100])
    return (
        f"{siege.kind:15} {siege.sent:6} sent  inspection p50 {p50:.2f} p95 {p95:.2f} longest {worst:.2f} s  "
        f"health p95 {np.percentile(siege.health_s, 95):.3f} s  peak {siege.peak_mb:.0f} MB  load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each kind")
    parser.add_argument("--attackers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(KINDS), help="this kind; may be given several times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = besiege(
            arguments.only or list(KINDS),
            Path(folder),
            seconds=arguments.seconds,
            attackers=arguments.attackers,
            seed=arguments.seed,
            tell=lambda line: print(line, flush=True),
        )
    print(f"peak of an honest evaluation {seen.honest_mb:.0f} MB")
    for problem in dict.fromkeys(seen.problems):
        print(problem)
    print(f"FAILED: {len(seen.problems)} problems" if seen.problems else "passed")
    sys.exit(1 if seen.problems else 0)


if __name__ == "__main__":
    main()
