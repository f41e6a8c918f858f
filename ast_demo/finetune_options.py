"""How to train, as values: options, presets, and the recipe files that hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from ast_demo.errors import DataError
from ast_demo.model_card import CardText
from ast_demo.training_batches import Augmentation, Stage

GENTLE = Augmentation(
    copies=3,
    pitch=2,
    stretch=0.15,
    sound_noise=0.3,
    transition=0.2,
    clipping=0.1,
    gain_db=12,
    mixup=0.3,
    mask_bins=16,
    mask_frames=24,
)


@dataclass(frozen=True)
class FinetuneOptions:
    """How to train. The defaults suit a pre-trained base and a few hundred clips.

    Attributes:
        epochs, batch_size: Passes over the training clips, and clips in a batch.
        stages: Takes the place of `epochs` and `batch_size`: parts of the run with lengths and batches of their own.
        learning_rate: Of AdamW.
        muon_learning_rate: Where above 0, Muon trains the matrices inside the layers, at this rate.
        warmup, decay: Shares of the steps in which the learning rate rises from 0, and falls to 0 at the end.
        weight_decay, label_smoothing: As usual.
        validation: Column of the data -> values: clips with such a value are held out for validation.
        group_column: Where `validation` is empty: clips with one value of this column stay on one side.
        validation_share: Where `validation` is empty: the share of the clips that is held out.
        balanced: Draw labels by their weight, instead of each clip once in an epoch.
        label_power: Where balanced: how much the number of a label's clips weighs; 0: each label comes equally often.
        extra_share: Where balanced: share of the draws of a label that are extra clips, if it has any.
        evaluations: How often to evaluate and save during the run; 0: after each epoch.
        metric: What the best checkpoint is chosen by; "" keeps the last.
        patience: Evaluations without a better value of the metric after which the run stops; 0: never.
        n_frames, frequency_stride, time_stride: Of the new checkpoint, if it is an AST; 0: those of the base.
        max_seconds: Longest clip that a model without spectrograms is fed.
        bfloat16: Train in bfloat16 autocast.
        float16_weights: Store the weights in half precision.
        augmentation: How clips are varied.
        seed: Of everything that is drawn.
    """

    epochs: int = 10
    batch_size: int = 8
    stages: tuple[Stage, ...] = ()
    learning_rate: float = 5e-5
    muon_learning_rate: float = 0.0
    warmup: float = 0.1
    decay: float = 0.9
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    validation: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group_column: str = ""
    validation_share: float = 0.2
    balanced: bool = False
    label_power: float = 0.0
    extra_share: float = 0.5
    evaluations: int = 0
    metric: str = "f1"
    patience: int = 0
    n_frames: int = 0
    frequency_stride: int = 0
    time_stride: int = 0
    max_seconds: float = 10.0
    bfloat16: bool = False
    float16_weights: bool = False
    augmentation: Augmentation = GENTLE
    seed: int = 0


# Gong et al. (2021) for ESC-50: 5 s of sound, batches of 48, SpecAugment of 24 bins and 96 frames, no noise.
ESC50 = FinetuneOptions(
    epochs=25,
    batch_size=48,
    learning_rate=1e-5,
    warmup=0.0,
    n_frames=512,
    augmentation=Augmentation(crop=0.3, mask_bins=24, mask_frames=96),
)
PRESETS: dict[str, FinetuneOptions] = {"default": FinetuneOptions(), "esc50": ESC50}


def check_options(options: FinetuneOptions) -> None:
    positive = {"epochs": options.epochs, "batch size": options.batch_size, "learning rate": options.learning_rate}
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise DataError(f"Expected a {name} above 0; got {value:g}.")
    if not 0 < options.validation_share < 1:
        raise DataError(f"Expected a held-out share between 0 and 1; got {options.validation_share:g}.")


def options_as_json(options: FinetuneOptions) -> dict[str, Any]:
    """Options as JSON knows them."""
    return json.loads(json.dumps(asdict(options)))


@dataclass(frozen=True)
class Recipe:
    """A recipe file: what to start from, how to train, and what the model card says."""

    base: str | PretrainedConfig
    options: FinetuneOptions
    card: CardText


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
        return Recipe(_read_base(content), FinetuneOptions(**options), CardText(**content.get("card", {})))
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"The recipe {str(path)!r} makes no sense: {error}.") from None


def _read_base(content: dict[str, Any]) -> str | PretrainedConfig:
    from transformers import AutoConfig

    if "base" in content:
        return str(content["base"])
    config = dict(content["config"])
    return AutoConfig.for_model(config.pop("model_type", "audio-spectrogram-transformer"), **config)


def choose_options(
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
    if preset not in PRESETS:
        raise DataError(f"There is no preset {preset!r}. Expected {' or '.join(map(repr, PRESETS))}.")
    recipe = Recipe(str(base), PRESETS[preset], CardText()) if recipe_file is None else read_recipe(recipe_file)
    validation: dict[str, list[str]] = {}
    for pair in hold_out:
        column, separator, value = pair.partition("=")
        if not separator or not column or not value:
            raise DataError(f"Expected COLUMN=VALUE to hold out by, such as fold=4; got {pair!r}.")
        validation.setdefault(column, []).append(value)
    changes = {name: value for name, value in asked.items() if value is not None}
    if {"epochs", "batch_size"} & changes.keys():
        changes["stages"] = ()  # a recipe's own course gives way
    if validation:
        changes["validation"] = validation
    return replace(recipe, options=replace(recipe.options, **changes))
