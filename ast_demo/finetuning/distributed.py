"""What trains one model: this process on one device, or several, as torchrun and accelerate start them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from ast_demo.runtime import Device

if TYPE_CHECKING:
    from accelerate import PartialState


def join_processes(device: Device) -> PartialState:
    """Say what this process trains on, before anything asks `processes`. Of several, each gets a GPU of its own.

    `mps` trains on the CPU: nobody has tried it.
    """
    from accelerate import PartialState

    on_cuda = device.name.startswith("cuda")
    if on_cuda and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device.name)
    return PartialState(cpu=not on_cuda)


def processes() -> PartialState:
    """How many processes share the batches of this run, which one this is, and on what: the main one writes and speaks."""
    from accelerate import PartialState

    return PartialState()
