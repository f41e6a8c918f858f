"""Rows of an evaluation on the disk: Parquet files of some clips each, and the one table that they end as.

A part is there whole or not at all, so that a run that was killed goes on with those that are missing. No function
here holds more than some parts in memory, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ast_demo.errors import cannot_write

if TYPE_CHECKING:  # it takes half a second to import
    import pyarrow as pa

CLIPS_A_PART = 25
_PARTS = "parts"
_ROW_GROUP_BYTES = 32_000_000


def make_folder(folder: Path) -> None:
    """Make the folder of the parts, and those above it. Raises OSError."""
    (folder / _PARTS).mkdir(parents=True, exist_ok=True)


def write_part(rows: Sequence[Mapping[str, Any]], folder: Path, number: int) -> None:
    """Write some rows.

    Raises:
        DataError: The folder cannot be written to.
    """
    import pandas as pd

    file = folder / _PARTS / f"{number:06d}.parquet"
    try:
        pd.DataFrame(rows).to_parquet(file.with_suffix(".half"), index=False)
        file.with_suffix(".half").replace(file)
    except OSError as error:
        raise cannot_write(folder, error) from None


def find_parts(folder: Path) -> dict[int, Path]:
    """The parts that are there, by their numbers, in rising order."""
    return {int(file.stem): file for file in sorted((folder / _PARTS).glob("*.parquet"))}


def count_rows(folder: Path) -> int:
    """Rows in all parts; only what the files say of themselves is read."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in find_parts(folder).values())


def common_schema(folder: Path) -> pa.Schema:
    """Columns of all parts: a column that some part lacks is there, one in which no part has a value is not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = [pq.read_schema(file).remove_metadata() for file in find_parts(folder).values()]
    together = pa.unify_schemas(schemas, promote_options="permissive")
    return pa.schema([field for field in together if not pa.types.is_null(field.type)])


def read_parts(folder: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """These columns of every part, one part after the other, in the order of the clips."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in find_parts(folder).values():
        there = pq.read_schema(file).names
        table = pq.read_table(file, columns=[name for name in schema.names if name in there])
        columns = [
            table[field.name].cast(field.type) if field.name in there else pa.nulls(len(table), field.type)
            for field in schema
        ]
        yield pa.table(columns, schema=schema)


def write_table(tables: Iterator[pa.Table], file: Path) -> None:
    """Write tables of the same columns as one Parquet file. Raises OSError.

    Several go into one row group, as a file of many small ones is slow to open.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    half = file.with_suffix(".half")
    waiting: list[pa.Table] = []
    writer: pq.ParquetWriter | None = None
    for table in tables:
        writer = writer or pq.ParquetWriter(half, table.schema)
        waiting.append(table)
        if sum(one.nbytes for one in waiting) >= _ROW_GROUP_BYTES:
            writer.write_table(pa.concat_tables(waiting))
            waiting = []
    assert writer is not None
    if waiting:
        writer.write_table(pa.concat_tables(waiting))
    writer.close()
    half.replace(file)
