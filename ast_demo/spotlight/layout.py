"""How Spotlight arranges an evaluation: the table, the plots, the selected clip, the issues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ast_demo.errors import DataError
from ast_demo.evaluation import Evaluation, column, is_multi_label
from ast_demo.spotlight.columns import PICTURES, SUMMARY

LAYOUT_FILE = "layout.json"
_TITLES = ("Attention rollout", "What speaks for the prediction", "What speaks for the true label")


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
        *([_lens("TextLens", names[SUMMARY], "In words")] if SUMMARY in names else []),
        *([_lens("ImageView", "spectrogram", "Log-mel, as the model is fed")] if "spectrogram" in names else []),
        *(
            _lens("ImageView", names[column(field, name)], f"{title}, {name}")
            for name in checkpoints
            for field, title in zip(PICTURES, _TITLES, strict=True)
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
    if not is_multi_label(evaluation):
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
