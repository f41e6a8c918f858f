"""Write the part of `command-line.md` that comes from the commands' own help: `python docs/write_command_line.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

PAGE = Path(__file__).resolve().parent / "command-line.md"
_PLACE = re.compile(r"(<!-- help -->\n).*?(<!-- /help -->)", re.DOTALL)


def with_help(text: str) -> str:
    """The page with the help of all commands, as it is now, between the marks."""
    sys.path.insert(0, str(PAGE.parent.parent))
    from ast_demo.cli import app

    group = typer.main.get_command(app)
    told = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="ast-demo"), name="ast-demo", indent=1)
    return _PLACE.sub(lambda found: f"{found[1]}{told.strip()}\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(with_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
