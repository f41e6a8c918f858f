"""What the documents say is so: links lead somewhere, commands and code run, tables and lists are complete."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ast_demo.cli import main
from ast_demo.data.clips import LabelledClip, LabelledClips
from ast_demo.evaluation.run import evaluate
from ast_demo.models.loading import Checkpoint
from ast_demo.settings import PUBLIC, Settings
from tests.clips import REPOSITORY, encode, noise
from tests.tiny import LABELS

DOCUMENTS = [
    path
    for path in sorted(REPOSITORY.rglob("*.md"))
    if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
]
README, COMMAND_LINE, FOR_PROGRAMS, SETTINGS, TABLE = (
    (REPOSITORY / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/command-line.md",
        "docs/for-programs.md",
        "docs/settings.md",
        "docs/evaluation-table.md",
    )
)
COMMANDS = [
    shlex.split(line.partition("-m ast_demo ")[2])
    for document in DOCUMENTS
    for line in document.read_text(encoding="utf-8").splitlines()
    if re.match(r"( {4,}python|\.venv/bin/python) -m ast_demo ", line)
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [target for target in targets if not re.match(r"[a-z]+:|#", target)]
    missing = [target for target in inside if not (document.parent / target.partition("#")[0]).exists()]
    assert missing == []


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["ast_demo", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code or 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_is_shown_exists_with_its_options(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run([command[0], "--help"], monkeypatch) == 0
    help_ = capsys.readouterr().out
    for option in command:
        if option.startswith("--"):
            assert re.search(rf"{option}\b", help_)


def test_the_readme_shows_commands() -> None:
    assert {command[0] for command in COMMANDS} >= {"inspect", "checkpoints", "serve"}


def test_the_inspect_commands_of_the_readme_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").symlink_to(REPOSITORY / "assets")
    shown = [command for command in COMMANDS if command[0] == "inspect"]
    assert len(shown) >= 3
    for command in shown:
        assert run(command, monkeypatch) == 0
        out = capsys.readouterr().out
        if "--json" in command:
            keys = re.search(r"prints one object: (.*?) and more", COMMAND_LINE, re.DOTALL)[1]
            assert set(re.findall(r"`(\w+)`", keys)) <= json.loads(out).keys()
        if "--output" in command:
            written = re.search(r"`--output` gets(.*?)\.\s", COMMAND_LINE, re.DOTALL)[1]
            folder = tmp_path / command[command.index("--output") + 1]
            assert set(re.findall(r"`(\w+\.\w+)`", written)) == {path.name for path in folder.iterdir()}


def test_the_code_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(REPOSITORY)
    code, *_ = re.findall(r"```python\n(.*?)```", FOR_PROGRAMS, re.DOTALL)  # the others want a page: see tests/public
    exec(compile(code, "for-programs.md", "exec"), {})
    top, shape = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[(\('\w+', [\d.e-]+\)(, )?){3}\]", top)
    assert shape == "(8, 32)"


def test_the_table_of_settings_is_complete_and_tells_the_defaults() -> None:
    rows = re.findall(r"^\| `AST_DEMO_(\w+)` \| (.+?) \| (.+?) \|", SETTINGS, re.MULTILINE)
    told = {name: (local, public) for name, local, public in rows}
    assert told == {
        field.name.upper(): tuple(in_words(getattr(settings, field.name)) for settings in (Settings(), PUBLIC))
        for field in fields(Settings)
    }


def in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return ", ".join(value) or "none" if isinstance(value, tuple) else f"{value:.10g}"


def test_the_readme_is_a_front_door() -> None:
    """Short below its front matter, and with a way to every document."""
    front_door = README.split("---\n", 2)[2]
    assert len(front_door.splitlines()) < 150
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", front_door))
    assert linked == {path.name for path in (REPOSITORY / "docs").glob("*.md")}


def test_the_help_that_is_printed_is_the_one_of_the_commands() -> None:
    """Out of date? `python docs/write_command_line.py`."""
    path = REPOSITORY / "docs" / "write_command_line.py"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import runpy; print(runpy.run_path({str(path)!r})['with_help'](open(0).read()), end='')",
        ],
        input=COMMAND_LINE,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    assert done.stdout == COMMAND_LINE


def test_every_column_of_an_evaluations_table_is_told(tiny: Checkpoint, tmp_path: Path) -> None:
    clips = [
        LabelledClip(f"{number}.wav", encode(noise(0.9, seed=number), 16_000, "wav", "PCM_16"), (label,))
        for number, label in enumerate(LABELS[:2])
    ]
    found = evaluate(LabelledClips("two", tuple(clips)), ["tiny"], lambda _: tiny, tmp_path)
    own = f" ({tiny.facts.name})"
    cells = re.findall(r"^\| (`.+?) \|", TABLE, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == {
        name.removesuffix(own) for name in found.columns
    }


def test_ci_runs_the_readmes_own_test_command() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m1 '(.*)' README.md", script)[1]
    (command,) = re.findall(pattern, README, re.MULTILINE)
    assert command.endswith("-r requirements-dev.txt && .venv/bin/python -m pytest")


def test_everything_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-ray.txt", "requirements-dev.txt"):
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines():
            requirement = line.partition("#")[0].strip()
            assert re.fullmatch(r"|-r requirements(-ray)?\.txt|[\w.-]+(\[\w+\])?==[\w.]+", requirement), line
