"""The model to train: from a configuration, or a checkpoint that can be shown some columns only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import ASTConfig, PretrainedConfig

from ast_demo.audio import SAMPLE_RATE
from ast_demo.features import InputSettings
from ast_demo.finetuning import FinetuneOptions, PreparedModel, describe_head, grid_changes, prepare_model
from ast_demo.from_scratch.small_ast import ColumnAst, start_from_scratch
from ast_demo.settings import Settings


def prepare_from_scratch(
    base: str | Path | PretrainedConfig,
    labels: tuple[str, ...],
    multi_label: bool,
    options: FinetuneOptions,
    limits: Settings,
) -> PreparedModel:
    """A new model of this configuration; or this checkpoint, as `prepare_model` has it."""
    if not isinstance(base, PretrainedConfig):
        return _show_columns(prepare_model(base, labels, multi_label, options, limits))
    changes = {**describe_head(labels, multi_label), **grid_changes(base, options)}
    config = type(base).from_dict({**base.to_dict(), **changes})
    torch.manual_seed(options.seed)
    if isinstance(config, ASTConfig):
        model = ColumnAst(config)
        start_from_scratch(model, options.seed)
        return PreparedModel(model, labels, InputSettings(config.num_mel_bins, config.max_length), None, "")
    from transformers import FEATURE_EXTRACTOR_MAPPING, AutoModelForAudioClassification

    extractor_class: Any = FEATURE_EXTRACTOR_MAPPING[type(config)]
    extractor = extractor_class(sampling_rate=SAMPLE_RATE)
    return PreparedModel(AutoModelForAudioClassification.from_config(config), labels, None, extractor, "")


def _show_columns(prepared: PreparedModel) -> PreparedModel:
    """The same model, but for columns that it can be shown; one that is no AST as it is."""
    if prepared.settings is None:
        return prepared
    model = ColumnAst(prepared.model.config)
    model.load_state_dict(prepared.model.state_dict())
    return replace(prepared, model=model)
