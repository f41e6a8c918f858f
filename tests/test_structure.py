"""The shape of the house: imports point up the list of rooms, and nobody works while being imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import REPOSITORY

PACKAGE = REPOSITORY / "ast_demo"

# In the order in which a clip passes through them. A room knows those above it and none below.
ROOMS = (
    "errors",
    "settings",
    "temporary",
    "memory",
    "threads",
    "audio",
    "clip_facts",
    "samples",
    "buckets",
    "labelled_clips",
    "spectrogram",
    "patches",
    "resynthesis",
    "attention",
    "gpu",
    "amx",
    "fast_kernels",
    "fast_float32",
    "fast_bfloat16",
    "fast_ast",
    "gpu_ast",
    "hub",
    "checkpoints",
    "checkpoint_cache",
    "catalogue",
    "sequence_models",
    "inspection",
    "windows",
    "maps",
    "hearing",
    "relevance",
    "perturbation",
    "explanations",
    "trust",
    "mistakes",
    "comparison",
    "figures",
    "export",
    "metrics",
    "read_ahead",
    "embedding_map",
    "evaluation_rows",
    "evaluation_parts",
    "evaluation_engine",
    "scale_out",
    "evaluation",
    "spotlight",
    "finetuning",
    "cli",
    "ui",
)
# The command line starts the page, and imports it there: the one step down.
STEPS_DOWN = {("cli", "ui")}

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


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_up(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS, f"{room} has no place yet in the order of the rooms"
    for module in imports(parse(path)):
        package, _, rest = module.partition(".")
        if package != "ast_demo":
            continue
        other = rest.split(".")[0]
        assert other in ROOMS, f"{path.name} imports {module}"
        up_or_inside = ROOMS.index(other) <= ROOMS.index(room)
        assert up_or_inside or (room, other) in STEPS_DOWN, f"{room} imports {other}, which stands below it"


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


CORE = [path for path in FILES if room_of(path) not in {"cli", "ui"}]


HARMLESS = {
    "Path(__file__).resolve",
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
    core = "; ".join(f"import ast_demo.{path.stem}" for path in CORE if path.parent == PACKAGE)
    loaded = loaded_by(f"import ast_demo.cli; {core}")
    assert {"torch", "typer"} <= loaded
    assert not loaded & {"gradio", "renumics", "datasets", "matplotlib.pyplot"}


def test_the_command_line_alone_is_lighter_still() -> None:
    """`--help` should not wait for torch."""
    assert not loaded_by("import ast_demo.cli") & {"torch", "transformers", "gradio", "matplotlib"}


def test_importing_the_package_is_free() -> None:
    assert not loaded_by("import ast_demo") & {"torch", "numpy", "transformers"}
