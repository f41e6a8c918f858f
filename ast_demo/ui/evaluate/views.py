"""What the Evaluate tab says of a finished evaluation: metrics, the worst mistakes, what could not be read."""

from __future__ import annotations

from html import escape
from typing import Any

from ast_demo.evaluation import Evaluation, column
from ast_demo.spotlight import describe_trust
from ast_demo.ui import html

_MOST = 50  # mistakes in the table


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
    return html.table("", facts)


def captions(row: Any, name: str) -> dict[str, str]:
    """What the pictures of a mistake of one checkpoint show, by the field of their column."""
    return {
        "rollout": f"rollout, {name}",
        "relevance_predicted": f"what speaks for {row[column('prediction', name)]}, {name}",
        "relevance_true": f"what speaks for {row['label']}, {name}",
    }


def metrics_table(result: Evaluation) -> str:
    shown = ("clips", "accuracy", "precision", "recall", "f1", "map", "calibration_error")
    head = "".join(f"<th>{escape(name)}</th>" for name in result.checkpoints)
    body = ""
    for key in shown:
        values = [result.metrics[name].get(key) for name in result.checkpoints]
        if any(value is not None for value in values):
            cells = "".join(f"<td>{value if key == 'clips' else f'{value:.1%}'}</td>" for value in values)
            body += f"<tr><th>{key.replace('_', ' ')}</th>{cells}</tr>"
    sentences = "".join(f"<li>{escape(one['sentence'])}</li>" for one in result.comparisons)
    table = f'<div class="scrolls"><table class="facts"><tr><th></th>{head}</tr>{body}</table></div>'
    return f"<h3>How well they did</h3>{table}<ul>{sentences}</ul>"


def notes_list(result: Evaluation, precision_note: str) -> str:
    """What is to be said beside the results: in which precision, and which clips they are without."""
    note = f"<p>{escape(precision_note)}</p>" if precision_note else ""
    return note + _unreadable_list(result)


def _unreadable_list(result: Evaluation) -> str:
    if not result.unreadable:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in result.unreadable.values())
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
