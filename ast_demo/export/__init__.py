"""Inspections to files."""

from __future__ import annotations

from ast_demo.export.files import (
    describe_clip,
    draw,
    draw_comparison,
    folder_of,
    write_comparison,
    write_inspection,
    write_map,
)

__all__ = [
    "describe_clip",
    "draw",
    "draw_comparison",
    "folder_of",
    "write_comparison",
    "write_inspection",
    "write_map",
]
