"""The 🤗 `Trainer` with our batches and evaluation."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from ast_demo.finetuning.distributed import processes
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.scores import compute_metrics, predict, soft_loss
from ast_demo.finetuning.training_data import Progress, TrainingData


class ClipTrainer(Trainer):
    """Trains on our batches by AdamW, and evaluates as an evaluation of the same clips would.

    Args:
        model: With a head for the labels.
        data: Its batches and held-out clips.
        work: Where the states of the run lie.
        options: How to train.
        progress: Is told of losses and scores.
    """

    model: Any
    optimizer: Any

    def __init__(
        self, model: Any, data: TrainingData, work: Path, options: FinetuneOptions, progress: Progress
    ) -> None:
        self._data, self._work, self._how = data, work, options
        self._labels = [model.config.id2label[place] for place in range(model.config.num_labels)]
        multi_label = model.config.problem_type == "multi_label_classification"
        callbacks = [_Lines(progress), *(_tensorboard(work) if processes().is_main_process else [])]
        if options.patience:
            callbacks.append(EarlyStoppingCallback(options.patience))
        super().__init__(
            model,
            _arguments(len(data.batches), work, options),
            data_collator=lambda items: items[0],
            train_dataset=data.batches,
            eval_dataset=data.validation,
            compute_loss_func=lambda outputs, targets, **_: soft_loss(
                outputs.logits, targets, options.label_smoothing, multi_label
            ),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated, and kept in the end."""
        return self.model

    def create_optimizer(self, *ignored: Any) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=self._how.learning_rate, weight_decay=self._how.weight_decay
            )
        return self.optimizer

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # `save_pretrained` renames an AST's weights to those of older versions, and the Trainer, which loads by
        # name, would go on with untrained layers. A state of ours keeps the names of the model.
        folder = Path(output_dir or self._work)
        folder.mkdir(parents=True, exist_ok=True)
        state = state_dict or self.model.state_dict()
        save_file(
            {key: value.detach().clone().contiguous() for key, value in state.items()}, folder / "model.safetensors"
        )

    def _save_checkpoint(self, *arguments: Any) -> None:
        try:
            super()._save_checkpoint(*arguments)
        except (RuntimeError, SafetensorError) as error:  # as PyTorch and safetensors say that a disk is full
            raise OSError(str(error)) from error

    def evaluate(self, *ignored: Any, **also_ignored: Any) -> dict[str, float]:
        logits = predict(self.result, self._data.validation, bfloat16=self._how.bfloat16)
        metrics = compute_metrics(logits, self._data.truth, self._labels, self._data.validation_clips, self._how)
        metrics = {f"eval_{key}": float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _Lines(TrainerCallback):
    """Tells people of losses and scores."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
        self._first, self._began = state.global_step, time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **ignored: Any) -> None:
        done, left = state.global_step - self._first, state.max_steps - state.global_step
        minutes = (time.monotonic() - self._began) / max(done, 1) * left / 60
        wanted = ("loss", "eval_loss", "eval_accuracy", "eval_precision", "eval_recall", "eval_f1", "eval_map")
        shown = ", ".join(f"{k.removeprefix('eval_')} {v:.4g}" for k, v in (logs or {}).items() if k.startswith(wanted))
        if shown:
            self._progress(f"Step {state.global_step} of {state.max_steps}, {minutes:.0f} min left: {shown}")


def _arguments(n_batches: int, work: Path, options: FinetuneOptions) -> TrainingArguments:
    steps = math.ceil(n_batches / processes().num_processes)  # each process takes its share of the batches
    every = max(1, steps // (options.evaluations or options.epochs))
    return TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        **schedule(steps, options),
        per_device_train_batch_size=1,  # an item of the data set is a batch
        train_sampling_strategy="sequential",
        bf16=options.bfloat16,
        use_cpu=processes().device.type == "cpu",
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=bool(options.metric),
        metric_for_best_model=options.metric or None,
        greater_is_better=options.metric != "loss",
        logging_steps=max(1, min(50, every)),
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=options.seed,
    )


def schedule(steps: int, options: FinetuneOptions) -> dict[str, Any]:
    """Of the learning rate, as 🤗 `TrainingArguments` name it: up from 0 during the warm-up, level, down to 0."""
    warmup = round(options.warmup * steps)
    decay = max(1, min(round(options.decay * steps), steps - warmup))
    return {
        "lr_scheduler_type": "warmup_stable_decay",
        "warmup_steps": warmup,
        "lr_scheduler_kwargs": {"num_decay_steps": decay, "decay_type": "linear"},
    }


def _tensorboard(work: Path) -> list[Any]:
    """TensorBoard's callback, writing into the run's folder, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback
    except ImportError:
        return []
    return [TensorBoardCallback(SummaryWriter(str(work / "logs")))]
