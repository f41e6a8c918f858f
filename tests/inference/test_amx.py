"""Whether the matrix unit is used, where it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from numba.core import config

from ast_demo.inference.amx import may_use_amx


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    may_use_amx.cache_clear()
    yield
    may_use_amx.cache_clear()


def test_it_is_used_where_the_system_names_it() -> None:
    """A name that PyTorch or Numba changes must not turn it off unseen."""
    facts = Path("/proc/cpuinfo")
    named = facts.exists() and " amx_bf16" in facts.read_text()
    if any(name.startswith("NUMBA_CPU") for name in os.environ):
        pytest.skip(reason="the environment tells Numba which instructions to use")
    assert may_use_amx() == (named and torch.cpu._init_amx())


def test_it_is_not_used_where_one_of_three_does_not_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: True)
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx512f,+amx-bf16")
    assert may_use_amx()
    for module, name, value in (
        (torch.cpu, "get_capabilities", lambda: {"amx_bf16": False}),
        (torch.cpu, "get_capabilities", dict),
        (torch.cpu, "_init_amx", lambda: False),
        (config, "CPU_FEATURES", "+avx512f"),
        (config, "CPU_FEATURES", ""),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            may_use_amx.cache_clear()
            assert not may_use_amx()
