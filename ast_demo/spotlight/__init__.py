"""Evaluations in Renumics Spotlight: what is shown of them, the processes that show it, the way to them."""

from __future__ import annotations

from ast_demo.spotlight.layout import write_layout
from ast_demo.spotlight.proxy import route
from ast_demo.spotlight.viewers import PREFIX, Viewers, serve_evaluation

__all__ = [
    "PREFIX",
    "Viewers",
    "route",
    "serve_evaluation",
    "write_layout",
]
