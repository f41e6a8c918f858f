from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys

import pytest

from ast_demo.errors import AstDemoError, AudioError, CheckpointError, DataError, SettingsError
from ast_demo.settings import PUBLIC, Settings, is_allowed, read_settings
from tests.clips import REPOSITORY


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"MAX_CLIP_S": "3", "ast_demo_max_clip_s": "3"}) == Settings()


def test_every_field_is_read_from_its_variable() -> None:
    for place, field in enumerate(dataclasses.fields(Settings), start=3):
        text, value = (
            ("cuda:2", "cuda:2")
            if field.name == "device"
            else {
                bool: ("no", False),
                tuple: (" a/b, c-* ,", ("a/b", "c-*")),
                str: ("bfloat16", "bfloat16"),
                int: (f"{place}", place),
                float: (f"{place}.5e0", place + 0.5),
            }[type(field.default)]
        )
        settings = read_settings({f"AST_DEMO_{field.name.upper()}": text})
        assert settings == dataclasses.replace(Settings(), **{field.name: value})
        assert type(getattr(settings, field.name)) is type(field.default)


@pytest.mark.parametrize("environment", [{"SPACE_ID": "a/b"}, {"AST_DEMO_PUBLIC": "1"}, {"AST_DEMO_PUBLIC": "Yes"}])
def test_towards_strangers_the_defaults_are_safe(environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert settings == PUBLIC
    assert not settings.local_paths
    assert "*" not in settings.hub_checkpoints + settings.hub_datasets
    for field in dataclasses.fields(Settings):
        if field.type in ("float", "int"):
            assert getattr(PUBLIC, field.name) <= field.default
    assert read_settings({**environment, "AST_DEMO_MAX_CLIP_S": "7"}) == dataclasses.replace(PUBLIC, max_clip_s=7)


def test_a_space_can_be_for_its_owner_alone() -> None:
    assert read_settings({"SPACE_ID": "a/b", "AST_DEMO_PUBLIC": "no"}) == Settings()


@pytest.mark.parametrize("variable", ["AST_DEMO_PUBLIC", "AST_DEMO_LOCAL_PATHS"])
@pytest.mark.parametrize("value", ["", "2", "maybe"])
def test_switches_are_yes_or_no(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"\A{variable} must be yes or no, but it is {value!r}\.\Z"):
        read_settings({variable: value})


def test_an_allow_list_is_of_patterns() -> None:
    allowed = ("MIT/ast-*", "me/mine")
    assert [is_allowed(name, allowed) for name in ("MIT/ast-x", "me/mine", "me/mine2", "mit/ast-x", "x/MIT/ast-x", "")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    assert not is_allowed("a/b", ())
    assert is_allowed("a/b", ("*",))


def test_the_environment_is_read_when_asked_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AST_DEMO_MAX_CLIP_S", "7")
    assert read_settings().max_clip_s == 7
    monkeypatch.setenv("AST_DEMO_MAX_CLIP_S", "8")
    assert read_settings().max_clip_s == 8


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "nan", "inf", "10 MB"])
def test_values_that_make_no_sense(value: str) -> None:
    message = f"AST_DEMO_MAX_CLIP_S must be a number above 0, but it is {value!r}."
    with pytest.raises(SettingsError, match=rf"\A{re.escape(message)}\Z"):
        read_settings({"AST_DEMO_MAX_CLIP_S": value})


@pytest.mark.parametrize("value", ["2.5", "0", "-2", "two"])
def test_concurrency_is_a_whole_number(value: str) -> None:
    message = f"AST_DEMO_CONCURRENCY must be a whole number above 0, but it is {value!r}."
    with pytest.raises(SettingsError, match=rf"\A{re.escape(message)}\Z"):
        read_settings({"AST_DEMO_CONCURRENCY": value})


@pytest.mark.parametrize("value", ["", "half", "Float32", "16"])
def test_no_precision(value: str) -> None:
    message = f"AST_DEMO_PRECISION must be auto, float32 or bfloat16, but it is {value!r}."
    with pytest.raises(SettingsError, match=rf"\A{re.escape(message)}\Z"):
        read_settings({"AST_DEMO_PRECISION": value})


@pytest.mark.parametrize("value", ["", "gpu", "cuda:", "cuda:-1", "CUDA", "cuda:1,cuda:2", "cuda:1\n"])
def test_no_device(value: str) -> None:
    message = (
        "AST_DEMO_DEVICE must be auto, cpu, cuda, cuda:1 (or another number) or mps, but it is " + repr(value) + "."
    )
    with pytest.raises(SettingsError, match=rf"\A{re.escape(message)}\Z"):
        read_settings({"AST_DEMO_DEVICE": value})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().concurrency = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [AudioError, CheckpointError, DataError, SettingsError])
def test_one_family_of_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, AstDemoError)
    assert str(kind("A sentence.")) == "A sentence."


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP, which PyTorch uses on Linux")
def test_threads_that_wait_let_others_go_on() -> None:
    """As the library itself tells when it is loaded."""
    for given, expected in (({}, "5000"), ({"GOMP_SPINCOUNT": "77"}, "77")):
        environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
        done = subprocess.run(
            [sys.executable, "-c", "import app, torch"],
            cwd=REPOSITORY,
            env={**environment, "OMP_DISPLAY_ENV": "verbose", **given},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr


def test_the_librarys_own_limits_are_those_of_the_settings() -> None:
    """Each number stands in one place."""
    from ast_demo.audio.decoding import read_audio, waveform_from_samples
    from ast_demo.data.clips import ReadingOptions
    from ast_demo.evaluation.run import evaluate

    for function, name in ((read_audio, "max_s"), (waveform_from_samples, "max_s"), (evaluate, "max_clip_s")):
        assert inspect.signature(function).parameters[name].default == Settings().max_clip_s
    assert ReadingOptions().max_archive_mb == Settings().max_archive_mb
    assert ReadingOptions() == ReadingOptions().within(Settings())
    bounded = ReadingOptions().within(PUBLIC)
    assert (bounded.local_paths, bounded.hub_datasets, bounded.max_archive_mb) == (False, (), PUBLIC.max_archive_mb)
    assert bounded.table_limits.rows == PUBLIC.max_table_rows
