"""What the C library holds back goes to the system, in time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ast_demo.memory import _find_glibc

PROGRAM = """
import threading, time
import psutil
from ast_demo.memory import keep_small

def held_mb():
    return psutil.Process().memory_info().rss / 1e6

before = held_mb()
many = [bytes(600) for _ in range(200_000)]  # each by the C library, as Python's own allocator takes up to 512 bytes
last = many[-1]  # above all the others: below it nothing goes back by itself
del many
print(held_mb() - before)
ended = threading.Event()
keep_small(0.05, ended)
until = time.monotonic() + 30
while held_mb() - before > 40 and time.monotonic() < until:
    time.sleep(0.05)
ended.set()
print(held_mb() - before)
"""


@pytest.mark.skipif(_find_glibc() is None, reason="this C library gives memory back by itself, or cannot be asked to")
def test_what_was_freed_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    held_mb, after_mb = map(float, done.stdout.split())
    assert held_mb > 90
    assert after_mb < 40


HOLES = """
import threading
import psutil
from ast_demo.memory import keep_small
{start}
before, many = psutil.Process().memory_info().rss / 1e6, 20_000_000
held = b"1" * many
del held
few = [b"1" * size for size in (9_000_000, 100_000) * 5]
del few[::2]  # each below one that stays
print(psutil.Process().memory_info().rss / 1e6 - before)
"""


@pytest.mark.skipif(_find_glibc() is None, reason="this C library gives memory back by itself, or cannot be asked to")
def test_what_is_large_goes_back_at_once() -> None:
    def held_mb(start: str) -> float:
        program = HOLES.format(start=start)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
        return float(done.stdout)

    assert held_mb("keep_small(3600, threading.Event())") < 5
    assert held_mb("") > 10  # or there would be nothing to give back
