"""What a run from scratch does in another way than a fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset

from ast_demo.features import InputSettings
from ast_demo.finetuning import (
    ClipSampler,
    DataParts,
    PreparedModel,
    TrainingClip,
    TrainingParts,
    batch_sizes,
    grid_of,
)
from ast_demo.from_scratch.column_batches import ColumnBatches
from ast_demo.from_scratch.distillation import DistilledBatches
from ast_demo.from_scratch.feature_cache import cached_versions
from ast_demo.from_scratch.model import prepare_from_scratch
from ast_demo.from_scratch.options import ScratchOptions, check_scratch_options
from ast_demo.models import load_checkpoint
from ast_demo.settings import Settings


def staged_batch_sizes(options: ScratchOptions, n_clips: int) -> list[int]:
    """Clips in each batch: those of the stages, where there are stages."""
    if not options.stages:
        return batch_sizes(options, n_clips)
    return [stage.batch_size for stage in options.stages for _ in range(stage.steps)]


def make_staged_batches(
    clips: Sequence[TrainingClip],
    sampler: ClipSampler,
    settings: InputSettings,
    prepared: PreparedModel,
    options: ScratchOptions,
    limits: Settings,
) -> Dataset:
    """The batches of an AST: with columns, and with another checkpoint's scores, where the options ask for them.

    Raises:
        CheckpointError: The other checkpoint cannot be loaded.
        DataError: It has other labels or another input.
    """
    grid = grid_of(prepared.model.config)
    batches = ColumnBatches(clips, sampler, settings, options.augmentation, options.seed, grid, options.stages)
    if not options.teacher:
        return batches
    return DistilledBatches(batches, load_checkpoint(options.teacher, limits), prepared.labels, settings, options)


def _scratch_trainer() -> Callable[..., Any]:
    from ast_demo.from_scratch.trainer import ScratchTrainer  # 🤗 `Trainer` takes seconds to import

    return ScratchTrainer


FROM_SCRATCH = TrainingParts(
    check_scratch_options,
    prepare_from_scratch,
    DataParts(staged_batch_sizes, cached_versions, make_staged_batches),
    _scratch_trainer,
)
