"""What several tabs tell in HTML: scores, and a table of facts. Whatever comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ast_demo.models import CheckpointFacts
from ast_demo.settings import SHOWN_SCORES


def scores_table(scores: Sequence[tuple[str, float | None]], note: str = "", warnings: Sequence[str] = ()) -> str:
    """Labels with a bar each, and a dash for a label without a score. As high without any, so that nothing jumps.

    Args:
        note: How logits became scores; below them.
        warnings: What to know before they are believed; above them.
    """
    rows = "".join(
        f"<li><span>{escape(label.replace('_', ' '))}</span><b>{'–' if score is None else f'{score:.1%}'}</b>"
        f'<i style="{"visibility: hidden" if score is None else f"width: {score:.1%}"}"></i></li>'
        for label, score in scores
    )
    if not scores:
        return f'<h3>Scores</h3><p>They appear here once there is a clip.</p><ol class="scores" style="--rows: {SHOWN_SCORES}"></ol>'
    told = "".join(f'<p class="warning">{escape(warning)}</p>' for warning in warnings)
    return f'<h3>Scores</h3>{told}<ol class="scores" style="--rows: {SHOWN_SCORES}">{rows}</ol><p>{escape(note)}</p>'


def activation_note(facts: CheckpointFacts) -> str:
    """How its logits became scores, and why so."""
    return f"{facts.activation.capitalize()}: {facts.activation_reason}."


def table(title: str, rows: Mapping[str, str]) -> str:
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    return f'{heading}<dl class="facts">{body}</dl>'
