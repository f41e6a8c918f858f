"""What all pictures of a clip share: the look, the margins, one time axis, hatches and colour keys."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ast_demo.features import (
    FIRST_FRAME_S,
    PatchGrid,
    Spectrogram,
    frames_to_time,
    hz_to_mel_bin,
    samples_to_time,
    time_to_samples,
)
from ast_demo.figures.style import TINY_PX, Look, Palette, palette_of
from ast_demo.inspection import Inspection

PX_PER_INCH = 100  # one inch of a figure is a hundred CSS pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 30, 24  # margins round the axes in CSS pixels
KEY_LINE = 20  # below them, a line for the names of the hatches and the colour key; a line each where it is narrow
WAVEFORM_HEIGHT, SPECTROGRAM_HEIGHT = 100, 210  # of the axes, in CSS pixels
_TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000)
_CUT_OFF_SHOWN = 0.15  # of a clip that is longer than the input, show so much of the input's length beyond its end


_HATCHES = {"padding": "////", "cut off": "xxxx", "in no patch": "....."}  # by how their names begin


def to_png(figure: Figure, look: Look = Look()) -> bytes:
    """Draw a figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PX_PER_INCH * look.scale, facecolor=figure.get_facecolor())
    return buffer.getvalue()


class _TicksFrom(MaxNLocator):
    """Round numbers on an axis that begins at another number than it says: the clip was cut from a recording there."""

    def __init__(self, start: float, **options: Any) -> None:
        super().__init__(**options)
        self._start = start

    def tick_values(self, vmin: float, vmax: float) -> Any:
        return np.asarray(super().tick_values(vmin + self._start, vmax + self._start)) - self._start


def start_figure(inspection: Inspection, look: Look, height: int, title: str) -> tuple[Figure, Axes, Palette]:
    """A figure with one axes of `height` CSS pixels, on the time axis of the clip."""
    return blank_figure(look, height, title, seconds_shown(inspection, look), inspection.waveform.start_s)


def blank_figure(
    look: Look, height: int, title: str, seconds: tuple[float, float], start_s: float = 0.0
) -> tuple[Figure, Axes, Palette]:
    """A figure with one axes of `height` CSS pixels over these seconds, which are told as so much later."""
    palette = palette_of(look)
    total = total_height(look, height)
    figure = Figure(figsize=(look.width_px / PX_PER_INCH, total / PX_PER_INCH), facecolor=palette.background)
    left, bottom, width, _ = axes_box(look, height)
    axes = figure.add_axes((left / look.width_px, bottom / total, width / look.width_px, height / total))
    axes.set_facecolor(palette.background)
    axes.set_xlim(*seconds)
    axes.xaxis.set_major_locator(_TicksFrom(start_s, nbins=5 if look.is_narrow else 10, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value + start_s:.6g} s"))
    axes.tick_params(colors=palette.ink, labelsize=8, length=3, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=palette.faint, linewidth=0.6)
    left = 8 if look.width_px < TINY_PX else LEFT  # where the longest titles would not fit beside the margin
    figure.text(
        left / look.width_px, 1 - 14 / total, title, color=palette.ink, fontsize=9.5, fontweight="bold", va="center"
    )
    return figure, axes, palette


def axes_box(look: Look, height: int) -> tuple[int, int, int, int]:
    """Left, bottom, width and height of the axes in CSS pixels, the same for all pictures of a clip."""
    return LEFT, total_height(look, 0) - TOP, look.width_px - LEFT - RIGHT, height


def total_height(look: Look, axes_height: int) -> int:
    return TOP + axes_height + BOTTOM + KEY_LINE * (2 if look.is_narrow else 1)


def seconds_shown(inspection: Inspection, look: Look) -> tuple[float, float]:
    """The time axis: the checkpoint's input, and a little of what is cut off; or only the clip in it."""
    window_s, clip_s = inspection.input_s, inspection.waveform.duration_s
    if look.seconds is not None:
        return 0.0, look.seconds
    if look.zoom:
        return 0.0, min(clip_s, window_s)
    return 0.0, min(max(window_s, clip_s), (1 + _CUT_OFF_SHOWN) * window_s)


def ends_s(inspection: Inspection) -> tuple[float, float]:
    """Where the clip, and where the input ends on the time axis, in seconds."""
    if inspection.spectrogram is None:
        return min(inspection.waveform.duration_s, inspection.input_s), inspection.input_s
    spectrogram, grid = inspection.fed
    return frames_to_time(spectrogram.clip_frames, FIRST_FRAME_S), frames_to_time(grid.n_frames, FIRST_FRAME_S)


def clip_and_scale(spectrogram: Spectrogram) -> tuple[np.ndarray, Normalize]:
    """The frames that hold the clip, (clip_frames, n_mels), and the colour scale from their lowest to their highest."""
    clip = spectrogram.values[: spectrogram.clip_frames]
    return clip, Normalize(float(clip.min()), max(float(clip.max()), float(clip.min()) + 1e-3))


def draw_spectrogram(axes: Axes, inspection: Inspection, colours: str) -> Normalize:
    values = inspection.fed[0].values
    _, norm = clip_and_scale(inspection.fed[0])
    frames, mels = values.shape
    limits = axes.get_xlim()
    axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=norm,
        extent=(FIRST_FRAME_S, frames_to_time(frames, FIRST_FRAME_S), 0, mels),
    )
    axes.set_xlim(limits)
    return norm


def frequency_axis(axes: Axes, grid: PatchGrid) -> None:
    # 8 kHz is where the last triangle ends, half a bin above the axis: less than a pixel, so its tick is at the edge.
    axes.set_yticks([min(hz_to_mel_bin(hz, grid.n_mels), grid.n_mels) for hz in _TICKS_HZ])
    axes.set_yticklabels([f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz" for hz in _TICKS_HZ])
    axes.set_ylim(0, grid.n_mels)  # after the ticks, which would widen it


def tile_edges_s(grid: PatchGrid) -> tuple[np.ndarray, np.ndarray]:
    """Edges in seconds (n_time + 1,) and mel bins (n_frequency + 1,) that part patches half-way between centres."""
    return grid.edges_s(), grid.tile_edges()[0]


def outline_patch(axes: Axes, grid: PatchGrid, patch: tuple[int, int]) -> None:
    """The true box of a patch, which reaches beyond its tile where patches overlap."""
    box = grid.box(*patch)
    corner = (frames_to_time(box.frame_start, FIRST_FRAME_S), box.mel_start)
    size = (frames_to_time(box.frame_stop - box.frame_start), box.mel_stop - box.mel_start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=2.6))
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=1.2))


def hatch(
    figure: Figure,
    axes: Axes,
    inspection: Inspection,
    look: Look,
    palette: Palette,
    *,
    seen: tuple[int, int] | None = None,
) -> None:
    """Hatch and name the padding, what is cut off, and, beyond the mel bins and frames that are seen, what is in no patch."""
    start_s, stop_s = axes.get_xlim()
    low, high = axes.get_ylim()
    clip_end_s, input_end_s = ends_s(inspection)
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}  # by name: left, right, bottom, top
    if clip_end_s < input_end_s:
        boxes[f"padding {input_end_s - clip_end_s:.2f} s"] = [(clip_end_s, input_end_s, low, high)]
    if inspection.truncated_s > 0:
        boxes[f"cut off {inspection.truncated_s:.2f} s"] = [(input_end_s, max(stop_s, input_end_s), low, high)]
    grid = inspection.checkpoint.grid
    if seen and grid and seen != (grid.n_mels, grid.n_frames):
        mels, frames = grid.n_mels - seen[0], grid.n_frames - seen[1]
        parts = [f"{n} {unit}{'s' * (n > 1)}" for n, unit in ((mels, "bin"), (frames, "frame")) if n]
        seen_s = frames_to_time(seen[1], FIRST_FRAME_S)
        boxes["in no patch" + ("" if look.width_px < TINY_PX else f": {', '.join(parts)}")] = [
            (FIRST_FRAME_S, seen_s, seen[0], grid.n_mels),
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
        total = figure.get_figheight() * PX_PER_INCH
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(LEFT / look.width_px, (KEY_LINE if look.is_narrow else 0) / total),
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


def _hatch_style(name: str, palette: Palette) -> dict[str, Any]:
    kind = next(kind for kind in _HATCHES if name.startswith(kind))
    alpha = 0.55 if kind == "padding" else 0.8  # padding holds values that the model does see
    return {"hatch": _HATCHES[kind], "facecolor": "#7f8794", "edgecolor": palette.background, "alpha": alpha, "lw": 0}


def colour_key(
    figure: Figure,
    look: Look,
    palette: Palette,
    norm: Normalize,
    colours: str | Colormap,
    name: str,
    *,
    beyond: bool = False,
) -> None:
    """A small horizontal colour bar below the axes on the right, its ends labelled; `beyond`: some values are higher."""
    total = figure.get_figheight() * PX_PER_INCH
    bar, end = 90 if look.width_px < TINY_PX else 120, look.width_px - RIGHT - 30
    key = figure.add_axes(((end - bar) / look.width_px, 6 / total, bar / look.width_px, 8 / total))
    key.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=colours)
    key.set_axis_off()
    for x, text, side in (
        (end - bar - 38, name, "right"),
        (end - bar - 5, f"{norm.vmin:.2g}", "right"),
        (end + 5, f"{'≥ ' if beyond else ''}{norm.vmax:.2g}", "left"),
    ):
        figure.text(x / look.width_px, 10 / total, text, color=palette.ink, fontsize=7.5, ha=side, va="center")


def remark(figure: Figure, look: Look, palette: Palette, text: str) -> None:
    """A few words below the axes on the right."""
    total = figure.get_figheight() * PX_PER_INCH
    x = 1 - RIGHT / look.width_px
    figure.text(x, 10 / total, text, color=palette.ink, fontsize=7.5, ha="right", va="center")


def envelope(
    samples: np.ndarray, look: Look, start_s: float, stop_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest sample, and the time in seconds, of each of about as many stretches as there are pixels."""
    shown = samples[: math.ceil(time_to_samples(stop_s))]
    length = max(1, math.ceil(time_to_samples(stop_s - start_s) / look.width_px))
    shown = np.pad(shown, (0, -len(shown) % length), mode="edge").reshape(-1, length)
    return shown.min(axis=1), shown.max(axis=1), samples_to_time((np.arange(len(shown)) + 0.5) * length)
