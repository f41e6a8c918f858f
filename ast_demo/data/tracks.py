"""Label tracks of Audacity and selection tables of Raven beside recordings: clips of a long file, by their times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ast_demo.data.clips import LabelledClip
from ast_demo.data.files import Finder
from ast_demo.data.segments import TimeColumns, parse_seconds, segment_name
from ast_demo.data.tables import Table, TableLimits, column_key, open_table, read_lines
from ast_demo.errors import DataError

_LABEL_KEYS_OF_TRACKS = (
    "annotation", "annotations", "label", "labels", "species", "commonname", "name", "category", "class", "tag",
    "tags", "type", "event", "sound", "call", "notes",
)  # fmt: skip
_OWN_KEYS_OF_RAVEN = re.compile(
    r"selection|view|channel|(begin|end|low|high|delta|center|peak|max|min|avg|file|occupancy|energy|inband|agg|dur|bw|q[13]|"
    r"confidence|score).*"
)


@dataclass(frozen=True)
class Track:
    """What a file beside recordings says of their parts.

    Attributes:
        clips: The parts that have a label, of one kind and name each only once.
        left_out: How many entries are no clips: points in time, and those without a label.
    """

    name: str
    clips: tuple[LabelledClip, ...]
    left_out: int
    columns: tuple[str, ...] = ()


def read_track(name: str, finder: Finder, limits: TableLimits, label_column: str = "") -> Track | None:
    """Clips that a text beside a recording tells: an Audacity label track or a Raven selection table.

    Returns:
        None where the text is neither.

    Raises:
        DataError: It is one, but belongs to no recording, or has a wrong row.
    """
    content = finder.files.open(name)
    try:
        first = next(iter(read_lines(content, name, limits)), "")
    except DataError:
        return None
    cells = first.split("\t")
    if {"begintimes", "endtimes"} <= {column_key(cell) for cell in cells}:
        return _read_raven(open_table(content, name, limits), name, finder, label_column)
    if len(cells) in (2, 3) and all(_is_time(cell) for cell in cells[:2]):
        recording = _recording_beside(name, finder)
        return None if recording is None else _read_audacity(read_lines(content, name, limits), name, recording, finder)
    return None


def _is_time(cell: str) -> bool:
    try:
        parse_seconds(cell)
    except ValueError:
        return False
    return bool(cell.strip())


def _recording_beside(name: str, finder: Finder) -> str | None:
    """The recording of a track: `a.wav` of `a.txt`, `a_labels.txt`, `a.Table.1.selections.txt`."""
    path = PurePosixPath(name)
    fitting = []
    for recording in finder.audio:
        stem = PurePosixPath(recording).stem.casefold()
        rest = path.name.casefold().removeprefix(stem)
        if PurePosixPath(recording).parent == path.parent and rest != path.name.casefold() and not rest[0].isalnum():
            fitting.append(recording)
    return max(fitting, key=len, default=None)


def _read_audacity(lines: Iterable[str], name: str, recording: str, finder: Finder) -> Track:
    """Lines of start, end and label; those that begin with a backslash tell frequencies."""
    parts: list[tuple[float, float, str]] = []
    left_out = 0
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if cells[0].startswith("\\"):
            continue
        if len(cells) < 2 or not all(_is_time(cell) for cell in cells[:2]):
            raise DataError(
                f"Line {number} of {name} is {line[:80]!r}. Expected start, end and label, with tabs between."
            )
        start, end = parse_seconds(cells[0]), parse_seconds(cells[1])
        if len(cells) > 2 and cells[2] and 0 <= start < end:
            parts.append((start, end, cells[2]))
        else:
            left_out += 1
    return Track(name, _clips_of_parts(recording, parts, finder), left_out)


def _read_raven(table: Table, name: str, finder: Finder, label_column: str) -> Track:
    """Rows of a selection table. Each selection is there once for every view that it was seen in."""
    by_key = {column_key(column): column for column in table.columns}
    own = [column for column in table.columns if not _OWN_KEYS_OF_RAVEN.fullmatch(column_key(column))]
    usual = [by_key[key] for key in _LABEL_KEYS_OF_TRACKS if key in by_key]
    label = label_column if label_column in table.columns else next(iter([*usual, *own]), None)
    if label is None:
        raise DataError(f"{name} has no column for the label; the columns are {', '.join(table.columns)}.")
    times = TimeColumns(by_key["begintimes"], by_key["endtimes"])
    beside = _recording_beside(name, finder)
    file_column = next((by_key[key] for key in ("beginpath", "beginfile") if key in by_key), None)
    by_recording: dict[str, list[tuple[float, float, str]]] = {}
    left_out = 0
    for number, row in table.rows:
        part = times.read(row, number, name)
        if part is None or not row.get(label):
            left_out += 1
            continue
        recording = beside
        if file_column and row.get(file_column):
            found = finder.find(str(row[file_column]), PurePosixPath(name).parent.as_posix(), {})
            recording = found if isinstance(found, str) else recording
            offset = by_key.get("fileoffsets")
            if offset and _is_time(str(row.get(offset, ""))):  # the other times count through several files
                start = parse_seconds(str(row[offset]))
                part = (start, start + part[1] - part[0])
        if recording is None:
            raise DataError(f"Row {number} of {name} belongs to no recording: there is none of that name beside it.")
        by_recording.setdefault(recording, []).append((*part, str(row[label])))
    clips = [clip for recording, parts in by_recording.items() for clip in _clips_of_parts(recording, parts, finder)]
    return Track(name, tuple(clips), left_out, (label,))


def _clips_of_parts(
    recording: str, parts: Iterable[tuple[float, float, str]], finder: Finder
) -> tuple[LabelledClip, ...]:
    """Clips in the order of time; labels of the same seconds are those of one clip."""
    together: dict[tuple[float, float], dict[str, None]] = {}
    for start, end, label in parts:
        together.setdefault((start, end), {})[label] = None
    source = finder.files.open(recording)
    return tuple(
        LabelledClip(segment_name(recording, start, end), source, tuple(labels), {"recording": recording}, start, end)
        for (start, end), labels in sorted(together.items())
    )
