"""What visitors leave is deleted: by age, by size, at the end, and after a program that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ast_demo.runtime.visitor_files import UPLOADS, VIEWERS, delete_old, visitors_folder
from ast_demo.settings import Settings
from tests.clips import REPOSITORY


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def put(path: Path, age_s: float, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    for one in (path, path.parent):
        os.utime(one, (time.time() - age_s,) * 2)
    return path


def test_temporary_files_lie_in_the_folder_and_go_with_it(tmp_path: Path) -> None:
    with visitors_folder(Settings()) as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0  # nobody else on the machine looks in
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)


def test_what_is_old_goes_and_what_is_new_stays(tmp_path: Path) -> None:
    old = [put(tmp_path / UPLOADS / "a" / "clip.wav", 100), put(tmp_path / "ast-demo-x" / "rollout.png", 100)]
    old += [put(tmp_path / "loose.tmp", 100)]
    new = [put(tmp_path / UPLOADS / "b" / "clip.wav", 10), put(tmp_path / "ast-demo-y" / "rollout.png", 10)]
    growing = put(tmp_path / "ast-demo-z" / "parts" / "0.parquet", 10)  # of an evaluation that began long ago
    os.utime(growing.parents[1], (time.time() - 100,) * 2)
    viewer = put(tmp_path / f"{VIEWERS}v" / "config", 100)
    delete_old(tmp_path, kept_s=50, kept_mb=1)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (*new, growing, viewer))


def test_the_oldest_go_where_all_takes_too_much(tmp_path: Path) -> None:
    paths = [put(tmp_path / UPLOADS / str(age) / "clip.wav", age, 400_000) for age in (30, 20, 10)]
    delete_old(tmp_path, kept_s=50, kept_mb=0.9)
    assert [path.exists() for path in paths] == [False, True, True]


def test_what_a_killed_program_left_goes_when_the_next_one_starts(tmp_path: Path) -> None:
    code = (
        "import time; from ast_demo.settings import Settings; from ast_demo.runtime.visitor_files import visitors_folder\n"
        "with visitors_folder(Settings()) as folder: print(folder, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE
    ) as program:
        try:
            left = Path(program.stdout.readline().decode().strip())
            with visitors_folder(Settings()):
                assert left.is_dir()  # it is in use
        finally:
            program.kill()
    assert left.is_dir()
    with visitors_folder(Settings()):
        assert not left.exists()
