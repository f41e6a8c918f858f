"""Which columns of a table say the file, the label and the split, and what a row says of its clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ast_demo.data.labels import LABEL_SEPARATOR, find_separator, split_cell
from ast_demo.data.segments import TimeColumns, find_time_columns
from ast_demo.data.splits import known_split
from ast_demo.data.tables import Table, column_key
from ast_demo.errors import DataError

FILE_COLUMNS = ("file_name", "filename", "file", "path", "audio")
LABEL_COLUMNS = ("label", "labels", "category", "class", "target", "word")
# Keys of the columns of public data sets, in the order in which they are taken. See `column_key`.
FILE_KEYS = (
    "filename", "file", "path", "audio", "filepath", "audiofilepath", "audiofilename", "audiofile", "audiopath",
    "wavfile", "wavpath", "wavfilename", "wav", "clippath", "clipfile", "clipname", "clip", "soundfile",
    "soundfilename", "slicefilename", "fname", "recordingfile", "recording", "sound", "samplepath", "sample",
    "audioid", "fileid", "clipid", "trackid", "ytid", "youtubeid", "videoid", "beginpath", "beginfile",
)  # fmt: skip
LABEL_KEYS = (
    "labelname", "labeltext", "label", "labels", "displayname", "categoryname", "category", "categories",
    "classname", "classlabel", "class", "classes", "primarylabel", "ebirdcode", "eventlabel", "scenelabel",
    "soundclass", "soundevent", "event", "scene", "intentclass", "intent", "emotion", "genretop", "genre",
    "instrumentfamilystr", "instrument", "keyword", "command", "word", "positivelabels", "humanlabels", "tags",
    "tag", "annotation", "species", "commonname", "targetname", "target", "classid", "labelid", "targetid",
    "categoryid", "digit",
)  # fmt: skip
_SPLIT_KEYS = ("split", "subset", "partition", "set", "datasplit", "datasetsplit", "dataset")
# Of these columns one cell holds several labels in a public data set: AudioSet, FSD50K.
_ALWAYS_SEVERAL = ("positivelabels", "humanlabels")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        separator: Between the labels in a cell; None where each clip has one.
        may_lack_label: Rows without a label are passed over, as the column was named by who asked.
        times: Of the columns that tell a part of a recording.
        split: Of the column that tells the split; "" where there is none.
    """

    file: str
    label: str
    separator: str | None = None
    may_lack_label: bool = False
    times: TimeColumns | None = None
    split: str = ""
    others: tuple[str, ...] = field(default=())


def find_columns(
    table: Table, sample: Sequence[Mapping[str, Any]], *, file: str, label: str, multi_label: bool, finds: Any
) -> Columns:
    """What the columns of a table are: as it was said, or by their usual names, in any case.

    Args:
        sample: The first rows.
        file, label: Columns that were named; empty: the usual ones.
        finds: Whether a cell of the file's column and its row find a recording: decides between columns.

    Raises:
        DataError: There is no such column.
    """
    files = _columns_of(table.columns, file, FILE_KEYS)
    if not files:
        raise _no_column(table, "the file", file, FILE_COLUMNS)
    found = [column for column in files if any(row.get(column) and finds(row[column], row) for row in sample)]
    file_column = (found or files)[0]
    labels = [column for column in _columns_of(table.columns, label, LABEL_KEYS) if column != file_column]
    if not labels:
        raise _no_column(table, "the label", label, LABEL_COLUMNS)
    label_column = labels[0]
    always = column_key(label_column) in _ALWAYS_SEVERAL or _is_of_fsd50k(table.columns, label_column)
    cells = [row.get(label_column) for row in sample]
    split = _find_split(table.columns, sample)
    others = tuple(column for column in table.columns if column not in (file_column, label_column))
    return Columns(
        file_column,
        label_column,
        find_separator(cells, "," if always else LABEL_SEPARATOR) if multi_label or always else None,
        may_lack_label=bool(label),
        times=find_time_columns(others, sample),
        split=split,
        others=others,
    )


def _columns_of(columns: Sequence[str], asked: str, usual: Sequence[str]) -> list[str]:
    """The columns with the name that was asked for, or with usual ones, in the order of these."""
    if asked:
        return [column for column in columns if column == asked] or [
            column for column in columns if column_key(column) == column_key(asked)
        ]
    by_key: dict[str, str] = {}
    for column in columns:
        by_key.setdefault(column_key(column), column)
    return [by_key[key] for key in usual if key in by_key]


def _no_column(table: Table, what: str, asked: str, usual: Sequence[str]) -> DataError:
    expected = repr(asked) if asked else "one of " + ", ".join(usual)
    found = ", ".join(table.columns[:20]) + (" …" if len(table.columns) > 20 else "") or "none"
    hint = (
        ""
        if asked or not any(PurePosixPath(name).suffix for name in table.columns)
        else (" Its first row looks like one of a clip: add a row with the names of the columns.")
    )
    return DataError(f"{table.name} has no column for {what}: expected {expected}; the columns are {found}.{hint}")


def _is_of_fsd50k(columns: Sequence[str], label: str) -> bool:
    return column_key(label) == "labels" and "mids" in map(column_key, columns)


def _find_split(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> str:
    """The column of the split. Under a name that may mean something else, only if all values are splits."""
    for key in _SPLIT_KEYS:
        for column in columns:
            if column_key(column) == key:
                values = [str(row.get(column) or "") for row in sample]
                if key == "split" or (values and all(known_split(value) for value in values)):
                    return column
    return ""


@dataclass(frozen=True)
class Row:
    """What a row says of a clip: labels may be none."""

    number: int
    file: str
    labels: tuple[str, ...]
    columns: dict[str, str]
    times: tuple[float, float] | None


def read_row(row: Mapping[str, Any], number: int, table: str, columns: Columns) -> Row:
    """Read a row.

    Raises:
        DataError: It names no file; has several labels where one is expected; its times are none.
    """
    name = str(row.get(columns.file) or "").strip()
    if not name:
        raise DataError(f"Row {number} of {table} names no file.")
    labels = split_cell(row.get(columns.label), columns.separator)
    if not labels and columns.separator is None and not columns.may_lack_label:
        raise DataError(
            f"Row {number} of {table} ({name!r}) has no label. Write one, or name the column of the labels: "
            "rows without one are passed over then."
        )
    if len(labels) > 1 and columns.separator is None:
        raise DataError(
            f"Row {number} of {table} ({name!r}) has {len(labels)} labels, but one is expected. Say that the data are multi-label."
        )
    others = {}
    for column, value in row.items():
        if column not in (columns.file, columns.label):
            others["split" if column == columns.split else column] = (
                ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            )
    times = columns.times.read(row, number, table) if columns.times else None
    return Row(number, name, labels, others, times)
