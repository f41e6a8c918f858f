"""The command line."""

from __future__ import annotations

from ast_demo.cli.commands import app, main

__all__ = ["app", "main"]
