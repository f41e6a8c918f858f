"""Recipe files, and what a command line asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from ast_demo.errors import DataError
from ast_demo.finetuning import (
    FINETUNING,
    Augmentation,
    CardText,
    FinetuneOptions,
    TrainingParts,
    choose_options,
    read_changes,
)
from ast_demo.from_scratch.options import ScratchOptions, Stage
from ast_demo.from_scratch.parts import FROM_SCRATCH


@dataclass(frozen=True)
class Recipe:
    """What to start from, how to train, what the model card says, and what is done as from scratch."""

    base: str | PretrainedConfig
    options: FinetuneOptions
    card: CardText
    parts: TrainingParts = FROM_SCRATCH


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe (JSON): `config` to start from scratch or `base` to start from, `options`, `card`.

    A file without any of these is taken for the configuration of a model (a `config.json`), trained by default.

    Raises:
        DataError: It cannot be read, or it holds a field that there is not.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"The recipe {str(path)!r} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise DataError(f"The recipe {str(path)!r} is no JSON object.")
    if not content.keys() & {"config", "base", "options", "card"}:
        content = {"config": content}
    try:
        options = dict(content.get("options", {}))
        if "stages" in options:
            options["stages"] = tuple(Stage(**stage) for stage in options["stages"])
        if "augmentation" in options:
            options["augmentation"] = Augmentation(**options["augmentation"])
        return Recipe(_read_base(content), ScratchOptions(**options), CardText(**content.get("card", {})))
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"The recipe {str(path)!r} makes no sense: {error}.") from None


def _read_base(content: dict[str, Any]) -> str | PretrainedConfig:
    from transformers import AutoConfig

    if "base" in content:
        return str(content["base"])
    config = dict(content["config"])
    return AutoConfig.for_model(config.pop("model_type", "audio-spectrogram-transformer"), **config)


def choose_recipe(
    base: str | None,
    recipe_file: str | Path | None,
    preset: str,
    asked: Mapping[str, Any],
    hold_out: Sequence[str] = (),
) -> Recipe:
    """What a command line asks for: a base or a recipe, a preset, and options by name, None where nothing is asked.

    Args:
        hold_out: Clips to hold out, as "column=value".

    Raises:
        DataError: Neither base nor recipe, or both; no such preset; a pair that is none.
    """
    if (base is None) == (recipe_file is None):
        raise DataError(
            "Expected either a base to start from (--base) or a configuration to train from scratch (--from-config)."
        )
    options = choose_options(preset, asked, hold_out)
    if recipe_file is None:
        return Recipe(str(base), options, CardText(), FINETUNING)
    recipe, changes = read_recipe(recipe_file), read_changes(asked, hold_out)
    if {"epochs", "batch_size"} & changes.keys():
        changes["stages"] = ()  # a recipe's own course gives way
    return replace(recipe, options=replace(recipe.options, **changes))
