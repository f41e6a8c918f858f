"""Labelled clips from data sets on the Hugging Face Hub, undecoded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ast_demo.data.clips import LabelledClip, LabelledClips, ReadingOptions, Understanding, one_spelling
from ast_demo.data.columns import FILE_COLUMNS, LABEL_COLUMNS, LABEL_KEYS
from ast_demo.data.labels import LABEL_SEPARATOR, split_cell
from ast_demo.data.tables import column_key
from ast_demo.errors import DataError
from ast_demo.settings import is_allowed

HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<config>[\w.+-]+))?(@(?P<split>[\w.+-]+))?")


def read_hub(text: str, options: ReadingOptions) -> LabelledClips:
    """Clips of a Hub data set, undecoded: its audio column gives bytes or paths."""
    import datasets

    parts = HUB_ID.fullmatch(text)
    assert parts is not None  # the caller has looked
    name, config, split = parts["name"], parts["config"], parts["split"]
    if not is_allowed(name, options.hub_datasets):
        allowed = ", ".join(options.hub_datasets) or "none"
        raise DataError(
            f"{name[:100]!r} is not evaluated on here. Of the Hugging Face Hub's data sets, these are: {allowed}."
        )
    try:
        loaded = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the library and the network raise many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"The data set {text!r} cannot be loaded: {reason.rstrip('.')}.") from error
    parts_by_split = {split: loaded} if split else dict(loaded)
    clips, columns = [], dict[str, None]()
    for key, part in parts_by_split.items():
        clips += clips_of_dataset(part, key, text, options)
        columns |= dict.fromkeys(part.features)
    label = _label_column(dict.fromkeys(columns), options, text)
    known = Understanding(f"the column {label!r}", "the data set's own", choices=tuple(columns))
    return one_spelling(LabelledClips(text, tuple(clips), known))


def clips_of_dataset(dataset: Any, split: str | None, where: str, options: ReadingOptions) -> list[LabelledClip]:
    """Clips of a loaded 🤗 `Dataset`.

    Raises:
        DataError: It has no column of audio or of labels.
    """
    import datasets

    features = dataset.features
    audio = [name for name, feature in features.items() if isinstance(feature, datasets.Audio)]
    usual_audio = [name for name in FILE_COLUMNS if name in audio] or audio
    file_column = _find_column(
        dict.fromkeys(audio), options.file_column, usual_audio or FILE_COLUMNS, "the audio", where
    )
    label_column = _label_column(features, options, where)
    feature = features[label_column]
    inner = getattr(feature, "feature", feature)
    names = inner.names if isinstance(inner, datasets.ClassLabel) else None
    dataset = dataset.cast_column(file_column, datasets.Audio(decode=False))
    clips = []
    for i, row in enumerate(dataset):
        cell = row[label_column]
        if names is not None:
            cell = [names[k] for k in cell] if isinstance(cell, list) else names[cell]
        labels = split_cell(cell, LABEL_SEPARATOR if options.multi_label else None)
        if len(labels) != 1 and not options.multi_label:
            raise DataError(
                f"Row {i} of {where} has {len(labels)} labels, but one is expected. Say that the data are multi-label."
            )
        sound = row[file_column]
        name = (
            f"{split or 'all'}/{i:06d}-{Path(sound['path']).name}" if sound.get("path") else f"{split or 'all'}/{i:06d}"
        )
        source = sound["bytes"] if sound.get("bytes") else Path(sound["path"])
        columns = {
            k: str(v)
            for k, v in row.items()
            if k not in (file_column, label_column) and isinstance(v, str | int | bool)
        }
        if split:
            columns.setdefault("split", split)
        clips.append(LabelledClip(name, source, labels, columns))
    return clips


def _label_column(features: Mapping[str, Any], options: ReadingOptions, where: str) -> str:
    asked = options.label_column or options.label_from
    by_key = {column_key(column): column for column in reversed(list(features))}
    usual = [*LABEL_COLUMNS, *(by_key[key] for key in LABEL_KEYS if key in by_key)]
    try:
        return _find_column(features, asked, usual, "the label", where)
    except DataError:
        if asked:
            raise
        return _find_column(features, asked, LABEL_COLUMNS, "the label", where)  # the sentence with the usual names


def _find_column(row: Mapping[str, Any], asked: str, usual: Sequence[str], what: str, table: str) -> str:
    for column in (asked,) if asked else usual:
        if column in row:
            return column
    expected = repr(asked) if asked else "one of " + ", ".join(usual)
    found = ", ".join(str(column) for column in row if column is not None) or "none"
    raise DataError(f"{table} has no column for {what}: expected {expected}; the columns are {found}.")
