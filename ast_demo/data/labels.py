"""Labels of clips: their order, and a map from the data's to the checkpoints'."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from ast_demo.errors import DataError

LABEL_SEPARATOR = ";"  # between the labels of one clip, in a cell of a table


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order that a person expects: 2 before 10, and words by the alphabet."""
    return tuple(
        sorted(
            set(labels), key=lambda label: [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in _parts(label)]
        )
    )


def _parts(label: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", label) if part]


def read_label_map(path: str | Path) -> dict[str, str]:
    """A CSV of two columns without a header: a label of the data, and what the checkpoints call it.

    Raises:
        DataError: It cannot be read, or a row has not two cells.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The label map {str(path)!r} cannot be read: {error}.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise DataError(f"Row {number} of the label map {str(path)!r} has {len(row)} cells. Expected two.")
    return {name.strip(): other.strip() for name, other in rows}
