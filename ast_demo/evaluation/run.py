"""Labelled clips through checkpoints: a table with a row for each clip, metrics, a Parquet file.

Rows are written as they come, some clips at a time, so that a run that was killed goes on where it was, and memory
does not grow with the number of clips. What needs all clips (metrics, the map of the embeddings) is computed at the
end, from the few columns that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ast_demo.data import LabelledClips, map_labels, match_key, spell_labels
from ast_demo.errors import CheckpointError, DataError
from ast_demo.evaluation.columns import label_key
from ast_demo.evaluation.description import begin_or_go_on, describe_run
from ast_demo.evaluation.engine import Engine, Load, Work, evaluate_here
from ast_demo.evaluation.parts import CLIPS_A_PART, count_rows, find_parts
from ast_demo.evaluation.results import Evaluation
from ast_demo.evaluation.rows import EvaluationConfig
from ast_demo.evaluation.table import finish
from ast_demo.inspection import MOST
from ast_demo.models import CheckpointFacts
from ast_demo.runtime import take_turns
from ast_demo.settings import Settings


def evaluate(
    clips: LabelledClips,
    references: Sequence[str],
    load: Load,
    folder: Path,
    *,
    label_map: Mapping[str, str] | None = None,
    max_clip_s: float = Settings.max_clip_s,
    windows: bool = True,
    explain: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    engine: Engine = evaluate_here,
) -> Evaluation:
    """Show labelled clips to one to four checkpoints.

    Writes into `folder`: `evaluation.parquet` (a row for each clip), `metrics.json`, `confusion_NAME.png` and `reliability_NAME.png`. A folder
    that holds a part of the same evaluation is gone on with.

    Args:
        references: Names, folders or Hub ids.
        load: Gives the checkpoint of a reference, as `CheckpointCache.load` does.
        label_map: What labels of the data are called by the checkpoints; empty to leave their clips out. Case, spaces
            and underscores do not matter: a label has one spelling in all that is written, that of the first checkpoint.
        windows: Of a clip that is longer than a checkpoint's input, the scores are the mean over overlapping windows;
            otherwise those of its beginning. Clips that fit are the same either way.
        explain: Whether mistakes are explained, see `mistakes`; by default those of small checkpoints.
        progress: Told how many of how many clips are done; what it raises stops the run, and what is done is kept.
        engine: What does the work: this machine, or many.

    Returns:
        The evaluation, its table without sounds, pictures, scores and embeddings.

    Raises:
        CheckpointError: No checkpoint, more than four, one twice, or one that cannot be loaded.
        DataError: Labels that a checkpoint does not have; no clip that can be read; the folder holds another
            evaluation or cannot be written to.
    """
    if not 1 <= len(references) <= MOST or len(set(references)) < len(references):
        raise CheckpointError(
            f"Expected one to {MOST} different checkpoints to evaluate, got {', '.join(references) or 'none'}."
        )
    facts, precisions, devices, notes = [], {}, {}, list[str]()
    for reference in references:  # one after the other: they may not all fit in memory
        checkpoint = load(reference)
        facts.append(checkpoint.facts)
        precisions[reference] = checkpoint.precision
        notes += checkpoint.computing_notes
        devices[checkpoint.device.name] = checkpoint.device
    names = tuple(one.name for one in facts)
    if len(set(names)) < len(names):
        raise CheckpointError(f"Expected checkpoints with different names, got {', '.join(names)}.")
    clips = spell_labels(map_labels(clips, label_map or {}), facts[0].labels)
    spellings = {match_key(label): label for label in (*facts[0].labels[::-1], *clips.labels)}
    one_name = {label: label for label in spellings.values()}
    config = EvaluationConfig(tuple(references), precisions, one_name, max_clip_s, windows, explain)
    _check_labels(clips, facts, config.label_map)
    begin_or_go_on(folder, describe_run(clips, facts, config))
    finished, there = count_rows(folder), find_parts(folder)
    parts = (clips.clips[start : start + CLIPS_A_PART] for start in range(0, len(clips.clips), CLIPS_A_PART))
    missing = tuple((number, part) for number, part in enumerate(parts) if number not in there)

    def tell(done: int) -> None:
        progress(finished + done, len(clips.clips))

    tell(0)
    with ExitStack() as turns:
        for _, device in sorted(devices.items()):  # in one order, so that no two evaluations wait for each other
            turns.enter_context(take_turns(device, lambda: tell(0)))
        engine(Work(missing, config, folder), load, tell)
    result = finish(folder, clips, facts, config.label_map, lambda: progress(len(clips.clips), len(clips.clips)))
    return replace(result, computing_notes=tuple(dict.fromkeys(notes)))


def _check_labels(clips: LabelledClips, facts: Sequence[CheckpointFacts], label_map: Mapping[str, str]) -> None:
    for one in facts:
        known = {match_key(label) for label in one.labels}
        unknown = [label for label in clips.labels if label_key(label, label_map) not in known]
        if unknown:
            listed = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
            raise DataError(
                f"{one.name!r} does not know these labels of the data: {listed}. It knows "
                f"{', '.join(one.labels[:20])}{' …' if len(one.labels) > 20 else ''}. A label map can say which is which."
            )
