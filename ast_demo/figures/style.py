"""How pictures look: for which width, in which colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from matplotlib.colors import Colormap, LinearSegmentedColormap

_NARROW_PX, TINY_PX = 720, 350


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
class Palette:
    background: str
    ink: str
    faint: str
    accent: str


_LIGHT = Palette("#ffffff", "#1f2430", "#8a90a0", "#0b7a75")
_DARK = Palette("#14171f", "#e6e8ee", "#858c9d", "#3fd0c4")


def palette_of(look: Look) -> Palette:
    return _DARK if look.dark else _LIGHT


DIFFERENCE_COLOURS = "PuOr"  # of matplotlib: one against the other, and nothing in the middle


@lru_cache(maxsize=1)
def relevance_colours() -> Colormap:
    """From nothing through teal to pale yellow: lightness and opacity rise together, and no hue is magma's."""
    stops = [(0, (0.0, 0.35, 0.45, 0.0)), (0.35, (0.0, 0.55, 0.6, 0.6)), (1, (0.75, 1.0, 0.55, 0.95))]
    return LinearSegmentedColormap.from_list("relevance", stops)
