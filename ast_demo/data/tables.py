"""Tables as Excel, pandas and people write them, row by row, within bounds: CSV, TSV and JSON lines.

The separator is told from the header: comma, semicolon or tab. Names of columns keep their spelling; spaces around
cells and rows without any content are passed over. What is wrong ends the reading at that row, with a sentence.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ast_demo.data.remote_files import RemoteFile
from ast_demo.errors import AudioError, DataError
from ast_demo.settings import Settings

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
Content = Path | bytes | RemoteFile
_LINES_OF_HEAD = 20  # comments and empty lines that may stand before the header
_MORE_CELLS = 8  # beyond the header's; Excel leaves empty ones
_CELLS_A_CHUNK = 200_000
_SHOWN = 40  # characters of a cell in a sentence


@dataclass(frozen=True)
class TableLimits:
    """How large a table may be.

    Attributes:
        mb: Megabytes.
        rows: Rows, the empty ones too.
        columns: Columns.
        cell: Characters in a cell.
    """

    mb: float = Settings.max_table_mb
    rows: int = Settings.max_table_rows
    columns: int = Settings.max_table_columns
    cell: int = Settings.max_cell_characters


def table_limits(settings: Settings) -> TableLimits:
    """How large a table may be by the settings."""
    return TableLimits(
        settings.max_table_mb, settings.max_table_rows, settings.max_table_columns, settings.max_cell_characters
    )


@dataclass(frozen=True)
class Table:
    """An open table.

    Attributes:
        columns: Names, as they are written; of JSON lines, those of the first line.
        rows: Number of each row (the header is row 1) and its cells by the names of their columns: text, or what JSON
            holds. It can be read once, and raises DataError at the first row that is wrong.
        separator: Between cells.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterator[tuple[int, dict[str, Any]]]
    separator: str = ","


def column_key(name: str) -> str:
    """What columns are found by: “File Name”, “file_name”, “fileName” and “# filename” are the same."""
    return re.sub(r"[\W_]+", "", name.casefold())


def open_table(content: Content, name: str, limits: TableLimits, known: Sequence[str] = ()) -> Table:
    """Open a table, and read its header.

    Args:
        name: For people, and its suffix tells JSON lines from the others.
        known: Keys of columns (see `column_key`) of which a header that is a comment must have one.

    Raises:
        DataError: It is no text in UTF-8 or UTF-16, is empty, or exceeds a limit.
    """
    stream = _open_text(content, name, limits)
    try:
        if name.casefold().endswith((".jsonl", ".ndjson")):
            rows = _json_rows(stream, name, limits)
            first = list(itertools.islice(rows, 1))
            columns = tuple(first[0][1]) if first else ()
            return Table(name, columns, itertools.chain(first, rows))
        number, header = _find_header(stream, name, known)
        separator = find_column_separator(header)
        names = _split_header(header, separator, name, limits)
        named = (
            (place, dict(zip(names, cells, strict=False)))
            for place, cells in _delimited_rows(stream, name, separator, len(names), limits, number + 1)
        )
        return Table(name, tuple(column for column in names if column), _without_unnamed(named), separator)
    except UnicodeError as error:
        raise _no_text(name, error) from None


def read_cells(content: Content, name: str, limits: TableLimits) -> Iterator[tuple[int, list[str]]]:
    """Cells of a table without a header, row by row, with the number of each row. Raises DataError as `open_table`."""
    stream = _open_text(content, name, limits)
    try:
        first = next((line for line in iter(lambda: _read_line(stream, name), "") if line.strip()), "")
        separator = find_column_separator(first)
        n_columns = len(_split_line(first, separator, name))
        _check_columns(n_columns, name, limits)
        stream.seek(0)
        yield from _delimited_rows(stream, name, separator, n_columns, limits, 1)
    except UnicodeError as error:
        raise _no_text(name, error) from None


def read_lines(content: Content, name: str, limits: TableLimits) -> Iterator[str]:
    """Lines of a text that are not empty, without spaces at their ends. Raises DataError as `open_table`."""
    stream = _open_text(content, name, limits)
    try:
        for number in itertools.count(1):
            line = _read_line(stream, name)
            if not line:
                return
            if number > limits.rows:
                raise _too_many_rows(name, limits)
            if line.strip():
                yield line.strip()
    except UnicodeError as error:
        raise _no_text(name, error) from None


def find_column_separator(header: str) -> str:
    """The separator of a header: of tab, semicolon and comma the one that occurs most outside of quotes."""
    outside = re.sub(r'"[^"]*"', "", header)
    return max("\t;,", key=outside.count) if any(mark in outside for mark in "\t;,") else ","


class _Padded:
    """Text after a row of empty cells, from which pandas tells how many columns there are at most."""

    def __init__(self, first: str, rest: TextIO, name: str) -> None:
        self._first, self._rest, self._name = first, rest, name

    def read(self, size: int = -1) -> str:
        text, self._first = self._first or self._rest.read(size), ""
        if "\0" in text:
            raise _has_zero_bytes(self._name)
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.read, "")


def _has_zero_bytes(name: str) -> DataError:
    return DataError(f"{name} cannot be read as a UTF-8 table: it holds zero bytes.")


def _open_text(content: Content, name: str, limits: TableLimits) -> TextIO:
    """The text of a file, whatever encoding its first bytes tell."""
    try:
        if isinstance(content, RemoteFile):
            content = content.read()
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > limits.mb * 1e6:
            raise DataError(f"{name} has {size / 1e6:.1f} MB; tables of at most {limits.mb:g} MB are read.")
        content = content if isinstance(content, bytes) else content.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}.") from None
    except AudioError as error:  # of a file in a bucket
        raise DataError(str(error)) from None
    return io.TextIOWrapper(io.BytesIO(content), encoding=_encoding(content[:200]), newline=None)


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # half of the bytes of plain text are zero there
        halves = head[start::2], head[1 - start :: 2]
        if len(head) > 3 and halves[0].count(0) > 0.8 * len(halves[0]) and halves[1].count(0) == 0:
            return encoding
    return "utf-8-sig"


def _no_text(name: str, error: UnicodeError) -> DataError:
    reason = str(error) if isinstance(error, UnicodeDecodeError) else "it ends in the middle of a character"
    return DataError(f"{name} cannot be read as a UTF-8 table: {reason}. Save it as UTF-8.")


def _too_many_rows(name: str, limits: TableLimits) -> DataError:
    return DataError(f"{name} has more than {limits.rows:,} rows. At most so many are read from a table.")


_LONGEST_LINE = 5_000_000


def _read_line(stream: TextIO, name: str) -> str:
    line = stream.readline(_LONGEST_LINE)
    if len(line) >= _LONGEST_LINE:
        raise DataError(f"{name} has a line of more than {_LONGEST_LINE:,} characters, which no table has.")
    if "\0" in line:
        raise _has_zero_bytes(name)
    return line


def _find_header(stream: TextIO, name: str, known: Sequence[str]) -> tuple[int, str]:
    """Number and text of the line with the names of the columns. AudioSet's is the last of some comments."""
    comment: tuple[int, str] | None = None
    for number in range(1, _LINES_OF_HEAD):
        line = _read_line(stream, name)
        if not line:
            break
        text = line.strip("\r\n")
        if not text.strip() or re.fullmatch(r"sep=.", text.strip().strip('"'), re.IGNORECASE):  # the latter by Excel
            continue
        if not text.lstrip().startswith("#"):
            return number, text
        uncommented = text.lstrip().lstrip("#").strip()
        keys = {column_key(cell) for cell in uncommented.split(find_column_separator(uncommented))}
        if keys & set(known):
            return number, uncommented
        comment = comment or (number, text)
    raise DataError(f"{name} has no rows. Expected a header, and a row for each clip.")


def _split_line(line: str, separator: str, name: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as a table: {error}.") from None
    return [cell.strip() for cell in cells]


def _split_header(header: str, separator: str, name: str, limits: TableLimits) -> list[str]:
    """Names of the columns, each once; "" for a column without a name."""
    columns = _split_line(header, separator, name)
    _check_columns(len(columns), name, limits)
    if max(map(len, columns), default=0) > limits.cell:
        raise DataError(f"{name} has a column whose name is longer than {limits.cell:,} characters.")
    seen: dict[str, int] = {}
    for place, column in enumerate(columns):
        seen[column] = seen.get(column, 0) + 1
        if column and seen[column] > 1:
            columns[place] = f"{column} ({seen[column]})"
    return columns


def _check_columns(n_columns: int, name: str, limits: TableLimits) -> None:
    if n_columns > limits.columns:
        raise DataError(f"{name} has {n_columns:,} columns; at most {limits.columns:,} are read from a table.")


def _delimited_rows(
    stream: TextIO, name: str, separator: str, n_columns: int, limits: TableLimits, first: int
) -> Iterator[tuple[int, list[str]]]:
    """Rows of a table, without those that have no content; of each row at least the cells that its header has."""
    import pandas as pd

    tabbed = separator == "\t"  # there, a quotation mark is text: sentences of Common Voice begin with one
    try:
        chunks = pd.read_csv(
            _Padded(separator * (n_columns + _MORE_CELLS - 1) + "\n", stream, name),
            sep=separator,
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            quoting=csv.QUOTE_NONE if tabbed else csv.QUOTE_MINIMAL,
            chunksize=max(1, _CELLS_A_CHUNK // (n_columns + _MORE_CELLS)),
        )
        number = first - 1  # the row of empty cells
        for chunk in chunks:
            for cells in chunk.fillna("").to_numpy().tolist():
                if number - first >= limits.rows:
                    raise _too_many_rows(name, limits)
                checked = _check_row([_plain(cell, tabbed) for cell in cells], number, name, n_columns, limits)
                if any(checked):
                    yield number, checked
                number += 1
    except pd.errors.EmptyDataError:
        return
    except UnicodeError as error:
        raise _no_text(name, error) from None
    except (pd.errors.ParserError, OverflowError) as error:
        raise DataError(_unreadable_row(name, str(error), first)) from None


def _plain(cell: str, tabbed: bool) -> str:
    cell = cell.strip()
    return cell[1:-1].replace('""', '"') if tabbed and re.fullmatch(r'"([^"]|"")*"', cell) else cell


def _check_row(cells: list[str], number: int, name: str, n_columns: int, limits: TableLimits) -> list[str]:
    if any(cells[n_columns:]):
        n_cells = max(place for place, cell in enumerate(cells, start=1) if cell)
        raise DataError(f"Row {number} of {name} has {n_cells} cells, but its header has {n_columns}.")
    for cell in cells:
        if len(cell) > limits.cell:
            raise DataError(
                f"Row {number} of {name} has a cell of {len(cell):,} characters ({cell[:_SHOWN]!r} …); "
                f"at most {limits.cell:,} are read."
            )
    return cells[:n_columns]


def _unreadable_row(name: str, reason: str, first: int) -> str:
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", reason)
    if found:
        row, n_cells = int(found[2]) + first - 2, int(found[3])
        return f"Row {row} of {name} has {n_cells:,} cells, but its header has {int(found[1]) - _MORE_CELLS:,}."
    if "EOF inside string" in reason:
        return f"{name} cannot be read as a table: a quotation mark is opened and never closed."
    return f"{name} cannot be read as a table: {reason.splitlines()[0].rstrip('.')}."


def _without_unnamed(rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows without the column that has no name, as pandas writes its index."""
    for number, row in rows:
        row.pop("", None)
        if any(row.values()):
            yield number, row


def _json_rows(stream: TextIO, name: str, limits: TableLimits) -> Iterator[tuple[int, dict[str, Any]]]:
    for number in itertools.count(1):
        try:
            line = stream.readline(_LONGEST_LINE)
            if not line:
                return
            if number > limits.rows:
                raise _too_many_rows(name, limits)
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError(f"{name} cannot be read as a UTF-8 table: line {number} is no JSON object.")
            row = {key.strip(): _flat(value) for key, value in row.items()}
        except UnicodeError as error:
            raise _no_text(name, error) from None
        except RecursionError:
            raise DataError(f"Line {number} of {name} is nested too deeply. Expected one flat JSON object.") from None
        except ValueError as error:
            raise DataError(f"{name} cannot be read as a UTF-8 table: line {number} is no JSON ({error}).") from None
        _check_columns(len(row), name, limits)
        for value in row.values():
            if len(value) > limits.cell:
                raise DataError(
                    f"Line {number} of {name} has a value of {len(value):,} characters; at most {limits.cell:,} are read."
                )
        yield number, row


def _flat(value: Any) -> Any:
    """Text of what JSON holds, or a list of texts."""
    if isinstance(value, list):
        return [part if isinstance(part, str) else json.dumps(part) for part in value if part is not None]
    if isinstance(value, dict):
        return json.dumps(value)
    return "" if value is None else str(value).strip()
