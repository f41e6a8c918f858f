"""The benchmark in one picture: how often each map points at the right event."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_COLOURS = {"winner": "#0b7a75", "runner-up": "#9bb8b6"}


def draw(checkpoints: Mapping[str, Any]) -> bytes:
    """A PNG of bars with their 95 % intervals, a row of axes for each checkpoint."""
    figure = Figure(figsize=(7.2, 0.4 + 2.1 * len(checkpoints)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(checkpoints), squeeze=False, sharex=True)[:, 0]
    for axes, (name, methods) in zip(panels, checkpoints.items(), strict=True):
        for offset, (rank, colour) in zip((-0.2, 0.2), _COLOURS.items(), strict=True):
            means, lows, highs = zip(*(ranks[rank]["pointing"] for ranks in methods.values()), strict=True)
            places = [place + offset for place in range(len(methods))]
            errors = [
                [mean - low for mean, low in zip(means, lows, strict=True)],
                [high - mean for mean, high in zip(means, highs, strict=True)],
            ]
            axes.barh(places, means, height=0.36, color=colour, label=rank)
            axes.errorbar(means, places, xerr=errors, fmt="none", ecolor="#1f2430", elinewidth=0.8, capsize=2)
        axes.set_yticks(range(len(methods)), list(methods))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(name, fontsize=9.5, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    panels[-1].set_xlabel("the map's highest point lies in the event that its label names")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
