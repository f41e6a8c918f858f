"""The picture of a recording that is longer than the input: its waveform, and the best labels of each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ast_demo.figures.axes import LEFT, RIGHT, blank_figure, colour_key
from ast_demo.figures.style import Look, Palette
from ast_demo.inspection import Timeline
from ast_demo.settings import SHOWN_SCORES

_WAVEFORM, _NAME, _STRIP, _GAP = 48, 15, 12, 4  # heights in CSS pixels: the waveform; of each row
_HEIGHT = _WAVEFORM + SHOWN_SCORES * (_NAME + _STRIP + _GAP)


def timeline_figure(
    timeline: Timeline,
    outline: tuple[np.ndarray, np.ndarray, np.ndarray],
    look: Look = Look(),
    chosen: tuple[float, float] | None = None,
) -> Figure:
    """Waveform, and for the best labels a strip each whose colour is the score of each window; a tile for each window.

    Tiles meet half-way between the middles of their windows, as windows overlap. As high without any windows, so that
    it can be shown before they are there.

    Args:
        outline: Lowest and highest sample, and the time in seconds, of stretches of the recording; see `envelope`.
        chosen: Start and end in seconds of a window that is marked.
    """
    figure, axes, palette = blank_figure(look, _HEIGHT, "Timeline of the recording", (0, timeline.duration_s))
    axes.set_ylim(_HEIGHT, 0)  # CSS pixels from the top
    axes.set_yticks([])
    low, high, times = outline
    scale = (_WAVEFORM / 2 - 2) / max(float(np.abs([low, high]).max()), 1e-4)
    middle = _WAVEFORM / 2
    axes.fill_between(times, middle - low * scale, middle - high * scale, color=palette.accent, linewidth=0.6)
    colours = _score_colours(palette)
    if timeline.windows:
        edges = _tile_edges(timeline)
        mean = dict(timeline.pooled.top())
        for row, label in enumerate(timeline.top_labels(SHOWN_SCORES)):
            scores = _scores(timeline, label)
            top = _WAVEFORM + row * (_NAME + _STRIP + _GAP)
            strip = [top + _NAME, top + _NAME + _STRIP]
            axes.pcolormesh(edges, strip, scores[None], cmap=colours, vmin=0, vmax=1, rasterized=True)
            axes.hlines(strip[1], 0, timeline.duration_s, colors=palette.faint, linewidth=0.5)
            text = f"{label.replace('_', ' ')}: {mean[label]:.0%} on average, {scores.max():.0%} at most"
            x = 0.004 * timeline.duration_s
            axes.text(x, top + _NAME - 3, text, color=palette.ink, fontsize=7.5, va="bottom", ha="left", zorder=4)
    if chosen is not None:
        box: dict[str, Any] = {"xy": (chosen[0], 1), "width": chosen[1] - chosen[0], "height": _HEIGHT - 2}
        axes.add_patch(Rectangle(**box, facecolor=palette.faint, alpha=0.18, zorder=0))
        axes.add_patch(Rectangle(**box, fill=False, edgecolor=palette.ink, linewidth=1.4))
    colour_key(figure, look, palette, Normalize(0, 1), colours, "score of a window")
    return figure


def time_at_pixel(timeline: Timeline, look: Look, x: float) -> float:
    """Time of the recording, in seconds, under a device pixel from the left of its timeline; the nearest one beside it."""
    share = (x / look.scale - LEFT) / (look.width_px - LEFT - RIGHT)
    return min(max(share, 0.0), 1.0) * timeline.duration_s


def _tile_edges(timeline: Timeline) -> np.ndarray:
    """(n_windows + 1,) seconds; those still to come lie beyond the last window's own end."""
    middles = np.array([(window.start_s + window.end_s) / 2 for window in timeline.windows])
    return np.array([0.0, *(middles[:-1] + middles[1:]) / 2, timeline.windows[-1].end_s])


def _scores(timeline: Timeline, label: str) -> np.ndarray:
    place: int = timeline.checkpoint.labels.index(label)
    scores: Sequence[float] = [window.prediction.scores[place] for window in timeline.windows]
    return np.asarray(scores)


def _score_colours(palette: Palette) -> LinearSegmentedColormap:
    """From nothing to the accent, the colour of scores everywhere on the page."""
    return LinearSegmentedColormap.from_list("score", [(*to_rgb(palette.accent), 0), palette.accent])
