"""How to train, as values, and the presets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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


@dataclass(frozen=True)
class Stage:
    """A part of a training run.

    Attributes:
        steps: Batches.
        batch_size: Clips in each.
        time_columns: How many of the time columns of the patch grid the model is shown of each clip; None: all.
            The tokens of the others are left out, as in PaSST's patchout (Koutini et al. 2022): the cost falls with
            the number of tokens, and each token keeps its position in the full input.
    """

    steps: int
    batch_size: int
    time_columns: int | None = None


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
        weight_average: Where above 0: the result is not the last weights but their exponential moving average, of
            which each step keeps this share (Polyak & Juditsky 1992): 0.998 looks back over some 500 steps.
        validation: Column of the data -> values: clips with such a value are held out for validation.
        group_column: Where `validation` is empty: clips with one value of this column stay on one side.
        validation_share: Where `validation` is empty: the share of the clips that is held out.
        balanced: Draw labels by their weight, instead of each clip once in an epoch.
        label_power: Where balanced: how much the number of a label's clips weighs; 0: each label comes equally often.
        extra_share: Where balanced: share of the draws of a label that are extra clips, if it has any.
        evaluations: How often to evaluate and save during the run; 0: after each epoch.
        teacher: A checkpoint whose scores of what is drawn are learnt beside the labels (Hinton et al. 2015), such as a
            larger one or one with a finer grid; it has the same labels and reads as many frames.
        teacher_share: Weight of its scores; the labels have the rest.
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
    weight_average: float = 0.0
    validation: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group_column: str = ""
    validation_share: float = 0.2
    balanced: bool = False
    label_power: float = 0.0
    extra_share: float = 0.5
    evaluations: int = 0
    teacher: str = ""
    teacher_share: float = 0.7
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
    if not 0 <= options.teacher_share <= 1:
        raise DataError(f"Expected a teacher_share from 0 to 1; got {options.teacher_share:g}.")
    if not 0 <= options.weight_average < 1:
        raise DataError(f"Expected a weight_average from 0 to less than 1; got {options.weight_average:g}.")
    if options.weight_average and options.metric:
        raise DataError("Averaged weights are those of the whole run: expected an empty metric beside weight_average.")


def options_as_json(options: FinetuneOptions) -> dict[str, Any]:
    """Options as JSON knows them."""
    return json.loads(json.dumps(asdict(options)))
