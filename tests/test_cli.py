"""The command line: arguments, exit code, what is printed where, and the files that are written."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ast_demo.audio.decoding import read_audio
from ast_demo.explain.listening import split_clip
from ast_demo.explain.methods import explain
from ast_demo.inspection.inspection import inspect
from ast_demo.models.catalogue import MIT_CHECKPOINTS
from ast_demo.models.loading import default_checkpoint, load_checkpoint, shipped_names
from tests.clips import REPOSITORY, encode, melody, noise, real_clips, sample_clips
from tests.conftest import Done
from tests.tiny import LABELS, save_tiny

FILES = {"waveform.png", "spectrogram.png", "patch_grid.png", "rollout.png", "inspection.json", "inspection.npz"}
CONTRACT = {
    "clip": str,
    "checkpoint": str,
    "activation": str,
    "predictions": list,
    "duration_s": float,
    "frames": int,
    "padding_share": float,
    "truncated_s": float,
    "patch_grid": dict,
    "precision": str,
    "seconds": float,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "melody.wav"
    path.write_bytes(encode(np.stack([melody(0.5, 44_100)] * 2, axis=1), 44_100, "wav", "PCM_16"))
    return path


# What works


@pytest.mark.parametrize(
    ("options", "rows"),
    [((), 5), (("--top", "2"), 2), (("--top", "99"), len(LABELS))],
    ids=["as is", "top 2", "top 99"],
)
def test_inspect_prints_the_best_scores(
    options: tuple[str, ...], rows: int, run: Callable[..., Done], clip: Path, tiny: Path
) -> None:
    done = run("inspect", clip, "--checkpoint", tiny, *options)
    assert (done.code, done.err) == (0, "")
    top = inspect(read_audio(clip), load_checkpoint(tiny)).prediction.top(rows)
    assert [line.split() for line in done.out.splitlines()] == [[f"{score:.2%}", label] for label, score in top]


def test_json_is_all_that_is_printed_and_keeps_its_contract(run: Callable[..., Done], clip: Path, tiny: Path) -> None:
    done = run("inspect", clip, "--checkpoint", tiny, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert done.out.count("\n") == 1
    for key, kind in CONTRACT.items():
        assert isinstance(facts[key], kind), key
    assert (facts["clip"], facts["checkpoint"]) == ("melody.wav", "tiny")
    assert (facts["original_rate"], facts["channels"]) == (44_100, 2)
    # 0.5 s is 8000 samples, and 1 + (8000 - 400) // 160 frames of 89.
    assert (facts["duration_s"], facts["frames"], facts["truncated_s"]) == (0.5, 48, 0.0)
    assert facts["padding_share"] == pytest.approx(1 - 48 / 89)
    assert facts["patch_grid"] == {"frequency": 13, "time": 17}
    assert facts["seconds"] > 0
    predictions = facts["predictions"]
    assert {row["label"] for row in predictions} == set(LABELS)
    assert len(predictions) == len(LABELS)
    assert [row["score"] for row in predictions] == sorted((row["score"] for row in predictions), reverse=True)
    assert sum(row["score"] for row in predictions) == pytest.approx(1)


def test_output_gets_pictures_arrays_and_facts(
    run: Callable[..., Done], clip: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    done = run("inspect", clip, "--checkpoint", tiny, "--json", "--output", folder)
    assert done.code == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert {line.removeprefix("Wrote ") for line in done.err.splitlines()} == {str(folder / name) for name in FILES}
    assert json.loads(done.out) == json.loads((folder / "inspection.json").read_text(encoding="utf-8"))
    inspection = inspect(read_audio(clip), load_checkpoint(tiny))
    with np.load(folder / "inspection.npz") as arrays:
        np.testing.assert_array_equal(arrays["samples"], inspection.waveform.samples)
        np.testing.assert_array_equal(arrays["spectrogram"], inspection.spectrogram.values)
        np.testing.assert_array_equal(arrays["rollout"], inspection.rollout.final)
        np.testing.assert_array_equal(arrays["logits"], inspection.prediction.logits)
        assert arrays["spectrogram"].shape == (89, 43)  # frames × mel bins
        assert arrays["rollout"].shape == (13, 17)  # frequency × time
    for name in FILES:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                assert picture.size[0] == 1800


def test_what_is_limited_or_longer_than_the_input_is_noted_beside_the_scores(
    run: Callable[..., Done], tiny: Path, tmp_path: Path
) -> None:
    loud = tmp_path / "loud.wav"
    loud.write_bytes(encode(3 * melody(1.905), 16_000, "wav", "FLOAT"))
    done = run("inspect", loud, "--checkpoint", tiny)
    assert done.code == 0
    assert len(done.out.splitlines()) == 5
    limited, windows = done.err.splitlines()
    assert re.fullmatch(r"Note: \d+\.\d\d% of the samples were beyond full scale .*", limited)
    # 89 frames are 88 · 0.01 + 0.025 s; windows begin every 44 frames, and the last ends with the recording.
    assert windows.startswith(
        "Note: the checkpoint hears 0.91 s at once; these are the scores of 0.00 to 0.91 s of 1.91 s. Mean of 4 windows: "
    )
    shown = json.loads(run("inspect", loud, "--checkpoint", tiny, "--json", "--at", "1.2").out)
    assert [window["start_s"] for window in shown["windows"]] == [0, 0.44, 0.88, 1.0]
    assert shown["start_s"] == 0.88
    np.testing.assert_allclose(
        [row["score"] for row in shown["predictions"]],
        [row["score"] for row in shown["windows"][2]["predictions"]],
        atol=1e-6,
    )
    assert shown["duration_s"] == 1.905
    assert shown["truncated_s"] == pytest.approx(1.0)


def test_the_sound_in_two_halves(run: Callable[..., Done], clip: Path, tiny: Path, tmp_path: Path) -> None:
    done = run("inspect", clip, "--checkpoint", tiny, "--keep", "0.3", "--output", tmp_path / "results")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("Split by rollout: '")
    assert "in the kept part" in done.out
    halves = [read_audio(tmp_path / "results" / f"{name}.wav") for name in ("kept", "removed")]
    np.testing.assert_allclose(sum(half.samples for half in halves), read_audio(clip).samples, atol=1e-6)
    told = json.loads((tmp_path / "results" / "inspection.json").read_text())["halves"]
    assert (told["map"], told["keep"]) == ("rollout", 0.3)
    for half, name in zip(halves, ("kept", "removed"), strict=True):
        again = inspect(half, load_checkpoint(tiny)).prediction.top()
        assert [row["label"] for row in told[name]] == [label for label, _ in again]
        assert [row["score"] for row in told[name]] == pytest.approx([score for _, score in again], abs=1e-5)
    with np.load(tmp_path / "results" / "inspection.npz") as arrays:
        assert arrays["mask"].shape == (48, 43)  # frames × mel bins, as the spectrogram
        assert arrays["mask"].mean() == pytest.approx(0.3, abs=0.01)
        assert arrays["window_scores"].shape == (1, len(LABELS))


def test_the_halves_follow_the_map_that_is_asked_for(run: Callable[..., Done], clip: Path, tiny: Path) -> None:
    """And tell of its label."""
    done = run(
        "inspect", clip, "--checkpoint", tiny, "--keep", "0.3", "--map", "relevance", "--label", "rain", "--json"
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)["halves"]
    assert (told["map"], told["label"], told["against"]) == ("relevance", "rain", None)
    checkpoint = load_checkpoint(tiny)
    inspection = inspect(read_audio(clip), checkpoint)
    expected = split_clip(inspection, explain(inspection, checkpoint, "relevance", "rain"), checkpoint, 0.3)
    assert told["energy_share"] == pytest.approx(expected.energy_share, abs=1e-4)
    scores = dict(expected.kept.prediction.top())
    assert {row["label"]: row["score"] for row in told["kept"]} == pytest.approx(scores, abs=1e-4)
    last = run("inspect", clip, "--checkpoint", tiny, "--keep", "0.3", "--map", "relevance", "--label", "rain")
    assert last.out.splitlines()[-1].startswith("Split by relevance: 'rain' has")


def test_checkpoints_lists_the_shipped_ones_and_says_what_cannot_be_had_now(run: Callable[..., Done]) -> None:
    done = run("checkpoints")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    listed = dict(zip(lines[::2], lines[1::2], strict=True))
    assert list(listed) == [*shipped_names(), *MIT_CHECKPOINTS]
    assert listed["sounds-and-digits-16-16"].startswith("    20 labels, 5.14 s, 8 × 32 patches")
    assert [name for name, note in listed.items() if note.endswith(", the default")] == [default_checkpoint()]
    assert {listed[name].strip().split(":")[0] for name in MIT_CHECKPOINTS} == {"not available now"}


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"], ["serve", "--help"], []])
def test_help(arguments: list[str], run: Callable[..., Done]) -> None:
    done = run(*arguments)
    assert done.code == (0 if arguments else 2)
    assert done.err == ""
    assert "Usage:" in done.out


# Limits


@pytest.mark.parametrize("command", ["evaluate", "finetune"])
def test_an_archive_keeps_to_the_settings(
    command: str, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for label, clip in zip(("rain", "dog_bark"), sample_clips(2), strict=True):
            archive.write(clip, f"{label}/{clip.name}")
    monkeypatch.setenv("AST_DEMO_MAX_ARCHIVE_MB", "0.001")
    checkpoint = "--checkpoint" if command == "evaluate" else "--base"
    done = run(
        command, tmp_path / "clips.zip", checkpoint, default_checkpoint(), "--output", tmp_path / "out"
    )  # fmt: skip
    assert done.code == 2
    assert done.err.strip().endswith("at most 0.001 MB are read from an archive.")


def test_fine_tuning_keeps_to_the_settings(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_folder: Path
) -> None:
    """Of recordings as of checkpoints."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(4):
            sound = encode(noise(1.0, seed=number), 16_000, "wav", "PCM_16")
            (tmp_path / label / f"{number}.wav").write_bytes(sound)
    monkeypatch.setenv("AST_DEMO_MAX_CLIP_S", "0.5")
    done = run("finetune", tmp_path, "--base", tiny_folder, "--output", tmp_path / "out")
    assert done.code == 2
    assert "None of the held-out clips can be read." in done.err
    assert "at most 0.5 s are accepted here" in done.err
    monkeypatch.setenv("AST_DEMO_MAX_CHECKPOINT_MB", "0.001")
    done = run("finetune", tmp_path, "--base", tiny_folder, "--output", tmp_path / "other")
    assert done.code == 2
    assert "at most 0.001 MB are loaded here." in done.err


def test_checkpoints_lists_what_the_settings_allow(run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AST_DEMO_HUB_CHECKPOINTS", MIT_CHECKPOINTS[2])
    assert run("checkpoints").out.splitlines()[::2] == [*shipped_names(), MIT_CHECKPOINTS[2]]


# What does not

ERRORS = {
    "no such file": ("inspect nowhere.wav", "There is no file 'nowhere.wav'."),
    "a folder": ("inspect {folder}", "'{folder}' cannot be opened"),
    "text": ("inspect {folder}/text.wav", "'text.wav' is not a recording that can be read."),
    "empty": ("inspect {folder}/empty.wav", "'empty.wav' is empty (0 bytes)."),
    "shorter than a frame": ("inspect {folder}/short.wav", "'short.wav' is 0.020 s long, but at least 0.025 s"),
    "no numbers": ("inspect {folder}/nan.wav", "'nan.wav' holds only samples that are not numbers"),
    "truncated": ("inspect {folder}/truncated.m4a", "'truncated.m4a' is cut off or damaged"),
    "too long": ("inspect {folder}/long.wav", "'long.wav' is 3.0 s long, but at most 2 s are accepted here."),
    "no checkpoint": ("inspect {clip} --checkpoint nonsense", "There is no checkpoint 'nonsense'. Expected "),
    "a folder without": ("inspect {clip} --checkpoint {folder}", "The folder '{folder}' is no checkpoint: it has no"),
    "no network": ("inspect {clip} --checkpoint MIT/ast-finetuned-speech-commands-v2", "'MIT/ast-finetuned-speech-"),
    "not writable": ("inspect {clip} --checkpoint {tiny} --output {clip}", "Cannot write to the folder '{clip}': "),
    "no clip": ("inspect", "Missing argument 'clip'. See `"),
    "no number": ("inspect {clip} --top many", "Invalid value for '--top': "),
    "none": ("inspect {clip} --top 0", "Invalid value for '--top': "),
    "no such option": ("inspect {clip} --jsn", "No such option: --jsn"),
    "no such command": ("inspekt {clip}", "No such command 'inspekt'."),
    "no port": ("serve --port 70000", "Invalid value for '--port': "),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    case: str, run: Callable[..., Done], clip: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AST_DEMO_MAX_CLIP_S", "2")
    contents = {
        "text.wav": b"I am a text, not a recording.\n" * 40,
        "empty.wav": b"",
        "short.wav": encode(noise(0.02), 16_000, "wav", "PCM_16"),
        "nan.wav": encode(np.full(16_000, np.nan, np.float32), 16_000, "wav", "FLOAT"),
        "truncated.m4a": encode(melody(2.0), 16_000, "mp4", "aac")[:4000],
        "long.wav": encode(noise(3.0), 16_000, "wav", "PCM_16"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    places = {"folder": tmp_path, "clip": clip, "tiny": tiny}
    command, message = ERRORS[case]
    done = run(*[word.format(**places) for word in command.split()])
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message.format(**places))
    assert done.err.count("\n") == 1
    assert done.err.endswith((".\n", "`.\n"))


def test_a_setting_that_makes_no_sense(run: Callable[..., Done], clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AST_DEMO_MAX_CLIP_S", "soon")
    done = run("inspect", clip)
    assert done == Done(2, "", "AST_DEMO_MAX_CLIP_S must be a number above 0, but it is 'soon'.\n")


# As a user runs it


def in_a_shell(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ast_demo", *map(str, arguments)],
        cwd=REPOSITORY,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_shipped_sample_through_the_shipped_checkpoint_in_a_process_of_its_own(tmp_path: Path) -> None:
    sample = sample_clips(20)[7]
    done = in_a_shell("inspect", sample, "--json", "--output", tmp_path)
    facts = json.loads(done.stdout)
    assert (facts["clip"], facts["checkpoint"]) == (sample.name, default_checkpoint())
    # No library may add warnings or bars of its own.
    assert all(line.startswith("Wrote ") for line in done.stderr.splitlines())
    assert {path.name for path in tmp_path.iterdir()} == FILES
    expected = inspect(read_audio(sample), load_checkpoint(default_checkpoint())).prediction.top()
    assert [row["label"] for row in facts["predictions"]][:3] == [label for label, _ in expected[:3]]
    # Another process, perhaps with another number of threads, may add in another order.
    scores = {row["label"]: row["score"] for row in facts["predictions"]}
    assert scores == pytest.approx(dict(expected), abs=1e-5)


def test_a_mistake_in_a_process_of_its_own() -> None:
    done = in_a_shell("inspect", "nowhere.wav", code=2)
    assert (done.stdout, done.stderr) == ("", "There is no file 'nowhere.wav'. Check the path.\n")


def test_serve_on_a_port_that_is_in_use() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = in_a_shell("serve", "--port", str(port), code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Cannot listen on port {port} of 127.0.0.1: it is in use")
    assert done.stderr.count("\n") == 1


def test_real_recordings_keep_the_contract(run: Callable[..., Done], tmp_path: Path) -> None:
    labels = set(load_checkpoint(default_checkpoint()).facts.labels)
    for clip in real_clips(4):
        folder = tmp_path / clip.stem
        done = run("inspect", clip, "--json", "--output", folder)
        assert done.code == 0
        facts = json.loads(done.out)
        assert CONTRACT.keys() <= facts.keys()
        assert {row["label"] for row in facts["predictions"]} == labels
        assert facts["duration_s"] == pytest.approx(read_audio(clip).duration_s, abs=1e-4)  # four decimals are printed
        grid = facts["patch_grid"]
        with np.load(io.BytesIO((folder / "inspection.npz").read_bytes())) as arrays:
            assert arrays["spectrogram"].shape == (512, 128)
            assert arrays["rollout"].shape == (grid["frequency"], grid["time"])
            assert arrays["logits"].shape == (len(labels),)
            assert np.isfinite(arrays["logits"]).all()


def test_a_map_and_its_trust_card(run: Callable[..., Done], tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    clip = tmp_path / "noise.wav"
    clip.write_bytes(encode(noise(0.61), 16_000, "wav", "PCM_16"))
    output = tmp_path / "out"
    options = ("--map", "relevance", "--label", "dog", "--against", "rain", "--trust")
    done = run("inspect", clip, "--checkpoint", folder, "--json", "--output", output, *options)
    assert done.code == 0
    told = json.loads(done.out)
    assert told.keys() >= CONTRACT.keys()
    assert (told["map"]["method"], told["map"]["label"], told["map"]["against"]) == ("relevance", "dog", "rain")
    assert len(told["map"]["trust"]["insertion_less_deletion"]["random"]) == 10
    assert told["map"]["trust"]["verdict"][0].startswith("On this clip")
    assert {path.name for path in output.iterdir()} == FILES | {"map.png", "map.npz", "map.json", "trust.png"}
    checkpoint = load_checkpoint(folder)
    expected = explain(inspect(read_audio(clip), checkpoint), checkpoint, "relevance", "dog", "rain").values
    np.testing.assert_allclose(np.load(output / "map.npz")["values"], expected, atol=1e-6)
    wrong = run("inspect", clip, "--checkpoint", folder, "--map", "saliency")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == (
        "There is no map 'saliency'. Expected one of perturbation, relevance, rollout, energy, random.\n"
    )


def test_bfloat16_on_a_processor_without_it(
    run: Callable[..., Done], clip: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command answers, in float32, and says so."""
    monkeypatch.setattr("ast_demo.inference.forward.supports_bfloat16", lambda: False)
    monkeypatch.setenv("AST_DEMO_PRECISION", "bfloat16")
    data, other = tmp_path / "data" / "bell", save_tiny(tmp_path / "other", seed=1)
    data.mkdir(parents=True)
    (data / "one.wav").write_bytes(clip.read_bytes())
    note = "Note: bfloat16 was asked for, but this processor does not support it: computed in float32 instead.\n"
    for command in (
        ["inspect", clip, "--checkpoint", tiny],
        ["compare", clip, "--checkpoint", tiny, "--checkpoint", other],
        ["evaluate", data.parent, "--checkpoint", tiny, "--output", tmp_path / "out"],
    ):
        done = run(*command)
        assert done.code == 0
        assert done.out
        assert done.err.count(note) == 1
    told = json.loads(run("inspect", clip, "--checkpoint", tiny, "--json").out)
    assert (told["precision"], told["precision_note"]) == ("float32", note.removeprefix("Note: ").strip())
