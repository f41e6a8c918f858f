"""The model card of a checkpoint: what it was trained on, how, how good it is, and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ast_demo.data import sort_labels
from ast_demo.metrics import TITLES, TITLES_OF_A_LABEL, explain_macro, share_interval

_PERCENTAGES = ("accuracy", "precision", "recall", "f1", "map")


@dataclass(frozen=True)
class CardText:
    """What only a person can say.

    Attributes:
        license: Identifier of the licence of the weights, as the Hugging Face Hub spells it.
        datasets: Ids of the data sets.
        description: What it is, in a sentence or two.
        data: Where the clips come from, who made them, under which licence.
        limits: What it cannot do.
        recipe: How to train it again.
        notes: What was measured beside the validation.
    """

    license: str = ""
    datasets: Sequence[str] = ()
    description: str = ""
    data: str = ""
    limits: str = ""
    recipe: str = ""
    notes: str = ""


def write_card(
    file: Path,
    text: CardText,
    *,
    name: str,
    base: str,
    labels: Sequence[str],
    metrics: Mapping[str, Any],
    facts: Mapping[str, str],
    options: Mapping[str, Any],
) -> None:
    """Write a checkpoint's README.md, with the front matter that the Hub reads."""
    front = _front_matter(text, name, base, metrics)
    n_clips = int(metrics["clips"])
    description = text.description or (
        f"A checkpoint for audio classification with {len(labels)} labels, fine-tuned from `{base}`."
        if base
        else f"A checkpoint for audio classification with {len(labels)} labels, trained from scratch."
    )
    limits = text.limits or (
        "It knows the labels below and gives one of them to any sound, silence included. The clips above decide what it "
        "has heard; nobody has tested it on other recordings."
    )
    parts = [
        f"---\n{front}---",
        f"# {name}",
        description,
        "## How good it is",
        f"Measured on the {n_clips} clips that were held out, with the weights as they are stored. They were also used to "
        "choose the training step that was kept, so expect a little less on new clips.",
        _metrics_table(metrics, n_clips),
        explain_macro(metrics["labels"]),
        _labels_table(metrics["per_label"]),
        text.notes,
        "## Labels",
        ", ".join(labels),
        "## Data",
        text.data,
        "\n".join(f"- {key}: {value}" for key, value in facts.items()),
        "Which clip was on which side is in `split.csv`; every measured value of the run is in `training_log.json`.",
        "## Recipe",
        text.recipe,
        "```json\n" + json.dumps(options, indent=2) + "\n```",
        "## Limits",
        limits,
        "## Use",
        "```python\nfrom transformers import pipeline\n\n"
        f'classify = pipeline("audio-classification", "path/to/{name}")\nclassify("clip.wav")\n```',
    ]
    file.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _front_matter(text: CardText, name: str, base: str, metrics: Mapping[str, Any]) -> str:
    lines = ["library_name: transformers", "pipeline_tag: audio-classification"]
    if text.license:
        lines.append(f"license: {text.license}")
    if "/" in base:
        lines.append(f"base_model: {base}")
    if text.datasets:
        lines += ["datasets:", *(f"- {dataset}" for dataset in text.datasets)]
    known = [key for key in _PERCENTAGES if key in metrics]
    lines += ["metrics:", *(f"- {_HUB_NAMES.get(key, key)}" for key in known)]
    lines += ["model-index:", f"- name: {name}", "  results:", "  - task:", "      type: audio-classification"]
    lines += [
        "    dataset:",
        "      name: held-out clips",
        f"      type: {text.datasets[0] if text.datasets else 'custom'}",
    ]
    lines.append("    metrics:")
    for key in known:
        lines += [f"    - type: {_HUB_NAMES.get(key, key)}", f"      value: {metrics[key]:.4f}"]
    return "\n".join(lines) + "\n"


_HUB_NAMES = {"map": "mean_average_precision"}


def _metrics_table(metrics: Mapping[str, Any], n_clips: int) -> str:
    rows = ["| metric | value | clips | 95 % interval |", "|---|---|---|---|"]
    for key, value in metrics.items():
        if key.split("_")[0] not in _PERCENTAGES:
            continue
        if not key.startswith("accuracy"):
            rows.append(f"| {TITLES[key]} | {value:.1%} | {n_clips} | |")
            continue
        n = int(metrics[key.replace("accuracy", "clips", 1)])
        low, high = share_interval(round(value * n), n)
        rows.append(f"| {key.replace('_', ' ')} | {value:.1%} | {n} | {low:.1%} to {high:.1%} |")
    return "\n".join(rows)


def _labels_table(per_label: Mapping[str, Mapping[str, float]]) -> str:
    shown = {key: title for key, title in TITLES_OF_A_LABEL.items() if all(key in one for one in per_label.values())}
    rows = [f"| label | clips | {' | '.join(shown.values())} |", "|---|---|" + "---|" * len(shown)]
    for label in sort_labels(per_label):
        one = per_label[label]
        rows.append(f"| {label} | {one['clips']} | {' | '.join(f'{one[key]:.1%}' for key in shown)} |")
    return "\n".join(rows)
