"""A labelled clip -> its row in the table of an evaluation: decode it, show it to each checkpoint, write down the answer.

Every engine that evaluates, on this machine or on many, calls these functions. A clip takes the same path as in
`inspection`, so its row holds what Inspect shows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from ast_demo.audio import Waveform, measure_clip, to_flac
from ast_demo.data import LabelledClip, read_clip
from ast_demo.errors import AudioError, CheckpointError
from ast_demo.evaluation.columns import column, columns_of, columns_of_mistake, true_labels
from ast_demo.explain import QUICK_PARAMETERS, Mistake, explain_mistake, rollout_map
from ast_demo.figures import map_thumbnail, spectrogram_thumbnail
from ast_demo.inference import Precision
from ast_demo.inspection import Inspection, inspect_batch, inspect_recordings
from ast_demo.models import Checkpoint, CheckpointFacts, map_batches
from ast_demo.runtime import slices
from ast_demo.settings import Settings

_BATCH_BYTES, _MOST_A_BATCH = 64_000_000, 16
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class EvaluationConfig:
    """How clips are evaluated: what their rows depend on beside the clips themselves.

    Attributes:
        references: Names, folders or Hub ids of the checkpoints.
        precisions: What each computes in, by its reference: the same on all machines that take part.
        label_map: How labels are spelled in the rows, whichever checkpoint says them.
        max_clip_s: Longest clip that is read.
        windows: Pool the scores over the windows of a clip that is longer than the input; else its beginning counts.
        explain: Explain every mistake, or none. By default those of checkpoints of up to 20 M parameters, for which it
            takes about as long as ten more clips; an AST of the published size would take ten to twenty seconds of processor time for each.
    """

    references: tuple[str, ...]
    precisions: Mapping[str, Precision] = field(default_factory=dict)
    label_map: Mapping[str, str] = field(default_factory=dict)
    max_clip_s: float = Settings.max_clip_s
    windows: bool = True
    explain: bool | None = None


@dataclass(frozen=True)
class DecodedClip:
    """A clip that was decoded, and what does not depend on any checkpoint.

    Attributes:
        waveform: None where the clip cannot be read; the columns then say why.
        columns: The first part of its row.
    """

    clip: LabelledClip
    waveform: Waveform | None
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one checkpoint said of one clip.

    Attributes:
        place: Which of the clips.
        columns: The part of its row that this checkpoint adds, once it is described and drawn.
    """

    place: int
    columns: Future[dict[str, Any]]


def decode_clip(clip: LabelledClip, config: EvaluationConfig) -> DecodedClip:
    """Decode a clip, and say of it what does not depend on any checkpoint."""
    try:
        waveform = read_clip(clip, max_s=config.max_clip_s)
    except AudioError as error:
        return DecodedClip(clip, None, {"clip": clip.name, "unreadable": str(error)})
    columns: dict[str, Any] = {
        "clip": clip.name,
        "label": clip.label,
        "unreadable": None,
        "audio": to_flac(waveform),
        "duration_s": waveform.duration_s,
        **asdict(measure_clip(waveform)),
    }
    more = {name: value for name, value in clip.columns.items() if name not in columns}
    return DecodedClip(clip, waveform, columns | more)


def show_clips(
    decoded: Sequence[DecodedClip], config: EvaluationConfig, load: Callable[[str], Checkpoint], pool: Executor
) -> Generator[Answer, None, None]:
    """Show clips to the checkpoints. One checkpoint after the other sees all of them, so that a cache that is too
    small for all checkpoints loads each once and not once a clip.

    Args:
        load: Gives the checkpoint of a reference.
        pool: Describes and draws in the background.

    Raises:
        CheckpointError: This machine would compute in another precision than the evaluation.

    Yields:
        An answer for each clip that can be read and each checkpoint, in the order of the checkpoints.
    """
    readable = [place for place, one in enumerate(decoded) if one.waveform is not None]
    pictured = False  # a clip's spectrogram is that of the first checkpoint that has one
    for reference in config.references:
        checkpoint = load(reference)
        wanted = config.precisions.get(reference, checkpoint.precision)
        if checkpoint.precision != wanted:
            raise CheckpointError(
                f"{checkpoint.facts.name!r} would be computed in {checkpoint.precision} here, but this evaluation is "
                f"in {wanted}. Set AST_DEMO_PRECISION to the one or the other."
            )
        # A GPU gets all at once; those that its memory does not hold, it gets in pieces.
        size = len(decoded) if checkpoint.device.is_gpu else clips_a_batch(checkpoint.facts)
        batches = [[decoded[place] for place in readable[some]] for some in slices(len(readable), size)]
        places = iter(readable)
        pictures_it = checkpoint.facts.grid is not None and not pictured
        inspect_all = partial(_inspect_batch, checkpoint=checkpoint, config=config)
        with closing(map_batches(checkpoint, inspect_all, batches)) as inspected:
            for batch in inspected:
                for clip, inspection, mistake in batch:
                    columns = pool.submit(_describe, clip, inspection, config.label_map, mistake, pictures_it)
                    yield Answer(next(places), columns)
        pictured = pictured or pictures_it


def make_rows(decoded: Sequence[DecodedClip], answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """The rows of these clips: their own columns, then those of each checkpoint. What failed is raised here."""
    rows = [dict(one.columns) for one in decoded]
    for answer in answers:
        rows[answer.place] |= answer.columns.result()
    return rows


def _inspect_batch(
    decoded: Sequence[DecodedClip], checkpoint: Checkpoint, config: EvaluationConfig
) -> list[tuple[LabelledClip, Inspection, Mistake | None]]:
    """Show a batch of readable clips to a checkpoint."""
    show = inspect_recordings if config.windows else inspect_batch
    inspections = show([one.waveform for one in decoded if one.waveform is not None], checkpoint)
    return [
        (one.clip, inspection, _explain(one.clip, inspection, checkpoint, config))
        for one, inspection in zip(decoded, inspections, strict=True)
    ]


def clips_a_batch(facts: CheckpointFacts) -> int:
    """How many clips go through a model at once: as many as their attention, averaged over heads, leaves room for.

    A model with few tokens gains by larger batches; one with many fills the processor with a single clip. On each thread
    that computes there is such a batch.
    """
    if facts.grid is None:
        return 1
    n_bytes = _FLOAT32_BYTES * facts.n_layers * facts.grid.n_tokens**2
    return max(1, min(_MOST_A_BATCH, _BATCH_BYTES // n_bytes))


def _explain(
    clip: LabelledClip, inspection: Inspection, checkpoint: Checkpoint, config: EvaluationConfig
) -> Mistake | None:
    """Why a prediction is wrong; none where it is right, has no patch grid, or is not to be explained."""
    facts = checkpoint.facts
    wanted = facts.n_parameters <= QUICK_PARAMETERS if config.explain is None else config.explain
    prediction = inspection.prediction
    best, true = int(prediction.scores.argmax()), true_labels(clip, inspection, config.label_map)
    if not wanted or facts.grid is None or best in true:
        return None
    nearest = max(true, key=lambda index: float(prediction.scores[index]), default=None)
    return explain_mistake(
        inspection, checkpoint, facts.labels[best], None if nearest is None else facts.labels[nearest]
    )


def _describe(
    clip: LabelledClip, inspection: Inspection, label_map: Mapping[str, str], mistake: Mistake | None, pictures_it: bool
) -> dict[str, Any]:
    """The columns of one checkpoint; with the spectrogram of the clip, where `pictures_it` says so."""
    name = inspection.checkpoint.name
    columns = columns_of(inspection, clip, label_map) | columns_of_mistake(inspection, mistake)
    if pictures_it:
        columns["spectrogram"] = spectrogram_thumbnail(inspection)
    shown = inspection.spectrogram is not None and not columns[column("correct", name)]
    columns[column("rollout", name)] = map_thumbnail(inspection, rollout_map(inspection)) if shown else None
    return columns
