"""Inspections to files, and to the one JSON that all who ask get."""

from __future__ import annotations

from ast_demo.export.files import (
    draw,
    draw_comparison,
    folder_of,
    write_comparison,
    write_inspection,
    write_map,
    write_report,
)
from ast_demo.export.onnx import export_onnx, zip_onnx
from ast_demo.export.summaries import (
    describe_clip,
    summarise,
    summarise_comparison,
    summarise_halves,
    summarise_map,
    summarise_report,
    summarise_windows,
)

__all__ = [
    "describe_clip",
    "draw",
    "draw_comparison",
    "export_onnx",
    "folder_of",
    "summarise",
    "summarise_comparison",
    "summarise_halves",
    "summarise_map",
    "summarise_report",
    "summarise_windows",
    "write_comparison",
    "write_inspection",
    "write_map",
    "write_report",
    "zip_onnx",
]
