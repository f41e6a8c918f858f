"""Labelled clips and a base checkpoint to a new checkpoint folder.

The 🤗 `Trainer` runs the loop: evaluation, checkpoints, resuming, several processes. What is ours is what it learns from
(`prepare_data`, `batches`), how good it is said to be (`scores`), and what the folder holds in the end. `TrainingParts`
are what another kind of training does in another way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ast_demo.data import LabelledClips
from ast_demo.errors import DataError
from ast_demo.extras import need
from ast_demo.finetuning.distributed import join_processes, processes
from ast_demo.finetuning.model import PreparedModel, prepare_model
from ast_demo.finetuning.model_card import CardText, write_card
from ast_demo.finetuning.options import FinetuneOptions, check_options, options_as_json
from ast_demo.finetuning.saving import check_same_run, last_state, save_model
from ast_demo.finetuning.scores import compute_metrics, predict
from ast_demo.finetuning.split import Split, split_clips, write_split
from ast_demo.finetuning.training_data import (
    DataParts,
    Progress,
    batch_sizes,
    make_batches,
    prepare_data,
    read_versions,
)
from ast_demo.runtime import choose_device
from ast_demo.settings import Settings


@dataclass(frozen=True)
class FinetuneResult:
    """What a run gave: where the checkpoint is, its metrics on the held-out clips, and what could not be read.

    Of several processes that train together, only the main one measures; the others have no metrics.
    """

    folder: Path
    metrics: dict[str, Any]
    steps: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class TrainingParts:
    """What of a run can be done in another way.

    Attributes:
        check: Refuses options that make no sense.
        prepare: As `prepare_model`.
        data: How the clips become batches.
        trainer: The class of the trainer, which takes what `ClipTrainer` takes.
    """

    check: Callable[[Any], None]
    prepare: Callable[[Any, tuple[str, ...], bool, Any, Settings], PreparedModel]
    data: DataParts
    trainer: Callable[[], Callable[..., Any]]


def _clip_trainer() -> Callable[..., Any]:
    from ast_demo.finetuning.trainer import ClipTrainer  # 🤗 `Trainer` takes seconds to import

    return ClipTrainer


FINETUNING = TrainingParts(
    check_options, prepare_model, DataParts(batch_sizes, read_versions, make_batches), _clip_trainer
)


def finetune(
    clips: LabelledClips,
    base: Any,
    output: str | Path,
    options: FinetuneOptions | None = None,
    *,
    extra: Sequence[LabelledClips] = (),
    card: CardText | None = None,
    limits: Settings | None = None,
    progress: Progress = print,
    parts: TrainingParts = FINETUNING,
) -> FinetuneResult:
    """Train a checkpoint on labelled clips.

    Args:
        clips: What to learn from, and to hold out from.
        base: A checkpoint (shipped name, folder, Hub id) to start from, or what else `parts` start from.
        output: Folder of the new checkpoint. Until the end it holds a folder `training` alone; a run that was killed
            goes on from there.
        options: How to train.
        extra: Clips that are learnt from, but never held out, such as synthetic ones.
        card: What the model card says beside what was measured.
        limits: Of recordings and checkpoints, and the device; those of a program that runs for its owner by default.
        progress: Called with a line for people now and then.
        parts: What is done in another way, such as from scratch.

    Raises:
        DataError: The clips cannot be learnt from, or the folder cannot be written.
        CheckpointError: The base cannot be loaded.
        SettingsError: What fine-tuning needs is not installed, or there is no such device.
    """
    need("finetune")
    options, limits = options or FinetuneOptions(), limits or Settings()
    output = Path(output)
    if not join_processes(choose_device(limits.device)).is_main_process:
        progress = _say_nothing
    if (output / "config.json").exists():
        raise DataError(f"{str(output)!r} holds a checkpoint already. Choose another folder, or remove it.")
    parts.check(options)
    labels = _check_labels(clips, extra)
    split = split_clips(clips, options)
    prepared = parts.prepare(base, labels, clips.multi_label, options, limits)
    try:
        return _run(prepared, split, labels, output, options, extra, card or CardText(), limits, progress, parts)
    except (OSError, SafetensorError) as error:
        # NumPy, PyTorch and safetensors each say in a way of their own that a file ends too early.
        reason = (isinstance(error, OSError) and error.strerror) or "a file could not be written to its end"
        raise DataError(
            f"The checkpoint cannot be written to {str(output)!r}: {reason}{_say_space(output)}."
        ) from error


def _say_space(folder: Path) -> str:
    """How much the disk still takes, where that can be the reason that it took no more."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free_mb = shutil.disk_usage(existing).free / 1e6
    return f" ({free_mb:.1f} MB are free there)" if free_mb < 1000 else ""


def _say_nothing(line: str) -> None:
    pass


def _check_labels(clips: LabelledClips, extra: Sequence[LabelledClips]) -> tuple[str, ...]:
    labels = clips.labels
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise DataError(f"Expected clips with at least two labels; got {found}.")
    for source in extra:
        unknown = [label for label in source.labels if label not in labels]
        if unknown:
            raise DataError(
                f"The extra clips of {source.source!r} have the label {unknown[0]!r}, which the data do not have."
            )
    return labels


def _run(
    prepared: PreparedModel,
    split: Split,
    labels: tuple[str, ...],
    output: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    card: CardText,
    limits: Settings,
    progress: Progress,
    parts: TrainingParts,
) -> FinetuneResult:
    work = output / "training"
    work.mkdir(parents=True, exist_ok=True)
    check_same_run(work, options, split, labels)
    data = prepare_data(prepared, split, work, options, extra, limits, progress, parts.data)
    trainer = parts.trainer()(prepared.model, data, work, options, progress)
    trainer.train(resume_from_checkpoint=last_state(work))
    result = FinetuneResult(output, {}, trainer.state.global_step, data.unreadable)
    if not processes().is_main_process:
        return result
    partial = work / "checkpoint"
    shutil.rmtree(partial, ignore_errors=True)
    model = save_model(prepared, trainer.result, data.settings, partial, options)
    logits = predict(model, data.validation)
    metrics = compute_metrics(logits, data.truth, prepared.labels, data.validation_clips, options)
    (partial / "training_log.json").write_text(json.dumps(trainer.state.log_history, indent=1) + "\n", encoding="utf-8")
    write_split(partial / "split.csv", split)
    write_card(
        partial / "README.md",
        card,
        name=output.resolve().name,
        base=prepared.base,
        labels=prepared.labels,
        metrics=metrics,
        facts={
            "Clips to learn from": f"{data.n_training}" + (f" and {data.n_extra} extra" if data.n_extra else ""),
            "Clips held out": f"{len(data.validation_clips)} ({split.how})",
            "Unreadable clips, skipped": f"{len(data.unreadable)}",
            "Steps": f"{trainer.state.global_step}",
        },
        options=options_as_json(options),
    )
    for file in sorted(partial.iterdir(), key=lambda file: file.name == "config.json"):  # config.json last: it makes
        file.replace(output / file.name)  # the folder a checkpoint
    partial.rmdir()
    for state in (*work.glob("checkpoint-*"), work / "feature_cache"):
        shutil.rmtree(state, ignore_errors=True)
    return replace(result, metrics=metrics)
