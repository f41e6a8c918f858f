"""Evaluation -> what Spotlight shows of it: columns, a layout, ready filters.

Plain data throughout, so that none of it needs Spotlight, which takes ten seconds to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ast_demo.data import sort_labels
from ast_demo.evaluation import Evaluation, column
from ast_demo.spotlight.columns import SUMMARY, order_columns, safe_name, summarise_rows, type_of_column
from ast_demo.spotlight.issues import Issue, find_issues
from ast_demo.spotlight.layout import build_layout


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
    for name in order_columns(evaluation):
        values = table[name] if name != SUMMARY else pd.Series(summarise_rows(evaluation))
        dtype = "str" if name == SUMMARY else type_of_column(name, values, evaluation)
        if dtype in ("audio", "image"):
            # A string here would come from the data, and be opened or fetched as a file.
            values = pd.Series([value if isinstance(value, bytes) else None for value in values], dtype=object)
        if dtype == "category":
            text = [None if value is None or value != value else str(value) for value in values]
            known = labels if name in labelled else sort_labels(t for t in text if t is not None)
            values = pd.Categorical(text, known)
        shown[safe_name(name)], dtypes[safe_name(name)] = values, dtype
    names = {name: safe_name(name) for name in order_columns(evaluation)}
    return View(pd.DataFrame(shown), dtypes, build_layout(evaluation, names), find_issues(evaluation))
