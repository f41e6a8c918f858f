"""Labels as people write them: in which order, which are the same, several in one cell, and a map from one to another."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ast_demo.data.tables import TableLimits, read_cells
from ast_demo.errors import DataError

LABEL_SEPARATOR = ";"  # between the labels of one clip, where they are written in one cell
_OTHER_SEPARATORS = ("|", ",")
_MOST_SHOWN = 5
_LARGEST_MAP = (1.0, 100_000, 8, 1000)  # megabytes, rows, columns, characters of a cell


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order that a person expects: 2 before 10, and words by the alphabet."""
    return tuple(sorted(set(labels), key=lambda label: [_sort_key(part) for part in re.split(r"(\d+)", label) if part]))


def _sort_key(part: str) -> tuple[bool, int, str]:
    """Numbers by their length and digits: as text, because Python makes no number of digits by the thousand."""
    if not part.isdecimal():
        return True, 0, part
    digits = "".join(str(unicodedata.decimal(digit)) for digit in part).lstrip("0")
    return False, len(digits), digits + part


def match_key(label: str) -> str:
    """What labels are matched by: “Dog bark”, “dog_bark”, “dog-bark” and “DOGBARK” are the same, “1 1” and “11” are not."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).casefold())
    words = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", text).replace("_", " ").split()
    key = ""
    for word in words:
        key += " " + word if key and key[-1].isdecimal() and word[0].isdecimal() else word
    return key or label.strip()


def merge_spellings(labels: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """One spelling for labels that match: the most frequent one, and of those that are equally frequent the first.

    Args:
        labels: Of all clips, as often as they occur.

    Returns:
        How each label is spelled from now on, and a sentence for each that is spelled in several ways.
    """
    by_key: dict[str, Counter[str]] = {}
    for label in labels:
        by_key.setdefault(match_key(label), Counter())[label] += 1
    spelled: dict[str, str] = {}
    notes = []
    for spellings in by_key.values():
        (chosen, _), *_ = spellings.most_common(1)
        spelled |= dict.fromkeys(spellings, chosen)
        if len(spellings) > 1:
            notes.append(f"{list_some([repr(one) for one in spellings])} are one label, {chosen!r}.")
    return spelled, tuple(notes)


def list_some(names: Sequence[str], most: int = _MOST_SHOWN) -> str:
    """Names in a sentence, the first few of them where there are many."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


# As spreadsheets and pandas write a cell that is empty. Not "none" and "na", which may be what somebody calls a class.
_NOTHING = ("nan", "<na>", "#n/a", "null")


def split_cell(cell: Any, separator: str | None) -> tuple[str, ...]:
    """Labels in a cell of a table, each once: a list, text like `['rain', 'wind']`, or text with a separator.

    Args:
        separator: Between labels; None where a cell holds one.
    """
    if isinstance(cell, str) and separator is not None and cell.startswith("[") and cell.endswith("]"):
        try:
            cell = json.loads(cell.replace("'", '"'))
        except (ValueError, RecursionError):
            cell = cell[1:-1]
    if isinstance(cell, list | tuple):
        parts = [_as_text(part) for part in cell]
    else:
        text = "" if cell is None else _as_text(cell)
        parts = [text] if separator is None else [part.strip().strip('"').strip() for part in text.split(separator)]
    return tuple(dict.fromkeys(part for part in parts if part and part.casefold() not in _NOTHING))


def find_separator(cells: Iterable[Any], otherwise: str = LABEL_SEPARATOR) -> str:
    """What separates labels in the cells of a column: a semicolon where there is any, else a bar, else a comma."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    for separator in (LABEL_SEPARATOR, *_OTHER_SEPARATORS):
        if any(separator in text for text in texts):
            return separator
    return otherwise


def _as_text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def read_label_map(path: str | Path) -> dict[str, str]:
    """A CSV of two columns without a header: a label of the data, and what the checkpoints call it.

    Where the second cell is empty, the label is dropped.

    Raises:
        DataError: It cannot be read or is larger than any map of labels, a row has not two cells, a label has no name,
            or is there twice.
    """
    shown = f"the label map {Path(path).name!r}"
    mapped: dict[str, str] = {}
    targets: dict[str, str] = {}
    for number, cells in read_cells(Path(path), shown, TableLimits(*_LARGEST_MAP)):
        while len(cells) > 2 and not cells[-1]:
            cells = cells[:-1]
        if len(cells) != 2:
            raise DataError(f"Row {number} of {shown} has {len(cells)} cells. Expected two.")
        name, other = cells
        if not name:
            raise DataError(f"Row {number} of {shown} says what is called {other!r}, but not of which label.")
        if targets.setdefault(match_key(name), other) != other:
            raise DataError(f"Row {number} of {shown} calls {name!r} {other!r}, and a row before it called it another.")
        mapped[name] = other
    return mapped


def apply_map(labels: Sequence[str], by_key: Mapping[str, str]) -> tuple[str, ...]:
    """Labels as a map calls them, each once, without those that it drops.

    Args:
        by_key: From `match_key` of a label to its name.
    """
    named = (by_key.get(match_key(label), label) for label in labels)
    return tuple(dict.fromkeys(name for name in named if name))
