"""The web page. No computing here: each event reads components, calls the library, fills components."""

from __future__ import annotations

from ast_demo.ui.server import launch

__all__ = ["launch"]
