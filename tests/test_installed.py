"""The program as it is installed: a wheel, in an environment of its own, far from the repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ast_demo.cli import main
from ast_demo.errors import AstDemoError, SettingsError
from tests.clips import REPOSITORY, sample_clips

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel, and sees what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    build = [*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--quiet", "-w", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True, timeout=300)
    (wheel,) = folder.glob("ast_demo-*.whl")
    venv.create(folder / "venv", with_pip=False)
    commands = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    install = [*PIP, "--python", str(commands / "python"), "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    (packages,) = (folder / "venv").rglob("site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


def run(command: Path | str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run([str(command), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_inspects_a_clip_wherever_one_stands(installed: Path, tmp_path: Path) -> None:
    clip = tmp_path / "seven.ogg"
    shutil.copy(sample_clips(20)[7], clip)
    told = json.loads(run(installed / "ast-demo", "inspect", "seven.ogg", "--json", cwd=tmp_path))
    assert told["predictions"][0]["label"] == "7"


def test_the_library_has_its_checkpoints_samples_guide_and_page(installed: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
import sys
import ast_demo, ast_demo.ui.page
from ast_demo.data import list_samples
from ast_demo.models import shipped_names
from ast_demo.shipped import shipped_folder
files = [sample.path for sample in list_samples()]
print(Path(ast_demo.__file__).is_relative_to(sys.prefix), len(files), all(file.is_file() for file in files))
print(*shipped_names(), len(list(shipped_folder("guide").glob("*.png"))))
for name in ("guide.md", "style.css", "upload_limit.js", "api_view.js"):
    assert (Path(ast_demo.ui.page.__file__).parent / name).is_file(), name
"""
    first, second = run(installed / "python", "-c", code, cwd=tmp_path).splitlines()
    assert first == "True 120 True"
    assert second.split()[:2] == ["sounds-and-digits-10-10", "sounds-and-digits-16-16"]
    assert int(second.split()[-1]) == len(list((REPOSITORY / "assets" / "guide").glob("*.png")))


def requirements(*names: str) -> dict[str, Requirement]:
    lines = [line for name in names for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines()]
    wanted = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip()) and text[0] != "-"]
    return {one.name.lower(): one for one in wanted}


def test_what_is_pinned_is_what_the_library_asks_for() -> None:
    """The lists name the same packages, and each pinned version lies within the library's bounds."""
    extras = PROJECT["optional-dependencies"]
    asked = {
        "requirements.txt": PROJECT["dependencies"] + extras["finetune"] + extras["spotlight"] + extras["onnx"],
        "requirements-ray.txt": extras["ray"],
    }
    for file, texts in asked.items():
        bounds = {one.name.lower(): one for one in map(Requirement, texts)}
        pinned = requirements(file)
        assert pinned.keys() == bounds.keys(), file
        for name, bound in bounds.items():
            (version,) = pinned[name].specifier
            assert pinned[name].extras == bound.extras
            assert bound.specifier.contains(version.version), f"{pinned[name]} is not within {bound}"
            assert {one.operator for one in bound.specifier} == {">=", "<"}, bound


@pytest.mark.parametrize("extra", ["finetune", "spotlight", "ray", "onnx"])
def test_a_missing_extra_is_told_in_a_sentence(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ast_demo.extras import need

    need(extra)  # it is there
    (first, *_) = (Requirement(text).name for text in PROJECT["optional-dependencies"][extra])
    monkeypatch.setitem(sys.modules, first.split("-")[0], None)
    with pytest.raises(SettingsError, match=re.escape(f"pip install 'ast-demo[{extra}]'")):
        need(extra)


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["finetune", "samples", "--base", "sounds-and-digits-16-16"], "accelerate", "finetune"),
        (["evaluate", "samples", "--checkpoint", "sounds-and-digits-16-16", "--engine", "ray"], "ray", "ray"),
        (["spotlight"], "renumics", "spotlight"),
        (["export", "sounds-and-digits-16-16"], "onnxruntime", "onnx"),
    ],
)
def test_the_command_line_tells_of_a_missing_extra(
    arguments: list[str],
    module: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    output = [str(tmp_path)] if arguments == ["spotlight"] else ["--output", str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", ["ast_demo", *arguments, *output])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].endswith(f"Install the extra: pip install 'ast-demo[{extra}]'")


def test_the_page_tells_of_a_missing_spotlight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And evaluates all the same."""
    from ast_demo.settings import Settings
    from ast_demo.spotlight.viewers import Viewers

    monkeypatch.setitem(sys.modules, "renumics", None)
    viewers = Viewers(Settings())
    try:
        viewers.prepare()
        assert viewers.pids == []
        with pytest.raises(AstDemoError, match=r"Spotlight needs renumics, which is not installed\."):
            viewers.open(tmp_path)
    finally:
        viewers.close_all()
