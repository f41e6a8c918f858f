"""Evaluation -> ready filters of Spotlight: rows that have something in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ast_demo.evaluation import Evaluation, column, is_multi_label
from ast_demo.spotlight.columns import CLIPPED_SHARE, SILENT_SHARE, safe_name

CONFIDENT = 0.8  # a prediction from this score on is a confident one
_MOST_PAIRS = 30
_MUCH = 0.5  # of a map, from where on it rests on something


@dataclass(frozen=True)
class Issue:
    """Rows that have something in common: a filter to click on.

    Attributes:
        rows: Positions in the table.
        severity: low, medium or high.
        columns: Those to look at.
    """

    title: str
    rows: tuple[int, ...]
    severity: str
    columns: tuple[str, ...]
    description: str


def find_issues(evaluation: Evaluation) -> tuple[Issue, ...]:
    """Ready filters, those without a row left out."""
    issues = chain(
        _wrong_and_confident(evaluation),
        _told_apart_by_checkpoint(evaluation),
        _confused_labels(evaluation),
        _doubtful_maps(evaluation),
        _flawed_mistakes(evaluation),
        _flawed_recordings(evaluation),
    )
    return tuple(issue for issue in issues if issue.rows)


def _issue(title: str, rows: Any, severity: str, columns: Sequence[str], description: str) -> Issue:
    """An issue of the rows where the mask `rows` holds."""
    places = tuple(int(place) for place in np.flatnonzero(rows))
    return Issue(title, places, severity, tuple(safe_name(name) for name in columns), description)


def _entitle(evaluation: Evaluation, title: str, name: str) -> str:
    """The title, with the checkpoint's name where there are several."""
    return title if len(evaluation.checkpoints) == 1 else f"{title} ({name})"


def _values(evaluation: Evaluation, field: str, name: str) -> np.ndarray:
    return evaluation.table[column(field, name)].to_numpy(dtype=float)


def _missed(evaluation: Evaluation) -> np.ndarray:
    """(checkpoints, rows): where a prediction is wrong."""
    names = evaluation.checkpoints
    return np.stack([~evaluation.table[column("correct", name)].to_numpy(dtype=bool) for name in names])


def _wrong_and_confident(evaluation: Evaluation) -> Iterator[Issue]:
    for name, missed in zip(evaluation.checkpoints, _missed(evaluation), strict=True):
        yield _issue(
            _entitle(evaluation, "Wrong and confident", name),
            missed & (_values(evaluation, "confidence", name) >= CONFIDENT),
            "high",
            ["label", column("prediction", name), column("confidence", name)],
            f"Predictions that are wrong with a score of {CONFIDENT:.0%} or more. Is the label right?",
        )


def _told_apart_by_checkpoint(evaluation: Evaluation) -> Iterator[Issue]:
    """What every checkpoint gets wrong, and what only one does; nothing where there is one."""
    names, wrong = evaluation.checkpoints, _missed(evaluation)
    if len(names) == 1:
        return
    columns = ["label", *(column("prediction", name) for name in names)]
    yield _issue(
        "Every checkpoint is wrong",
        wrong.all(axis=0),
        "high",
        columns,
        "No checkpoint gets these right: hard clips, or wrong labels.",
    )
    for name, missed in zip(names, wrong, strict=True):
        rows = missed & (wrong.sum(axis=0) == 1)
        yield _issue(f"Only {name} is wrong", rows, "medium", columns, "All other checkpoints get these right.")


def _confused_labels(evaluation: Evaluation) -> Iterator[Issue]:
    if is_multi_label(evaluation):
        return
    for name, label, prediction, rows in _confusion_pairs(evaluation):
        yield _issue(
            _entitle(evaluation, f"{label} taken for {prediction}", name),
            rows,
            "medium",
            ["label", column("prediction", name)],
            f"{int(rows.sum())} clips of {label} that {name} takes for {prediction}.",
        )


def _doubtful_maps(evaluation: Evaluation) -> Iterator[Issue]:
    for name in evaluation.checkpoints:
        if column("fall_by_map", name) not in evaluation.table:
            continue
        # NaN, where nothing was explained, is never more than anything.
        silence, padding, by_map, by_loudness = (
            _values(evaluation, field, name)
            for field in ("map_on_silence", "map_on_padding", "fall_by_map", "fall_by_loudness")
        )
        yield _issue(
            _entitle(evaluation, "The map rests on padding or on silence", name),
            silence + padding > _MUCH,
            "medium",
            [column(field, name) for field in ("map_on_padding", "padding_share", "map_on_silence", "silence_share")],
            f"More than {_MUCH:.0%} of what speaks for the wrong label lies where there is no sound. Beside it: padding's and "
            "silence's share of the input, which an even map has.",
        )
        yield _issue(
            _entitle(evaluation, "The map is no better than loudness", name),
            by_map <= by_loudness,
            "low",
            [column(field, name) for field in ("fall_by_map", "fall_by_loudness", "fall_by_chance")],
            "The wrong label's score falls no more when the highest tenth of the map is taken away than when the loudest "
            "tenth is: do not read much into this map.",
        )


def _flawed_mistakes(evaluation: Evaluation) -> Iterator[Issue]:
    """What is odd about recordings, among the mistakes of any checkpoint."""
    table, names = evaluation.table, evaluation.checkpoints
    wrong = _missed(evaluation).any(axis=0)
    flaws: tuple[tuple[str, Any, list[str], str], ...] = (
        (
            "Clipped",
            table["clipped_share"].to_numpy(dtype=float) > CLIPPED_SHARE,
            ["clipped_share"],
            f"More than {CLIPPED_SHARE:.1%} of the samples are at full scale.",
        ),
        (
            "Silent",
            table["silent_share"].to_numpy(dtype=float) >= SILENT_SHARE,
            ["silent_share"],
            f"At least {SILENT_SHARE:.0%} of the clip is silent.",
        ),
        (
            "Cut off",
            np.stack([_values(evaluation, "truncated_s", name) > 0 for name in names]).any(axis=0),
            [column("truncated_s", name) for name in names],
            "The clip is longer than what the checkpoint hears.",
        ),
    )
    for flaw, rows, columns, description in flaws:
        yield _issue(f"{flaw}, among the mistakes", rows & wrong, "low", columns, description)


def _flawed_recordings(evaluation: Evaluation) -> Iterator[Issue]:
    for flaw, rows in _flawed(evaluation.table):
        yield _issue(
            f"Recording: {flaw}",
            rows,
            "medium",
            ["flaws", "notes"],
            f"Recordings with this flaw: {flaw}. What it is stands in the notes; scores of such a recording mean little.",
        )


def _flawed(table: Any) -> list[tuple[str, np.ndarray]]:
    """Rows of each flaw that recordings have; none in a table of an earlier version."""
    if "flaws" not in table:
        return []
    of_each = [cell.split("; ") if isinstance(cell, str) else [] for cell in table["flaws"]]
    known = sorted({flaw for flaws in of_each for flaw in flaws})
    return [(flaw, np.array([flaw in flaws for flaws in of_each])) for flaw in known]


def _confusion_pairs(evaluation: Evaluation) -> list[tuple[str, str, str, np.ndarray]]:
    """Checkpoint, label, prediction and rows of the pairs with two clips or more, the largest first."""
    label = evaluation.table["label"].to_numpy(dtype=str)
    pairs = []
    for name in evaluation.checkpoints:
        prediction = evaluation.table[column("prediction", name)].to_numpy(dtype=str)
        missed = ~evaluation.table[column("correct", name)].to_numpy(dtype=bool)
        for true, taken in sorted(set(zip(label[missed], prediction[missed], strict=True))):
            rows = missed & (label == true) & (prediction == taken)
            if rows.sum() >= 2:
                pairs.append((name, str(true), str(taken), rows))
    return sorted(pairs, key=lambda pair: -int(pair[3].sum()))[:_MOST_PAIRS]
