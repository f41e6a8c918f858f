"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ast_demo.figures.axes import PX_PER_INCH
from ast_demo.figures.style import Look, palette_of


def confusion_figure(truth: Sequence[str], predicted: Sequence[str], name: str, look: Look = Look()) -> Figure:
    """How often each label (rows) was predicted as which (columns), counted by scikit-learn."""
    from sklearn.metrics import confusion_matrix

    from ast_demo.data import sort_labels

    palette = palette_of(look)
    labels = sort_labels([*truth, *predicted])
    counts = confusion_matrix(truth, predicted, labels=labels)
    side = look.width_px / PX_PER_INCH
    figure = Figure(figsize=(side, side), facecolor=palette.background, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="cividis")
    size = min(9.0, 0.5 * look.width_px / max(len(labels), 1))
    for row, column in np.argwhere(counts > 0):
        dark = counts[row, column] < counts.max() / 2
        text: dict[str, Any] = {"color": "white" if dark else "black", "fontsize": size, "ha": "center", "va": "center"}
        axes.text(column, row, str(counts[row, column]), **text)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(colors=palette.ink, labelsize=size)
    axes.set_xlabel("predicted", color=palette.ink)
    axes.set_ylabel("label", color=palette.ink)
    axes.set_title(name, color=palette.ink, fontsize=10)
    return figure


def reliability_figure(right: np.ndarray, confidence: np.ndarray, name: str, look: Look = Look()) -> Figure:
    """How often a checkpoint is right (bars) when it is how sure: on the diagonal, confidence can be taken at its word.

    Args:
        right: (clips,) whether the prediction was right.
        confidence: (clips,) its score, 0 to 1. Ten equal bins; the number of clips stands above each bar.
    """
    palette = palette_of(look)
    side = look.width_px / PX_PER_INCH
    figure = Figure(figsize=(side, side), facecolor=palette.background, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(palette.background)
    bins = np.minimum((np.asarray(confidence) * 10).astype(int), 9)
    for k in np.unique(bins):
        inside = np.asarray(right)[bins == k]
        axes.bar(k / 10, inside.mean(), width=0.1, align="edge", color=palette.accent, edgecolor=palette.background)
        axes.text(k / 10 + 0.05, inside.mean() + 0.01, str(len(inside)), color=palette.ink, ha="center", fontsize=9)
    axes.plot([0, 1], [0, 1], color=palette.faint, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1.06), aspect="equal")
    axes.tick_params(colors=palette.ink)
    axes.set_xlabel("confidence", color=palette.ink)
    axes.set_ylabel("share that is right", color=palette.ink)
    axes.set_title(name, color=palette.ink, fontsize=10)
    return figure
