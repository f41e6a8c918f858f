"""An evaluation that is finished: its table, its metrics, and one row of it with all that it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ast_demo.errors import DataError

if TYPE_CHECKING:  # it takes half a second to import
    import pyarrow as pa

TABLE_FILE, METRICS_FILE = "evaluation.parquet", "metrics.json"


@dataclass(frozen=True)
class Evaluation:
    """What checkpoints said of labelled clips.

    Attributes:
        folder: Where the table, the metrics and the pictures lie.
        table: A row for each clip that could be read; a pandas DataFrame. Sounds, pictures, scores and embeddings may
            be left out: `read_row` gives them.
        columns: All columns of the table, those that are left out too.
        checkpoints: Names, in the order asked for.
        metrics: By checkpoint, as `metrics.json`.
        comparisons: For every two checkpoints, as `compare_correctness` returns it.
        unreadable: Name of each clip that could not be read, and why.
        computing_notes: Of one that was computed just now: why that was not as the settings ask for, a sentence each.
    """

    folder: Path
    table: Any
    columns: tuple[str, ...]
    checkpoints: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    comparisons: tuple[Mapping[str, Any], ...]
    unreadable: Mapping[str, str]
    computing_notes: tuple[str, ...] = ()


def read_evaluation(folder: Path, *, whole: bool = True) -> Evaluation:
    """An evaluation that was finished earlier.

    Args:
        whole: With all columns; otherwise the table is without sounds, pictures, scores and embeddings.

    Raises:
        DataError: There is none in the folder.
    """
    import pyarrow.parquet as pq

    try:
        summary = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        schema = pq.read_schema(folder / TABLE_FILE)
        shown = [field.name for field in schema if whole or not is_heavy(field)]
        table = pq.read_table(folder / TABLE_FILE, columns=shown).to_pandas()
    except (OSError, ValueError):
        raise DataError(
            f"There is no finished evaluation in {str(folder)!r}. Expected {TABLE_FILE} and {METRICS_FILE}."
        ) from None
    table = table.astype(dict.fromkeys(table.select_dtypes("category"), object))
    return Evaluation(
        folder,
        table,
        tuple(schema.names),
        tuple(summary["checkpoints"]),
        summary["checkpoints"],
        tuple(summary["comparisons"]),
        summary["unreadable"],
    )


def read_row(evaluation: Evaluation, place: int) -> dict[str, Any]:
    """All columns of one row, with its sound and its pictures, which are bytes or None."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(evaluation.folder / TABLE_FILE)
    for number in range(file.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if place < rows:
            return file.read_row_group(number).slice(place, 1).to_pylist()[0]
        place -= rows
    raise IndexError(f"There is no row {place} in the table.")


def is_heavy(field: pa.Field) -> bool:
    """Whether a column holds sounds, pictures or vectors: what nobody wants of all clips at once."""
    import pyarrow as pa

    return pa.types.is_binary(field.type) or pa.types.is_list(field.type)


def is_multi_label(evaluation: Evaluation) -> bool:
    return any("map" in metrics for metrics in evaluation.metrics.values())
