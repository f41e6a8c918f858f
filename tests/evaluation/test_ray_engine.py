"""An evaluation on Ray workers ends with the table of one on this machine, also when a worker is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ast_demo.audio.decoding import SAMPLE_RATE
from ast_demo.data.clips import LabelledClip
from ast_demo.errors import SettingsError
from ast_demo.evaluation import PICTURES_OF_A_MISTAKE, EvaluationConfig
from ast_demo.evaluation.engine import Work
from ast_demo.evaluation.ray_engine import ray_engine
from ast_demo.models.loading import load_checkpoint
from ast_demo.settings import Settings
from tests.clips import REPOSITORY, noise, tone
from tests.tiny import LABELS, save_tiny

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install -r requirements-ray.txt"
)
on_linux = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and 131 clips, so that there are six parts; one clip cannot be read."""
    folder = tmp_path_factory.mktemp("house")
    save_tiny(folder / "model", seed=1)
    for number in range(130):
        place = number % len(LABELS)
        samples = noise(0.3, seed=number, level=0.01)
        samples = samples + tone(200 + 300 * place, len(samples) / SAMPLE_RATE, level=0.02 + 0.004 * number)
        (folder / "data" / LABELS[place]).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "data" / LABELS[place] / f"{number}.wav", samples, SAMPLE_RATE)
    (folder / "data" / "dog" / "broken.wav").write_text("this is no sound")
    return folder


def start(house: Path, output: Path, *options: str) -> subprocess.Popen:
    """From the house's folder, with relative paths: workers may be elsewhere."""
    command = [sys.executable, "-m", "ast_demo", "evaluate", "data", "--checkpoint", "model", "--output", output.name]
    return subprocess.Popen(
        [*command, *options],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, output: Path) -> pd.DataFrame:
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert "Skipped dog/broken.wav" in told
    return pd.read_parquet(output / "evaluation.parquet")


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """The same rows in the same order; scores to the rounding of sums that threads take in another order."""
    assert list(one["clip"]) == list(other["clip"])
    assert set(one.columns) == set(other.columns)
    pictures = [f"{field} (model)" for field in ("rollout", *PICTURES_OF_A_MISTAKE)]
    for name in set(one.columns) - {*pictures, "x (model)", "y (model)"}:
        first = one[name].iloc[0]
        if isinstance(first, np.ndarray):
            np.testing.assert_allclose(np.stack(one[name]), np.stack(other[name]), atol=1e-5)
        elif pd.api.types.is_float_dtype(one[name]):
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)
        else:
            assert list(one[name]) == list(other[name]), name
    for name in pictures:
        assert list(one[name].isna()) == list(other[name].isna())


def descendants(pid: int) -> dict[int, str]:
    """Command lines of the processes below one, by their ids."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit():
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: names[one] for one in found - {pid}}


@needs_ray
@on_linux
def test_a_worker_that_is_killed_half_way_loses_nothing(house: Path) -> None:
    local = finish(start(house, house / "local"), house / "local")
    assert len(local) == 130
    process = start(house, house / "ray", "--engine", "ray", "--workers", "2")
    parts = house / "ray" / "parts"
    while len(list(parts.glob("*.parquet"))) < 1:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    below = descendants(process.pid)
    workers = [pid for pid, command in below.items() if command.startswith("ray::MapWorker")]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert_same(finish(process, house / "ray"), local)
    assert sorted(file.stem for file in parts.iterdir()) == [f"{number:06d}" for number in range(6)]
    deadline = time.monotonic() + 60  # its processes end with it
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_gets_a_sentence(address: str, tmp_path: Path) -> None:
    clip = LabelledClip("a.wav", b"", ("dog",))
    run = ray_engine(Settings(), address=address)
    with pytest.raises(SettingsError, match=rf"There is no Ray cluster at '{address}': "):
        run(Work(((0, (clip,)),), EvaluationConfig(()), tmp_path), load_checkpoint, lambda done: None)


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(SettingsError, match=r"needs ray, which is not installed\. Install the extra: pip install"):
        ray_engine(Settings())
