"""The parts of an evaluation -> its table, its metrics and its pictures: what needs all clips."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ast_demo.data import LABEL_SEPARATOR, LabelledClips, match_key
from ast_demo.errors import DataError, cannot_write
from ast_demo.evaluation.columns import column, label_key
from ast_demo.evaluation.embedding_map import fit_coordinates, place_others, spread
from ast_demo.evaluation.parts import common_schema, read_parts, write_table
from ast_demo.evaluation.results import METRICS_FILE, TABLE_FILE, Evaluation, is_heavy, read_evaluation
from ast_demo.figures import confusion_figure, reliability_figure, to_png
from ast_demo.metrics import compare_correctness, score_multi_label, score_single_label
from ast_demo.models import CheckpointFacts

if TYPE_CHECKING:  # it takes half a second to import
    import pyarrow as pa


def finish(
    folder: Path,
    clips: LabelledClips,
    facts: Sequence[CheckpointFacts],
    label_map: Mapping[str, str],
    go_on: Callable[[], None],
) -> Evaluation:
    """Put the parts together, and compute what needs all clips.

    Args:
        go_on: Called between any two steps: what it raises ends the work.
    """
    import pyarrow as pa

    schema = common_schema(folder)
    plain = pa.schema([field for field in schema if not is_heavy(field)])
    rows = pa.concat_tables(_while(go_on, read_parts(folder, plain))).to_pandas()
    unreadable: dict[str, str] = {}
    if "unreadable" in rows:
        bad = rows[rows["unreadable"].notna()]
        unreadable = dict(zip(bad["clip"], bad["unreadable"], strict=True))
        rows = rows[rows["unreadable"].isna()]
    if rows.empty:
        raise DataError(f"Not one of the {len(unreadable)} clips could be read. {next(iter(unreadable.values()))}")
    names = [one.name for one in facts]
    right = {name: rows[column("correct", name)].to_numpy(dtype=bool) for name in names}
    metrics = {}
    for one in facts:
        go_on()
        scores = _read_vectors(folder, schema, column("scores", one.name)) if clips.multi_label else np.empty(0)
        metrics[one.name] = _score(rows, scores, one, clips.multi_label, label_map)
    comparisons = [compare_correctness(right[a], right[b], (a, b)) for a, b in combinations(names, 2)]
    summary = {"checkpoints": metrics, "comparisons": comparisons, "unreadable": unreadable}
    try:
        write_table(_with_coordinates(folder, schema, names, len(rows), go_on), folder / TABLE_FILE)
        (folder / METRICS_FILE).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if not clips.multi_label:
            for name in names:
                go_on()
                figure = confusion_figure(rows["label"].tolist(), rows[column("prediction", name)].tolist(), name)
                file_name = re.sub(r"[^\w.-]+", "--", name)
                (folder / f"confusion_{file_name}.png").write_bytes(to_png(figure))
                go_on()
                figure = reliability_figure(right[name], rows[column("confidence", name)].to_numpy(), name)
                (folder / f"reliability_{file_name}.png").write_bytes(to_png(figure))
    except OSError as error:
        raise cannot_write(folder, error) from None
    return read_evaluation(folder, whole=False)


def _while(go_on: Callable[[], None], tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        go_on()
        yield table


def _with_coordinates(
    folder: Path, schema: pa.Schema, names: Sequence[str], n: int, go_on: Callable[[], None]
) -> Iterator[pa.Table]:
    """The readable rows, part by part, with the place of each on the map of each checkpoint's embeddings."""
    import pyarrow as pa

    fitted = spread(n)
    place = {}
    for name in names:
        go_on()
        embeddings = _read_vectors(folder, schema, column("embedding", name), fitted)
        place[name] = place_others(embeddings, fit_coordinates(embeddings))
    for table in _while(go_on, _readable(folder, schema)):
        if len(table) == 0:
            continue
        for name in names:
            points = place[name](_vectors(table[column("embedding", name)]))
            for axis, values in zip("xy", points.T, strict=True):
                table = table.append_column(column(axis, name), pa.array(values, pa.float32()))
        yield _with_categories(table)


def _readable(folder: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows of the clips that could be read, part by part."""
    for table in read_parts(folder, schema):
        if "unreadable" in schema.names:
            table = table.filter(table["unreadable"].is_null()).drop_columns("unreadable")
        yield table


def _read_vectors(folder: Path, schema: pa.Schema, name: str, rows: np.ndarray | None = None) -> np.ndarray:
    """A column of vectors of the readable clips, (clips, size) float32, or some rows of it in rising order."""
    import pyarrow as pa

    wanted = pa.schema([field for field in schema if field.name in (name, "unreadable")])
    found, start = [], 0
    for table in _readable(folder, wanted):
        if rows is not None:
            here = rows[(rows >= start) & (rows < start + len(table))] - start
            start += len(table)
            table = table.take(here)
        if len(table):
            found.append(_vectors(table[name]))
    return np.concatenate(found)


def _vectors(values: pa.ChunkedArray) -> np.ndarray:
    """(rows, size), of a column in which every row holds so many numbers."""
    return values.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)


def _with_categories(table: pa.Table) -> pa.Table:
    """The table as it is written. Text is categorical there: Spotlight's own command looks into columns of strings,
    opens those that name a file and asks for those that look like a URL; and much of it repeats."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()).dictionary_encode())
    return table


def _score(
    rows: Any, scores: np.ndarray, facts: CheckpointFacts, multi_label: bool, label_map: Mapping[str, str]
) -> dict[str, Any]:
    if not multi_label:
        return score_single_label(
            rows["label"].tolist(),
            rows[column("prediction", facts.name)].tolist(),
            rows[column("confidence", facts.name)].tolist(),
        )
    keys = {match_key(label): place for place, label in enumerate(facts.labels)}
    truth = np.zeros(scores.shape, dtype=int)
    for row, labels in enumerate(rows["label"]):
        for label in filter(None, labels.split(LABEL_SEPARATOR)):
            truth[row, keys[label_key(label, label_map)]] = 1
    return score_multi_label(truth, scores, facts.labels)
