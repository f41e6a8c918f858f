"""What is told of a clip beside its pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from ast_demo.inspection import inspect
from ast_demo.models import load_checkpoint
from ast_demo.settings import Settings
from ast_demo.ui.inspect.facts import facts_table
from tests.clips import noise, waveform


def test_bfloat16_that_the_processor_does_not_support_is_told(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "bfloat16 was asked for, but this processor does not support it: computed in float32 instead"
    for supported in (True, False):
        monkeypatch.setattr("ast_demo.inference.forward.supports_bfloat16", lambda supported=supported: supported)
        inspection = inspect(waveform(noise(0.5)), load_checkpoint(tiny_folder, Settings(precision="bfloat16")))
        told = facts_table(inspection)
        assert (note in told) is not supported
        assert f" s, {'bfloat16' if supported else 'float32'}" in told
