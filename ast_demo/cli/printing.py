"""What the commands print: results on standard output, all else on standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:  # they take a second to import
    from ast_demo.data import LabelledClips
    from ast_demo.evaluation import Evaluation
    from ast_demo.explain import ClipReport
    from ast_demo.inspection import Inspection
    from ast_demo.runtime import Tell


def print_clips(clips: LabelledClips) -> None:
    """How the data were understood, before anything is computed."""
    from ast_demo.data import describe_clips

    for sentence in describe_clips(clips):
        typer.echo(sentence, err=True)


def print_report(report: ClipReport, top: int) -> None:
    """The best scores of a clip, and what else was asked for of it."""
    from ast_demo.explain import tell_halves

    recording, inspection, timeline = report.recording, report.inspection, report.timeline
    tell_notes(*inspection.notes, *inspection.computing_notes)
    if len(timeline.windows) > 1:
        window = inspection.waveform
        mean = ", ".join(f"{name} {score:.0%}" for name, score in timeline.pooled.top(3))
        typer.echo(
            f"Note: the checkpoint hears {window.duration_s:.2f} s at once; these are the scores of {window.start_s:.2f} to "
            f"{window.start_s + window.duration_s:.2f} s of {recording.duration_s:.2f} s. "
            f"Mean of {len(timeline.windows)} windows: {mean}. `--at SECONDS` shows another window, `--json` tells all.",
            err=True,
        )
    for name, score in inspection.prediction.top(top):
        typer.echo(f"{score:7.2%}  {name}")
    if report.halves is not None:
        typer.echo(tell_halves(inspection, report.halves))
    if report.card is not None:
        for sentence in report.card.verdict:
            typer.echo(sentence)


def tell_progress(what: str = "clips") -> Tell:
    """Tells on standard error now and then how far a run is and how long it will take."""
    from ast_demo.runtime import tell_now_and_then

    return tell_now_and_then(lambda line: typer.echo(line, err=True), what)


def tell_notes(*notes: str) -> None:
    """What a person should know of a result; empty ones are passed over."""
    for note in filter(None, notes):
        typer.echo(f"Note: {note}", err=True)


def tell_what_is_cut_off(who: str, inspection: Inspection) -> None:
    """That a checkpoint's input is shorter than the clip."""
    if inspection.truncated_s > 0:
        typer.echo(
            f"Note: {who} hears the first {inspection.input_s:.2f} s only; {inspection.truncated_s:.2f} s are cut off.",
            err=True,
        )


def print_evaluation(result: Evaluation) -> None:
    """The metrics of each checkpoint, and which clips were skipped."""
    for name, reason in result.unreadable.items():
        typer.echo(f"Skipped {name}: {reason}", err=True)
    for name, metrics in result.metrics.items():
        typer.echo(name)
        print_metrics(metrics)
    for comparison in result.comparisons:
        typer.echo(comparison["sentence"])
    typer.echo(f"Wrote {result.folder}", err=True)


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """The metrics that are one number, a line each."""
    from ast_demo.metrics import explain_macro, list_numbers

    for name, value in list_numbers(metrics):
        typer.echo(f"{name:>24}  {value:.4g}")
    typer.echo(explain_macro(metrics["labels"]))
