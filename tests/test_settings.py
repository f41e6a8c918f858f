from __future__ import annotations

import dataclasses
import re

import pytest

from ast_demo.errors import AstDemoError, AudioError, CheckpointError, DataError, SettingsError
from ast_demo.settings import Settings, read_settings


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"MAX_CLIP_S": "3", "ast_demo_max_clip_s": "3"}) == Settings()


def test_every_field_is_read_from_its_variable() -> None:
    settings = read_settings(
        {
            "AST_DEMO_MAX_CLIP_S": "12.5",
            "AST_DEMO_MAX_UPLOAD_MB": "1e1",
            "AST_DEMO_CHECKPOINT_CACHE_MB": "3",
            "AST_DEMO_MAX_CHECKPOINT_MB": "4",
            "AST_DEMO_CONCURRENCY": "5",
            "AST_DEMO_VIEWERS": "6",
            "AST_DEMO_VIEWER_IDLE_S": "7.5",
            "AST_DEMO_PRECISION": "bfloat16",
        }
    )
    assert (settings.max_clip_s, settings.max_upload_mb) == (12.5, 10)
    assert (settings.checkpoint_cache_mb, settings.max_checkpoint_mb, settings.concurrency) == (3, 4, 5)
    assert (settings.viewers, settings.viewer_idle_s, settings.precision) == (6, 7.5, "bfloat16")
    assert isinstance(settings.concurrency, int)


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


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().concurrency = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [AudioError, CheckpointError, DataError, SettingsError])
def test_one_family_of_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, AstDemoError)
    assert str(kind("A sentence.")) == "A sentence."
