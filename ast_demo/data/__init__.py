"""Labelled clips, from wherever they lie."""

from __future__ import annotations

from ast_demo.data.clips import (
    LabelledClip,
    LabelledClips,
    ReadingOptions,
    Understanding,
    describe_clips,
    join_clips,
    map_labels,
    spell_labels,
)
from ast_demo.data.labels import LABEL_SEPARATOR, list_some, match_key, read_label_map, sort_labels
from ast_demo.data.reading import read_labelled_clips, read_labelled_clips_of_visitor
from ast_demo.data.samples import SAMPLES_FOLDER, list_samples, one_sample_per_label
from ast_demo.data.segments import read_clip
from ast_demo.data.splits import SPLITS_IN_WORDS, known_split
from ast_demo.data.tables import TableLimits

__all__ = [
    "LABEL_SEPARATOR",
    "SAMPLES_FOLDER",
    "SPLITS_IN_WORDS",
    "LabelledClip",
    "LabelledClips",
    "ReadingOptions",
    "TableLimits",
    "Understanding",
    "describe_clips",
    "join_clips",
    "known_split",
    "list_samples",
    "list_some",
    "map_labels",
    "match_key",
    "one_sample_per_label",
    "read_clip",
    "read_label_map",
    "read_labelled_clips",
    "read_labelled_clips_of_visitor",
    "sort_labels",
    "spell_labels",
]
