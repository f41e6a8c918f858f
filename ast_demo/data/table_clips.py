"""Clips that tables say: the one that decides, or those that are found among the files and are of use."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ast_demo.data.clips import LabelledClip, ReadingOptions, Understanding
from ast_demo.data.columns import FILE_KEYS, Columns, Row, find_columns, read_row
from ast_demo.data.files import RecordingFinder
from ast_demo.data.labels import list_some
from ast_demo.data.names import read_by_folders
from ast_demo.data.segments import are_cut_already, segment_name
from ast_demo.data.splits import known_split
from ast_demo.data.tables import Table, open_table
from ast_demo.errors import DataError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv")
FOLDER = "folder"  # of `label_from`
_SAMPLE = 200  # rows that are looked at to tell what the columns are
_SUBMISSION = "submission"  # in the name of a table of Kaggle: an example of what is handed in, and no truth


@dataclass(frozen=True)
class Found:
    """Clips, and what is said of where they come from; `used` are the recordings."""

    clips: tuple[LabelledClip, ...]
    understanding: Understanding
    used: frozenset[str]


def read_metadata(tables: Sequence[str], finder: RecordingFinder, where: str, options: ReadingOptions) -> Found | None:
    """What a `metadata` table says: the one at the top, or those in the folders. It decides, and may not be wrong."""
    named = [name for name in tables if PurePosixPath(name).name.casefold() in METADATA]
    top = [name for name in named if "/" not in name]
    taken = top[:1] or named
    if not taken:
        return None
    parts = [read_table(name, finder, f"{where}/{name}", options) for name in taken]
    others = [name for name in tables if name not in taken]
    left_out = [f"The table {name}, as {taken[0]} says what the clips are." for name in others]
    return _join(parts, f"{where}/{taken[0]}" if len(taken) == 1 else where, left_out)


def read_tables(tables: Sequence[str], finder: RecordingFinder, where: str, options: ReadingOptions) -> Found:
    """What the tables say that have columns for the file and the label, and whose files are there.

    Returns:
        No clips where none is of use, with the reasons.
    """
    parts: list[Found] = []
    taken: list[str] = []
    reasons: dict[str, str] = {}
    used: set[str] = set()
    by_folders = sum(1 for one in read_by_folders(finder.audio) if one.label)
    for name in sorted(tables, key=_rank):
        folder = PurePosixPath(name).parent
        if _SUBMISSION in PurePosixPath(name).name.casefold():
            reasons[name] = "an example of answers, and no truth"
            continue
        if taken and not known_split(PurePosixPath(name).stem) and known_split(PurePosixPath(taken[0]).stem):
            reasons[name] = f"as {taken[0]} says what the clips are" if folder == PurePosixPath(taken[0]).parent else ""
        if reasons.get(name):
            continue
        try:
            part = read_table(name, finder, f"{where}/{name}", options, discovered=True)
        except DataError as error:
            if not isinstance(error, _NoTableOfClipsError) and not 2 * by_folders > len(finder.audio):
                raise
            reasons[name] = str(error).rstrip(".")
            continue
        if used & part.used:
            reasons[name] = f"as {list_some(taken)} says what these clips are"
            continue
        parts.append(part)
        taken.append(name)
        used |= part.used
    left_out = [f"The table {name}: {reason}." for name, reason in reasons.items()]
    if not parts:
        return Found((), Understanding(left_out=tuple(left_out)), frozenset())
    asked_for = options.label_column or options.label_from or options.file_column or options.audio_folder
    if len(used) * 2 < len(finder.audio) and by_folders > len(used) and not asked_for:
        left_out += [
            f"The table {name}: it names {len(part.used):,} of {len(finder.audio):,} recordings, and the folders say "
            "more. Name its column of labels to use it."
            for name, part in zip(taken, parts, strict=True)
        ]
        return Found((), Understanding(left_out=tuple(left_out)), frozenset())
    return _join(parts, where, left_out)


def _rank(name: str) -> tuple[bool, int, str]:
    """Tables of a split first, then those nearest to the top."""
    path = PurePosixPath(name)
    return known_split(path.stem) is None, name.count("/"), name


class _NoTableOfClipsError(DataError):
    """A table that was found among the files, and is none of clips: no reason to stop."""


class FileMissingError(DataError):
    """A table names a file that is not there."""


def read_table(
    name: str, finder: RecordingFinder, shown: str, options: ReadingOptions, *, discovered: bool = False
) -> Found:
    """The clips of a table.

    Args:
        discovered: It may be about something else: then it is left out. As soon as it is known to be of clips, a
            row that is wrong ends the reading.

    Raises:
        DataError: It is wrong.
    """
    folder = PurePosixPath(name).parent.as_posix()
    folder = "" if folder == "." else folder
    label = options.label_column or options.label_from

    def finds(written: Any, row: Mapping[str, Any]) -> bool:
        try:
            return finder.find(str(written), folder, row) is not None
        except DataError:
            return True

    try:
        table = replace(open_table(finder.files.open(name), name, options.table_limits, FILE_KEYS), name=shown)
        sample = list(itertools.islice(table.rows, _SAMPLE))
        if not sample:
            raise DataError(f"{shown} has no rows. Expected one for each clip.")
        rows = [row for _, row in sample]
        columns = find_columns(
            table, rows, file=options.file_column, label=label, multi_label=options.multi_label, finds=finds
        )
    except DataError as error:
        raise (_NoTableOfClipsError(str(error)) if discovered else error) from None
    if discovered and not any(row.get(columns.file) and finds(row[columns.file], row) for row in rows):
        raise _NoTableOfClipsError(f"none of the files that it names in {columns.file!r} is there")
    split = known_split(PurePosixPath(name).stem) or known_split(folder.split("/")[-1])
    told = PurePosixPath(name).stem if known_split(PurePosixPath(name).stem) else folder.split("/")[-1]
    return _clips_of_table(
        table, itertools.chain(sample, table.rows), columns, finder, folder, told if split and not columns.split else ""
    )


def _clips_of_table(
    table: Table,
    rows: Iterable[tuple[int, dict[str, Any]]],
    columns: Columns,
    finder: RecordingFinder,
    folder: str,
    split: str,
) -> Found:
    clips: dict[str, LabelledClip] = {}
    recordings: list[str] = []
    unlabelled = missing = 0
    for number, cells in rows:
        row = read_row(cells, number, table.name, columns)
        if not row.labels and columns.may_lack_label:
            unlabelled += 1
            continue
        file = _find(row, cells, table.name, columns, finder, folder)
        if file is None:
            missing += 1
            continue
        clip = _clip_of_row(row, file, finder, split)
        recordings.append(str(file))
        before = clips.get(clip.name)
        if before is not None and (columns.separator is None or before.label == clip.label):
            raise DataError(f"{table.name} names the file {clip.name!r} twice.")
        clips[clip.name] = clip if before is None else replace(before, labels=(*before.labels, *clip.labels))
    if not clips:
        raise DataError(
            f"{table.name} has no rows. Expected one for each clip."
            if not unlabelled
            else f"{table.name} has no label in any row of the column {columns.label!r}."
        )
    listed = list(clips.values())
    notes = []
    if columns.times and are_cut_already(listed, recordings, columns.file):
        listed = [
            replace(clip, name=name, start_s=0.0, end_s=None) for clip, name in zip(listed, recordings, strict=True)
        ]
        notes.append(f"{_times(columns)} are not used: they are those of the recordings that the files were cut from.")
    elif columns.times:
        notes.append(f"{_times(columns)} tell which part of a recording a clip is.")
    left_out = [f"{unlabelled:,} rows of {table.name} without a label."] if unlabelled else []
    if missing:
        left_out.append(f"{missing:,} rows of {table.name}, whose videos are not there.")
    splits_from = f"the column {columns.split!r}" if columns.split else f"the table {table.name}" if split else ""
    understanding = Understanding(
        f"the column {columns.label!r} of {table.name}",
        splits_from,
        tuple(left_out),
        tuple(notes),
        (FOLDER, *table.columns),
    )
    return Found(tuple(listed), understanding, frozenset(recordings))


def _times(columns: Columns) -> str:
    assert columns.times is not None
    return f"The columns {columns.times.start!r} and {columns.times.end!r}"


def _find(
    row: Row, cells: Mapping[str, Any], table: str, columns: Columns, finder: RecordingFinder, folder: str
) -> str | Path | None:
    """The file of a row; None where it is a video that is not there, as of AudioSet some never are."""
    try:
        file = finder.find(row.file, folder, cells)
    except DataError as error:
        says = "" if str(error).startswith("names ") else "says that "
        raise DataError(f"Row {row.number} of {table} {says}{error}") from None
    if file is None and columns.times and columns.file.casefold().strip("# ") == "ytid":
        return None
    if file is None:
        raise FileMissingError(f"Row {row.number} of {table} names the file {row.file!r}, which is not there.")
    return file


def _clip_of_row(row: Row, file: str | Path, finder: RecordingFinder, split: str) -> LabelledClip:
    source = finder.files.open(file) if isinstance(file, str) else file
    columns = dict(row.columns)
    if split:
        columns.setdefault("split", split)
    name = file if isinstance(file, str) else posixpath.normpath(row.file)
    if row.times is None:
        return LabelledClip(name, source, row.labels, columns)
    start, end = row.times
    return LabelledClip(segment_name(name, start, end), source, row.labels, columns, start, end)


def _join(parts: Sequence[Found], where: str, left_out: Sequence[str]) -> Found:
    """Several tables as one."""
    clips = [clip for part in parts for clip in part.clips]
    seen: set[str] = set()
    for clip in clips:
        if clip.name in seen:
            raise DataError(f"{where} names the file {clip.name!r} twice.")
        seen.add(clip.name)
    every = [part.understanding for part in parts]
    understanding = Understanding(
        list_some(list(dict.fromkeys(one.labels_from for one in every))),
        list_some(list(dict.fromkeys(one.splits_from for one in every if one.splits_from))),
        (*(sentence for one in every for sentence in one.left_out), *left_out),
        tuple(dict.fromkeys(sentence for one in every for sentence in one.notes)),
        tuple(dict.fromkeys(choice for one in every for choice in one.choices)),
    )
    return Found(tuple(clips), understanding, frozenset().union(*(part.used for part in parts)))
