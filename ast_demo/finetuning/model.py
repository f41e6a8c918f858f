"""The model to train: a checkpoint, with a new head or grid if asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ASTConfig, ASTForAudioClassification, PretrainedConfig

from ast_demo.errors import CheckpointError, DataError
from ast_demo.features import InputSettings
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.positions import grid_of, interpolate_positions
from ast_demo.models import find_checkpoint, load_checkpoint
from ast_demo.settings import Settings


@dataclass(frozen=True)
class PreparedModel:
    """A model to train, and how it is fed: spectrograms of ours, or the inputs of its own feature extractor."""

    model: Any  # an `nn.Module`; `PreTrainedModel` has attributes that its type does not tell
    labels: tuple[str, ...]  # in the order of the head
    settings: InputSettings | None
    extractor: Any
    base: str


def prepare_model(
    base: str | Path, labels: tuple[str, ...], multi_label: bool, options: FinetuneOptions, limits: Settings
) -> PreparedModel:
    """A base with a head for these labels: an AST's own, if it has the same ones.

    Raises:
        CheckpointError: The base cannot be loaded, or is no audio classifier.
        DataError: It cannot have the grid that is asked for.
    """
    folder, name = find_checkpoint(base, limits)
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The config.json of {name!r} cannot be read: {error}.") from None
    if model_type == "audio-spectrogram-transformer":
        return _prepare_ast(base, name, labels, multi_label, options, limits)
    return _prepare_other(folder, name, labels, multi_label)


def _prepare_ast(
    base: str | Path, name: str, labels: tuple[str, ...], multi_label: bool, options: FinetuneOptions, limits: Settings
) -> PreparedModel:
    loaded = load_checkpoint(base, limits)
    old: Any = loaded.model.config
    keeps_head = set(loaded.facts.labels) == set(labels)
    labels = loaded.facts.labels if keeps_head else labels
    config = ASTConfig.from_dict({**old.to_dict(), **describe_head(labels, multi_label), **grid_changes(old, options)})
    torch.manual_seed(options.seed)
    model: Any = ASTForAudioClassification(config)
    state = dict(loaded.model.state_dict())
    positions = "audio_spectrogram_transformer.embeddings.position_embeddings"
    state[positions] = interpolate_positions(state[positions], grid_of(old), grid_of(config))
    if not keeps_head:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.dense.")}
    model.load_state_dict(state, strict=False)
    return PreparedModel(model, labels, InputSettings(config.num_mel_bins, config.max_length), None, name)


def _prepare_other(folder: Path, name: str, labels: tuple[str, ...], multi_label: bool) -> PreparedModel:
    """Any other audio classifier, with a new head and its own feature extractor."""
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModelForAudioClassification.from_pretrained(
            folder,
            **describe_head(labels, multi_label),
            ignore_mismatched_sizes=True,
            dtype="float32",
            use_safetensors=True,
        )
    except Exception as error:  # the library raises many kinds, all of which say that it is no audio classifier
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise CheckpointError(f"{name!r} cannot be fine-tuned for audio classification: {reason}.") from error
    return PreparedModel(model, labels, None, extractor, name)


def describe_head(labels: Sequence[str], multi_label: bool) -> dict[str, Any]:
    """What a configuration says of the labels."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": "multi_label_classification" if multi_label else "single_label_classification",
    }


def grid_changes(config: PretrainedConfig, options: FinetuneOptions) -> dict[str, int]:
    """What of a configuration changes with the frames and strides that are asked for.

    Raises:
        DataError: It is none of an AST, or no patch would fit.
    """
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
