"""Memory that is free goes back to the system.

The C library keeps what was freed for the next time, apart for each thread that allocates: a program that serves many
visitors from many threads comes to hold several times what it uses, up to a plateau. See docs/hosting.md.
"""

from __future__ import annotations

import ctypes
import sys
import threading


def keep_small(every_s: float, ended: threading.Event) -> None:
    """Start to give free memory back, again and again, until the event is set. Does nothing where there is no glibc."""
    trim = _find_trim()
    if trim is not None:
        threading.Thread(target=_trim_again_and_again, args=[trim, every_s, ended], daemon=True).start()


def _find_trim() -> ctypes._NamedFuncPointer | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none


def _trim_again_and_again(trim: ctypes._NamedFuncPointer, every_s: float, ended: threading.Event) -> None:
    while not ended.wait(every_s):
        trim(0)  # other threads go on meanwhile
