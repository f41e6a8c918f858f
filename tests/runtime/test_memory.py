"""What the C library holds back goes to the system, in time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ast_demo.runtime.memory import _find_glibc

needs_glibc = pytest.mark.skipif(
    _find_glibc() is None, reason="this C library gives memory back by itself, or cannot be asked to"
)


def printed_by(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


PROGRAM = """
import threading, time
import psutil
from ast_demo.runtime import keep_small

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


@needs_glibc
def test_what_was_freed_goes_back_to_the_system() -> None:
    held_mb, after_mb = map(float, printed_by(PROGRAM).split())
    assert held_mb > 90
    assert after_mb < 40


HOLES = """
import threading
import psutil
from ast_demo.runtime import keep_small
{start}
before, many = psutil.Process().memory_info().rss / 1e6, 20_000_000
held = b"1" * many
del held
few = [b"1" * size for size in (9_000_000, 100_000) * 5]
del few[::2]  # each below one that stays
print(psutil.Process().memory_info().rss / 1e6 - before)
"""


@needs_glibc
def test_what_is_large_goes_back_at_once() -> None:
    def held_mb(start: str) -> float:
        return float(printed_by(HOLES.format(start=start)))

    assert held_mb("keep_small(3600, threading.Event())") < 5
    assert held_mb("") > 10  # or there would be nothing to give back


ARENAS = """
import ctypes, threading
from ast_demo.runtime import keep_small
{start}
together = threading.Barrier(12)

def visit():
    few = [bytes(600) for _ in range(100)]
    together.wait()

visitors = [threading.Thread(target=visit) for _ in range(12)]
for visitor in visitors:
    visitor.start()
for visitor in visitors:
    visitor.join()
c = ctypes.CDLL(None)
c.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(c.fdopen(1, b"w"))
c.malloc_info(0, output)
c.fflush(output)
"""


@needs_glibc
def test_threads_share_what_they_allocate_from() -> None:
    def count(start: str) -> int:
        return printed_by(ARENAS.format(start=start)).count("<heap ")

    assert count("keep_small(3600, threading.Event())") == 2
    assert count("") > 2


FAULTS = """
import resource, threading
from ast_demo.runtime import keep_small
keep_small(3600, threading.Event())
size = {size}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    few = [b"1" * size for _ in range(3)]
    del few
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@needs_glibc
def test_what_a_layer_writes_is_kept_for_the_next() -> None:
    """The system clears each page that it gives, which takes longer than most of what is written to it."""

    def faults_mb(size: int) -> float:
        return int(printed_by(FAULTS.format(size=size))) * 4096 / 1e6

    assert faults_mb(3_700_000) < 0.5 * 100 * 3 * 3.7
    assert faults_mb(9_000_000) > 0.9 * 100 * 3 * 9.0
