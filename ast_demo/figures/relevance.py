"""Maps of relevance over the spectrogram, and how they fare when they are put to the test."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from ast_demo.explain import METHODS, STEPS, Curves, RelevanceMap, TrustCard
from ast_demo.figures.axes import (
    PX_PER_INCH,
    SPECTROGRAM_HEIGHT,
    colour_key,
    draw_spectrogram,
    frequency_axis,
    hatch,
    remark,
    start_figure,
    tile_edges_s,
)
from ast_demo.figures.style import DIFFERENCE_COLOURS, Look, Palette, palette_of, relevance_colours
from ast_demo.inspection import Inspection


def map_title(relevance: RelevanceMap) -> str:
    """What a map is a map of: "Class relevance: why dog bark, and not rooster?"."""
    name = METHODS[relevance.method].title
    if relevance.label is None:
        return f"{name}: the same for every label"
    label = relevance.label.replace("_", " ")
    if relevance.against is None:
        return f"{name}: what speaks for {label}"
    return f"{name}: {label} rather than {relevance.against.replace('_', ' ')}"


def map_figure(inspection: Inspection, relevance: RelevanceMap, look: Look = Look()) -> Figure:
    """A map over the grey spectrogram: what speaks for its label; for the difference of two, what speaks for which."""
    figure, axes, palette = start_figure(inspection, look, SPECTROGRAM_HEIGHT, map_title(relevance))
    values = relevance.values
    colours: str | Colormap
    if relevance.against is None:
        values = relevance.shares * values.size
        norm, colours, key = Normalize(0, max(float(values.max()), 1e-12)), relevance_colours(), "× an equal share"
    else:
        limit = max(float(np.abs(values).max()), 1e-12)
        values, norm = values / limit, Normalize(-1, 1)
        colours, key = (
            DIFFERENCE_COLOURS,
            f"{relevance.against.replace('_', ' ')} … {str(relevance.label).replace('_', ' ')}",
        )
    if inspection.checkpoint.grid is None:
        axes.stairs(values[0], inspection.layout.edges_s(), baseline=0, fill=True, color=palette.accent)
        remark(figure, look, palette, f"{key}; no patch grid")
        hatch(figure, axes, inspection, look, palette)
        return figure
    _, grid = inspection.fed
    draw_spectrogram(axes, inspection, "gray")
    times, mels = tile_edges_s(grid)
    axes.pcolormesh(times, mels, values, cmap=colours, norm=norm, alpha=None if relevance.against is None else 0.75)
    colour_key(figure, look, palette, norm, colours, key)
    frequency_axis(axes, grid)
    hatch(figure, axes, inspection, look, palette, seen=(grid.seen_mels, grid.seen_frames))
    return figure


def trust_figure(card: TrustCard, look: Look = Look()) -> Figure:
    """Deletion and insertion curves of a map, of loudness, and the band of the random maps."""
    palette = palette_of(look)
    rows, columns = (2, 1) if look.is_narrow else (1, 2)
    figure = Figure(
        figsize=(look.width_px / PX_PER_INCH, 2.4 * rows), facecolor=palette.background, layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, kind in zip(panels, ("deletion", "insertion"), strict=True):
        _draw_curves(axes, card, kind, palette)
    panels[0].legend(frameon=False, fontsize=8, labelcolor=palette.ink, loc="upper right")
    return figure


def _draw_curves(axes: Axes, card: TrustCard, kind: str, palette: Palette) -> None:
    def of(curves: Curves) -> np.ndarray:
        return curves.deletion if kind == "deletion" else curves.insertion

    axes.set_facecolor(palette.background)
    random = np.stack([of(curves) for curves in card.of_random])
    axes.fill_between(
        STEPS, random.min(axis=0), random.max(axis=0), color=palette.faint, alpha=0.35, lw=0, label="random maps"
    )
    axes.plot(STEPS, of(card.of_energy), color=palette.ink, lw=1, ls="--", marker=".", label="loudness")
    axes.plot(STEPS, of(card.of_map), color=palette.accent, lw=2, marker="o", ms=4, label="this map")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    first = "taken away" if kind == "deletion" else "put back"
    axes.set_xlabel(f"share of the clip {first}, the map's highest first", color=palette.ink, fontsize=8)
    axes.set_ylabel(f"score of {card.label.replace('_', ' ')}", color=palette.ink, fontsize=8)
    axes.set_title(kind.capitalize(), color=palette.ink, fontsize=9.5, fontweight="bold", loc="left")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.tick_params(colors=palette.ink, labelsize=8, length=3)
    for spine in axes.spines.values():
        spine.set(color=palette.faint, linewidth=0.6)
