"""Limits and switches, read once from the environment into one frozen value that is passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from ast_demo.errors import SettingsError

_PREFIX = "AST_DEMO_"
PrecisionChoice = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Settings:
    """Limits of one running program. Each field is read from `AST_DEMO_<FIELD IN CAPITALS>`.

    Attributes:
        max_clip_s: Longest recording that is decoded, in seconds. Longer ones are refused, not cut.
        max_upload_mb: Largest file the page accepts, in megabytes.
        checkpoint_cache_mb: Memory for loaded checkpoints, in megabytes; the least recently used goes first.
        max_checkpoint_mb: Largest weights file that is loaded or downloaded, in megabytes.
        concurrency: Clips that are inspected at the same time; further visitors wait in the queue.
        viewers: Evaluations that are open in Spotlight at the same time; the least recently used is closed first. Each
            takes about 500 MB, and one more process waits to show the next one.
        precision: What models compute in: `auto`, `float32` or `bfloat16`, see `fast_ast.choose_precision`.
        viewer_idle_s: Seconds after which a viewer that nobody uses is closed.
    """

    max_clip_s: float = 600.0
    max_upload_mb: float = 200.0
    checkpoint_cache_mb: float = 2000.0
    max_checkpoint_mb: float = 2000.0
    concurrency: int = 2
    viewers: int = 3
    viewer_idle_s: float = 1800.0
    precision: PrecisionChoice = "auto"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables; what is not set keeps its default.

    Raises:
        SettingsError: A value is not a positive number (a whole one for `concurrency`), or no precision.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, float | str] = {}
    for field in fields(Settings):
        variable = _PREFIX + field.name.upper()
        if variable not in environment:
            continue
        if field.name == "precision":
            values[field.name] = _read_precision(variable, environment[variable])
            continue
        kind: type[float] = type(field.default)  # type: ignore[assignment]
        try:
            value = kind(environment[variable])
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            expected = "a whole number above 0" if kind is int else "a number above 0"
            raise SettingsError(f"{variable} must be {expected}, but it is {environment[variable]!r}.")
        values[field.name] = value
    return Settings(**values)  # type: ignore[arg-type]


def _read_precision(variable: str, text: str) -> str:
    if text not in get_args(PrecisionChoice):
        raise SettingsError(f"{variable} must be auto, float32 or bfloat16, but it is {text!r}.")
    return text
