"""Evaluation -> what Spotlight shows of it: columns, a layout, ready filters, and each row in words.

Plain data throughout, so that none of it needs Spotlight, which takes ten seconds to import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_demo.data import sort_labels
from ast_demo.errors import DataError
from ast_demo.evaluation import PICTURES_OF_A_MISTAKE, Evaluation, column

LAYOUT_FILE = "layout.json"
CONFIDENT = 0.8  # a prediction from this score on is a confident one
_CLIPPED_SHARE = 0.001
_SILENT_SHARE = 0.5
_MOST_PAIRS = 30
_MUCH = 0.5  # of a map, from where on it rests on something

# In the order of the columns; what is not named here comes after.
_OF_EACH_CHECKPOINT = ("prediction", "correct", "confidence", "margin", "loss", "entropy_bits", "rollout_on_padding")
# Of the map that speaks for a wrong prediction, see `mistakes.MapFacts`.
_OF_EACH_MAP = (
    "fall_by_map",
    "fall_by_loudness",
    "fall_by_chance",
    "map_on_padding",
    "map_on_silence",
    "silence_share",
    "map_like_loudness",
    "map_on_special_tokens",
)
_MORE_OF_EACH_CHECKPOINT = ("padding_share", "truncated_s", "window_start_s", "x", "y")
_PICTURES = ("rollout", *PICTURES_OF_A_MISTAKE)
_OF_THE_CLIP = ("duration_s", "loudness_db", "clipped_share", "silent_share", "snr_db")
_TITLES = ("Attention rollout", "What speaks for the prediction", "What speaks for the true label")
_SUMMARY = "summary"


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


@dataclass(frozen=True)
class View:
    """What Spotlight is given.

    Attributes:
        table: A pandas DataFrame; its order of columns is the one shown.
        dtypes: Spotlight's name of the type of every column.
        layout: In the form of Spotlight's own layout files.
    """

    table: Any
    dtypes: Mapping[str, str]
    layout: Mapping[str, Any]
    issues: tuple[Issue, ...]


def build_view(evaluation: Evaluation) -> View:
    """What Spotlight shows of an evaluation.

    Text that comes from the data is categorical throughout: Spotlight's server looks at the first cells of every
    column of strings, opens those that name a file and fetches those that look like a URL, whatever type is asked for.
    """
    import pandas as pd

    table = evaluation.table
    shown: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    labelled = ("label", *(column("prediction", name) for name in evaluation.checkpoints))
    # One list of labels for all these columns, so that a label has one colour and one place.
    labels = sort_labels(str(value) for name in labelled for value in evaluation.table[name])
    for name in _order(evaluation):
        values = table[name] if name != _SUMMARY else pd.Series(summarise_rows(evaluation))
        dtype = "str" if name == _SUMMARY else _dtype(name, values, evaluation)
        if dtype in ("audio", "image"):
            # A string here would come from the data, and be opened or fetched as a file.
            values = pd.Series([value if isinstance(value, bytes) else None for value in values], dtype=object)
        if dtype == "category":
            text = [None if value is None or value != value else str(value) for value in values]
            known = labels if name in labelled else sort_labels(t for t in text if t is not None)
            values = pd.Categorical(text, known)
        shown[safe_name(name)], dtypes[safe_name(name)] = values, dtype
    names = {name: safe_name(name) for name in _order(evaluation)}
    return View(pd.DataFrame(shown), dtypes, build_layout(evaluation, names), find_issues(evaluation))


def write_layout(evaluation: Evaluation) -> Path:
    """Write `layout.json` beside the table: `spotlight evaluation.parquet --layout layout.json` then opens it.

    Raises:
        DataError: The folder cannot be written to.
    """
    file = evaluation.folder / LAYOUT_FILE
    layout = build_layout(evaluation, {name: name for name in evaluation.columns})
    try:
        file.write_text(json.dumps(layout, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"Cannot write {str(file)!r}: {error.strerror or error}.") from None
    return file


def safe_name(name: str) -> str:
    """A column's name in the viewer: its server cannot find a column with a slash in its name, as Hub ids have."""
    return name.replace("/", "∕")  # the division slash


def summarise_rows(evaluation: Evaluation) -> list[str]:
    """Each row in a sentence or two. The first word is ours, so that no summary is a URL or a file's name."""
    sentences = []
    for _, row in evaluation.table.iterrows():
        right = [name for name in evaluation.checkpoints if row[column("correct", name)]]
        verdict = "Right" if len(right) == len(evaluation.checkpoints) else f"Right by {' and '.join(right)} only"
        parts = [f"{verdict if right else 'Wrong'}: it is {row['label'] or 'nothing of all'}."]
        for name in evaluation.checkpoints:
            parts += [f"{name} heard {row[column('top_3', name)]}.", describe_trust(row, name)]
        cut_off = max(row[column("truncated_s", name)] for name in evaluation.checkpoints)
        if cut_off > 0:
            parts.append(f"{cut_off:.1f} s are cut off.")
        if row["clipped_share"] > _CLIPPED_SHARE:
            parts.append(f"{row['clipped_share']:.1%} of the samples are at full scale.")
        if row["silent_share"] >= _SILENT_SHARE:
            parts.append(f"{row['silent_share']:.0%} of the clip is silent.")
        sentences.append(" ".join(" ".join(parts).split()))
    return sentences


def describe_trust(row: Any, name: str) -> str:
    """What is known of the map of a wrong prediction, each number beside its controls; nothing if there is no map."""
    fall, loudness, chance, padding, silence, even = (
        row.get(column(field, name))
        for field in (*_OF_EACH_MAP[:3], "map_on_padding", "map_on_silence", "silence_share")
    )
    if fall is None or fall != fall:
        return ""
    return (
        f"Without the tenth of the clip that is highest on its map, the score falls by {100 * fall:.0f} points (without "
        f"the loudest tenth by {100 * loudness:.0f}, without a random one by {100 * chance:.0f}). {padding:.0%} of the "
        f"map rests on padding (of an even map {row[column('padding_share', name)]:.0%}), {silence:.0%} on silence "
        f"({even:.0%})."
    )


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
    if not _is_multi_label(evaluation):
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
            table["clipped_share"].to_numpy(dtype=float) > _CLIPPED_SHARE,
            ["clipped_share"],
            f"More than {_CLIPPED_SHARE:.1%} of the samples are at full scale.",
        ),
        (
            "Silent",
            table["silent_share"].to_numpy(dtype=float) >= _SILENT_SHARE,
            ["silent_share"],
            f"At least {_SILENT_SHARE:.0%} of the clip is silent.",
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
    return tuple(found)


def build_layout(evaluation: Evaluation, names: Mapping[str, str]) -> dict[str, Any]:
    """The arrangement: the table, mistakes first, above plots; the selected clip and the issues beside them.

    Args:
        names: What the columns that there are are called.
    """
    checkpoints = evaluation.checkpoints

    def of(field: str, which: Sequence[str] = checkpoints) -> list[str]:
        columns = [column(field, name) for name in which]
        return [names[name] for name in columns if name in names]

    def entitle(title: str, name: str) -> str:
        return title if len(checkpoints) == 1 else f"{title}: {name}"

    first = checkpoints[:1]
    lenses = [
        _lens("AudioView", "audio", "Clip", {"repeat": False, "autoplay": False}),
        *([_lens("TextLens", names[_SUMMARY], "In words")] if _SUMMARY in names else []),
        *([_lens("ImageView", "spectrogram", "Log-mel, as the model is fed")] if "spectrogram" in names else []),
        *(
            _lens("ImageView", names[column(field, name)], f"{title}, {name}")
            for name in checkpoints
            for field, title in zip(_PICTURES, _TITLES, strict=True)
            if column(field, name) in names
        ),
        _lens(
            "SpectrogramView",
            "audio",
            "Spectrogram of the whole clip",
            {"freqScale": "logarithmic", "ampScale": "decibel", "channel": 0},
        ),
    ]
    table = _widget(
        "table",
        "Clips, mistakes first",
        tableView="full",
        visibleColumns=["clip", "label", *of("prediction"), *of("confidence"), *of("loss")],
        sorting=[*([name, "ASC"] for name in of("correct")), *([name, "DESC"] for name in of("loss", first))],
        orderByRelevance=False,
    )
    plots = [
        _widget(
            "scatterplot",
            entitle("Map", name),
            xAxisColumn=names[column("x", name)],
            yAxisColumn=names[column("y", name)],
            colorBy=names[column("correct", name)],
            sizeBy=None,
            filter=False,
        )
        for name in checkpoints
    ]
    if not _is_multi_label(evaluation):
        plots += [
            _widget(
                "ConfusionMatrix",
                entitle("Confusion", name),
                xColumn="label",
                yColumn=names[column("prediction", name)],
            )
            for name in checkpoints
        ]
    histograms = [
        _widget(
            "histogram",
            "Duration" if field == "duration_s" else entitle(field.capitalize(), name),
            columnKey=names[field if field == "duration_s" else column(field, name)],
            stackByColumnKey=names[column("correct", name)],
            filter=False,
        )
        for field in ("confidence", "loss", "duration_s")
        for name in (first if field == "duration_s" else checkpoints)
    ]
    left = _split("vertical", 55, _tab(50, table), _tab(50, *plots, *histograms))
    right = _split("vertical", 45, _tab(70, _inspector(lenses)), _tab(30, _widget("IssuesWidget", "Issues")))
    return {"orientation": "horizontal", "children": [left, right]}


def _split(orientation: str, weight: int, *children: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "split", "orientation": orientation, "weight": weight, "children": list(children)}


def _tab(weight: int, *widgets: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "tab", "weight": weight, "children": list(widgets)}


def _widget(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"kind": "widget", "type": kind, "name": name, "config": config or None}


def _inspector(lenses: list[dict[str, Any]]) -> dict[str, Any]:
    return _widget("inspector", "Selected clip", views=lenses, visibleColumns=1)


def _lens(kind: str, name: str, title: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"view": kind, "columns": [name], "name": title, "settings": settings, "key": f"{kind} {name}"}


def _order(evaluation: Evaluation) -> list[str]:
    """Columns to show, in their order. Scores and embeddings are left out: x and y say it in two numbers."""
    names = evaluation.checkpoints
    order = ["clip", "label", *(column(field, name) for name in names for field in _OF_EACH_CHECKPOINT), _SUMMARY]
    order += ["audio", "spectrogram", *(column(field, name) for name in names for field in _PICTURES)]
    order += [column(field, name) for name in names for field in _OF_EACH_MAP]
    order += [*_OF_THE_CLIP, *(column(field, name) for name in names for field in _MORE_OF_EACH_CHECKPOINT)]
    hidden = {column(field, name) for name in names for field in ("scores", "embedding", "top_3")}
    table = evaluation.table
    there = [name for name in order if name == _SUMMARY or (name in table and table[name].notna().any())]
    others = [name for name in table.columns if name not in {*order, *hidden} and table[name].notna().any()]
    return there + others


def _dtype(name: str, values: Any, evaluation: Evaluation) -> str:
    """Spotlight's type of a column of the table."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_integer_dtype(values):
        return "int"
    if pd.api.types.is_float_dtype(values):
        return "float"
    if name == "audio":
        return "audio"
    if name == "spectrogram" or name in {column(field, one) for one in evaluation.checkpoints for field in _PICTURES}:
        return "image"
    return "category"


def _is_multi_label(evaluation: Evaluation) -> bool:
    return any("map" in metrics for metrics in evaluation.metrics.values())


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
