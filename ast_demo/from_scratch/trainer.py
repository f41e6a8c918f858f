"""The trainer of a fine-tuning, with Muon and an average of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ast_demo.finetuning import ClipTrainer, Progress, TrainingData
from ast_demo.from_scratch.muon import MuonWithAdamW
from ast_demo.from_scratch.options import ScratchOptions
from ast_demo.from_scratch.weight_average import WeightAverage


class ScratchTrainer(ClipTrainer):
    """As its base class; where the options ask for it, by Muon, and with the average of the weights as the result."""

    def __init__(self, model: Any, data: TrainingData, work: Path, options: ScratchOptions, progress: Progress) -> None:
        super().__init__(model, data, work, options, progress)
        self._rates = (options.muon_learning_rate, options.learning_rate, options.weight_decay)
        self._average = WeightAverage(model, options.weight_average) if options.weight_average else None
        if self._average:
            self.add_callback(self._average)

    @property
    def result(self) -> nn.Module:
        return self._average.model if self._average else super().result

    def create_optimizer(self, *ignored: Any) -> torch.optim.Optimizer:
        if self.optimizer is None and self._rates[0]:
            self.optimizer = MuonWithAdamW(self.model, *self._rates)
        return super().create_optimizer()

    def train(self, resume_from_checkpoint: str | bool | None = None, *rest: Any, **also: Any) -> Any:
        if self._average and isinstance(resume_from_checkpoint, str):
            self._average.load(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint, *rest, **also)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self._average and output_dir:
            self._average.save(Path(output_dir))
