"""Labelled clips and a base checkpoint to a new checkpoint folder.

The 🤗 `Trainer` runs the loop: evaluation, checkpoints, resuming, several processes. What is ours is what it is fed
(`feed`, `batches`), how a small AST is started (`small_ast`), and what the folder holds in the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PretrainedConfig

from ast_demo.data import LabelledClips
from ast_demo.errors import DataError
from ast_demo.extras import need
from ast_demo.finetuning.distributed import is_main_process
from ast_demo.finetuning.model import Learner, prepare_learner
from ast_demo.finetuning.model_card import CardText, write_card
from ast_demo.finetuning.options import FinetuneOptions, check_options, options_as_json
from ast_demo.finetuning.saving import check_same_run, last_state, save_model
from ast_demo.finetuning.scores import compute_metrics, predict
from ast_demo.finetuning.split import Split, split_clips, write_split
from ast_demo.finetuning.trainer import make_trainer
from ast_demo.finetuning.training_data import Progress, feed
from ast_demo.from_scratch.weight_average import WeightAverage
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


def finetune(
    clips: LabelledClips,
    base: str | Path | PretrainedConfig,
    output: str | Path,
    options: FinetuneOptions | None = None,
    *,
    extra: Sequence[LabelledClips] = (),
    card: CardText | None = None,
    limits: Settings | None = None,
    progress: Progress = print,
) -> FinetuneResult:
    """Train a checkpoint on labelled clips.

    Args:
        clips: What to learn from, and to hold out from.
        base: A checkpoint (shipped name, folder, Hub id) to start from, or a configuration to start from scratch.
        output: Folder of the new checkpoint. Until the end it holds a folder `training` alone; a run that was killed
            goes on from there.
        options: How to train.
        extra: Clips that are learnt from, but never held out, such as synthetic ones.
        card: What the model card says beside what was measured.
        limits: Of recordings and checkpoints; those of a program that runs for its owner by default.
        progress: Called with a line for people now and then.

    Raises:
        DataError: The clips cannot be learnt from, or the folder cannot be written.
        CheckpointError: The base cannot be loaded.
        SettingsError: What fine-tuning needs is not installed.
    """
    need("finetune")
    options, limits = options or FinetuneOptions(), limits or Settings()
    output = Path(output)
    if not is_main_process():
        progress = _say_nothing
    if (output / "config.json").exists():
        raise DataError(f"{str(output)!r} holds a checkpoint already. Choose another folder, or remove it.")
    check_options(options)
    labels = _check_labels(clips, extra)
    split = split_clips(clips, options)
    learner = prepare_learner(base, labels, clips.multi_label, options, limits)
    try:
        return _run(learner, split, labels, output, options, extra, card or CardText(), limits, progress)
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
    learner: Learner,
    split: Split,
    labels: tuple[str, ...],
    output: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    card: CardText,
    limits: Settings,
    progress: Progress,
) -> FinetuneResult:
    work = output / "training"
    work.mkdir(parents=True, exist_ok=True)
    check_same_run(work, options, split, labels)
    fed = feed(learner, split, work, options, extra, limits, progress)
    average = WeightAverage(learner.model, options.weight_average) if options.weight_average else None
    trainer = make_trainer(learner.model, fed, work, options, progress, average)
    begun = last_state(work)
    if average and begun:
        average.load(Path(begun))
    trainer.train(resume_from_checkpoint=begun)
    if average:
        learner.model.load_state_dict(average.model.state_dict())
    result = FinetuneResult(output, {}, trainer.state.global_step, fed.unreadable)
    if not is_main_process():
        return result
    partial = work / "checkpoint"
    shutil.rmtree(partial, ignore_errors=True)
    model = save_model(learner, fed.settings, partial, options)
    metrics = compute_metrics(predict(model, fed.validation), fed.truth, learner.labels, fed.validation_clips, options)
    (partial / "training_log.json").write_text(json.dumps(trainer.state.log_history, indent=1) + "\n", encoding="utf-8")
    write_split(partial / "split.csv", split)
    write_card(
        partial / "README.md",
        card,
        name=output.resolve().name,
        base=learner.base,
        labels=learner.labels,
        metrics=metrics,
        facts={
            "Clips to learn from": f"{fed.n_training}" + (f" and {fed.n_extra} extra" if fed.n_extra else ""),
            "Clips held out": f"{len(fed.validation_clips)} ({split.how})",
            "Unreadable clips, skipped": f"{len(fed.unreadable)}",
            "Steps": f"{trainer.state.global_step}",
        },
        options=options_as_json(options),
    )
    for file in sorted(partial.iterdir(), key=lambda file: file.name == "config.json"):  # config.json last: it makes
        file.replace(output / file.name)  # the folder a checkpoint
    partial.rmdir()
    for state in (*work.glob("checkpoint-*"), work / "bank"):
        shutil.rmtree(state, ignore_errors=True)
    return replace(result, metrics=metrics)
