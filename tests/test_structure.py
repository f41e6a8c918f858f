"""The shape of the house: imports point up the list of rooms, and nobody works while being imported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import REPOSITORY

PACKAGE = REPOSITORY / "ast_demo"


def read_the_house() -> tuple[list[str], list[str]]:
    """The files and folders of `ast_demo` as CONTRIBUTING lists them, in that order, as paths in it."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = text.partition("```\napp.py")[2].partition("```")[0].splitlines()
    lines = lines[lines.index("ast_demo/") + 1 :]
    files, folders, path = [], [], []
    for line in lines:
        depth = (len(line) - len(line.lstrip())) // 4
        if depth == 0:
            break
        name = line.split()[0]
        path = [*path[: depth - 1], name.removesuffix("/")]
        (folders if name.endswith("/") else files).append("/".join(path))
    return files, folders


# In the order in which a clip passes through them. A file knows those above it and none below.
HOUSE, FOLDERS = read_the_house()

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in {"__init__.py", "__main__.py"})
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(node: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere below, in dotted form; `from a import b` counts as a.b."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_house_is_drawn_as_it_stands() -> None:
    """CONTRIBUTING names every file once, and none that is not there."""
    assert sorted(HOUSE) == NAMES
    assert sorted(FOLDERS) == sorted({str(path.parent.relative_to(PACKAGE)) for path in FILES} - {"."})


def place_of(module: str) -> int | None:
    """Where in the house a module or a name of one stands; a face stands where the last file of its folder does."""
    path = module.removeprefix("ast_demo.").replace(".", "/")
    while path:
        if f"{path}.py" in HOUSE:
            return HOUSE.index(f"{path}.py")
        if path in FOLDERS:
            return max(number for number, file in enumerate(HOUSE) if file.startswith(f"{path}/"))
        path = path.rpartition("/")[0]
    return None


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_up(path: Path) -> None:
    name = str(path.relative_to(PACKAGE))
    for module in imports(parse(path)):
        if module.split(".")[0] != "ast_demo":
            continue
        place = place_of(module)
        assert place is not None, f"{name} imports {module}"
        assert place < HOUSE.index(name), f"{name} imports {module}, which stands below it"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_rooms_are_entered_by_their_faces(path: Path) -> None:
    """From another folder one imports what its `__init__.py` hands out, and nothing that lies behind it."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ast_demo."):
            room, _, behind = str(node.module).removeprefix("ast_demo.").partition(".")
            if room != room_of(path):
                assert not behind, f"imports {node.module} instead of ast_demo.{room}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_who_may_import_what(path: Path) -> None:
    room = room_of(path)
    for module in imports(parse(path)):
        package = module.split(".")[0]
        assert package != "gradio" or room == "ui"
        assert package != "renumics" or room == "spotlight"
        assert package != "typer" or room == "cli"
        assert not module.startswith(("matplotlib.pyplot", "pylab")), "pyplot is shared by all threads"
    assert "pyplot" not in {node.attr for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute)}


MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 80


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_sizes(path: Path) -> None:
    """A function fits on a screen, and a file is read in one go."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_FILE
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = int(node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, node.name


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_forward_pass_has_one_door(path: Path) -> None:
    """Who wants a checkpoint's answer asks `models/running.py`."""
    passes = {"run", "run_tokens", "explain", "run_elsewhere"}
    if room_of(path) not in {"inference", "models"}:
        assert not {f"ast_demo.inference.{name}" for name in passes} & set(imports(parse(path)))


CORE = [path for path in FILES if room_of(path) not in {"cli", "ui"}]


HARMLESS = {
    "Path(__file__).resolve",
    "shipped_folder",  # looks whether the program was installed
    "tuple",
    "frozenset",
    "re.compile",
    "math.log",
    "np.float32",
    "np.int32",
    "np.uint32",
}


@pytest.mark.parametrize("path", CORE, ids=[str(path.relative_to(PACKAGE)) for path in CORE])
def test_no_work_at_import(path: Path) -> None:
    """At the top of a room stand imports, definitions and constants."""
    for statement in parse(path).body:
        if isinstance(statement, ast.Expr):
            assert isinstance(statement.value, ast.Constant), (
                f"line {statement.lineno} runs when {path.name} is imported"
            )
        else:
            allowed = (
                ast.Import,
                ast.ImportFrom,
                ast.FunctionDef,
                ast.AsyncFunctionDef,
                ast.ClassDef,
                ast.Assign,
                ast.AnnAssign,
                ast.If,
            )
            assert isinstance(statement, allowed), f"line {statement.lineno} of {path.name}"
            assert not isinstance(statement, ast.If) or ast.unparse(statement.test) == "TYPE_CHECKING"
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            # Constants may be computed, but not read, loaded or registered.
            called = {ast.unparse(node.func) for node in ast.walk(statement.value) if isinstance(node, ast.Call)}
            assert not {name for name in called if name.split(".")[-1][0].islower()} - HARMLESS


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after it."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}} | {{m for m in sys.modules if 'pyplot' in m}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_the_command_line_and_the_core_stay_light() -> None:
    core = "; ".join(
        f"import ast_demo.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for path in CORE
        if room_of(path) not in {"finetuning", "from_scratch", "spotlight"}
    )
    loaded = loaded_by(f"import ast_demo.cli; {core}")
    assert {"torch", "typer"} <= loaded
    assert not loaded & {"gradio", "renumics", "datasets", "matplotlib.pyplot"}


def test_the_command_line_alone_is_lighter_still() -> None:
    """`--help` should not wait for torch."""
    assert not loaded_by("import ast_demo.cli") & {"torch", "transformers", "gradio", "matplotlib"}


def test_importing_the_package_is_free() -> None:
    assert not loaded_by("import ast_demo") & {"torch", "numpy", "transformers"}


IN_A_STRING = re.compile(r"^\s*from ((?:ast_demo|tests)[\w.]*) import (\w+(?:, \w+)*)", re.MULTILINE)


def test_programs_in_strings_import_what_there_is() -> None:
    """What a test gives to another interpreter is seen by no linter: it has to keep up with the house."""
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for module, names in IN_A_STRING.findall(node.value):
                    assert importlib.util.find_spec(module), f"{path.name}: {module}"
                    for name in names.split(", ") if module.startswith("ast_demo") else ():
                        assert hasattr(importlib.import_module(module), name), f"{path.name}: {module}.{name}"
