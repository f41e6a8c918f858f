"""An exponential moving average of a model's weights along a run, which often hears better than any state of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback

_FILE = "weight_average.pt"


class WeightAverage(TrainerCallback):
    """Follows the weights after each step (Polyak & Juditsky 1992); kept with each saved state of the run.

    Args:
        model: Whose weights are followed.
        kept: Share of the average that each step keeps, 0 to 1.
    """

    def __init__(self, model: nn.Module, kept: float) -> None:
        self._model = model
        self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(kept))

    @property
    def model(self) -> nn.Module:
        """A model with the averaged weights."""
        return self._average.module

    def on_step_end(self, *ignored: Any, **also_ignored: Any) -> None:
        self._average.update_parameters(self._model)

    def save(self, folder: Path) -> None:
        torch.save(self._average.state_dict(), folder / _FILE)

    def load(self, folder: Path) -> None:
        self._average.load_state_dict(torch.load(folder / _FILE, map_location="cpu", weights_only=True))
