"""The command line: each command parses, calls the library, prints.

Results go to standard output, progress and errors to standard error. A user's mistake is one sentence and exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ast_demo.errors import AstDemoError
from ast_demo.settings import read_settings

app = typer.Typer(
    help="What did this audio model hear, and why was it wrong?",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_CHECKPOINT_HELP = "Name of a shipped checkpoint, a folder, or a Hugging Face Hub id."


@app.command()
def inspect(
    clip: Annotated[Path, typer.Argument(help="A recording: WAV, FLAC, MP3, Ogg, Opus, M4A, WebM or AIFF.")],
    checkpoint: Annotated[
        str | None, typer.Option(help=_CHECKPOINT_HELP + " The first shipped one by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all scores and facts.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for pictures, arrays (NPZ) and JSON.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many scores to print.")] = 5,
) -> None:
    """Show a clip to a checkpoint: scores, and on request pictures of what it heard."""
    from ast_demo.audio import read_audio
    from ast_demo.checkpoints import default_checkpoint, load_checkpoint
    from ast_demo.inspection import inspect, summarise

    settings = read_settings()
    waveform = read_audio(clip, max_s=settings.max_clip_s)
    inspection = inspect(waveform, load_checkpoint(checkpoint or default_checkpoint(), settings))
    if output is not None:
        from ast_demo.export import write_inspection

        for path in write_inspection(inspection, output):
            typer.echo(f"Wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(summarise(inspection), ensure_ascii=False))
        return
    for note in waveform.notes:
        typer.echo(f"Note: {note}", err=True)
    if inspection.truncated_s > 0:
        typer.echo(
            f"Note: the checkpoint hears the first {inspection.input_s:.2f} s only; "
            f"{inspection.truncated_s:.2f} s are cut off.",
            err=True,
        )
    for label, score in inspection.prediction.top(top):
        typer.echo(f"{score:7.2%}  {label}")


@app.command()
def compare(
    clip: Annotated[Path, typer.Argument(help="A recording, as for `inspect`.")],
    checkpoint: Annotated[list[str], typer.Option(help=_CHECKPOINT_HELP + " Two to four of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all scores and facts.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for pictures, arrays (NPZ) and JSON.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many scores to print.")] = 5,
) -> None:
    """Show a clip to two to four checkpoints, and tell where they agree.

    A checkpoint that cannot be used is told on standard error and leaves the others standing; the exit code is then 2.
    """
    from ast_demo.audio import read_audio
    from ast_demo.checkpoints import CheckpointCache
    from ast_demo.comparison import compare, describe, summarise_comparison

    settings = read_settings()
    waveform = read_audio(clip, max_s=settings.max_clip_s)
    comparison = compare(waveform, checkpoint, CheckpointCache(settings).load)
    if output is not None:
        from ast_demo.export import write_comparison

        for path in write_comparison(comparison, output):
            typer.echo(f"Wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(summarise_comparison(comparison), ensure_ascii=False))
    else:
        for inspection in comparison.inspections:
            typer.echo(inspection.checkpoint.name)
            for label, score in inspection.prediction.top(top):
                typer.echo(f"{score:7.2%}  {label}")
        for sentence in describe(comparison):
            typer.echo(sentence)
    for failure in comparison.failures:
        typer.echo(failure.message, err=True)
    if comparison.failures:
        raise typer.Exit(2)


@app.command()
def checkpoints() -> None:
    """List the checkpoints that can be loaded now."""
    from ast_demo.checkpoints import catalogue

    for entry in catalogue():
        typer.echo(f"{entry.name}\n    {entry.note}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
) -> None:
    """Serve the page."""
    from ast_demo.ui.page import launch

    launch(read_settings(), host=host, port=port)


def main() -> None:
    """Run the command line; a user's mistake becomes one sentence on standard error."""
    # Hugging Face's libraries draw progress bars of their own for what takes a blink.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "" if sys.stderr.isatty() else "1")
    try:
        app()
    except AstDemoError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
