"""What a run leaves on the disk: its states while it goes on, the checkpoint folder in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import ASTConfig, ASTForAudioClassification

from ast_demo.audio import SAMPLE_RATE
from ast_demo.errors import DataError
from ast_demo.features import InputSettings
from ast_demo.finetuning.distributed import processes
from ast_demo.finetuning.model import PreparedModel
from ast_demo.finetuning.options import FinetuneOptions, options_as_json
from ast_demo.finetuning.split import Split

_STATE_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "model.safetensors")


def check_same_run(work: Path, options: FinetuneOptions, split: Split, labels: Sequence[str]) -> None:
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
    if before is not None and before != now and last_state(work):
        raise DataError(
            f"{str(work.parent)!r} holds an unfinished run with other clips or other options. "
            "Start it again as it was, or choose another folder."
        )
    if processes().is_main_process:
        file.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")


def last_state(work: Path) -> str | None:
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


def save_model(
    prepared: PreparedModel, trained: nn.Module, settings: InputSettings | None, folder: Path, options: FinetuneOptions
) -> nn.Module:
    """Write configuration, feature extractor and the weights of `trained`; the model as it will be loaded, in float32."""
    state = {key: value.float() for key, value in trained.state_dict().items()}
    if options.float16_weights:
        state = {key: value.half().float() for key, value in state.items()}
    model: Any = prepared.model
    if settings:
        model = ASTForAudioClassification(ASTConfig.from_dict(prepared.model.config.to_dict()))
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
        prepared.extractor.save_pretrained(folder)
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
