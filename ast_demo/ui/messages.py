"""What a visitor is told when something is wrong: a sentence, in which no path of the server stands.

Errors of the library name the file that they are about, as a user of the command line knows it. On the page that file lies
somewhere on the server, which is nobody's business: all that a tab, an endpoint or the server says of an error passes here.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from html import escape
from pathlib import Path

_PROGRAM = Path(__file__).resolve().parents[2]  # where this program is imported from


def sentence(error: Exception | str) -> str:
    """The sentence of an error, where of a path of the server the name alone is left."""
    text = str(error)
    for folder in _folders_of_the_server():
        quoted = rf"(['\"]){folder}(?![\w-])(?:[^'\"\n]*[/\\])?([^/\\'\"\n]*)\1"
        text = re.sub(quoted, r"\1\2\1", text)
        text = re.sub(rf"(?<![\w.-]){folder}(?![\w-])(?:[^\s'\"]*[/\\])?", "", text)
    return text


def alert(error: Exception | str) -> str:
    """The same as HTML, which screen readers say at once."""
    return f'<p role="alert">{escape(sentence(error))}</p>'


def in_words(seconds: float) -> str:
    """How long something is kept: 48 hours, an hour, 90 minutes, 40 seconds."""
    if seconds == 3600:
        return "an hour"
    if seconds > 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:g} hours"
    return f"{seconds / 60:g} minutes" if seconds > 60 and seconds % 6 == 0 else f"{seconds:g} seconds"


def _folders_of_the_server() -> list[str]:
    """Patterns of the folders of visitors' files, of downloads, of this program and of Python; the longest first.

    A folder that its owner has typed in stays as it was typed: only what the program chose by itself is not told.
    """
    cache = os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")
    folders = {Path(tempfile.gettempdir()), Path(cache), _PROGRAM, Path(sys.prefix), Path(sys.base_prefix)}
    spelled = {spelling for folder in folders for spelling in (str(folder), str(folder.resolve()))}
    wide = [spelling for spelling in spelled if len(Path(spelling).parts) > 1]  # not the root of a disk
    return [re.escape(spelling).replace(r"\\", r"(?:\\){1,2}") for spelling in sorted(wide, key=len, reverse=True)]
