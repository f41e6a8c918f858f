"""What Spotlight is shown: types that fetch nothing, filters with the right rows, a layout of columns that are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ast_demo.evaluation import Evaluation, column
from ast_demo.explain.mistakes import MapFacts
from ast_demo.spotlight.columns import summarise_rows
from ast_demo.spotlight.issues import Issue, find_issues
from ast_demo.spotlight.layout import write_layout
from ast_demo.spotlight.view import build_view


def with_columns(evaluation: Evaluation, **values: Any) -> Evaluation:
    """The first rows of an evaluation with other values; `correct_one` is the column `correct (one)`."""
    table = evaluation.table.head(len(next(iter(values.values())))).copy()
    for name, cells in values.items():
        field, _, checkpoint = name.rpartition("_")
        table[column(field, checkpoint) if checkpoint in evaluation.checkpoints else name] = cells
    return replace(evaluation, table=table)


@pytest.fixture
def known(evaluation: Evaluation) -> Evaluation:
    """Six clips of which everything that issues look at is known."""
    return with_columns(
        evaluation,
        label=["dog", "dog", "dog", "rain", "rain", "bell"],
        prediction_one=["rain", "rain", "dog", "rain", "wind", "bell"],
        prediction_two=["rain", "dog", "dog", "bell", "wind", "bell"],
        correct_one=[False, False, True, True, False, True],
        correct_two=[False, True, True, False, False, True],
        confidence_one=[0.9, 0.5, 0.9, 0.9, 0.8, 0.9],
        confidence_two=[0.3, 0.9, 0.9, 0.95, 0.79, 0.9],
        clipped_share=[0.0, 0.01, 0.01, 0.0, 0.0, 0.0],
        silent_share=[0.1, 0.1, 0.1, 0.9, 0.1, 0.9],
        truncated_s_one=[0.0, 0.0, 0.0, 0.0, 1.5, 0.0],
        truncated_s_two=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        padding_share_one=[0.3] * 6,
        map_on_padding_one=[0.3, 0.1, None, None, 0.45, None],
        map_on_silence_one=[0.3, 0.1, None, None, 0.0, None],
        silence_share_one=[0.25] * 6,
        fall_by_map_one=[0.5, 0.1, None, None, -0.1, None],
        fall_by_loudness_one=[0.25, 0.1, None, None, -0.2, None],
        fall_by_chance_one=[0.0, 0.0, None, None, 0.0, None],
        map_on_padding_two=[0.1, None, None, 0.6, 0.1, None],
        map_on_silence_two=[0.1, None, None, 0.0, 0.1, None],
        fall_by_map_two=[None] * 6,
        top_3_one=["rain 90.0%, dog 5.0%"] * 6,
        top_3_two=["rain 30.0%, dog 5.0%"] * 6,
    )


def test_filters_hold_the_rows_they_name(known: Evaluation) -> None:
    assert {issue.title: issue.rows for issue in find_issues(known)} == {
        "Wrong and confident (one)": (0, 4),
        "Wrong and confident (two)": (3,),
        "Every checkpoint is wrong": (0, 4),
        "Only one is wrong": (1,),
        "Only two is wrong": (3,),
        "dog taken for rain (one)": (0, 1),
        "The map rests on padding or on silence (one)": (0,),
        "The map rests on padding or on silence (two)": (3,),
        "The map is no better than loudness (one)": (1,),
        "Clipped, among the mistakes": (1,),
        "Silent, among the mistakes": (3,),
        "Cut off, among the mistakes": (4,),
    }


def test_with_one_checkpoint_there_is_nothing_to_compare(known: Evaluation) -> None:
    titles = {issue.title for issue in find_issues(replace(known, checkpoints=("one",)))}
    assert titles == {
        "Wrong and confident",
        "dog taken for rain",
        "The map rests on padding or on silence",
        "The map is no better than loudness",
        "Clipped, among the mistakes",
        "Cut off, among the mistakes",
    }


def test_several_labels_are_not_confused_in_pairs(known: Evaluation) -> None:
    multi_label = replace(known, metrics={"one": {"map": 0.5}, "two": {"map": 0.5}})
    assert not [issue for issue in find_issues(multi_label) if "taken for" in issue.title]
    assert "ConfusionMatrix" not in str(build_view(multi_label).layout)
    assert "ConfusionMatrix" in str(build_view(known).layout)


def test_each_row_is_told_in_words(known: Evaluation) -> None:
    first, second, third, *_, last = summarise_rows(known)
    both = "one heard rain 90.0%, dog 5.0%. two heard rain 30.0%, dog 5.0%."
    assert first == (
        "Wrong: it is dog. one heard rain 90.0%, dog 5.0%. Without the tenth of the clip that is highest on "
        "its map, the score falls by 50 points (without the loudest tenth by 25, without a random one by 0). 30% of the "
        "map rests on padding (of an even map 30%), 30% on silence (25%). two heard rain 30.0%, dog 5.0%."
    )
    assert second.startswith("Right by two only: it is dog. one heard rain 90.0%, dog 5.0%. Without the tenth")
    assert second.endswith("two heard rain 30.0%, dog 5.0%. 1.0% of the samples are at full scale.")
    assert third.startswith("Right: it is dog.")
    assert last == f"Right: it is bell. {both} 90% of the clip is silent."


def test_mistakes_come_first_and_labels_are_in_view(evaluation: Evaluation) -> None:
    view = build_view(evaluation)
    assert list(view.table.columns[:5]) == ["clip", "label", "prediction (one)", "correct (one)", "confidence (one)"]
    table = next(widget for widget in widgets(view.layout) if widget["type"] == "table")
    assert table["config"]["sorting"][0] == ["correct (one)", "ASC"]
    assert ["loss (one)", "DESC"] in table["config"]["sorting"]
    assert len(view.table) == len(evaluation.table)


def test_no_text_of_the_data_is_a_column_of_strings(evaluation: Evaluation) -> None:
    """Spotlight's server opens and fetches what such columns name, whatever type they are given."""
    view = build_view(evaluation)
    assert list(view.dtypes) == list(view.table.columns)
    for name, dtype in view.dtypes.items():
        values = view.table[name]
        if dtype == "category":
            assert isinstance(values.dtype, pd.CategoricalDtype)
        elif dtype in ("audio", "image"):
            assert {type(value) for value in values} <= {bytes, type(None)}
        elif dtype == "str":
            assert name == "summary"
            assert all(value.startswith(("Right", "Wrong")) and " " in value for value in values)
        else:
            assert dtype in ("bool", "int", "float")
            assert values.dtype.kind in "bif"
    assert {view.dtypes[name] for name in ("clip", "label", "speaker", "home page")} == {"category"}
    pictures = ("spectrogram", "rollout (one)", "relevance_predicted (one)", "relevance_true (one)")
    assert {view.dtypes[name] for name in pictures} == {"image"}
    assert view.dtypes["audio"] == "audio"
    assert {view.dtypes[column(field.name, "two")] for field in fields(MapFacts)} == {"float"}
    assert not {name for name in view.dtypes if name.startswith(("scores", "embedding"))}
    assert list(view.table["home page"]) == list(evaluation.table["home page"])


@pytest.mark.parametrize("name", ["audio", "spectrogram", "rollout (one)", "relevance_true (two)"])
def test_text_in_the_place_of_a_picture_or_a_sound_is_left_out(evaluation: Evaluation, name: str) -> None:
    """A table of somebody's clips may have columns with these names."""
    table = evaluation.table.copy()
    table[name] = ["/etc/hostname", *table[name][1:]]
    assert build_view(replace(evaluation, table=table)).table[name][0] is None


def test_labels_and_predictions_share_one_list(evaluation: Evaluation) -> None:
    table = build_view(evaluation).table
    lists = [list(table[name].cat.categories) for name in ("label", "prediction (one)", "prediction (two)")]
    assert lists[0] == lists[1] == lists[2]
    assert set(lists[0]) >= set(evaluation.table["label"])
    assert list(table["prediction (two)"]) == list(evaluation.table["prediction (two)"])


def test_columns_of_hub_checkpoints_have_no_slash(evaluation: Evaluation) -> None:
    """Spotlight's server does not find them otherwise."""
    renamed = {column: column.replace("(one)", "(MIT/one)") for column in evaluation.table.columns}
    hub = replace(
        evaluation,
        table=evaluation.table.rename(columns=renamed),
        checkpoints=("MIT/one", "two"),
        metrics={"MIT/one": evaluation.metrics["one"], "two": evaluation.metrics["two"]},
    )
    view = build_view(hub)
    assert not [name for name in view.table.columns if "/" in name]
    assert columns_of(view.layout) | {c for issue in view.issues for c in issue.columns} <= set(view.table.columns)
    assert "rollout (MIT∕one)" in columns_of(view.layout)


def widgets(node: Any) -> Iterator[dict[str, Any]]:
    if node.get("kind") == "widget":
        yield node
    for child in node.get("children", []):
        yield from widgets(child)


def columns_of(layout: Any) -> set[str]:
    """Every column that a layout speaks of."""
    keys = ("xAxisColumn", "yAxisColumn", "colorBy", "columnKey", "stackByColumnKey", "xColumn", "yColumn")
    found = set()
    for widget in widgets(layout):
        config = widget["config"] or {}
        found |= {config[key] for key in keys if key in config}
        found |= {*config.get("visibleColumns", [])} if widget["type"] == "table" else set()
        found |= {name for name, _ in config.get("sorting", [])}
        found |= {name for lens in config.get("views", []) for name in lens["columns"]}
    return found


def test_layouts_speak_of_columns_that_are_there(evaluation: Evaluation) -> None:
    view = build_view(evaluation)
    assert columns_of(view.layout) <= set(view.table.columns)
    assert columns_of(view.layout) >= {"audio", "spectrogram", "rollout (one)", "rollout (two)", "x (two)", "summary"}
    assert columns_of(view.layout) >= {"relevance_predicted (one)", "relevance_true (one)", "relevance_true (two)"}
    written = json.loads(write_layout(evaluation).read_text(encoding="utf-8"))
    assert columns_of(written) <= set(evaluation.table.columns)
    assert columns_of(view.layout) - columns_of(written) == {"summary"}
    kinds = [widget["type"] for widget in widgets(written)]
    assert kinds[0] == "table"
    assert set(kinds) == {"table", "scatterplot", "ConfusionMatrix", "histogram", "inspector", "IssuesWidget"}


def test_a_checkpoint_without_a_mistake_has_no_rollout_to_show(evaluation: Evaluation) -> None:
    table = evaluation.table.assign(**{"rollout (one)": None, "correct (one)": True})
    view = build_view(replace(evaluation, table=table))
    assert "rollout (one)" not in view.table
    assert columns_of(view.layout) <= set(view.table.columns)


def test_rows_of_issues_are_plain_numbers(evaluation: Evaluation) -> None:
    issues: tuple[Issue, ...] = build_view(evaluation).issues
    assert issues
    assert {type(row) for issue in issues for row in issue.rows} == {int}
    assert all(issue.severity in ("low", "medium", "high") for issue in issues)
    assert np.all([max(issue.rows) < len(evaluation.table) for issue in issues])
