"""A labelled clip -> its row in the table of an evaluation: hear it, show it to each checkpoint, write down the answer.

Every engine that evaluates, on this machine or on many, calls these functions. A clip takes the same path as in
`inspection`, so its row holds what Inspect shows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from ast_demo.audio import Waveform, measure_clip, to_flac
from ast_demo.data import LabelledClip, read_clip
from ast_demo.errors import AudioError, CheckpointError
from ast_demo.explain import QUICK_PARAMETERS, MapFacts, Mistake, explain_mistake, rollout_map
from ast_demo.figures import map_thumbnail, spectrogram_thumbnail
from ast_demo.inference import Precision, run_elsewhere
from ast_demo.inspection import Inspection, inspect_batch, inspect_recordings, match_key
from ast_demo.models import Checkpoint, CheckpointFacts
from ast_demo.runtime import is_lent, map_in_threads, slices

_BATCH_BYTES, _MOST_A_BATCH = 64_000_000, 16
_FLOAT32_BYTES = 4
# Class relevance for the label that was predicted, and for the one that is true.
PICTURES_OF_A_MISTAKE = ("relevance_predicted", "relevance_true")


@dataclass(frozen=True)
class Question:
    """What is asked of every clip.

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
    max_clip_s: float = 600.0
    windows: bool = True
    explain: bool | None = None


@dataclass(frozen=True)
class Heard:
    """A clip that was decoded, and its row so far.

    Attributes:
        waveform: None where the clip cannot be read; the row then says why.
        row: Grows with what each checkpoint says.
    """

    clip: LabelledClip
    waveform: Waveform | None
    row: dict[str, Any]


def column(field: str, checkpoint: str) -> str:
    """Name of a column that belongs to one checkpoint."""
    return f"{field} ({checkpoint})"


def hear(clip: LabelledClip, question: Question) -> Heard:
    """Decode a clip, and say of it what does not depend on any checkpoint."""
    try:
        waveform = read_clip(clip, max_s=question.max_clip_s)
    except AudioError as error:
        return Heard(clip, None, {"clip": clip.name, "unreadable": str(error)})
    row: dict[str, Any] = {
        "clip": clip.name,
        "label": clip.label,
        "unreadable": None,
        "audio": to_flac(waveform),
        "duration_s": waveform.duration_s,
        **asdict(measure_clip(waveform)),
    }
    row |= {name: value for name, value in clip.columns.items() if name not in row}
    return Heard(clip, waveform, row)


def answer(
    heard: Sequence[Heard], question: Question, load: Callable[[str], Checkpoint], pool: Executor
) -> Generator[Future[None], None, None]:
    """Show clips to the checkpoints. One checkpoint after the other sees all of them, so that a cache that is too
    small for all checkpoints loads each once and not once a clip.

    Args:
        load: Gives the checkpoint of a reference.
        pool: Describes and draws in the background; of one thread, so that columns keep their order.

    Raises:
        CheckpointError: This machine would compute in another precision than the evaluation.

    Yields:
        For each clip and checkpoint, a future that is done when the clip's row holds the answer.
    """
    readable = [one for one in heard if one.waveform is not None]
    for reference in question.references:
        checkpoint = load(reference)
        wanted = question.precisions.get(reference, checkpoint.precision)
        if checkpoint.precision != wanted:
            raise CheckpointError(
                f"{checkpoint.facts.name!r} would be computed in {checkpoint.precision} here, but this evaluation is "
                f"in {wanted}. Set AST_DEMO_PRECISION to the one or the other."
            )
        size = clips_a_batch(checkpoint.facts)
        batches = [readable[some] for some in slices(len(readable), size)]
        look = partial(_look, checkpoint=checkpoint, question=question)
        # 🤗 Transformers hangs notes on a model that runs as a sequence, and a lent GPU is asked for one call at a time.
        at_once = checkpoint.facts.grid is not None and not is_lent(run_elsewhere)
        with closing(map_in_threads(look, batches) if at_once else (look(batch) for batch in batches)) as looked_at:
            for seen in looked_at:
                for one, inspection, mistake in seen:
                    yield pool.submit(_describe, one, inspection, question.label_map, mistake)


def _look(
    heard: Sequence[Heard], checkpoint: Checkpoint, question: Question
) -> list[tuple[Heard, Inspection, Mistake | None]]:
    """Show a batch of readable clips to a checkpoint."""
    show = inspect_recordings if question.windows else inspect_batch
    inspections = show([one.waveform for one in heard if one.waveform is not None], checkpoint)
    return [
        (one, inspection, _explain(one.clip, inspection, checkpoint, question))
        for one, inspection in zip(heard, inspections, strict=True)
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


def _explain(clip: LabelledClip, inspection: Inspection, checkpoint: Checkpoint, question: Question) -> Mistake | None:
    """Why a prediction is wrong; none where it is right, has no patch grid, or is not to be explained."""
    facts = checkpoint.facts
    wanted = facts.n_parameters <= QUICK_PARAMETERS if question.explain is None else question.explain
    prediction = inspection.prediction
    best, true = int(prediction.scores.argmax()), _true_labels(clip, inspection, question.label_map)
    if not wanted or facts.grid is None or best in true:
        return None
    nearest = max(true, key=lambda index: float(prediction.scores[index]), default=None)
    return explain_mistake(
        inspection, checkpoint, facts.labels[best], None if nearest is None else facts.labels[nearest]
    )


def _describe(heard: Heard, inspection: Inspection, label_map: Mapping[str, str], mistake: Mistake | None) -> None:
    row, name = heard.row, inspection.checkpoint.name
    row |= _columns_of(inspection, heard.clip, label_map)
    row |= _columns_of_mistake(inspection, mistake)
    on_grid = inspection.spectrogram is not None
    if on_grid and not isinstance(row.get("spectrogram"), bytes):  # the first checkpoint's that has one
        row["spectrogram"] = spectrogram_thumbnail(inspection)
    shown = on_grid and not row[column("correct", name)]
    row[column("rollout", name)] = map_thumbnail(inspection, rollout_map(inspection)) if shown else None


def _columns_of_mistake(inspection: Inspection, mistake: Mistake | None) -> dict[str, Any]:
    """What the table says of why a prediction is wrong; empty cells where nothing was explained."""
    values: dict[str, Any] = dict.fromkeys((*(one.name for one in fields(MapFacts)), *PICTURES_OF_A_MISTAKE))
    if mistake is not None:
        values |= asdict(mistake.facts)
        for name, relevance in zip(PICTURES_OF_A_MISTAKE, (mistake.predicted, mistake.true), strict=True):
            values[name] = relevance and map_thumbnail(inspection, relevance)
    return {column(field, inspection.checkpoint.name): value for field, value in values.items()}


def _columns_of(inspection: Inspection, clip: LabelledClip, label_map: Mapping[str, str]) -> dict[str, Any]:
    """What the table says of a clip and one checkpoint."""
    prediction, facts = inspection.prediction, inspection.checkpoint
    true = _true_labels(clip, inspection, label_map)
    top = prediction.top(3)
    order = np.argsort(-prediction.scores, kind="stable")
    best = int(order[0])
    margin = float(prediction.scores[order[0]] - prediction.scores[order[1]]) if len(order) > 1 else 1.0
    # A prediction that is one of the clip's labels is spelled as the data spell it.
    spelled = dict(zip(true, clip.labels, strict=True))
    values = {
        "prediction": spelled.get(best, _spelling(prediction.labels[best], label_map)),
        "confidence": float(prediction.scores[best]),
        "correct": best in true,
        "loss": _loss(prediction.logits, true, facts.activation),
        "margin": margin,
        "entropy_bits": _entropy(prediction.scores),
        "top_3": ", ".join(f"{label} {score:.1%}" for label, score in top),
        "padding_share": inspection.padding_share,
        "truncated_s": inspection.truncated_s,
        "window_start_s": inspection.waveform.start_s,  # of what is pictured; the scores are of all windows
        "rollout_on_padding": float(inspection.rollout.padding_share[-1]),
        "scores": prediction.scores.astype(np.float32),
        "embedding": prediction.embedding.astype(np.float32),
    }
    return {column(field, facts.name): value for field, value in values.items()}


def _true_labels(clip: LabelledClip, inspection: Inspection, label_map: Mapping[str, str]) -> list[int]:
    """Places of the clip's labels among the checkpoint's."""
    keys = [match_key(label) for label in inspection.prediction.labels]
    return [keys.index(label_key(label, label_map)) for label in clip.labels]


def label_key(label: str, label_map: Mapping[str, str]) -> str:
    mapped = {match_key(name): match_key(other) for name, other in label_map.items()}
    return mapped.get(match_key(label), match_key(label))


def _spelling(label: str, label_map: Mapping[str, str]) -> str:
    """A checkpoint's label as the data call it."""
    return {match_key(other): name for name, other in label_map.items()}.get(match_key(label), label)


def _loss(logits: np.ndarray, true: Sequence[int], activation: str) -> float:
    """Cross-entropy of the one label, or the mean binary cross-entropy over all labels, in nats."""
    values = logits.astype(np.float64)
    if activation == "softmax" and len(true) == 1:
        return float(np.logaddexp.reduce(values) - values[true[0]])
    target = np.zeros(len(values))
    target[list(true)] = 1
    return float((np.logaddexp(0, values) - target * values).mean())


def _entropy(scores: np.ndarray) -> float:
    """Of the scores scaled to a sum of 1, in bits."""
    shares = scores / scores.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())
