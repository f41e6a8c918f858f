"""What is told of a comparison: of each checkpoint, and of where they agree."""

from __future__ import annotations

from html import escape

from ast_demo.data import match_key
from ast_demo.inspection import Comparison, Inspection, describe
from ast_demo.settings import SHOWN_SCORES
from ast_demo.ui import html

_READING = """
<p class="reading">Scores apart: Jensen–Shannon divergence on the shared labels; 0 bits are equal scores, 1 bit is as
different as can be. Rollouts are drawn on one colour scale, and correlated where both checkpoints heard the clip.</p>
"""


def label_order(inspections: tuple[Inspection, ...]) -> list[str]:
    """The labels to show in every column, in one order: the best of each, by the highest of their scores."""
    best: dict[str, tuple[float, str]] = {}
    for one in inspections:
        for label, score in one.prediction.top(SHOWN_SCORES):
            key = match_key(label)
            best[key] = max(best.get(key, (0.0, label)), (score, label))
    return [label for _, label in sorted(best.values(), reverse=True)]


def heading_of(inspection: Inspection, order: list[str]) -> str:
    scores = {match_key(label): score for label, score in reversed(inspection.prediction.top())}
    rows = [(label, scores.get(match_key(label))) for label in order]
    winner = inspection.prediction.top(1)[0][0].replace("_", " ")
    heading = f"<h2>{escape(inspection.checkpoint.name)}</h2><p>says <b>{escape(winner)}</b></p>"
    return heading + html.scores_table(
        rows, html.activation_note(inspection.checkpoint), list(filter(None, [inspection.input_note]))
    )


def agreement_of(comparison: Comparison) -> str:
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in describe(comparison))
    agreement = comparison.agreement
    if agreement is None:
        return ""
    unshared = ""
    for one, labels in zip(comparison.inspections, agreement.unshared_labels, strict=True):
        if labels:
            shown = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
            unshared += f"<li>{escape(one.checkpoint.name)} has labels that not all share: {escape(shown)}.</li>"
    ensemble = ""
    if agreement.ensemble:
        rows = html.scores_table(list(agreement.ensemble[:SHOWN_SCORES]))
        ensemble = f"<details><summary>Ensemble: mean of the scores on shared labels</summary>{rows}</details>"
    return f"<h2>Where they agree</h2><ul>{sentences}{unshared}</ul>{_READING}{ensemble}"


def facts_table(comparison: Comparison) -> str:
    """A table with a column for each checkpoint."""
    rows: dict[str, list[str]] = {}
    for one in comparison.inspections:
        for name, value in _facts_of(one).items():
            rows.setdefault(name, []).append(value)
    head = "".join(f"<th>{escape(one.checkpoint.name)}</th>" for one in comparison.inspections)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows.items()
    )
    return f'<div class="scrolls"><table class="facts"><tr><th></th>{head}</tr>{body}</table></div>' if body else ""


def _facts_of(inspection: Inspection) -> dict[str, str]:
    facts, grid, fed = inspection.checkpoint, inspection.checkpoint.grid, inspection.checkpoint.input
    return {
        "parameters": f"{facts.n_parameters:,}",
        "layers × heads": f"{facts.n_layers} × {facts.n_heads}",
        "tokens": str(grid.n_tokens if grid else inspection.rollout.maps.shape[-1]),
        "patches": f"{grid.n_frequency} × {grid.n_time}" if grid else "no patch grid",
        "strides": f"{grid.frequency_stride} bins, {grid.time_stride} frames" if grid else "–",
        "input": f"{inspection.input_s:.2f} s" + (f", {fed.n_frames} frames" if fed else ""),
        "mean, deviation": f"{fed.mean:.3f}, {fed.std:.3f}" if fed else "its own",
        "activation": facts.activation,
        "labels": str(len(facts.labels)),
        "padding": f"{inspection.padding_share:.0%}",
        "cut off": f"{inspection.truncated_s:.2f} s",
        "rollout on padding": f"{inspection.rollout.padding_share[-1]:.0%}",
        "computed": inspection.computed,
    }
