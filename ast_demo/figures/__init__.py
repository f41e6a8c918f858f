"""Inspections to pictures, all of one clip on one time axis.

Every picture of a clip has the same margins and the same seconds from left to right, so that they line up to the
pixel when stacked. Frequency runs in mel bins, as the model sees it, with ticks in hertz. What holds no sound of the
clip or is seen by no patch is hatched the same way everywhere. Colour means one thing: the spectrogram is magma;
relevance is laid over a grey spectrogram in its own colour.

Figures are made with matplotlib's object interface: pyplot keeps them in one list for all threads, and so for all
visitors.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from ast_demo.figures.axes import envelope, to_png
from ast_demo.figures.clip import (
    attention_figure,
    difference_figure,
    patch_at_pixel,
    patch_grid_figure,
    rollout_figure,
    shared_look,
    spectrogram_figure,
    waveform_figure,
)
from ast_demo.figures.metrics import confusion_figure, reliability_figure
from ast_demo.figures.relevance import map_figure, map_title, trust_figure
from ast_demo.figures.style import Look
from ast_demo.figures.thumbnails import map_thumbnail, spectrogram_thumbnail
from ast_demo.figures.timeline import time_at_pixel, timeline_figure

__all__ = [
    "Figure",
    "Look",
    "attention_figure",
    "confusion_figure",
    "difference_figure",
    "envelope",
    "map_figure",
    "map_thumbnail",
    "map_title",
    "patch_at_pixel",
    "patch_grid_figure",
    "reliability_figure",
    "rollout_figure",
    "shared_look",
    "spectrogram_figure",
    "spectrogram_thumbnail",
    "time_at_pixel",
    "timeline_figure",
    "to_png",
    "trust_figure",
    "waveform_figure",
]
