"""The 🤗 `Trainer` with our batches, optimiser, schedule and evaluation."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ast_demo.finetuning.distributed import count_processes, is_main_process
from ast_demo.from_scratch.muon import MuonWithAdamW
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.scores import compute_metrics, predict, soft_loss
from ast_demo.finetuning.training_data import Fed, Progress
from ast_demo.from_scratch.weight_average import WeightAverage


def make_trainer(
    model: Any, fed: Fed, work: Path, options: FinetuneOptions, progress: Progress, average: WeightAverage | None = None
) -> Any:
    """The 🤗 `Trainer`, with our order of batches, optimiser, schedule and evaluation.

    Args:
        average: Follows the model's weights, is saved with them, and is what is evaluated.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    labels = [model.config.id2label[place] for place in range(model.config.num_labels)]
    # Each process takes its share of the batches.
    steps = math.ceil(len(fed.batches) / count_processes())
    every = max(1, steps // (options.evaluations or options.epochs))

    class _Trainer(Trainer):
        model: Any
        optimizer: Any

        def create_optimizer(self, *ignored: Any) -> torch.optim.Optimizer:
            if self.optimizer is None:
                rates = (options.learning_rate, options.weight_decay)
                if options.muon_learning_rate:
                    self.optimizer = MuonWithAdamW(self.model, options.muon_learning_rate, *rates)
                else:
                    self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rates[0], weight_decay=rates[1])
            return self.optimizer

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer, lambda step: learning_rate_at(step, num_training_steps, options)
                )
            return self.lr_scheduler

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            # `save_pretrained` renames an AST's weights to those of older versions, and the Trainer, which loads by
            # name, would go on with untrained layers. A state of ours keeps the names of the model.
            folder = Path(output_dir or work)
            folder.mkdir(parents=True, exist_ok=True)
            state = state_dict or self.model.state_dict()
            save_file(
                {key: value.detach().clone().contiguous() for key, value in state.items()}, folder / "model.safetensors"
            )
            if average:
                average.save(folder)

        def _save_checkpoint(self, *arguments: Any) -> None:
            try:
                super()._save_checkpoint(*arguments)
            except (RuntimeError, SafetensorError) as error:  # as PyTorch and safetensors say that a disk is full
                raise OSError(str(error)) from error

        def evaluate(self, *ignored: Any, **also_ignored: Any) -> dict[str, float]:
            logits = predict(average.model if average else self.model, fed.validation, bfloat16=options.bfloat16)
            metrics = compute_metrics(logits, fed.truth, labels, fed.validation_clips, options)
            metrics = {f"eval_{key}": float(value) for key, value in metrics.items() if isinstance(value, int | float)}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    class _Lines(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
            self.first, self.began = state.global_step, time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **ignored: Any) -> None:
            done, left = state.global_step - self.first, state.max_steps - state.global_step
            minutes = (time.monotonic() - self.began) / max(done, 1) * left / 60
            wanted = ("loss", "eval_loss", "eval_accuracy", "eval_precision", "eval_recall", "eval_f1", "eval_map")
            shown = ", ".join(
                f"{k.removeprefix('eval_')} {v:.4g}" for k, v in (logs or {}).items() if k.startswith(wanted)
            )
            if shown:
                progress(f"Step {state.global_step} of {state.max_steps}, {minutes:.0f} min left: {shown}")

    callbacks: list[TrainerCallback] = [_Lines(), *(_tensorboard(work) if is_main_process() else [])]
    if average:
        callbacks.append(average)
    if options.patience:
        callbacks.append(EarlyStoppingCallback(options.patience))
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=1,  # an item of the data set is a batch
        train_sampling_strategy="sequential",
        bf16=options.bfloat16,
        use_cpu=not torch.cuda.is_available(),
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
    multi_label = model.config.problem_type == "multi_label_classification"
    trainer = _Trainer(
        model,
        arguments,
        data_collator=lambda items: items[0],
        train_dataset=fed.batches,
        eval_dataset=fed.validation,
        compute_loss_func=lambda outputs, targets, **_: soft_loss(
            outputs.logits, targets, options.label_smoothing, multi_label
        ),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _tensorboard(work: Path) -> list[Any]:
    """TensorBoard's callback, writing into the run's folder, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback
    except ImportError:
        return []
    return [TensorBoardCallback(SummaryWriter(str(work / "logs")))]


def learning_rate_at(step: int, steps: int, options: FinetuneOptions) -> float:
    """Factor of the learning rate: up from 0 during the warm-up, then 1, then down to 0 at the end."""
    rising = (step + 1) / max(1, round(options.warmup * steps))
    falling = (steps - step) / max(1, round(options.decay * steps))
    return min(1.0, rising, falling)
