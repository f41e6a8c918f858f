"""Several processes that train one model together, as torchrun and accelerate start them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import PartialState


def processes() -> PartialState:
    """How many processes share the batches of this run, and which one this is: the main one writes and speaks."""
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())
