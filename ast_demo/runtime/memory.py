"""Memory that is free goes back to the system.

The C library keeps what was freed for the next time, apart for each thread that allocates: a program that serves many
visitors from many threads comes to hold several times what it uses. So few threads' shares are kept apart, and what is
large is asked of the system each time and given back at once, as glibc does until it has seen that size for the first
time. What a layer of a model writes is not as large: to be given that anew each time took an AST of the published size
half as long again. See docs/hosting.md.
"""

from __future__ import annotations

import ctypes
import sys
import threading

# As malloc.h calls them: M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD.
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_ARENAS, _LARGE_BYTES, _KEPT_BYTES = 2, 8_000_000, 32_000_000


def keep_small(every_s: float, ended: threading.Event) -> None:
    """Hold little memory from now on, and give what is free back again and again until the event is set.

    Does nothing where there is no glibc.
    """
    glibc = _find_glibc()
    if glibc is not None:
        glibc.mallopt(_ARENA_MAX, _ARENAS)
        glibc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        glibc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        threading.Thread(target=_trim_again_and_again, args=[glibc, every_s, ended], daemon=True).start()


def _find_glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None  # musl has none


def _trim_again_and_again(glibc: ctypes.CDLL, every_s: float, ended: threading.Event) -> None:
    while not ended.wait(every_s):
        glibc.malloc_trim(0)  # other threads go on meanwhile
