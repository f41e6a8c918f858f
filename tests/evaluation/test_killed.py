"""A run over real recordings that is killed half-way: started again, it ends with the table of one that was not."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.clips import REPOSITORY, real_clips, recordings
from tests.tiny import save_tiny

CLIPS = 400


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half sounds, half digits, the two in turn, so that every part of a run has both."""
    paths = real_clips(CLIPS)
    folder = tmp_path_factory.mktemp("recordings")
    rows = [
        (str(path), path.parent.name if path.is_relative_to(recordings() / "esc10") else path.name[0])
        for pair in zip(paths[: CLIPS // 2], paths[CLIPS // 2 :], strict=True)
        for path in pair
    ]
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label"), *rows])
    save_tiny(folder / "model", labels=tuple(sorted({label for _, label in rows})))
    return folder / "clips.csv"


def start(manifest: Path, output: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "ast_demo", "evaluate", str(manifest)]
    command += ["--checkpoint", str(manifest.parent / "model"), "--output", str(output)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run(manifest: Path, output: Path) -> pd.DataFrame:
    with start(manifest, output) as process:
        errors = process.communicate()[1]
    assert process.returncode == 0, errors
    return pd.read_parquet(output / "evaluation.parquet")


def test_a_run_over_real_recordings_that_was_killed_ends_with_the_same_table(manifest: Path, tmp_path: Path) -> None:
    parts = tmp_path / "killed" / "parts"
    with start(manifest, tmp_path / "killed") as process:
        while len(list(parts.glob("*.parquet"))) < CLIPS // 25 // 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.kill()
    assert process.returncode != 0
    assert not (tmp_path / "killed" / "evaluation.parquet").exists()
    kept = {file.name: file.stat().st_mtime_ns for file in parts.glob("*.parquet")}
    assert CLIPS // 25 // 2 <= len(kept) < CLIPS // 25

    resumed = run(manifest, tmp_path / "killed")
    assert {name: (parts / name).stat().st_mtime_ns for name in kept} == kept  # they were not computed again
    whole = run(manifest, tmp_path / "whole")
    assert len(whole) == CLIPS
    pd.testing.assert_frame_equal(resumed, whole)
