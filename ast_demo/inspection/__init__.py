"""A Waveform and a Checkpoint to an Inspection."""

from __future__ import annotations

from ast_demo.inspection.comparison import MOST, Comparison, Failure, common_rasters, compare, describe
from ast_demo.inspection.inspection import Inspection, PatchInspection, inspect, inspect_batch, inspect_patch
from ast_demo.inspection.windows import (
    NAMED,
    Timeline,
    begin_timeline,
    cut_window,
    follow_windows,
    inspect_recordings,
    look_through,
    nearest_window,
    window_starts,
)

__all__ = [
    "MOST",
    "NAMED",
    "Comparison",
    "Failure",
    "Inspection",
    "PatchInspection",
    "Timeline",
    "begin_timeline",
    "common_rasters",
    "compare",
    "cut_window",
    "describe",
    "follow_windows",
    "inspect",
    "inspect_batch",
    "inspect_patch",
    "inspect_recordings",
    "look_through",
    "nearest_window",
    "window_starts",
]
