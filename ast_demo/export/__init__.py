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
from ast_demo.export.onnx import export_onnx

__all__ = [
    "describe_clip",
    "draw",
    "draw_comparison",
    "export_onnx",
    "folder_of",
    "write_comparison",
    "write_inspection",
    "write_map",
]
