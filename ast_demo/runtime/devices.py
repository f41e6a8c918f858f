"""What this machine can compute with: asked here, and nowhere else.

The libraries are asked, not the processor: an environment may hold them to fewer instructions than it has.
"""

from __future__ import annotations

from functools import cache

import torch


@cache
def supports_bfloat16() -> bool:
    """Whether PyTorch's library for processors (oneDNN) multiplies bfloat16 here, natively or not.

    Without, PyTorch multiplies it number by number: several times as slowly as float32.
    """
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively, at twice the speed of float32 or more."""
    native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return native and supports_bfloat16()


@cache
def has_matrix_unit() -> bool:
    """Whether the processor has Intel's matrix unit (AMX), and the system and the compiler let this process use it.

    Asks the system for it.
    """
    if not torch.cpu.get_capabilities().get("amx_bf16", False):
        return False
    from numba.core import config  # a compiler: it takes a moment to import, and 100 MB
    from numba.core.codegen import get_host_cpu_features

    asked_for: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]  # from the environment
    features = get_host_cpu_features() if asked_for is None else asked_for
    return "+amx-bf16" in features.split(",") and bool(torch.cpu._init_amx())
