"""How to train, as values, and the presets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ast_demo.errors import DataError


@dataclass(frozen=True)
class Augmentation:
    """How much a training clip is varied. All zero: not at all.

    Attributes:
        copies: Versions of each clip that are varied as sound, before the spectrogram, beside the clip itself.
        speed: Copies are resampled by a factor within ± this share: pitch, timbre and duration together.
        pitch: Copies are shifted by at most this many semitones, with probability 0.5.
        stretch: Copies are stretched in time by at most this share, with probability 0.5.
        sound_noise: Probability that Gaussian noise is added to a copy, at 5 to 40 dB below it.
        transition: Probability that a copy is faded from one gain to another.
        clipping: Probability that a copy is driven into clipping.
        gain_db: Gain of each draw, from minus this to plus a fifth of it, in decibels.
        tilt_db: Largest rise or fall from the middle of the mel scale to its ends, in decibels.
        equaliser_db: Largest hill or dip of a random, smooth frequency response, in decibels.
        warp: Frequency axis scaled by at most this share.
        time_warp: Time axis scaled by at most this share.
        time_bend: Time runs as the power of itself, by an exponent of at most e to this: the beginning of a word
            grows at the cost of its end, or the other way round.
        trim: Largest share that is cut from each end, as a hand that cuts words out of a recording would.
        placement: Probability that a clip shorter than the input is moved to a random place of a longer clip.
        noise: Probability of a noise floor, 5 to 45 dB below the sound.
        crop: Probability that a clip is shortened to a random part of at least a fifth of the input.
        mixup: Probability that two clips are mixed, with their labels (Zhang et al. 2018).
        mixup_alpha: Both parameters of the beta distribution that the shares are drawn from.
        mask_bins, mask_frames: Widest band and longest time that are masked (SpecAugment, Park et al. 2019).
    """

    copies: int = 0
    speed: float = 0.0
    pitch: float = 0.0
    stretch: float = 0.0
    sound_noise: float = 0.0
    transition: float = 0.0
    clipping: float = 0.0
    gain_db: float = 0.0
    tilt_db: float = 0.0
    equaliser_db: float = 0.0
    warp: float = 0.0
    time_warp: float = 0.0
    time_bend: float = 0.0
    trim: float = 0.0
    placement: float = 0.0
    noise: float = 0.0
    crop: float = 0.0
    mixup: float = 0.0
    mixup_alpha: float = 0.3
    mask_bins: int = 0
    mask_frames: int = 0


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
        learning_rate: Of AdamW.
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
    learning_rate: float = 5e-5
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


def choose_options(preset: str, asked: Mapping[str, Any], hold_out: Sequence[str] = ()) -> FinetuneOptions:
    """A preset, and what a command line asks for instead.

    Args:
        asked: Options by name, None where nothing is asked.
        hold_out: Clips to hold out, as "column=value".

    Raises:
        DataError: No such preset; a pair that is none.
    """
    if preset not in PRESETS:
        raise DataError(f"There is no preset {preset!r}. Expected {' or '.join(map(repr, PRESETS))}.")
    return replace(PRESETS[preset], **read_changes(asked, hold_out))


def read_changes(asked: Mapping[str, Any], hold_out: Sequence[str] = ()) -> dict[str, Any]:
    """The options that a command line names, and their values; see `choose_options`.

    Raises:
        DataError: A pair to hold out by is none.
    """
    validation: dict[str, list[str]] = {}
    for pair in hold_out:
        column, separator, value = pair.partition("=")
        if not separator or not column or not value:
            raise DataError(f"Expected COLUMN=VALUE to hold out by, such as fold=4; got {pair!r}.")
        validation.setdefault(column, []).append(value)
    changes = {name: value for name, value in asked.items() if value is not None}
    return {**changes, "validation": validation} if validation else changes


def check_options(options: FinetuneOptions) -> None:
    """Refuse what makes no sense. Raises DataError."""
    positive = {"epochs": options.epochs, "batch size": options.batch_size, "learning rate": options.learning_rate}
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise DataError(f"Expected a {name} above 0; got {value:g}.")
    if not 0 < options.validation_share < 1:
        raise DataError(f"Expected a held-out share between 0 and 1; got {options.validation_share:g}.")


def options_as_json(options: FinetuneOptions) -> dict[str, Any]:
    """Options as JSON knows them."""
    return json.loads(json.dumps(asdict(options)))
