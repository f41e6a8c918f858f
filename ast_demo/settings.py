"""Limits and switches, read once from the environment into one frozen value that is passed on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Literal

from ast_demo.errors import SettingsError

# What is used where no checkpoint is named: of those that are shipped, the one that was right more often on clips that
# had no part in any choice. Its name stands here alone, so that `--help` need not load a model to say it.
DEFAULT_CHECKPOINT = "sounds-and-digits-10-10"
# How many labels are shown with their scores, wherever nothing else is asked for; here for the same reason.
SHOWN_SCORES = 5
_PREFIX = "AST_DEMO_"
PrecisionChoice = Literal["auto", "float32", "bfloat16"]
# Settings that are one of a few words: what such a word looks like, and how that is said.
_WORDS = {
    "precision": (r"auto|float32|bfloat16", "auto, float32 or bfloat16"),
    "device": (r"auto|cpu|mps|cuda(:\d{1,3})?", "auto, cpu, cuda, cuda:1 (or another number) or mps"),
}
_PUBLIC = _PREFIX + "PUBLIC"
_SPACE, _SPACE_HOST = "SPACE_ID", "SPACE_HOST"  # set by the machines of a Hugging Face Space
# Who may show the page in a frame, and Spotlight in it: the Hub.
FRAME_ANCESTORS = "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Settings:
    """Limits of one running program. Each field is read from `AST_DEMO_<FIELD IN CAPITALS>`.

    The defaults here are for a program that runs for its owner; see `PUBLIC` for those towards strangers.

    Attributes:
        local_paths: Whether folders and files of this machine may be named as checkpoints and as labelled clips.
        hub_checkpoints: Ids of the Hub's models that may be loaded; `*` stands for any text.
        hub_datasets: Ids of the Hub's data sets that may be evaluated on; `*` stands for any text.
        max_clip_s: Longest recording that is decoded, in seconds. Longer ones are refused, not cut.
        max_upload_mb: Largest file the page accepts, in megabytes.
        max_archive_mb: Largest content of an archive, unpacked, in megabytes.
        max_archive_files: Most files in an archive.
        max_table_mb: Largest table of labelled clips, in megabytes.
        max_table_rows, max_table_columns: Most rows and columns of one.
        max_cell_characters: Longest cell of one.
        checkpoint_cache_mb: Memory for loaded checkpoints, in megabytes; the least recently used goes first.
        max_checkpoint_mb: Largest weights file that is loaded or downloaded, in megabytes.
        concurrency: Clips that are inspected or compared at the same time, and so many maps and timelines beside them;
            further visitors wait in the queue.
        max_waiting: Requests that may wait in the queue; further ones are told that the program is busy.
        max_visitors: Visitors whose results are kept in memory; those of the one who came first go first.
        viewers: Evaluations that are open in Spotlight at the same time; the least recently used is closed first. Each
            takes about 500 MB, and one more process waits to show the next one.
        precision: What models compute in: `auto`, `float32` or `bfloat16`, see `inference.forward.choose_precision`.
        device: Where models compute: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`, see `runtime.devices.choose_device`.
        viewer_idle_s: Seconds after which a viewer that nobody uses is closed.
        kept_s: Seconds after which uploads and results are deleted from the server.
        kept_mb: Most that uploads and results may take on the disk, in megabytes; the oldest go first, and nobody's uploads
            take more than half of it.
        max_request_kb: Largest request that uploads nothing, in kilobytes.
        max_inline_mb: Largest recording within a request, as tools over MCP take it, in megabytes; larger ones are uploaded.
        max_in_flight_mb: Memory for the bodies of all requests that are being received, in megabytes.
        max_connections: Connections at a time; nobody has more than half of them.
        arrival_s: Seconds in which the headers of a request have to be there, and then its body; a longer body has as many
            more as it takes at 20 kB a second.
        behind_proxy: Whether a proxy in front says who asks (the last address in `X-Forwarded-For`) and for which host
            (`X-Forwarded-Host`). Without one, whoever asks could say so.
        hosts: Further names by which browsers know this server; in a Hugging Face Space, the Space's.
    """

    local_paths: bool = True
    hub_checkpoints: tuple[str, ...] = ("*",)
    hub_datasets: tuple[str, ...] = ("*",)
    max_clip_s: float = 600.0
    max_upload_mb: float = 200.0
    max_archive_mb: float = 1000.0
    max_archive_files: int = 100_000
    max_table_mb: float = 1000.0
    max_table_rows: int = 2_500_000
    max_table_columns: int = 2000
    max_cell_characters: int = 100_000
    checkpoint_cache_mb: float = 2000.0
    max_checkpoint_mb: float = 2000.0
    concurrency: int = 2
    max_waiting: int = 1000
    max_visitors: int = 1000
    viewers: int = 3
    viewer_idle_s: float = 1800.0
    precision: PrecisionChoice = "auto"
    device: str = "auto"
    kept_s: float = 3600.0
    kept_mb: float = 20_000.0
    max_request_kb: float = 100.0
    max_inline_mb: float = 50.0
    max_in_flight_mb: float = 500.0
    max_connections: int = 1000
    arrival_s: float = 20.0
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()


# Towards strangers: for two cores and 16 GB, and so that nobody can name anything on the machine.
PUBLIC = Settings(
    local_paths=False,
    hub_checkpoints=("MIT/ast-finetuned-*",),
    hub_datasets=(),
    max_clip_s=120.0,
    max_upload_mb=50.0,
    max_archive_mb=250.0,
    max_archive_files=2000,
    max_table_mb=10.0,
    max_table_rows=20_000,
    max_table_columns=100,
    max_cell_characters=2000,
    max_checkpoint_mb=500.0,
    max_waiting=64,
    max_visitors=200,
    viewer_idle_s=600.0,
    kept_mb=5000.0,
    max_inline_mb=8.0,
    max_in_flight_mb=64.0,
    max_connections=600,
)


def is_allowed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name fits one of the patterns of an allow-list."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    What is not set keeps its default: that of `PUBLIC` in a Hugging Face Space and where `AST_DEMO_PUBLIC` says so,
    else that of `Settings`.

    Raises:
        SettingsError: A value is not what its setting expects: a number above 0, a whole one, yes or no,
            a precision, a device.
    """
    environment = os.environ if environment is None else environment
    public = _read_switch(_PUBLIC, environment[_PUBLIC]) if _PUBLIC in environment else _SPACE in environment
    defaults = PUBLIC if public else Settings()
    values: dict[str, object] = {"hosts": (environment[_SPACE_HOST],)} if _SPACE_HOST in environment else {}
    for field in fields(Settings):
        variable = _PREFIX + field.name.upper()
        if variable in environment:
            expected = _WORDS.get(field.name)
            text = environment[variable]
            values[field.name] = (
                _read_word(variable, text, *expected) if expected else _read(variable, text, type(field.default))
            )
    return replace(defaults, **values)  # type: ignore[arg-type]


def _read(variable: str, text: str, kind: type) -> object:
    if kind is bool:
        return _read_switch(variable, text)
    if kind is str:
        return text
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        expected = "a whole number above 0" if kind is int else "a number above 0"
        raise SettingsError(f"{variable} must be {expected}, but it is {text!r}.")
    return value


def _read_word(variable: str, text: str, pattern: str, expected: str) -> str:
    if not re.fullmatch(pattern, text):
        raise SettingsError(f"{variable} must be {expected}, but it is {text!r}.")
    return text


def _read_switch(variable: str, text: str) -> bool:
    try:
        return _SWITCH[text.strip().lower()]
    except KeyError:
        raise SettingsError(f"{variable} must be yes or no, but it is {text!r}.") from None
