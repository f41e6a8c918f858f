"""Inspections to pictures, all of one clip on one time axis.

Every picture of a clip has the same margins and the same seconds from left to right, so that they line up to the
pixel when stacked. Frequency runs in mel bins, as the model sees it, with ticks in hertz. What holds no sound of the
clip or is seen by no patch is hatched the same way everywhere. Colour means one thing: the spectrogram is magma;
relevance is laid over a grey spectrogram in its own colour.

Figures are made with matplotlib's object interface: pyplot keeps them in one list for all threads, and so for all
visitors.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ast_demo.audio import SAMPLE_RATE
from ast_demo.comparison import Comparison, common_rasters, rollout_raster
from ast_demo.inspection import Inspection, PatchInspection
from ast_demo.patches import PatchGrid
from ast_demo.spectrogram import FRAME_S, HOP_S, Spectrogram, hz_to_mel_bin

_PX_PER_INCH = 100  # one inch of a figure is a hundred CSS pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 30, 24  # margins round the axes in CSS pixels
_KEY_LINE = 20  # below them, a line for the names of the hatches and the colour key; a line each where it is narrow
_NARROW_PX, _TINY_PX = 720, 350
_WAVEFORM_HEIGHT, _SPECTROGRAM_HEIGHT = 100, 210  # of the axes, in CSS pixels
_FIRST_FRAME_S = (FRAME_S - HOP_S) / 2  # left edge of frame 0 when each frame is drawn round the middle of its window
_TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000)
_CUT_OFF_SHOWN = 0.15  # of a clip that is longer than the input, show so much of the input's length beyond its end


@dataclass(frozen=True)
class Look:
    """How to draw: for which width in CSS pixels, light or dark, and the whole input or only the clip."""

    width_px: int = 900
    dark: bool = False
    zoom: bool = False
    scale: float = 2.0  # device pixels for each CSS pixel
    seconds: float | None = None  # end of the time axis, where pictures of several checkpoints share it
    relevance_max: float | None = None  # end of the colour scale of relevance, likewise

    @property
    def is_narrow(self) -> bool:
        return self.width_px < _NARROW_PX


@dataclass(frozen=True)
class _Palette:
    background: str
    ink: str
    faint: str
    accent: str


_LIGHT = _Palette("#ffffff", "#1f2430", "#8a90a0", "#0b7a75")
_DARK = _Palette("#14171f", "#e6e8ee", "#858c9d", "#3fd0c4")
_HATCHES = {"padding": "////", "cut off": "xxxx", "in no patch": "....."}  # by how their names begin


def waveform_figure(inspection: Inspection, look: Look = Look()) -> Figure:
    """The clip's samples over time: for every pixel, from the lowest to the highest."""
    figure, axes, palette = _start(inspection, look, _WAVEFORM_HEIGHT, "Waveform")
    low, high, times = _envelope(inspection.waveform.samples, look, *_seconds(inspection, look))
    axes.fill_between(times, low, high, color=palette.accent, linewidth=0.6)
    peak = float(np.abs(inspection.waveform.samples).max())
    axes.set_ylim(-1.08 * max(peak, 1e-4), 1.08 * max(peak, 1e-4))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, symmetric=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    _remark(figure, look, palette, f"amplitude, peak {peak:.2g} of 1")
    _hatch(figure, axes, inspection, look, palette)
    return figure


def spectrogram_figure(inspection: Inspection, look: Look = Look()) -> Figure:
    """The normalised log-mel spectrogram, as the model is fed it."""
    figure, axes, palette = _start(
        inspection,
        look,
        _SPECTROGRAM_HEIGHT,
        "Mel spectrogram, as fed" + ("" if look.width_px < _TINY_PX else " to the model"),
    )
    colours = _draw_spectrogram(axes, inspection, "magma")
    _colour_key(figure, look, palette, colours, "magma", "normalised log-mel")
    _frequency_axis(axes, inspection.fed[1])
    _hatch(figure, axes, inspection, look, palette)
    return figure


def patch_grid_figure(inspection: Inspection, look: Look = Look(), selected: tuple[int, int] | None = None) -> Figure:
    """The patches over the spectrogram; where they overlap, the lines part them half-way between their centres.

    Args:
        selected: (frequency, time) of a patch whose box is drawn as large as it is.
    """
    _, grid = inspection.fed
    title = f"Patch grid, {grid.n_frequency} × {grid.n_time}"
    figure, axes, palette = _start(inspection, look, _SPECTROGRAM_HEIGHT, title)
    _draw_spectrogram(axes, inspection, "magma")
    times, mels = _tile_edges(grid)
    axes.vlines(times, mels[0], mels[-1], colors="white", linewidth=0.5, alpha=0.55)
    axes.hlines(mels, times[0], times[-1], colors="white", linewidth=0.5, alpha=0.55)
    overlap = grid.patch_size - min(grid.frequency_stride, grid.time_stride)
    if look.width_px < _TINY_PX:
        size, shared = f"{grid.patch_size} bins × {grid.patch_size} frames each", f", {overlap} shared"
    else:
        size = f"each sees {grid.patch_size} mel bins × {grid.patch_size} frames"
        shared = f", {overlap} shared with the next"
    _remark(figure, look, palette, size + (shared if overlap > 0 else ""))
    if selected is not None:
        _outline(axes, grid, selected)
    _frequency_axis(axes, grid)
    _hatch(figure, axes, inspection, look, palette, seen=(grid.seen_mels, grid.seen_frames))
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
    figure, axes, palette = _start(first, look, _SPECTROGRAM_HEIGHT, "Rollout less that of the first")
    shorter = min(first, second, key=lambda inspection: inspection.input_s)
    difference = other - one
    # No relevance is below 0, so where the scale of relevance is shared, no difference goes beyond it.
    limit = look.relevance_max or max(float(np.nanmax(np.abs(difference))), 1e-12)
    edges = _FIRST_FRAME_S + np.arange(one.shape[-1] + 1) * HOP_S
    if one.ndim == 1:
        axes.stairs(difference, edges, baseline=0, fill=True, color=palette.accent)
        axes.set_ylim(-1.05 * limit, 1.05 * limit)
        _remark(figure, look, palette, "× an equal share, over time")
        _hatch(figure, axes, shorter, look, palette)
        return figure
    colours = Normalize(-limit, limit)
    axes.pcolormesh(edges, np.arange(one.shape[0] + 1), difference, cmap="PuOr", norm=colours, rasterized=True)
    _colour_key(figure, look, palette, colours, "PuOr", "× an equal share")
    _frequency_axis(axes, first.fed[1])
    grids = first.fed[1], second.fed[1]
    seen = min(grid.seen_mels for grid in grids), min(grid.seen_frames for grid in grids)
    _hatch(figure, axes, shorter, look, palette, seen=seen)
    return figure


def confusion_figure(truth: Sequence[str], predicted: Sequence[str], name: str, look: Look = Look()) -> Figure:
    """How often each label (rows) was predicted as which (columns), counted by scikit-learn."""
    from sklearn.metrics import confusion_matrix

    from ast_demo.labelled_clips import sort_labels

    palette = _DARK if look.dark else _LIGHT
    labels = sort_labels([*truth, *predicted])
    counts = confusion_matrix(truth, predicted, labels=labels)
    side = look.width_px / _PX_PER_INCH
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
    palette = _DARK if look.dark else _LIGHT
    side = look.width_px / _PX_PER_INCH
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


def spectrogram_thumbnail(inspection: Inspection) -> bytes:
    """The spectrogram alone as a PNG, a pixel for each frame and two for each mel bin; padding is left grey."""
    spectrogram, _ = inspection.fed
    clip, norm = _clip_and_scale(spectrogram)
    return _thumbnail(colormaps["magma"](norm(clip.T)), spectrogram.values.shape)


def rollout_thumbnail(inspection: Inspection) -> bytes:
    """The rollout over the grey spectrogram as a PNG of the same size, on the scale of its own highest value."""
    spectrogram, grid = inspection.fed
    clip, norm = _clip_and_scale(spectrogram)
    grey = colormaps["gray"](norm(clip.T))
    raster = rollout_raster(inspection, grid.n_frames)[:, : spectrogram.clip_frames]
    relevance = _relevance_colours()(raster / max(float(raster.max()), 1e-12))
    opacity = relevance[..., 3:]
    grey[..., :3] = grey[..., :3] * (1 - opacity) + relevance[..., :3] * opacity
    return _thumbnail(grey, spectrogram.values.shape)


def _clip_and_scale(spectrogram: Spectrogram) -> tuple[np.ndarray, Normalize]:
    """The frames that hold the clip, (clip_frames, n_mels), and the colour scale from their lowest to their highest."""
    clip = spectrogram.values[: spectrogram.clip_frames]
    return clip, Normalize(float(clip.min()), max(float(clip.max()), float(clip.min()) + 1e-3))


def _thumbnail(colours: np.ndarray, shape: tuple[int, int]) -> bytes:
    """PNG of (mel bins, clip frames, RGBA) within the whole input of `shape` (frames, mel bins), low frequencies below."""
    from PIL import Image

    canvas = np.full((shape[1], shape[0], 3), 127, dtype=np.uint8)
    canvas[:, : colours.shape[1]] = (colours[..., :3] * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(canvas[::-1].repeat(2, axis=0)).save(buffer, format="PNG")
    return buffer.getvalue()


def to_png(figure: Figure, look: Look = Look()) -> bytes:
    """Draw a figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PX_PER_INCH * look.scale, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def shared_look(comparison: Comparison, look: Look) -> Look:
    """A look whose time axis and colour scale of relevance fit all inspections of a comparison."""
    seconds = max(_seconds(one, look)[1] for one in comparison.inspections)
    relevance = max(float(one.rollout.final.max()) * one.rollout.final.size for one in comparison.inspections)
    return replace(look, seconds=seconds, relevance_max=relevance)


def patch_at_pixel(inspection: Inspection, look: Look, x: float, y: float) -> tuple[int, int] | None:
    """(frequency, time) of the patch under a pixel of a patch grid or rollout picture; None where no patch sees.

    Args:
        x, y: Device pixels from the upper left corner of the picture.
    """
    left, bottom, width, height = _axes_box(look, _SPECTROGRAM_HEIGHT)
    total = _total_height(look, _SPECTROGRAM_HEIGHT)
    _, grid = inspection.fed
    start_s, stop_s = _seconds(inspection, look)
    seconds = start_s + (x / look.scale - left) / width * (stop_s - start_s)
    if not start_s <= seconds <= stop_s:
        return None
    mel = (total - y / look.scale - bottom) / height * grid.n_mels
    return grid.patch_at(mel, (seconds - _FIRST_FRAME_S) / HOP_S)


def _relevance_figure(
    inspection: Inspection, look: Look, title: str, shares: np.ndarray, scale: np.ndarray, patch: PatchInspection | None
) -> Figure:
    """A map (n_frequency, n_time) of shares, on a colour scale that ends at the highest value of another.

    So the rollout keeps its scale when the depth changes; where a map goes beyond, the key says so.
    """
    _, grid = inspection.fed
    figure, axes, palette = _start(inspection, look, _SPECTROGRAM_HEIGHT, title)
    _draw_spectrogram(axes, inspection, "gray")
    others, highest = shares.copy(), scale.copy()
    if patch is not None:
        # Half of each layer is the patch's own residual: on its scale nothing else could be seen.
        others[patch.frequency, patch.time] = highest[patch.frequency, patch.time] = 0
    # A share of 1 / n_patches is what each patch would get if all got the same.
    colours = Normalize(0, look.relevance_max or max(float(highest.max()) * grid.n_patches, 1e-12))
    times, mels = _tile_edges(grid)
    axes.pcolormesh(times, mels, shares * grid.n_patches, cmap=_relevance_colours(), norm=colours)
    name = "× an equal share" if patch is None or look.is_narrow else "× an equal share, its own aside"
    beyond = float(others.max()) * grid.n_patches > float(colours.vmax or 0) * (1 + 1e-6)
    _colour_key(figure, look, palette, colours, _relevance_colours(), name, beyond=beyond)
    if patch is not None:
        _outline(axes, grid, (patch.frequency, patch.time))
    _frequency_axis(axes, grid)
    _hatch(figure, axes, inspection, look, palette, seen=(grid.seen_mels, grid.seen_frames))
    return figure


def _rollout_over_time_figure(inspection: Inspection, look: Look, title: str, depth: int) -> Figure:
    """Rollout of a checkpoint without a patch grid: a step for each token, over time alone."""
    figure, axes, palette = _start(inspection, look, _SPECTROGRAM_HEIGHT, title)
    maps = inspection.rollout.maps[:, 0]
    n_tokens = maps.shape[1]
    edges = np.linspace(0, inspection.input_s, n_tokens + 1)
    axes.stairs(maps[depth - 1] * n_tokens, edges, fill=True, color=palette.accent)
    axes.set_ylim(0, 1.05 * (look.relevance_max or max(float(maps.max()) * n_tokens, 1e-12)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    _remark(figure, look, palette, "× an equal share; no patch grid")
    _hatch(figure, axes, inspection, look, palette)
    return figure


def _start(inspection: Inspection, look: Look, height: int, title: str) -> tuple[Figure, Axes, _Palette]:
    """A figure with one axes of `height` CSS pixels, on the time axis of the clip."""
    palette = _DARK if look.dark else _LIGHT
    total = _total_height(look, height)
    figure = Figure(figsize=(look.width_px / _PX_PER_INCH, total / _PX_PER_INCH), facecolor=palette.background)
    left, bottom, width, _ = _axes_box(look, height)
    axes = figure.add_axes((left / look.width_px, bottom / total, width / look.width_px, height / total))
    axes.set_facecolor(palette.background)
    axes.set_xlim(*_seconds(inspection, look))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if look.is_narrow else 10, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.tick_params(colors=palette.ink, labelsize=8, length=3, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=palette.faint, linewidth=0.6)
    left = 8 if look.width_px < _TINY_PX else _LEFT  # where the longest titles would not fit beside the margin
    figure.text(
        left / look.width_px, 1 - 14 / total, title, color=palette.ink, fontsize=9.5, fontweight="bold", va="center"
    )
    return figure, axes, palette


def _axes_box(look: Look, height: int) -> tuple[int, int, int, int]:
    """Left, bottom, width and height of the axes in CSS pixels, the same for all pictures of a clip."""
    return _LEFT, _total_height(look, 0) - _TOP, look.width_px - _LEFT - _RIGHT, height


def _total_height(look: Look, axes_height: int) -> int:
    return _TOP + axes_height + _BOTTOM + _KEY_LINE * (2 if look.is_narrow else 1)


def _seconds(inspection: Inspection, look: Look) -> tuple[float, float]:
    """The time axis: the checkpoint's input, and a little of what is cut off; or only the clip in it."""
    window_s, clip_s = inspection.input_s, inspection.waveform.duration_s
    if look.seconds is not None:
        return 0.0, look.seconds
    if look.zoom:
        return 0.0, min(clip_s, window_s)
    return 0.0, min(max(window_s, clip_s), (1 + _CUT_OFF_SHOWN) * window_s)


def _ends_s(inspection: Inspection) -> tuple[float, float]:
    """Where the clip, and where the input ends on the time axis, in seconds."""
    if inspection.spectrogram is None:
        return min(inspection.waveform.duration_s, inspection.input_s), inspection.input_s
    spectrogram, grid = inspection.fed
    return _FIRST_FRAME_S + spectrogram.clip_frames * HOP_S, _FIRST_FRAME_S + grid.n_frames * HOP_S


def _draw_spectrogram(axes: Axes, inspection: Inspection, colours: str) -> Normalize:
    values = inspection.fed[0].values
    _, norm = _clip_and_scale(inspection.fed[0])
    frames, mels = values.shape
    limits = axes.get_xlim()
    axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=norm,
        extent=(_FIRST_FRAME_S, _FIRST_FRAME_S + frames * HOP_S, 0, mels),
    )
    axes.set_xlim(limits)
    return norm


def _frequency_axis(axes: Axes, grid: PatchGrid) -> None:
    # 8 kHz is where the last triangle ends, half a bin above the axis: less than a pixel, so its tick is at the edge.
    axes.set_yticks([min(hz_to_mel_bin(hz, grid.n_mels), grid.n_mels) for hz in _TICKS_HZ])
    axes.set_yticklabels([f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz" for hz in _TICKS_HZ])
    axes.set_ylim(0, grid.n_mels)  # after the ticks, which would widen it


def _tile_edges(grid: PatchGrid) -> tuple[np.ndarray, np.ndarray]:
    """Edges in seconds (n_time + 1,) and mel bins (n_frequency + 1,) that part patches half-way between centres."""
    frames = (np.arange(grid.n_time + 1) - 0.5) * grid.time_stride + grid.patch_size / 2
    mels = (np.arange(grid.n_frequency + 1) - 0.5) * grid.frequency_stride + grid.patch_size / 2
    frames[[0, -1]], mels[[0, -1]] = (0, grid.seen_frames), (0, grid.seen_mels)
    return _FIRST_FRAME_S + frames * HOP_S, mels


def _outline(axes: Axes, grid: PatchGrid, patch: tuple[int, int]) -> None:
    """The true box of a patch, which reaches beyond its tile where patches overlap."""
    box = grid.box(*patch)
    corner = (_FIRST_FRAME_S + box.frame_start * HOP_S, box.mel_start)
    size = ((box.frame_stop - box.frame_start) * HOP_S, box.mel_stop - box.mel_start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=2.6))
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=1.2))


def _hatch(
    figure: Figure,
    axes: Axes,
    inspection: Inspection,
    look: Look,
    palette: _Palette,
    *,
    seen: tuple[int, int] | None = None,
) -> None:
    """Hatch and name the padding, what is cut off, and, beyond the mel bins and frames that are seen, what is in no patch."""
    start_s, stop_s = axes.get_xlim()
    low, high = axes.get_ylim()
    clip_end_s, input_end_s = _ends_s(inspection)
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}  # by name: left, right, bottom, top
    if clip_end_s < input_end_s:
        boxes[f"padding {input_end_s - clip_end_s:.2f} s"] = [(clip_end_s, input_end_s, low, high)]
    if inspection.truncated_s > 0:
        boxes[f"cut off {inspection.truncated_s:.2f} s"] = [(input_end_s, max(stop_s, input_end_s), low, high)]
    grid = inspection.checkpoint.grid
    if seen and grid and seen != (grid.n_mels, grid.n_frames):
        mels, frames = grid.n_mels - seen[0], grid.n_frames - seen[1]
        parts = [f"{n} {unit}{'s' * (n > 1)}" for n, unit in ((mels, "bin"), (frames, "frame")) if n]
        seen_s = _FIRST_FRAME_S + seen[1] * HOP_S
        boxes["in no patch" + ("" if look.width_px < _TINY_PX else f": {', '.join(parts)}")] = [
            (_FIRST_FRAME_S, seen_s, seen[0], grid.n_mels),
            (seen_s, input_end_s, low, high),
        ]
    handles = []
    for name, rectangles in boxes.items():
        style = _hatch_style(name, palette)
        for left_s, right_s, bottom, top in rectangles:
            axes.add_patch(Rectangle((left_s, bottom), right_s - left_s, top - bottom, zorder=3, **style))
        if any(left_s < stop_s and right_s > start_s for left_s, right_s, _, _ in rectangles):
            handles.append(Patch(label=name, **style))
    if handles:
        total = figure.get_figheight() * _PX_PER_INCH
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(_LEFT / look.width_px, (_KEY_LINE if look.is_narrow else 0) / total),
            borderaxespad=0,
            borderpad=0.25,
            ncols=len(handles),
            frameon=False,
            fontsize=6.8 if look.is_narrow else 7.5,
            labelcolor=palette.ink,
            handlelength=1.6,
            handletextpad=0.5,
            columnspacing=1.0,
        )


def _hatch_style(name: str, palette: _Palette) -> dict[str, Any]:
    kind = next(kind for kind in _HATCHES if name.startswith(kind))
    alpha = 0.55 if kind == "padding" else 0.8  # padding holds values that the model does see
    return {"hatch": _HATCHES[kind], "facecolor": "#7f8794", "edgecolor": palette.background, "alpha": alpha, "lw": 0}


def _colour_key(
    figure: Figure,
    look: Look,
    palette: _Palette,
    norm: Normalize,
    colours: str | Colormap,
    name: str,
    *,
    beyond: bool = False,
) -> None:
    """A small horizontal colour bar below the axes on the right, its ends labelled; `beyond`: some values are higher."""
    total = figure.get_figheight() * _PX_PER_INCH
    bar, end = 90 if look.width_px < _TINY_PX else 120, look.width_px - _RIGHT - 30
    key = figure.add_axes(((end - bar) / look.width_px, 6 / total, bar / look.width_px, 8 / total))
    key.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours)
    key.set_axis_off()
    for x, text, side in (
        (end - bar - 38, name, "right"),
        (end - bar - 5, f"{norm.vmin:.2g}", "right"),
        (end + 5, f"{'≥ ' if beyond else ''}{norm.vmax:.2g}", "left"),
    ):
        figure.text(x / look.width_px, 10 / total, text, color=palette.ink, fontsize=7.5, ha=side, va="center")


def _remark(figure: Figure, look: Look, palette: _Palette, text: str) -> None:
    """A few words below the axes on the right."""
    total = figure.get_figheight() * _PX_PER_INCH
    x = 1 - _RIGHT / look.width_px
    figure.text(x, 10 / total, text, color=palette.ink, fontsize=7.5, ha="right", va="center")


def _envelope(
    samples: np.ndarray, look: Look, start_s: float, stop_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest sample, and the time in seconds, of each of about as many stretches as there are pixels."""
    shown = samples[: math.ceil(stop_s * SAMPLE_RATE)]
    length = max(1, math.ceil((stop_s - start_s) * SAMPLE_RATE / look.width_px))
    shown = np.pad(shown, (0, -len(shown) % length), mode="edge").reshape(-1, length)
    return shown.min(axis=1), shown.max(axis=1), (np.arange(len(shown)) + 0.5) * length / SAMPLE_RATE


@lru_cache(maxsize=1)
def _relevance_colours() -> Colormap:
    """From nothing through teal to pale yellow: lightness and opacity rise together, and no hue is magma's."""
    stops = [(0, (0.0, 0.35, 0.45, 0.0)), (0.35, (0.0, 0.55, 0.6, 0.6)), (1, (0.75, 1.0, 0.55, 0.95))]
    return LinearSegmentedColormap.from_list("relevance", stops)
