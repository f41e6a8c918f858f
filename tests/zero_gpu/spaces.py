"""A stand-in for 🤗 `spaces`: what is decorated runs in another process that was started afresh.

The real one forks; a fresh process is stricter, as nothing of this one is there. Set STUB_SPACES_LOG to a file to have
the calls written down, with the process of each.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

_INSIDE = "STUB_SPACES_INSIDE"
_POOL: list[ProcessPoolExecutor] = []


def GPU(function):  # noqa: N802 - its name in `spaces`
    if _INSIDE in os.environ:  # within that process already
        return function

    @functools.wraps(function)
    def elsewhere(*args, **kwargs):
        if not _POOL:
            os.environ[_INSIDE] = "yes"  # for the process to come; here everything has been decorated
            _POOL.append(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")))
        call = pickle.dumps((function.__module__, function.__qualname__, args, kwargs))
        return pickle.loads(_POOL[0].submit(_run, call).result())

    return elsewhere


def _run(call: bytes) -> bytes:
    module, name, args, kwargs = pickle.loads(call)
    with open(os.environ["STUB_SPACES_LOG"], "a") as log:  # noqa: PTH123 - nothing but the call is imported here
        log.write(f"{os.getpid()} {module}.{name}\n")
    return pickle.dumps(getattr(import_module(module), name)(*args, **kwargs))
