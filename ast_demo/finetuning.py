"""Labelled clips and a base checkpoint to a new checkpoint folder.

The 🤗 `Trainer` runs the loop: evaluation, checkpoints, resuming, several processes. What is ours is what it is fed
(`training_batches`), how a small AST is started (`small_ast`), and what the folder holds in the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import ASTConfig, ASTForAudioClassification, PretrainedConfig

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.checkpoints import find_checkpoint, load_checkpoint
from ast_demo.errors import AudioError, CheckpointError, DataError
from ast_demo.finetune_options import FinetuneOptions, check_options, options_as_json
from ast_demo.labelled_clips import LabelledClip, LabelledClips
from ast_demo.model_card import CardText, write_card
from ast_demo.muon import MuonWithAdamW
from ast_demo.settings import Settings
from ast_demo.small_ast import ColumnAst, grid_of, interpolate_positions, start_from_scratch
from ast_demo.spectrogram import InputSettings, compute_spectrograms
from ast_demo.training_batches import (
    DrawingOrder,
    SpectrogramBatches,
    Stage,
    TrainingClip,
    WaveformBatches,
    load_bank,
    make_versions,
    measure_statistics,
    save_bank,
)
from ast_demo.training_split import Split, split_clips, write_split

Progress = Callable[[str], None]
Batch = dict[str, Tensor]

_STATE_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "model.safetensors")


@dataclass(frozen=True)
class FinetuneResult:
    """What a run gave: where the checkpoint is, its metrics on the held-out clips, and what could not be read."""

    folder: Path
    metrics: dict[str, float]
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
        progress: Called with a line for people now and then.

    Raises:
        DataError: The clips cannot be learnt from, or the folder cannot be written.
        CheckpointError: The base cannot be loaded.
    """
    options = options or FinetuneOptions()
    output = Path(output)
    if (output / "config.json").exists():
        raise DataError(f"{str(output)!r} holds a checkpoint already. Choose another folder, or remove it.")
    check_options(options)
    labels = _check_labels(clips, extra)
    split = split_clips(clips, options)
    learner = _prepare_learner(base, labels, clips.multi_label, options)
    try:
        return _run(learner, split, labels, output, options, extra, card or CardText(), progress)
    except OSError as error:
        raise DataError(f"The checkpoint cannot be written to {str(output)!r}: {error.strerror or error}.") from error


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


@dataclass(frozen=True)
class _Learner:
    """A model to train, and how it is fed: spectrograms of ours, or the inputs of its own feature extractor."""

    model: Any  # an `nn.Module`; `PreTrainedModel` has attributes that its type does not tell
    labels: tuple[str, ...]  # in the order of the head
    settings: InputSettings | None
    extractor: Any
    base: str


def _prepare_learner(
    base: str | Path | PretrainedConfig, labels: tuple[str, ...], multi_label: bool, options: FinetuneOptions
) -> _Learner:
    problem = "multi_label_classification" if multi_label else "single_label_classification"
    if isinstance(base, PretrainedConfig):
        head = {**_names(labels), "problem_type": problem}
        config = type(base).from_dict({**base.to_dict(), **head, **_grid_changes(base, options)})
        torch.manual_seed(options.seed)
        if isinstance(config, ASTConfig):
            model = ColumnAst(config)
            start_from_scratch(model, options.seed)
            return _Learner(model, labels, InputSettings(config.num_mel_bins, config.max_length), None, "")
        from transformers import FEATURE_EXTRACTOR_MAPPING, AutoModelForAudioClassification

        extractor_class: Any = FEATURE_EXTRACTOR_MAPPING[type(config)]
        extractor = extractor_class(sampling_rate=SAMPLE_RATE)
        return _Learner(AutoModelForAudioClassification.from_config(config), labels, None, extractor, "")

    folder, name = find_checkpoint(base, Settings())
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The config.json of {name!r} cannot be read: {error}.") from None
    if model_type == "audio-spectrogram-transformer":
        return _prepare_ast(base, name, labels, problem, options)
    return _prepare_other(folder, name, labels, problem)


def _prepare_ast(
    base: str | Path, name: str, labels: tuple[str, ...], problem: str, options: FinetuneOptions
) -> _Learner:
    """An AST base with a head for these labels: its own, if it has the same ones; and with another grid, if asked."""
    loaded = load_checkpoint(base)
    old: Any = loaded.model.config
    keeps_head = set(loaded.facts.labels) == set(labels)
    labels = loaded.facts.labels if keeps_head else labels
    config = ASTConfig.from_dict(
        {**old.to_dict(), **_names(labels), "problem_type": problem, **_grid_changes(old, options)}
    )
    torch.manual_seed(options.seed)
    model = ColumnAst(config)
    state = dict(loaded.model.state_dict())
    positions = "audio_spectrogram_transformer.embeddings.position_embeddings"
    state[positions] = interpolate_positions(state[positions], grid_of(old), grid_of(config))
    if not keeps_head:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.dense.")}
    model.load_state_dict(state, strict=False)
    return _Learner(model, labels, InputSettings(config.num_mel_bins, config.max_length), None, name)


def _prepare_other(folder: Path, name: str, labels: tuple[str, ...], problem: str) -> _Learner:
    """Any other audio classifier, with a new head and its own feature extractor."""
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModelForAudioClassification.from_pretrained(
            folder,
            **_names(labels),
            problem_type=problem,
            ignore_mismatched_sizes=True,
            dtype="float32",
            use_safetensors=True,
        )
    except Exception as error:  # the library raises many kinds, all of which say that it is no audio classifier
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise CheckpointError(f"{name!r} cannot be fine-tuned for audio classification: {reason}.") from error
    return _Learner(model, labels, None, extractor, name)


def _names(labels: Sequence[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def _grid_changes(config: PretrainedConfig, options: FinetuneOptions) -> dict[str, int]:
    asked = {
        "max_length": options.n_frames,
        "frequency_stride": options.frequency_stride,
        "time_stride": options.time_stride,
    }
    changes = {key: value for key, value in asked.items() if value}
    if changes and not isinstance(config, ASTConfig):
        raise DataError(f"Frames and strides can be changed for an AST only, but the base is a {config.model_type!r}.")
    for key, value in changes.items():
        least = config.patch_size if key == "max_length" else 1
        if value < least:
            raise DataError(f"Expected {key} of at least {least}; got {value}.")
    return changes


@dataclass(frozen=True)
class _Fed:
    """What the loop is fed, and what was found on the way."""

    batches: Any
    validation: list[Batch]
    truth: np.ndarray  # (n_validation, n_labels)
    validation_clips: tuple[LabelledClip, ...]
    settings: InputSettings | None
    unreadable: tuple[str, ...]
    n_training: int
    n_extra: int


def _feed(
    learner: _Learner,
    split: Split,
    work: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    progress: Progress,
) -> _Fed:
    """Decode all clips and prepare the batches.

    Raises:
        DataError: A label has no readable clip, or no held-out clip can be read.
    """
    extra_clips = [clip for source in extra for clip in source.clips]
    learnt = [*split.training, *extra_clips]
    progress(
        f"Reading {len(split.training)} + {len(extra_clips)} clips to learn from, {len(split.validation)} held out ..."
    )
    started = time.monotonic()
    unreadable: list[str] = []
    held = [(clip, wave) for clip in split.validation if (wave := _read(clip, unreadable))]
    if not held:
        raise DataError("None of the held-out clips can be read. " + " ".join(unreadable[:3]))
    waves = [wave for _, wave in held]
    # What is known of each clip: versions of its log-mel, or its samples; nothing if it cannot be read.
    if learner.settings:
        known: list[Any] = _read_spectrograms(learnt, len(split.training), learner.settings, work, options, unreadable)
    else:
        known = [wave.samples if (wave := _read(clip, unreadable)) else () for clip in learnt]
    readable = [i for i, what in enumerate(known) if len(what)]
    targets = np.array([_target(learnt[i], learner.labels) for i in readable]).reshape(-1, len(learner.labels))
    for label, count in zip(learner.labels, targets.sum(axis=0), strict=True):
        if not count:
            raise DataError(f"The label {label!r} has no readable clip to learn from. " + " ".join(unreadable[:3]))
    is_extra = np.array([i >= len(split.training) for i in readable])
    order = DrawingOrder(
        targets,
        is_extra,
        options.stages or (Stage(options.epochs * math.ceil(len(readable) / options.batch_size), options.batch_size),),
        balanced=options.balanced,
        label_power=options.label_power,
        extra_share=options.extra_share,
        seed=options.seed,
    )
    settings = learner.settings
    if settings:
        clips = [
            TrainingClip(known[i], target, bool(more))
            for i, target, more in zip(readable, targets, is_extra, strict=True)
        ]
        mean, std = measure_statistics(clips)
        settings = replace(settings, mean=mean, std=std)
        grid = grid_of(learner.model.config)
        batches: Any = SpectrogramBatches(clips, order, settings, grid, options.augmentation, options.seed)
        validation = [_stack_spectrograms(waves[i : i + 16], settings) for i in range(0, len(waves), 16)]
        progress(f"Log-mel of the training clips: mean {mean:.4f}, standard deviation {std:.4f}.")
    else:
        extract = _extraction(learner.extractor, options)
        longest = round(options.max_seconds * SAMPLE_RATE)
        sounds = [known[i] for i in readable]
        batches = WaveformBatches(sounds, targets, order, extract, options.augmentation, longest)
        validation = [extract([wave.samples for wave in waves[i : i + 8]]) for i in range(0, len(waves), 8)]
    for message in unreadable:
        progress(f"Skipped: {message}")
    progress(f"Read in {time.monotonic() - started:.0f} s.")
    return _Fed(
        batches,
        validation,
        truth=np.array([_target(clip, learner.labels) for clip, _ in held]),
        validation_clips=tuple(clip for clip, _ in held),
        settings=settings,
        unreadable=tuple(unreadable),
        n_training=int((~is_extra).sum()),
        n_extra=int(is_extra.sum()),
    )


def _read_spectrograms(
    clips: Sequence[LabelledClip],
    n_own: int,
    settings: InputSettings,
    work: Path,
    options: FinetuneOptions,
    unreadable: list[str],
) -> list[tuple[np.ndarray, ...]]:
    """Versions of the log-mel of each clip; the first `n_own` are varied as sound. From the disk if a run goes on."""
    how = options.augmentation
    sound = (how.copies, how.speed, how.pitch, how.stretch, how.sound_noise, how.transition, how.clipping)
    sizes = [(clip.name, len(c) if isinstance(c := clip.source, bytes) else str(c)) for clip in clips]
    what = json.dumps([sound, options.seed, settings.n_mels, settings.n_frames, n_own, sizes])
    key = hashlib.sha256(what.encode()).hexdigest()
    kept = load_bank(work / "bank", key)
    if kept is not None:
        unreadable += [f"{clip.name!r} could not be read." for clip, one in zip(clips, kept, strict=True) if not one]
        return kept
    versions: list[tuple[np.ndarray, ...]] = []
    for i, clip in enumerate(clips):
        wave = _read(clip, unreadable)
        mine = how if i < n_own else replace(how, copies=0)
        versions.append(make_versions(wave, settings, mine, (options.seed, 4, i)) if wave else ())
    if any(versions):
        save_bank(work / "bank", key, versions)
    return versions


def _stack_spectrograms(waves: Sequence[Waveform], settings: InputSettings) -> Batch:
    spectrograms = compute_spectrograms(waves, settings)
    return {"input_values": torch.from_numpy(np.stack([spectrogram.values for spectrogram in spectrograms]))}


def _read(clip: LabelledClip, unreadable: list[str]) -> Waveform | None:
    try:
        return read_audio(clip.source, name=clip.name)
    except AudioError as error:
        unreadable.append(str(error))
        return None


def _target(clip: LabelledClip, labels: Sequence[str]) -> np.ndarray:
    """(n_labels,) float32: 1 where a label holds."""
    return np.isin(labels, clip.labels).astype(np.float32)


def _extraction(extractor: Any, options: FinetuneOptions) -> Callable[[Sequence[np.ndarray]], Batch]:
    """From sounds to a model's inputs, by its own feature extractor."""

    def extract(sounds: Sequence[np.ndarray]) -> Batch:
        longest = round(options.max_seconds * SAMPLE_RATE)
        asked: dict[str, Any] = {"padding": True, "max_length": longest, "truncation": True}
        if extractor.model_input_names[0] == "input_features":
            asked = {}  # Whisper's extractor knows its one length
        return dict(extractor([s[:longest] for s in sounds], sampling_rate=SAMPLE_RATE, return_tensors="pt", **asked))

    return extract


def _run(
    learner: _Learner,
    split: Split,
    labels: tuple[str, ...],
    output: Path,
    options: FinetuneOptions,
    extra: Sequence[LabelledClips],
    card: CardText,
    progress: Progress,
) -> FinetuneResult:
    work = output / "training"
    work.mkdir(parents=True, exist_ok=True)
    _check_same_run(work, options, split, labels)
    fed = _feed(learner, split, work, options, extra, progress)
    trainer = _make_trainer(learner.model, fed, work, options, progress)
    trainer.train(resume_from_checkpoint=_last_state(work))
    result = FinetuneResult(output, {}, trainer.state.global_step, fed.unreadable)
    if not trainer.is_world_process_zero():
        return result
    partial = work / "checkpoint"
    shutil.rmtree(partial, ignore_errors=True)
    model = _save_model(learner, fed.settings, partial, options)
    metrics = compute_metrics(predict(model, fed.validation), fed.truth, fed.validation_clips, options)
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


def _check_same_run(work: Path, options: FinetuneOptions, split: Split, labels: Sequence[str]) -> None:
    """A run goes on with what it was begun with, or not at all."""
    now = {
        "options": options_as_json(options),
        "labels": list(labels),
        "clips": [len(split.training), len(split.validation)],
    }
    file = work / "run.json"
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before is not None and before != now and _last_state(work):
        raise DataError(
            f"{str(work.parent)!r} holds an unfinished run with other clips or other options. "
            "Start it again as it was, or choose another folder."
        )
    file.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")


def _last_state(work: Path) -> str | None:
    """The newest complete state of a run; one that was being written when the run was killed does not count."""
    states = [path for path in work.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    for state in sorted(states, key=lambda path: -int(path.name.split("-")[1])):
        if all((state / file).is_file() for file in _STATE_FILES):
            try:
                torch.load(state / "optimizer.pt", map_location="cpu", weights_only=True)
                json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
            except Exception:
                continue
            return str(state)
    return None


def _save_model(learner: _Learner, settings: InputSettings | None, folder: Path, options: FinetuneOptions) -> nn.Module:
    """Write configuration, feature extractor and weights; the model as it will be loaded, in float32."""
    state = {key: value.float() for key, value in learner.model.state_dict().items()}
    if options.float16_weights:
        state = {key: value.half().float() for key, value in state.items()}
    model: Any = learner.model
    if settings:
        model = ASTForAudioClassification(ASTConfig.from_dict(learner.model.config.to_dict()))
    model.load_state_dict(state)
    model.eval()
    stored = {key: value.half() for key, value in state.items()} if options.float16_weights else state
    with _no_progress_bars():
        model.save_pretrained(folder, state_dict=stored)
    (folder / "model.safetensors").chmod(0o644)
    # Stored in half precision or not, it is computed in float32: processors are slow and coarse in float16.
    config = {**_read_json(folder / "config.json"), "dtype": "float32"}
    _write_json(folder / "config.json", config)
    if settings:
        _write_json(folder / "preprocessor_config.json", _describe_input(settings))
    else:
        learner.extractor.save_pretrained(folder)
    return model


def _describe_input(settings: InputSettings) -> dict[str, Any]:
    """What `ASTFeatureExtractor` writes of itself. (Making one computes its filters, with a warning each time.)"""
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": SAMPLE_RATE,
        "num_mel_bins": settings.n_mels,
        "max_length": settings.n_frames,
        "do_normalize": True,
        "mean": settings.mean,
        "std": settings.std,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep the library from drawing a bar for what takes a blink."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _make_trainer(model: Any, fed: _Fed, work: Path, options: FinetuneOptions, progress: Progress) -> Any:
    """The 🤗 `Trainer`, with our order of batches, optimiser, schedule and evaluation."""
    import os

    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    # Each process takes its share of the batches.
    steps = math.ceil(len(fed.batches) / int(os.environ.get("WORLD_SIZE", "1")))
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

        def evaluate(self, *ignored: Any, **also_ignored: Any) -> dict[str, float]:
            logits = predict(self.model, fed.validation, bfloat16=options.bfloat16)
            metrics = compute_metrics(logits, fed.truth, fed.validation_clips, options)
            metrics = {f"eval_{key}": value for key, value in metrics.items()}
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
            if shown and state.is_world_process_zero:
                progress(f"Step {state.global_step} of {state.max_steps}, {minutes:.0f} min left: {shown}")

    callbacks: list[TrainerCallback] = [_Lines(), *_tensorboard(work)]
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


def soft_loss(logits: Tensor, targets: Tensor, smoothing: float, multi_label: bool) -> Tensor:
    """Cross-entropy, or binary cross-entropy where several labels can hold; logits, targets (batch, n_labels)."""
    if multi_label:
        targets = targets * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), targets)
    targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
    return nn.functional.cross_entropy(logits.float(), targets)


@torch.no_grad()
def predict(model: nn.Module, batches: Sequence[Batch], *, bfloat16: bool = False) -> np.ndarray:
    """Logits (n_clips, n_labels) float32. The model's mode is put back as it was."""
    was_training = model.training
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            parts = [
                model(**{key: value.to(device) for key, value in batch.items()}).logits.float() for batch in batches
            ]
    finally:
        model.train(was_training)
    return torch.cat(parts).cpu().numpy()


def compute_metrics(
    logits: np.ndarray, targets: np.ndarray, clips: Sequence[LabelledClip], options: FinetuneOptions
) -> dict[str, float]:
    """How good the logits are; `clips` say which group each row belongs to.

    One label for each clip: accuracy; precision, recall and F1, averaged over the labels; accuracy of each held-out
    group. Several: the same for a threshold of 0.5, where accuracy means that all labels are right, and `map`, the
    mean average precision.
    """
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    loss = soft_loss(torch.from_numpy(logits), torch.from_numpy(targets), 0.0, bool((targets.sum(axis=1) != 1).any()))
    metrics = {"loss": float(loss)}
    if (targets.sum(axis=1) != 1).any():
        chosen, truth = (logits > 0).astype(int), targets.astype(int)
        right = (chosen == truth).all(axis=1)
        with_positives = truth.any(axis=0)
        metrics["map"] = average_precision_score(truth[:, with_positives], logits[:, with_positives], average="macro")
    else:
        chosen, truth = logits.argmax(axis=1), targets.argmax(axis=1)
        right = chosen == truth
    precision, recall, f1, _ = precision_recall_fscore_support(truth, chosen, average="macro", zero_division=0)
    metrics |= {"accuracy": right.mean(), "precision": precision, "recall": recall, "f1": f1}
    for column, values in options.validation.items():
        for value in values:
            of_group = np.array([clip.columns.get(column) == value for clip in clips])
            if of_group.any():
                metrics[f"accuracy_{column}_{value}"] = right[of_group].mean()
                metrics[f"clips_{column}_{value}"] = of_group.sum()
    return {"clips": float(len(clips)), **{key: float(value) for key, value in metrics.items()}}


def push_to_hub(folder: str | Path, repository: str) -> str:
    """Upload a checkpoint folder with its card, as the user who is logged in; the address of the model's page.

    Raises:
        DataError: The Hub did not take it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api = HfApi()
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=["training/*"])
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(
            f"The Hugging Face Hub did not take {repository!r}: {reason}. Are you logged in (`hf auth login`)?"
        ) from error
    return str(address)
