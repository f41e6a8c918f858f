"""Labelled clips through checkpoints: a table with a row for each clip, metrics, a Parquet file.

Rows are written as they come, some clips at a time, so that a run that was killed goes on where it was, and memory
does not grow with the number of clips. What needs all clips (metrics, the map of the embeddings) is computed at the
end, from the few columns that it takes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ast_demo.data import LABEL_SEPARATOR, LabelledClips, map_labels, match_key, spell_labels
from ast_demo.errors import CheckpointError, DataError, cannot_write
from ast_demo.evaluation.embedding_map import fit_coordinates, place_others, spread
from ast_demo.evaluation.engine import Engine, Load, Work, evaluate_here
from ast_demo.evaluation.parts import (
    CLIPS_A_PART,
    common_schema,
    count_rows,
    find_parts,
    make_folder,
    read_parts,
    write_table,
)
from ast_demo.evaluation.rows import Question, column, label_key
from ast_demo.figures import confusion_figure, reliability_figure, to_png
from ast_demo.inspection import MOST
from ast_demo.metrics import compare_correctness, score_multi_label, score_single_label
from ast_demo.models import CheckpointFacts

if TYPE_CHECKING:  # it takes half a second to import
    import pyarrow as pa

_RUN, _TABLE, _METRICS = "run.json", "evaluation.parquet", "metrics.json"


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
    """

    folder: Path
    table: Any
    columns: tuple[str, ...]
    checkpoints: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    comparisons: tuple[Mapping[str, Any], ...]
    unreadable: Mapping[str, str]


def evaluate(
    clips: LabelledClips,
    references: Sequence[str],
    load: Load,
    folder: Path,
    *,
    label_map: Mapping[str, str] | None = None,
    max_clip_s: float = 600.0,
    windows: bool = True,
    explain: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    engine: Engine = evaluate_here,
) -> Evaluation:
    """Show labelled clips to one to four checkpoints.

    Writes into `folder`: `evaluation.parquet` (a row for each clip), `metrics.json`, `confusion_NAME.png` and `reliability_NAME.png`. A folder
    that holds a part of the same evaluation is gone on with.

    Args:
        references: Names, folders or Hub ids.
        load: Gives the checkpoint of a reference, as `CheckpointCache.load` does.
        label_map: What labels of the data are called by the checkpoints; empty to leave their clips out. Case, spaces
            and underscores do not matter: a label has one spelling in all that is written, that of the first checkpoint.
        windows: Of a clip that is longer than a checkpoint's input, the scores are the mean over overlapping windows;
            otherwise those of its beginning. Clips that fit are the same either way.
        explain: Whether mistakes are explained, see `mistakes`; by default those of small checkpoints.
        progress: Told how many of how many clips are done; what it raises stops the run, and what is done is kept.
        engine: What does the work: this machine, or many.

    Returns:
        The evaluation, its table without sounds, pictures, scores and embeddings.

    Raises:
        CheckpointError: No checkpoint, more than four, one twice, or one that cannot be loaded.
        DataError: Labels that a checkpoint does not have; no clip that can be read; the folder holds another
            evaluation or cannot be written to.
    """
    if not 1 <= len(references) <= MOST or len(set(references)) < len(references):
        raise CheckpointError(
            f"Expected one to {MOST} different checkpoints to evaluate, got {', '.join(references) or 'none'}."
        )
    facts, precisions = [], {}
    for reference in references:  # one after the other: they may not all fit in memory
        checkpoint = load(reference)
        facts.append(checkpoint.facts)
        precisions[reference] = checkpoint.precision
    names = tuple(one.name for one in facts)
    if len(set(names)) < len(names):
        raise CheckpointError(f"Expected checkpoints with different names, got {', '.join(names)}.")
    clips = spell_labels(map_labels(clips, label_map or {}), facts[0].labels)
    spellings = {match_key(label): label for label in (*facts[0].labels[::-1], *clips.labels)}
    one_name = {label: label for label in spellings.values()}
    question = Question(tuple(references), precisions, one_name, max_clip_s, windows, explain)
    _check_labels(clips, facts, question.label_map)
    _check_same_run(clips, facts, question, folder)
    finished, there = count_rows(folder), find_parts(folder)
    parts = (clips.clips[start : start + CLIPS_A_PART] for start in range(0, len(clips.clips), CLIPS_A_PART))
    missing = tuple((number, part) for number, part in enumerate(parts) if number not in there)
    progress(finished, len(clips.clips))
    engine(Work(missing, question, folder), load, lambda done: progress(finished + done, len(clips.clips)))
    return _finish(folder, clips, facts, question.label_map)


def read_evaluation(folder: Path, *, whole: bool = True) -> Evaluation:
    """An evaluation that was finished earlier.

    Args:
        whole: With all columns; otherwise the table is without sounds, pictures, scores and embeddings.

    Raises:
        DataError: There is none in the folder.
    """
    import pyarrow.parquet as pq

    try:
        summary = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
        schema = pq.read_schema(folder / _TABLE)
        shown = [field.name for field in schema if whole or not _is_heavy(field)]
        table = pq.read_table(folder / _TABLE, columns=shown).to_pandas()
    except (OSError, ValueError):
        raise DataError(
            f"There is no finished evaluation in {str(folder)!r}. Expected {_TABLE} and {_METRICS}."
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

    file = pq.ParquetFile(evaluation.folder / _TABLE)
    for number in range(file.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if place < rows:
            return file.read_row_group(number).slice(place, 1).to_pylist()[0]
        place -= rows
    raise IndexError(f"There is no row {place} in the table.")


def _is_heavy(field: pa.Field) -> bool:
    """Whether a column holds sounds, pictures or vectors: what nobody wants of all clips at once."""
    import pyarrow as pa

    return pa.types.is_binary(field.type) or pa.types.is_list(field.type)


def _check_labels(clips: LabelledClips, facts: Sequence[CheckpointFacts], label_map: Mapping[str, str]) -> None:
    for one in facts:
        known = {match_key(label) for label in one.labels}
        unknown = [label for label in clips.labels if label_key(label, label_map) not in known]
        if unknown:
            listed = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
            raise DataError(
                f"{one.name!r} does not know these labels of the data: {listed}. It knows "
                f"{', '.join(one.labels[:20])}{' …' if len(one.labels) > 20 else ''}. A label map can say which is which."
            )


def _check_same_run(clips: LabelledClips, facts: Sequence[CheckpointFacts], question: Question, folder: Path) -> None:
    """Make the folder, or make sure that what is in it is a part of the same evaluation."""
    asked = (facts, sorted(question.label_map.items()), question.windows, question.explain)
    described = repr([(clip.name, clip.labels) for clip in clips.clips]) + repr(asked)
    run = {
        "precisions": list(question.precisions.values()),
        "clips_a_part": CLIPS_A_PART,
        "fingerprint": hashlib.sha256(described.encode()).hexdigest(),
        "clips": len(clips.clips),
    }
    file = folder / _RUN
    try:
        if file.is_file():
            if json.loads(file.read_text(encoding="utf-8")) != run:
                raise DataError(f"The folder {str(folder)!r} holds another evaluation. Choose another folder.")
            return
        make_folder(folder)
        file.write_text(json.dumps(run) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from None


def _finish(
    folder: Path, clips: LabelledClips, facts: Sequence[CheckpointFacts], label_map: Mapping[str, str]
) -> Evaluation:
    """Put the parts together, and compute what needs all clips."""
    import pyarrow as pa

    schema = common_schema(folder)
    plain = pa.schema([field for field in schema if not _is_heavy(field)])
    rows = pa.concat_tables(read_parts(folder, plain)).to_pandas()
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
        scores = _read_vectors(folder, schema, column("scores", one.name)) if clips.multi_label else np.empty(0)
        metrics[one.name] = _score(rows, scores, one, clips.multi_label, label_map)
    comparisons = [compare_correctness(right[a], right[b], (a, b)) for a, b in combinations(names, 2)]
    summary = {"checkpoints": metrics, "comparisons": comparisons, "unreadable": unreadable}
    try:
        write_table(_with_coordinates(folder, schema, names, len(rows)), folder / _TABLE)
        (folder / _METRICS).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if not clips.multi_label:
            for name in names:
                figure = confusion_figure(rows["label"].tolist(), rows[column("prediction", name)].tolist(), name)
                file_name = re.sub(r"[^\w.-]+", "--", name)
                (folder / f"confusion_{file_name}.png").write_bytes(to_png(figure))
                figure = reliability_figure(right[name], rows[column("confidence", name)].to_numpy(), name)
                (folder / f"reliability_{file_name}.png").write_bytes(to_png(figure))
    except OSError as error:
        raise cannot_write(folder, error) from None
    return read_evaluation(folder, whole=False)


def _with_coordinates(folder: Path, schema: pa.Schema, names: Sequence[str], n: int) -> Iterator[pa.Table]:
    """The readable rows, part by part, with the place of each on the map of each checkpoint's embeddings."""
    import pyarrow as pa

    fitted = spread(n)
    place = {}
    for name in names:
        embeddings = _read_vectors(folder, schema, column("embedding", name), fitted)
        place[name] = place_others(embeddings, fit_coordinates(embeddings))
    for table in _readable(folder, schema):
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
