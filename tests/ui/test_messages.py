"""What a visitor is told: sentences, without a path of the server, however it is written."""

from __future__ import annotations

import ast
import sys
import tempfile
from pathlib import Path

import pytest

from ast_demo.errors import cannot_write
from ast_demo.ui.messages import alert, in_words, sentence
from tests.clips import REPOSITORY

HERE = tempfile.gettempdir()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"There is no file '{HERE}/run/uploads/abc/rock & roll.ogg'.", "There is no file 'rock & roll.ogg'."),
        (
            f"[Errno 2] No such file: '{HERE}/a/b c.wav' and {HERE}/x/y.wav",
            "[Errno 2] No such file: 'b c.wav' and y.wav",
        ),
        (f'File "{HERE}/it\'s.wav" is not there.', 'File "it\'s.wav" is not there.'),
        (f"{REPOSITORY}/assets/checkpoints/a/config.json is damaged", "config.json is damaged"),
        (f"'{sys.prefix}/lib/x.py' fails", "'x.py' fails"),
        ("There is no checkpoint '/etc'.", "There is no checkpoint '/etc'."),
        (f"'{HERE}-of-somebody-else/x' is no folder", f"'{HERE}-of-somebody-else/x' is no folder"),
        ("https://huggingface.co/tmp/model", "https://huggingface.co/tmp/model"),
    ],
)
def test_of_a_path_of_the_server_the_name_is_left(said: str, told: str) -> None:
    assert sentence(said) == told


def test_an_error_of_the_library_is_told_as_html(tmp_path: Path) -> None:
    error = cannot_write(tmp_path / "<results>", OSError(28, "No space left on device"))
    assert alert(error) == (
        '<p role="alert">Cannot write to the folder &#x27;&lt;results&gt;&#x27;: No space left on device.</p>'
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3600, "an hour"), (5400, "90 minutes"), (40, "40 seconds"), (90, "1.5 minutes"), (172_800, "48 hours")],
)
def test_how_long_files_are_kept(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("path", sorted((REPOSITORY / "ast_demo" / "ui").rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_but_messages_turns_an_error_into_words(path: Path) -> None:
    """No tab writes `str(error)` or an alert of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    if path.stem == "messages":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "str" and node.args:
            assert ast.unparse(node.args[0]) not in caught, f"line {node.lineno}: say it by `messages.sentence`"
        if isinstance(node, ast.FormattedValue):
            assert ast.unparse(node.value) not in caught, f"line {node.lineno}: say it by `messages.sentence`"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert 'role="alert"' not in node.value, f"line {node.lineno}: say it by `messages.alert`"
