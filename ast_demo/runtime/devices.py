"""What this machine can compute with: asked here, and nowhere else.

The libraries are asked, not the processor: an environment may hold them to fewer instructions than it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from ast_demo.errors import SettingsError


@dataclass(frozen=True)
class Device:
    """Where a model computes.

    Attributes:
        name: As PyTorch calls it.
        title: What people call it, where that says more.
        is_gpu: Whether it has its own copy of the weights, and all that it has for one call after the other: no threads
            beside each other, and larger batches.
        bfloat16: Whether a GPU multiplies it natively, in a fused attention that leaves the logarithms of its row sums.
    """

    name: str
    title: str = ""
    is_gpu: bool = False
    bfloat16: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.title})" if self.title else self.name


CPU = Device("cpu")
# The first generation of NVIDIA's that multiplies bfloat16. On others there may be such an attention, but nobody has tried
# what it leaves.
_BFLOAT16_CAPABILITY = (8, 0)


def find_devices() -> list[Device]:
    """What PyTorch can compute on here, the CPU first."""
    found = [CPU]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        native = torch.version.hip is None and torch.cuda.get_device_capability(number) >= _BFLOAT16_CAPABILITY
        found.append(Device(f"cuda:{number}", torch.cuda.get_device_name(number), is_gpu=True, bfloat16=native))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple's GPU", is_gpu=True))
    return found


def choose_device(choice: str) -> Device:
    """The device that a setting asks for.

    `auto` is the first GPU of PyTorch's `cuda`, else the CPU; `mps` has to be asked for, as nobody has tried it.

    Raises:
        SettingsError: There is no such device here.
    """
    there = find_devices()
    if choice == "auto":
        return next((one for one in there if one.name.startswith("cuda")), CPU)
    wanted = "cuda:0" if choice == "cuda" else choice
    for one in there:
        if one.name == wanted:
            return one
    raise SettingsError(
        f"AST_DEMO_DEVICE is {choice!r}, but PyTorch finds no such device on this machine. It finds "
        f"{', '.join(map(str, there))}. Choose one of these, or auto."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has said that its memory is full: CUDA and MPS say so in other classes, and the same words."""
    return isinstance(error, RuntimeError) and "out of memory" in str(error)


def release_memory(device: Device) -> None:
    """Give back what PyTorch keeps of a device's memory for later."""
    if device.name.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.name == "mps":
        torch.mps.empty_cache()


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
