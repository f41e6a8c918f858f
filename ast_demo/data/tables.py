"""Clips of files: in a folder per label, or as tables say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ast_demo.audio import AUDIO_SUFFIXES
from ast_demo.data.clips import LabelledClip, ReadingOptions
from ast_demo.data.labels import LABEL_SEPARATOR
from ast_demo.data.remote_files import RemoteFile
from ast_demo.errors import DataError

SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "test", "eval")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "audio")
LABEL_COLUMNS = ("label", "labels", "category", "class", "target", "word")
_TABLES = ("metadata.csv", "metadata.jsonl")
# A source of files is a list of relative names and a function that gives a file's path, its bytes, or where it is.
_Opener = Callable[[str], Path | bytes | RemoteFile]


@dataclass(frozen=True)
class _Files:
    names: tuple[str, ...]
    open: _Opener


def _files_of_folder(folder: Path) -> _Files:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return _Files(tuple(name for name in names if not _is_hidden(name)), lambda name: folder / name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _read_files(files: _Files, where: str, options: ReadingOptions) -> list[LabelledClip]:
    tables = [name for name in files.names if PurePosixPath(name).name in _TABLES]
    top = [name for name in tables if "/" not in name]
    tables = top or [name for name in tables if PurePosixPath(name).parent.as_posix() in SPLIT_NAMES]
    if tables:
        return [clip for table in tables for clip in _read_table(files, table, where, options)]
    clips = []
    for name in files.names:
        parts = PurePosixPath(name).parts
        if not _is_audio(name) or len(parts) < 2:
            continue
        columns = {"split": parts[0]} if len(parts) > 2 and parts[0] in SPLIT_NAMES else {}
        clips.append(LabelledClip(name, files.open(name), (parts[-2],), columns))
    if not clips:
        raise DataError(
            f"{where!r} holds no labelled clips. Expected a folder for each label with recordings in it, "
            f"or a {' or '.join(_TABLES)} with the columns 'file_name' and 'label'."
        )
    return clips


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _read_table(files: _Files, table: str, where: str, options: ReadingOptions) -> list[LabelledClip]:
    content = files.open(table)
    if not isinstance(content, bytes):
        content = content.read_bytes() if isinstance(content, Path) else content.read()
    folder = PurePosixPath(table).parent
    known = set(files.names)
    clips = []
    for number, row in _rows(content, table):
        name, labels, columns = _read_row(row, number, table, options)
        full = (folder / name).as_posix()
        if full not in known:
            raise DataError(f"Row {number} of {where}/{table} names the file {name!r}, which is not there.")
        if folder.as_posix() in SPLIT_NAMES:
            columns.setdefault("split", folder.as_posix())
        clips.append(LabelledClip(full, files.open(full), labels, columns))
    return _checked(clips, f"{where}/{table}")


def _read_manifest(path: Path, options: ReadingOptions) -> list[LabelledClip]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from None
    clips = []
    for number, row in _rows(content, path.name):
        name, labels, columns = _read_row(row, number, path.name, options)
        file = path.parent / Path(name).expanduser()
        if options.root is not None and not file.resolve().is_relative_to(options.root.resolve()):
            raise DataError(
                f"Row {number} of {path.name} names the file {name!r}, which is outside of the data's folder."
            )
        if not file.is_file():
            raise DataError(f"Row {number} of {path.name} names the file {name!r}, which is not there.")
        clips.append(LabelledClip(name, file, labels, columns))
    return _checked(clips, path.name)


def _checked(clips: list[LabelledClip], where: str) -> list[LabelledClip]:
    if not clips:
        raise DataError(f"{where} has no rows. Expected one for each clip.")
    seen: set[str] = set()
    for clip in clips:
        if clip.name in seen:
            raise DataError(f"{where} names the file {clip.name!r} twice.")
        seen.add(clip.name)
    return clips


def _rows(content: bytes, table: str) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a CSV or JSON lines table, with their line numbers."""
    try:
        text = content.decode("utf-8-sig")
        if table.endswith(".jsonl"):
            rows = [(i, json.loads(line)) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
            if not all(isinstance(row, dict) for _, row in rows):
                raise ValueError("a line is no JSON object")
            return rows
        return list(enumerate(csv.DictReader(io.StringIO(text), strict=True), start=2))
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as a UTF-8 table: {error}.") from None


def _read_row(
    row: dict[str, Any], number: int, table: str, options: ReadingOptions
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """File, labels and the other columns of a row."""
    file_column = _find_column(row, options.file_column, FILE_COLUMNS, "the file", table)
    label_column = _find_column(row, options.label_column, LABEL_COLUMNS, "the label", table)
    name = str(row[file_column] or "").strip()
    if not name:
        raise DataError(f"Row {number} of {table} names no file.")
    labels = _read_labels(row[label_column], options)
    if not labels and not options.multi_label:
        raise DataError(f"Row {number} of {table} ({name!r}) has no label.")
    if len(labels) > 1 and not options.multi_label:
        raise DataError(
            f"Row {number} of {table} ({name!r}) has {len(labels)} labels, but one is expected. Say that the data are multi-label."
        )
    others = {str(k): str(v) for k, v in row.items() if k not in (None, file_column, label_column) and v is not None}
    return name, labels, others


def _find_column(row: Mapping[str, Any], asked: str, usual: Sequence[str], what: str, table: str) -> str:
    for column in (asked,) if asked else usual:
        if column in row:
            return column
    expected = repr(asked) if asked else "one of " + ", ".join(usual)
    found = ", ".join(str(column) for column in row if column is not None) or "none"
    raise DataError(f"{table} has no column for {what}: expected {expected}; the columns are {found}.")


def _read_labels(cell: Any, options: ReadingOptions) -> tuple[str, ...]:
    if isinstance(cell, list | tuple):
        parts = [str(part).strip() for part in cell]
    elif options.multi_label:
        parts = [part.strip() for part in str("" if cell is None else cell).split(LABEL_SEPARATOR)]
    else:
        parts = [str("" if cell is None else cell).strip()]
    return tuple(dict.fromkeys(part for part in parts if part))
