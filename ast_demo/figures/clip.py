"""The pictures of one clip and one checkpoint, one below the other on the same time axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ast_demo.features import FIRST_FRAME_S, frames_to_time, time_to_frames
from ast_demo.figures.axes import (
    SPECTROGRAM_HEIGHT,
    WAVEFORM_HEIGHT,
    axes_box,
    colour_key,
    draw_spectrogram,
    envelope,
    frequency_axis,
    hatch,
    outline_patch,
    remark,
    seconds_shown,
    start_figure,
    tile_edges_s,
    total_height,
)
from ast_demo.figures.style import DIFFERENCE_COLOURS, TINY_PX, Look, relevance_colours
from ast_demo.inspection import Comparison, Inspection, PatchInspection, common_rasters


def waveform_figure(inspection: Inspection, look: Look = Look()) -> Figure:
    """The clip's samples over time: for every pixel, from the lowest to the highest."""
    figure, axes, palette = start_figure(inspection, look, WAVEFORM_HEIGHT, "Waveform")
    low, high, times = envelope(inspection.waveform.samples, look, *seconds_shown(inspection, look))
    axes.fill_between(times, low, high, color=palette.accent, linewidth=0.6)
    peak = float(np.abs(inspection.waveform.samples).max())
    axes.set_ylim(-1.08 * max(peak, 1e-4), 1.08 * max(peak, 1e-4))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, symmetric=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    remark(figure, look, palette, f"amplitude, peak {peak:.2g} of 1")
    hatch(figure, axes, inspection, look, palette)
    return figure


def spectrogram_figure(inspection: Inspection, look: Look = Look(), title: str = "Mel spectrogram") -> Figure:
    """The normalised log-mel spectrogram, as the model is fed it."""
    as_fed = ", as fed" if look.width_px < TINY_PX else ", as fed to the model"
    figure, axes, palette = start_figure(inspection, look, SPECTROGRAM_HEIGHT, title + as_fed)
    colours = draw_spectrogram(axes, inspection, "magma")
    colour_key(figure, look, palette, colours, "magma", "normalised log-mel")
    frequency_axis(axes, inspection.fed[1])
    hatch(figure, axes, inspection, look, palette)
    return figure


def patch_grid_figure(inspection: Inspection, look: Look = Look(), selected: tuple[int, int] | None = None) -> Figure:
    """The patches over the spectrogram; where they overlap, the lines part them half-way between their centres.

    Args:
        selected: (frequency, time) of a patch whose box is drawn as large as it is.
    """
    _, grid = inspection.fed
    title = f"Patch grid, {grid.n_frequency} × {grid.n_time}"
    figure, axes, palette = start_figure(inspection, look, SPECTROGRAM_HEIGHT, title)
    draw_spectrogram(axes, inspection, "magma")
    times, mels = tile_edges_s(grid)
    axes.vlines(times, mels[0], mels[-1], colors="white", linewidth=0.5, alpha=0.55)
    axes.hlines(mels, times[0], times[-1], colors="white", linewidth=0.5, alpha=0.55)
    overlap = grid.patch_size - min(grid.frequency_stride, grid.time_stride)
    if look.width_px < TINY_PX:
        size, shared = f"{grid.patch_size} bins × {grid.patch_size} frames each", f", {overlap} shared"
    else:
        size = f"each sees {grid.patch_size} mel bins × {grid.patch_size} frames"
        shared = f", {overlap} shared with the next"
    remark(figure, look, palette, size + (shared if overlap > 0 else ""))
    if selected is not None:
        outline_patch(axes, grid, selected)
    frequency_axis(axes, grid)
    hatch(figure, axes, inspection, look, palette, seen=(grid.seen_mels, grid.seen_frames))
    return figure


def rollout_figure(
    inspection: Inspection, look: Look = Look(), depth: int | None = None, patch: PatchInspection | None = None
) -> Figure:
    """Attention rollout over the spectrogram, a tile for each patch.

    Args:
        depth: Number of layers to go through, from 1; all of them by default.
        patch: Start from this patch instead of from what the classifier reads.
    """
    rollout = patch.rollout if patch else inspection.rollout
    depth = depth or len(rollout.maps)
    title = "Rollout from the chosen patch" if patch else "Attention rollout"
    where = f"{title}, {'all ' if depth == len(rollout.maps) else ''}{depth} layer{'s' if depth > 1 else ''}"
    if inspection.checkpoint.grid is None:
        return _rollout_over_time_figure(inspection, look, where, depth)
    return _relevance_figure(inspection, look, where, rollout.maps[depth - 1], rollout.final, patch)


def attention_figure(
    inspection: Inspection, patch: PatchInspection, look: Look = Look(), depth: int | None = None
) -> Figure:
    """What one patch attends to in one layer (numbered from 1, the last by default), averaged over the heads."""
    depth = depth or len(patch.attention)
    attention = patch.attention[depth - 1]
    return _relevance_figure(
        inspection, look, f"Attention of the chosen patch, layer {depth}", attention, attention, patch
    )


def difference_figure(first: Inspection, second: Inspection, look: Look = Look()) -> Figure:
    """Where the rollout of the second checkpoint is higher, or lower, than that of the first, on their common raster.

    It is as long as the shorter input, and hatched as that one's pictures are, and where one of the two sees nothing.
    """
    one, other = common_rasters(first, second)
    figure, axes, palette = start_figure(first, look, SPECTROGRAM_HEIGHT, "Rollout less that of the first")
    shorter = min(first, second, key=lambda inspection: inspection.input_s)
    difference = other - one
    # No relevance is below 0, so where the scale of relevance is shared, no difference goes beyond it.
    limit = look.relevance_max or max(float(np.nanmax(np.abs(difference))), 1e-12)
    edges = frames_to_time(np.arange(one.shape[-1] + 1), FIRST_FRAME_S)
    if one.ndim == 1:
        axes.stairs(difference, edges, baseline=0, fill=True, color=palette.accent)
        axes.set_ylim(-1.05 * limit, 1.05 * limit)
        remark(figure, look, palette, "× an equal share, over time")
        hatch(figure, axes, shorter, look, palette)
        return figure
    colours = Normalize(-limit, limit)
    axes.pcolormesh(
        edges, np.arange(one.shape[0] + 1), difference, cmap=DIFFERENCE_COLOURS, norm=colours, rasterized=True
    )
    colour_key(figure, look, palette, colours, DIFFERENCE_COLOURS, "× an equal share")
    frequency_axis(axes, first.fed[1])
    grids = first.fed[1], second.fed[1]
    seen = min(grid.seen_mels for grid in grids), min(grid.seen_frames for grid in grids)
    hatch(figure, axes, shorter, look, palette, seen=seen)
    return figure


def shared_look(comparison: Comparison, look: Look) -> Look:
    """A look whose time axis and colour scale of relevance fit all inspections of a comparison."""
    seconds = max(seconds_shown(one, look)[1] for one in comparison.inspections)
    relevance = max(float(one.rollout.final.max()) * one.rollout.final.size for one in comparison.inspections)
    return replace(look, seconds=seconds, relevance_max=relevance)


def patch_at_pixel(inspection: Inspection, look: Look, x: float, y: float) -> tuple[int, int] | None:
    """(frequency, time) of the patch under a pixel of a patch grid or rollout picture; None where no patch sees.

    Args:
        x, y: Device pixels from the upper left corner of the picture.
    """
    left, bottom, width, height = axes_box(look, SPECTROGRAM_HEIGHT)
    total = total_height(look, SPECTROGRAM_HEIGHT)
    _, grid = inspection.fed
    start_s, stop_s = seconds_shown(inspection, look)
    seconds = start_s + (x / look.scale - left) / width * (stop_s - start_s)
    if not start_s <= seconds <= stop_s:
        return None
    mel = (total - y / look.scale - bottom) / height * grid.n_mels
    return grid.patch_at(mel, time_to_frames(seconds, FIRST_FRAME_S))


def _relevance_figure(
    inspection: Inspection, look: Look, title: str, shares: np.ndarray, scale: np.ndarray, patch: PatchInspection | None
) -> Figure:
    """A map (n_frequency, n_time) of shares, on a colour scale that ends at the highest value of another.

    So the rollout keeps its scale when the depth changes; where a map goes beyond, the key says so.
    """
    _, grid = inspection.fed
    figure, axes, palette = start_figure(inspection, look, SPECTROGRAM_HEIGHT, title)
    draw_spectrogram(axes, inspection, "gray")
    others, highest = shares.copy(), scale.copy()
    if patch is not None:
        # Half of each layer is the patch's own residual: on its scale nothing else could be seen.
        others[patch.frequency, patch.time] = highest[patch.frequency, patch.time] = 0
    # A share of 1 / n_patches is what each patch would get if all got the same.
    colours = Normalize(0, look.relevance_max or max(float(highest.max()) * grid.n_patches, 1e-12))
    times, mels = tile_edges_s(grid)
    axes.pcolormesh(times, mels, shares * grid.n_patches, cmap=relevance_colours(), norm=colours)
    name = "× an equal share" if patch is None or look.is_narrow else "× an equal share, its own aside"
    beyond = float(others.max()) * grid.n_patches > float(colours.vmax or 0) * (1 + 1e-6)
    colour_key(figure, look, palette, colours, relevance_colours(), name, beyond=beyond)
    if patch is not None:
        outline_patch(axes, grid, (patch.frequency, patch.time))
    frequency_axis(axes, grid)
    hatch(figure, axes, inspection, look, palette, seen=(grid.seen_mels, grid.seen_frames))
    return figure


def _rollout_over_time_figure(inspection: Inspection, look: Look, title: str, depth: int) -> Figure:
    """Rollout of a checkpoint without a patch grid: a step for each token, over time alone."""
    figure, axes, palette = start_figure(inspection, look, SPECTROGRAM_HEIGHT, title)
    maps = inspection.rollout.maps[:, 0]
    n_tokens = maps.shape[1]
    axes.stairs(maps[depth - 1] * n_tokens, inspection.layout.edges_s(), fill=True, color=palette.accent)
    axes.set_ylim(0, 1.05 * (look.relevance_max or max(float(maps.max()) * n_tokens, 1e-12)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    remark(figure, look, palette, "× an equal share; no patch grid")
    hatch(figure, axes, inspection, look, palette)
    return figure
