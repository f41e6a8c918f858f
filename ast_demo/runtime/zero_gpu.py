"""Where 🤗 Spaces lends a GPU by the call (ZeroGPU), the model's calls run on it; elsewhere nothing changes.

There a call runs in another process: what goes in and what comes out is pickled, and nothing else is shared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

_Function = TypeVar("_Function", bound=Callable[..., Any])


def on_gpu(function: _Function) -> _Function:
    """`spaces.GPU(function)` where the program has imported `spaces` (which it does before torch), else the function."""
    spaces = sys.modules.get("spaces")
    return spaces.GPU(function) if spaces is not None else function


def is_lent(function: Callable[..., Any]) -> bool:
    """Whether a function that is `on_gpu` is called in another process."""
    return hasattr(function, "__wrapped__")


def device_of_call(model: nn.Module) -> torch.device:
    """What to run a model on, for within a function that runs `on_gpu`: the GPU that is lent, or where the model is."""
    lent = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")
    return torch.device("cuda") if lent and torch.cuda.is_available() else next(model.parameters()).device
