"""Evaluation -> ready filters of Spotlight: rows that have something in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    table, names = evaluation.table, evaluation.checkpoints
    wrong = np.stack([~table[column("correct", name)].to_numpy(dtype=bool) for name in names])
    confidence = np.stack([table[column("confidence", name)].to_numpy(dtype=float) for name in names])
    found = []

    def entitle(title: str, name: str) -> str:
        return title if len(names) == 1 else f"{title} ({name})"

    def add(title: str, rows: Any, severity: str, columns: Sequence[str], description: str) -> None:
        if rows.any():
            places = tuple(int(place) for place in np.flatnonzero(rows))
            found.append(Issue(title, places, severity, tuple(safe_name(name) for name in columns), description))

    def add_issues_of_maps(name: str) -> None:
        silence, padding, by_map, by_loudness = (
            table[column(field, name)].to_numpy(dtype=float)
            for field in ("map_on_silence", "map_on_padding", "fall_by_map", "fall_by_loudness")
        )
        add(
            entitle("The map rests on padding or on silence", name),
            silence + padding > _MUCH,
            "medium",
            [column(field, name) for field in ("map_on_padding", "padding_share", "map_on_silence", "silence_share")],
            f"More than {_MUCH:.0%} of what speaks for the wrong label lies where there is no sound. Beside it: padding's and "
            "silence's share of the input, which an even map has.",
        )
        add(
            entitle("The map is no better than loudness", name),
            by_map <= by_loudness,
            "low",
            [column(field, name) for field in ("fall_by_map", "fall_by_loudness", "fall_by_chance")],
            "The wrong label's score falls no more when the highest tenth of the map is taken away than when the loudest "
            "tenth is: do not read much into this map.",
        )

    for name, missed, sure in zip(names, wrong, confidence, strict=True):
        add(
            entitle("Wrong and confident", name),
            missed & (sure >= CONFIDENT),
            "high",
            ["label", column("prediction", name), column("confidence", name)],
            f"Predictions that are wrong with a score of {CONFIDENT:.0%} or more. Is the label right?",
        )
    if len(names) > 1:
        predictions = [column("prediction", name) for name in names]
        add(
            "Every checkpoint is wrong",
            wrong.all(axis=0),
            "high",
            ["label", *predictions],
            "No checkpoint gets these right: hard clips, or wrong labels.",
        )
        for name, missed in zip(names, wrong, strict=True):
            add(
                f"Only {name} is wrong",
                missed & (wrong.sum(axis=0) == 1),
                "medium",
                ["label", *predictions],
                "All other checkpoints get these right.",
            )
    if not is_multi_label(evaluation):
        for name, label, other, rows in _confusion_pairs(evaluation):
            add(
                entitle(f"{label} taken for {other}", name),
                rows,
                "medium",
                ["label", column("prediction", name)],
                f"{int(rows.sum())} clips of {label} that {name} takes for {other}.",
            )
    for name in names:
        if column("fall_by_map", name) in table:  # NaN, where nothing was explained, is never more than anything
            add_issues_of_maps(name)
    some_wrong = wrong.any(axis=0)
    cut_off = np.stack([table[column("truncated_s", name)].to_numpy(dtype=float) for name in names]) > 0
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
            cut_off.any(axis=0),
            [column("truncated_s", name) for name in names],
            "The clip is longer than what the checkpoint hears.",
        ),
    )
    for what, rows, columns, description in flaws:
        add(f"{what}, among the mistakes", rows & some_wrong, "low", columns, description)
    for flaw, rows in _flawed(table):
        add(
            f"Recording: {flaw}",
            rows,
            "medium",
            ["flaws", "notes"],
            f"Recordings with this flaw: {flaw}. What it is stands in the notes; scores of such a recording mean little.",
        )
    return tuple(found)


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
        for one, other in sorted(set(zip(label[missed], prediction[missed], strict=True))):
            rows = missed & (label == one) & (prediction == other)
            if rows.sum() >= 2:
                pairs.append((name, str(one), str(other), rows))
    return sorted(pairs, key=lambda pair: -int(pair[3].sum()))[:_MOST_PAIRS]
