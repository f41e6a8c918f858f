"""What the machine can do is found, and what it or its environment does not want is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from numba.core import config

from ast_demo.runtime import devices
from ast_demo.runtime.devices import has_bfloat16, has_matrix_unit, supports_bfloat16
from tests.clips import REPOSITORY


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    answers = (devices.has_matrix_unit, devices.supports_bfloat16)
    for answer in answers:
        answer.cache_clear()
    yield
    for answer in answers:
        answer.cache_clear()


@pytest.mark.parametrize("supported", [True, False])
@pytest.mark.parametrize(
    ("known", "native"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False), ({}, False)],
)
def test_bfloat16(known: dict[str, bool], native: bool, supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's own word counts only where the library may use it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    monkeypatch.setattr(devices, "supports_bfloat16", lambda: supported)
    assert has_bfloat16() == (native and supported)


def test_bfloat16_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not supports_bfloat16()


CAPPED = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def test_an_environment_that_caps_the_instructions_is_heard() -> None:
    code = "from ast_demo.runtime.devices import supports_bfloat16; assert not supports_bfloat16()"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **CAPPED}, cwd=REPOSITORY, check=True)


def test_it_is_used_where_the_system_names_it() -> None:
    """A name that PyTorch or Numba changes must not turn it off unseen."""
    facts = Path("/proc/cpuinfo")
    named = facts.exists() and " amx_bf16" in facts.read_text()
    if any(name.startswith("NUMBA_CPU") for name in os.environ):
        pytest.skip(reason="the environment tells Numba which instructions to use")
    assert has_matrix_unit() == (named and torch.cpu._init_amx())


def test_it_is_not_used_where_one_of_three_does_not_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: True)
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx512f,+amx-bf16")
    assert has_matrix_unit()
    for module, name, value in (
        (torch.cpu, "get_capabilities", lambda: {"amx_bf16": False}),
        (torch.cpu, "get_capabilities", dict),
        (torch.cpu, "_init_amx", lambda: False),
        (config, "CPU_FEATURES", "+avx512f"),
        (config, "CPU_FEATURES", ""),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            has_matrix_unit.cache_clear()
            assert not has_matrix_unit()
