"""How to train a small AST from scratch, beside what every fine-tuning is told."""

from __future__ import annotations

from dataclasses import dataclass

from ast_demo.errors import DataError
from ast_demo.finetuning import FinetuneOptions, check_options


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


@dataclass(frozen=True)
class ScratchOptions(FinetuneOptions):
    """How to train from scratch.

    Attributes:
        stages: Takes the place of `epochs` and `batch_size`: parts of the run with lengths and batches of their own.
        muon_learning_rate: Where above 0, Muon trains the matrices inside the layers, at this rate.
        weight_average: Where above 0: the result is not the last weights but their exponential moving average, of
            which each step keeps this share (Polyak & Juditsky 1992): 0.998 looks back over some 500 steps.
        teacher: A checkpoint whose scores of what is drawn are learnt beside the labels (Hinton et al. 2015), such as a
            larger one or one with a finer grid; it has the same labels and reads as many frames.
        teacher_share: Weight of its scores; the labels have the rest.
    """

    stages: tuple[Stage, ...] = ()
    muon_learning_rate: float = 0.0
    weight_average: float = 0.0
    teacher: str = ""
    teacher_share: float = 0.7


def check_scratch_options(options: ScratchOptions) -> None:
    """Refuse what makes no sense. Raises DataError."""
    check_options(options)
    if not 0 <= options.teacher_share <= 1:
        raise DataError(f"Expected a teacher_share from 0 to 1; got {options.teacher_share:g}.")
    if not 0 <= options.weight_average < 1:
        raise DataError(f"Expected a weight_average from 0 to less than 1; got {options.weight_average:g}.")
    if options.weight_average and options.metric:
        raise DataError("Averaged weights are those of the whole run: expected an empty metric beside weight_average.")
