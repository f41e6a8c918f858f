"""Labelled clips and a base to a new checkpoint: what a run is fed, how it goes, what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ast_demo.faces import load_later

if TYPE_CHECKING:
    from ast_demo.finetuning.augmentation import Placed
    from ast_demo.finetuning.batches import Batch, SpectrogramBatches
    from ast_demo.finetuning.clip_versions import TrainingClip, Versions
    from ast_demo.finetuning.distributed import processes
    from ast_demo.finetuning.model import PreparedModel, describe_head, grid_changes, prepare_model
    from ast_demo.finetuning.model_card import CardText
    from ast_demo.finetuning.options import (
        PRESETS,
        Augmentation,
        FinetuneOptions,
        check_options,
        choose_options,
        read_changes,
    )
    from ast_demo.finetuning.positions import grid_of
    from ast_demo.finetuning.publishing import push_to_hub
    from ast_demo.finetuning.run import FINETUNING, FinetuneResult, TrainingParts, finetune
    from ast_demo.finetuning.sampler import ClipSampler
    from ast_demo.finetuning.split import keep_held_out, read_split
    from ast_demo.finetuning.trainer import ClipTrainer
    from ast_demo.finetuning.training_data import DataParts, Progress, TrainingData, batch_sizes, read_versions

__all__ = [
    "FINETUNING",
    "PRESETS",
    "Augmentation",
    "Batch",
    "CardText",
    "ClipSampler",
    "ClipTrainer",
    "DataParts",
    "FinetuneOptions",
    "FinetuneResult",
    "Placed",
    "PreparedModel",
    "Progress",
    "SpectrogramBatches",
    "TrainingClip",
    "TrainingData",
    "TrainingParts",
    "Versions",
    "batch_sizes",
    "check_options",
    "choose_options",
    "describe_head",
    "finetune",
    "grid_changes",
    "grid_of",
    "keep_held_out",
    "prepare_model",
    "processes",
    "push_to_hub",
    "read_changes",
    "read_split",
    "read_versions",
]
# In the order of what they need: to read a split takes nothing of what training takes.
_FILES = (
    "split",
    "options",
    "publishing",
    "model_card",
    "positions",
    "distributed",
    "augmentation",
    "sampler",
    "clip_versions",
    "batches",
    "model",
    "training_data",
    "run",
    "trainer",
)
__getattr__ = load_later(__name__, __all__, _FILES)
