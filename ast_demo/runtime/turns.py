"""Long work on a GPU takes turns, whichever program of this machine it belongs to: two at once may not fit in its memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ast_demo.runtime.devices import Device

_ASK_S = 0.2


@contextmanager
def take_turns(device: Device, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a GPU while the block runs, once all who hold it have let it go; a CPU is everybody's at once.

    Args:
        wait: Called now and then while another holds it; what it raises ends the waiting.
    """
    if not device.is_gpu:
        yield
        return
    who = os.getuid() if hasattr(os, "getuid") else 0  # a file of another user's could not be locked
    lock = FileLock(Path(tempfile.gettempdir()) / f"ast-demo-{who}-{device.name.replace(':', '-')}.lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_ASK_S)
        except Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()
