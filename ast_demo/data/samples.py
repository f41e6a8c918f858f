"""The labelled clips that come with the program, made by `recipes/make_samples.py`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ast_demo.shipped import shipped_folder

SAMPLES_FOLDER = shipped_folder("samples")


@dataclass(frozen=True)
class Sample:
    path: Path
    label: str
    description: str


def list_samples() -> list[Sample]:
    """All samples, by label."""
    with (SAMPLES_FOLDER / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Sample(SAMPLES_FOLDER / row["file_name"], row["label"], row["description"]) for row in rows]


def one_sample_per_label() -> list[Sample]:
    """The first sample of each label."""
    first: dict[str, Sample] = {}
    for sample in list_samples():
        first.setdefault(sample.label, sample)
    return list(first.values())
