"""A Waveform and a Checkpoint to an Inspection."""

from __future__ import annotations

from ast_demo.inspection.comparison import (
    MOST,
    Comparison,
    common_rasters,
    compare,
    describe,
    map_raster,
    match_key,
    summarise_comparison,
)
from ast_demo.inspection.inspection import (
    Inspection,
    PatchInspection,
    inspect,
    inspect_batch,
    inspect_patch,
    summarise,
    to_list,
    to_scores,
)
from ast_demo.inspection.rollout import padding_of_columns, to_grid
from ast_demo.inspection.windows import (
    NAMED,
    Timeline,
    begin_timeline,
    cut_window,
    follow_windows,
    inspect_recordings,
    look_through,
    nearest_window,
    summarise_windows,
    window_starts,
)

__all__ = [
    "MOST",
    "NAMED",
    "Comparison",
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
    "map_raster",
    "match_key",
    "nearest_window",
    "padding_of_columns",
    "summarise",
    "summarise_comparison",
    "summarise_windows",
    "to_grid",
    "to_list",
    "to_scores",
    "window_starts",
]
