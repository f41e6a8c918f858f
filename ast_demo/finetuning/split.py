"""Which clips a checkpoint learns from and which are held out: deciding it, writing it down, reading it again."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ast_demo.data import SPLITS_IN_WORDS, LabelledClip, LabelledClips, known_split, list_some
from ast_demo.errors import DataError
from ast_demo.finetuning.options import FinetuneOptions

TRAINING, VALIDATION, TEST = "training", "validation", "test"


@dataclass(frozen=True)
class Split:
    """Which clips are learnt from, which are held out to choose by, and which are left alone."""

    training: tuple[LabelledClip, ...]
    validation: tuple[LabelledClip, ...]
    test: tuple[LabelledClip, ...] = ()
    how: str = ""


def split_clips(clips: LabelledClips, options: FinetuneOptions) -> Split:
    """Decide which clips are held out: by values of columns, by the data's own split, by groups, or by chance.

    Whichever decides, what the data have for a test is not learnt from.

    Raises:
        DataError: A column or value is not in the data; a split of the data is not known; nothing is left to learn
            from, or to hold out; a label is on one side only.
    """
    given = _split_as_given(clips)
    left = replace(clips, clips=(*given.training, *given.validation)) if given else clips
    if options.validation:
        split = _split_by_values(clips, options.validation)
        tested = {clip.name for clip in given.test} if given else set()
        learnt_from = tuple(clip for clip in split.training if clip.name not in tested)
        split = replace(split, training=learnt_from)
    elif given and not options.group_column:
        drawn = None if given.validation else _split_by_chance(replace(clips, clips=given.training), options)
        split = drawn or given
    else:
        split = _split_by_chance(left, options)
    if given:
        held = {clip.name for clip in split.validation}
        split = replace(split, test=tuple(clip for clip in given.test if clip.name not in held))
    learnt = {label for clip in split.training for label in clip.labels}
    missing = [label for label in clips.labels if label not in learnt]
    if not split.training:
        raise DataError("No clips are left to learn from: every clip is held out.")
    if missing:
        raise DataError(f"The label {missing[0]!r} has no clip to learn from: all of its clips are held out.")
    if not split.validation:
        raise DataError("No clips are held out, so that nothing could be said about the result.")
    return split


def _split_by_values(clips: LabelledClips, validation: Mapping[str, Sequence[str]]) -> Split:
    for column, values in validation.items():
        found = {clip.columns[column] for clip in clips.clips if column in clip.columns}
        if not found:
            columns = sorted({name for clip in clips.clips for name in clip.columns})
            raise DataError(
                f"The data have no column {column!r} to hold out by; the columns are {', '.join(columns) or 'none'}."
            )
        for value in values:
            if value not in found:
                shown = ", ".join(sorted(found)[:10])
                raise DataError(f"No clip has {column} = {value!r} to hold out; the values are {shown}.")
    held_out = [any(clip.columns.get(k) in values for k, values in validation.items()) for clip in clips.clips]
    training = tuple(clip for clip, held in zip(clips.clips, held_out, strict=True) if not held)
    how = " or ".join(f"{column} {', '.join(values)}" for column, values in validation.items())
    return Split(training, tuple(clip for clip, held in zip(clips.clips, held_out, strict=True) if held), how=how)


def _split_as_given(clips: LabelledClips) -> Split | None:
    """The split that the data have; None where they have none. Clips of which they do not say it are learnt from."""
    if not any("split" in clip.columns for clip in clips.clips):
        return None
    parts: dict[str, list[LabelledClip]] = {TRAINING: [], VALIDATION: [], TEST: []}
    unknown = Counter(
        clip.columns["split"]
        for clip in clips.clips
        if "split" in clip.columns and not known_split(clip.columns["split"])
    )
    if unknown:
        listed = list_some([f"{name!r} ({count:,} clips)" for name, count in unknown.items()])
        raise DataError(f"The data have splits that are not known: {listed}. Expected {SPLITS_IN_WORDS}.")
    for clip in clips.clips:
        parts[known_split(clip.columns.get("split", TRAINING)) or TRAINING].append(clip)
    if not parts[TRAINING]:
        found = ", ".join(sorted({clip.columns.get("split", TRAINING) for clip in clips.clips}))
        raise DataError(f"The data have no training split; the splits are {found}.")
    training, validation, test = (tuple(parts[part]) for part in (TRAINING, VALIDATION, TEST))
    return Split(training, validation, test, how="the data's own split")


def _split_by_chance(clips: LabelledClips, options: FinetuneOptions) -> Split:
    """Hold out whole groups of a column; else whole recordings, where clips are parts of them; else single clips."""
    rng = np.random.default_rng((options.seed, 0))
    if options.group_column:
        held, how = _draw_groups(clips, options.group_column, options.validation_share, rng)
    else:
        held, how = _draw_clips(clips, options.validation_share, rng)
        if any(map(_is_part, clips.clips)):
            whole = _draw_recordings(clips, options.validation_share, rng)
            held = whole or held
            how = _WHOLE_RECORDINGS if whole else how + _SHARED_RECORDINGS
    training = tuple(clip for clip in clips.clips if clip.name not in held)
    return Split(training, tuple(clip for clip in clips.clips if clip.name in held), how=how)


_WHOLE_RECORDINGS = "whole recordings, a random share of each label's"
_SHARED_RECORDINGS = (
    "; parts of one recording are on both sides, as some label has no other recording: the scores may be too good"
)


def _draw_groups(clips: LabelledClips, column: str, share: float, rng: np.random.Generator) -> tuple[set[str], str]:
    """Names of the clips of whole groups, so that no group is on both sides; and how they were drawn, in words."""
    if not all(column in clip.columns for clip in clips.clips):
        raise DataError(f"Not every clip has a value in the column {column!r} to split by.")
    groups = sorted({clip.columns[column] for clip in clips.clips})
    if len(groups) < 2:
        raise DataError(f"All clips have the same value of {column!r}: there is no group to hold out.")
    n_held = min(len(groups) - 1, max(1, round(share * len(groups))))
    held_groups = set(rng.permutation(groups)[:n_held])
    held = {clip.name for clip in clips.clips if clip.columns[column] in held_groups}
    return held, f"whole groups of {column}: {', '.join(sorted(held_groups))}"


def _draw_clips(clips: LabelledClips, share: float, rng: np.random.Generator) -> tuple[set[str], str]:
    """Names of a share of each label's clips; and how they were drawn, in words."""
    held: set[str] = set()
    by_label: dict[tuple[str, ...], list[str]] = {}
    for clip in clips.clips:
        by_label.setdefault(clip.labels, []).append(clip.name)
    for labels, names in sorted(by_label.items()):
        if len(names) < 2 and not clips.multi_label:
            raise DataError(
                f"The label {labels[0]!r} has one clip. Expected at least two: one to learn from, one to hold out."
            )
        n_held = max(1, round(share * len(names))) if len(names) > 1 else 0
        held |= set(rng.permutation(names)[:n_held])
    return held, "a random share of each label's clips"


def _draw_recordings(clips: LabelledClips, share: float, rng: np.random.Generator) -> set[str]:
    """Names of the clips of whole recordings, about a share of each label's; none where a label has one recording."""
    by_source: dict[object, list[LabelledClip]] = {}
    for clip in clips.clips:
        by_source.setdefault(clip.source if _is_part(clip) else clip.name, []).append(clip)
    recordings = list(by_source.values())
    labels_of = [{label for clip in parts for label in clip.labels} for parts in recordings]
    left = Counter(label for labels in labels_of for label in labels)  # recordings to learn each label from
    counts = Counter(label for clip in clips.clips for label in clip.labels)
    wanted = {label: max(1, round(share * count)) for label, count in counts.items()}
    held: Counter[str] = Counter()
    names: set[str] = set()
    for place in rng.permutation(len(recordings)):
        labels, parts = labels_of[place], recordings[place]
        if any(held[label] < wanted[label] for label in labels) and all(left[label] > 1 for label in labels):
            names |= {clip.name for clip in parts}
            held.update(label for clip in parts for label in clip.labels)
            left.subtract(labels)
    return names if all(held[label] for label in wanted) else set()


def _is_part(clip: LabelledClip) -> bool:
    return clip.start_s > 0 or clip.end_s is not None


def write_split(file: Path, split: Split) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file_name", "label", "split"))
        for part, clips in ((TRAINING, split.training), (VALIDATION, split.validation), (TEST, split.test)):
            writer.writerows((clip.name, clip.label, part) for clip in clips)


def read_split(folder: str | Path) -> dict[str, str]:
    """Which clips a checkpoint was trained on: file name -> "training", "validation" or "test".

    Raises:
        DataError: The folder has no record of it.
    """
    try:
        with (Path(folder) / "split.csv").open(newline="", encoding="utf-8") as stream:
            return {row["file_name"]: row["split"] for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise DataError(f"{str(folder)!r} does not say which clips it was trained on (split.csv).") from error


def keep_held_out(clips: LabelledClips, folder: str | Path) -> LabelledClips:
    """The clips that a checkpoint was not trained on.

    Raises:
        DataError: The folder has no record of it, or no clip is left.
    """
    split = read_split(folder)
    kept = tuple(clip for clip in clips.clips if split.get(clip.name) != TRAINING)
    if not kept:
        raise DataError(f"{str(folder)!r} was trained on every clip of {clips.source!r}.")
    return replace(clips, clips=kept)
