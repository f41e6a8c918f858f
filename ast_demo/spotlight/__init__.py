"""Evaluations in Renumics Spotlight: what is shown of them, the processes that show it, the way to them."""

from __future__ import annotations

from ast_demo.spotlight.proxy import route
from ast_demo.spotlight.view import describe_trust, write_layout
from ast_demo.spotlight.viewers import PREFIX, Viewers, serve_evaluation

__all__ = [
    "PREFIX",
    "Viewers",
    "describe_trust",
    "route",
    "serve_evaluation",
    "write_layout",
]
