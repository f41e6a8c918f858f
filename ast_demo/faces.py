"""Faces of rooms that load what they hand out only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence


def load_later(package: str, names: Sequence[str], files: Sequence[str]) -> Callable[[str], object]:
    """The `__getattr__` of a package whose names are looked for in its files, in this order, when they are asked for."""

    def load(name: str) -> object:
        if name in names:
            for file in files:
                module = importlib.import_module(f"{package}.{file}")
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
