"""Where the files are that come with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: Literal["checkpoints", "samples", "guide"]) -> Path:
    """A folder of `assets`: inside the package where it was installed, beside it in a copy of the repository."""
    inside = _PACKAGE / "assets"
    return (inside if inside.is_dir() else _PACKAGE.parent / "assets") / name
