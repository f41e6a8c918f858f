"""What the Evaluate tab says of a finished evaluation: metrics, the worst mistakes, what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ast_demo.data import sort_labels
from ast_demo.evaluation import Evaluation, column, describe_trust
from ast_demo.metrics import TITLES, TITLES_OF_A_LABEL, explain_macro
from ast_demo.ui import html
from ast_demo.ui.messages import sentence

_MOST = 50  # mistakes in the table
_MOST_OPEN = 40  # labels whose rows are shown without a click


def worst(result: Evaluation) -> Any:
    """Clips that some checkpoint got wrong, the highest loss of the first checkpoint first."""
    wrong = ~result.table[[column("correct", name) for name in result.checkpoints]].all(axis=1)
    loss = column("loss", result.checkpoints[0])
    return result.table[wrong].sort_values(loss, ascending=False).head(_MOST)


def mistakes_table(result: Evaluation) -> Any:
    rows = worst(result)
    table = rows[["clip", "label"]].copy()
    for name in result.checkpoints:
        confidence = rows[column("confidence", name)].map("{:.0%}".format)
        table[name] = rows[column("prediction", name)] + ", " + confidence
    table["seconds"] = rows["duration_s"].map("{:.2f}".format)
    return table


def mistake_facts(row: Any, names: tuple[str, ...]) -> str:
    facts = {"clip": str(row["clip"]), "label": str(row["label"])}
    for name in names:
        facts[name] = f"{row[column('top_3', name)]}; loss {row[column('loss', name)]:.2f}"
        if trust := describe_trust(row, name):
            facts[f"trust in the map, {name}"] = trust
    facts["loudness"] = f"{row['loudness_db']:.1f} dB of full scale, {row['clipped_share']:.1%} clipped"
    facts["silence"] = f"{row['silent_share']:.0%}; signal-to-noise about {row['snr_db']:.0f} dB"
    if isinstance(notes := row.get("notes"), str):
        facts["recording"] = notes
    return html.table("", facts)


def captions(row: Any, name: str) -> dict[str, str]:
    """What the pictures of a mistake of one checkpoint show, by the field of their column."""
    return {
        "rollout": f"rollout, {name}",
        "relevance_predicted": f"what speaks for {row[column('prediction', name)]}, {name}",
        "relevance_true": f"what speaks for {row['label']}, {name}",
    }


def metrics_table(result: Evaluation) -> str:
    """The metrics of each checkpoint, and whether one is better than another."""
    metrics = [result.metrics[name] for name in result.checkpoints]
    rows = {
        title: [f"{one[key]:,}" if key == "clips" else f"{one[key]:.1%}" for one in metrics]
        for key, title in TITLES.items()
        if all(key in one for one in metrics)
    }
    sentences = "".join(f"<li>{escape(one['sentence'])}</li>" for one in result.comparisons)
    macro = f'<p class="reading">{escape(explain_macro(metrics[0]["labels"]))}</p>'
    return f"<h2>How well they did</h2>{_table(result.checkpoints, rows)}{macro}<ul>{sentences}</ul>"


def labels_table(result: Evaluation) -> str:
    """A row for each label that the data have; open at once where there are not too many."""
    metrics = [result.metrics[name] for name in result.checkpoints]
    shown = [key for key in TITLES_OF_A_LABEL if key in next(iter(metrics[0]["per_label"].values()))]
    columns = [
        TITLES_OF_A_LABEL[key] + (f", {name}" if len(metrics) > 1 else "")
        for name in result.checkpoints
        for key in shown
    ]
    rows = {
        label: [str(one["clips"]), *(f"{by['per_label'][label][key]:.0%}" for by in metrics for key in shown)]
        for label, one in ((label, metrics[0]["per_label"][label]) for label in sort_labels(metrics[0]["per_label"]))
    }
    others = "".join(
        f"<p>{escape(name)} also said, of clips that are something else: "
        + escape(", ".join(f"{label} ({times})" for label, times in one["only_predicted"].items()))
        + ". No clip has these labels.</p>"
        for name, one in zip(result.checkpoints, metrics, strict=True)
        if one["only_predicted"]
    )
    is_open = " open" if len(rows) <= _MOST_OPEN else ""
    return f"<details{is_open}><summary>Each label</summary>{_table(('count', *columns), rows)}{others}</details>"


def _table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows.items()
    )
    return f'<div class="scrolls" tabindex="0"><table class="facts"><tr><td></td>{head}</tr>{body}</table></div>'


def in_a_sentence(result: Evaluation) -> str:
    """What came of it, for those who hear the page."""
    told = "; ".join(
        f"{name}: accuracy {one['accuracy']:.1%}, macro recall {one['recall']:.1%}"
        for name, one in result.metrics.items()
    )
    clips = next(iter(result.metrics.values()))["clips"]
    missing = f", {len(result.unreadable)} could not be read" if result.unreadable else ""
    better = " ".join(one["sentence"] for one in result.comparisons)
    return escape(f"Evaluated {clips} clips{missing}. {told}. {better}".strip())


def notes_list(result: Evaluation) -> str:
    """What is to be said beside the results: how they were computed, and which clips they are without."""
    return "".join(f"<p>{escape(note)}</p>" for note in result.computing_notes) + _unreadable_list(result)


def _unreadable_list(result: Evaluation) -> str:
    if not result.unreadable:
        return ""
    listed = "".join(f"<li>{escape(sentence(reason))}</li>" for reason in result.unreadable.values())
    how_many = "One clip" if len(result.unreadable) == 1 else f"{len(result.unreadable)} clips"
    return f"<p>{how_many} could not be read:</p><ul>{listed}</ul>"


def write_downloads(result: Evaluation) -> list[str]:
    """The table as Parquet and, without sounds and pictures, as CSV; the metrics; the confusion pictures."""
    plain = result.table.select_dtypes(exclude="object").join(result.table[["clip", "label"]])
    for name in result.checkpoints:
        plain = plain.join(result.table[[column("prediction", name), column("top_3", name)]])
    ordered = [name for name in result.table.columns if name in plain.columns]
    plain[ordered].to_csv(result.folder / "evaluation.csv", index=False)
    names = ("evaluation.parquet", "evaluation.csv", "metrics.json", "layout.json")
    return [str(result.folder / name) for name in names] + [str(file) for file in sorted(result.folder.glob("*.png"))]
