"""Labelled clips, from wherever they lie."""

from __future__ import annotations

from ast_demo.data.clips import LabelledClip, LabelledClips, ReadingOptions, join_clips
from ast_demo.data.labels import LABEL_SEPARATOR, read_label_map, sort_labels
from ast_demo.data.reading import read_labelled_clips, read_labelled_clips_of_visitor
from ast_demo.data.samples import SAMPLES_FOLDER, list_samples, one_sample_per_label

__all__ = [
    "LABEL_SEPARATOR",
    "SAMPLES_FOLDER",
    "LabelledClip",
    "LabelledClips",
    "ReadingOptions",
    "join_clips",
    "list_samples",
    "one_sample_per_label",
    "read_label_map",
    "read_labelled_clips",
    "read_labelled_clips_of_visitor",
    "sort_labels",
]
