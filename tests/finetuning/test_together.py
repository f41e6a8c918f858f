"""Two processes that train one model together, as torchrun starts them, and a result that goes to the Hub."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ast_demo import cli
from ast_demo.errors import DataError
from ast_demo.finetuning.publishing import push_to_hub
from tests.clips import REPOSITORY
from tests.finetuning.making import make_data
from tests.tiny import TINY, save_tiny

RECIPE = {
    "config": {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "options": {
        "stages": [{"steps": 24, "batch_size": 4}],
        "learning_rate": 3e-3,
        "evaluations": 3,
        "validation_share": 0.25,
        "balanced": True,
        "augmentation": {},
    },
}


def start_two(data: Path, recipe: Path, output: Path) -> subprocess.Popen[str]:
    """`torchrun` with two processes on this machine's processor; a process group of their own, to be killed as one."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ast_demo"]
    command += ["finetune", str(data), "--from-config", str(recipe), "--output", str(output)]
    environment = {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Its output up to a line that fits the pattern, or to the end."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            break
    return "".join(seen)


def test_two_processes_share_the_batches_and_go_on_after_a_kill(tmp_path: Path) -> None:
    data = make_data(tmp_path / "tones", {"low": 400, "high": 3000}, n=6)
    recipe, output = tmp_path / "recipe.json", tmp_path / "out"
    recipe.write_text(json.dumps(RECIPE))
    with start_two(data, recipe, output) as process:
        seen = read_until(process, r"^Step 8 of 12, .*accuracy")  # so the state of step 4 has been written
        os.killpg(process.pid, signal.SIGKILL)
    assert "Step 8 of 12" in seen, seen
    assert [path.name for path in output.iterdir()] == ["training"]
    with start_two(data, recipe, output) as process:
        seen = read_until(process, "^nothing stops it$")
    assert process.returncode == 0, seen
    evaluated = re.findall(r"^Step (\d+) of 12, .*accuracy", seen, flags=re.MULTILINE)
    assert evaluated in (["8", "12"], ["12"]), seen
    assert seen.count("Wrote ") == 1, "one of them speaks"
    log = json.loads((output / "training_log.json").read_text())
    assert [entry["step"] for entry in log if "eval_f1" in entry] == [4, 8, 12]
    assert (output / "config.json").is_file()


class StubbedHub:
    """What the Hub's client is asked; with `failure`, it refuses."""

    asked: list[tuple]
    failure: Exception | None = None

    def create_repo(self, repository: str, *, exist_ok: bool) -> str:
        self.asked.append(("create", repository, exist_ok))
        if self.failure:
            raise self.failure
        return f"https://huggingface.co/{repository}"

    def upload_folder(self, *, repo_id: str, folder_path: str | Path, ignore_patterns: list[str]) -> None:
        self.asked.append(("upload", repo_id, Path(folder_path).name, ignore_patterns))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[StubbedHub]:
    class Hub(StubbedHub):
        pass

    Hub.asked = []
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    return Hub


def test_a_result_goes_to_the_hub_without_its_states(tmp_path: Path, hub: type[StubbedHub]) -> None:
    data = make_data(tmp_path / "tones", {"low": 400, "high": 3000}, n=4)
    save_tiny(tmp_path / "base")
    arguments = ["finetune", str(data), "--base", str(tmp_path / "base"), "--output", str(tmp_path / "mine")]
    done = CliRunner().invoke(cli.app, [*arguments, "--epochs", "1", "--push-to-hub", "somebody/mine"])
    assert done.exception is None, done.output
    assert done.stdout.splitlines()[-1] == "https://huggingface.co/somebody/mine"
    assert hub.asked == [("create", "somebody/mine", True), ("upload", "somebody/mine", "mine", ["training/*"])]
    assert "pipeline_tag: audio-classification" in (tmp_path / "mine" / "README.md").read_text()


def test_a_hub_that_refuses_is_told_in_a_sentence(tmp_path: Path, hub: type[StubbedHub]) -> None:
    for failure, reason in (
        (OSError("Token is required, but no token found.\nMore of it"), "Token is required, but no token found"),
        (ValueError("Repo id must be 'name/model'."), "Repo id must be 'name/model'"),
    ):
        hub.failure = failure
        with pytest.raises(DataError, match=rf"did not take 'a/b': {reason}\. Are you logged in"):
            push_to_hub(tmp_path, "a/b")
