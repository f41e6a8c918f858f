"""The command line: each command parses, calls the library, prints.

Results go to standard output, progress and errors to standard error. A user's mistake is one sentence and exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ast_demo.cli.data_options import DataOptions, read_clips, takes_data_options
from ast_demo.cli.printing import (
    print_clips,
    print_evaluation,
    print_metrics,
    print_report,
    tell_notes,
    tell_progress,
    tell_what_is_cut_off,
)
from ast_demo.errors import told_as_a_sentence
from ast_demo.explain import METHODS
from ast_demo.settings import DEFAULT_CHECKPOINT, SHOWN_SCORES, read_settings

app = typer.Typer(
    help="What did this audio model hear, and why was it wrong?",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object with all scores and facts.")]
_Output = Annotated[Path | None, typer.Option(help="Folder for pictures, arrays (NPZ) and JSON.")]
_Top = Annotated[int, typer.Option(min=1, help="How many scores to print.")]
_CHECKPOINT_HELP = "Name of a shipped checkpoint, a folder, or a Hugging Face Hub id."


@app.command()
def inspect(
    clip: Annotated[Path, typer.Argument(help="A recording of any usual kind, video included.")],
    checkpoint: Annotated[
        str | None, typer.Option(help=_CHECKPOINT_HELP + f" By default {DEFAULT_CHECKPOINT}.")
    ] = None,
    as_json: _AsJson = False,
    output: _Output = None,
    top: _Top = SHOWN_SCORES,
    at: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Of a recording longer than the input: inspect the window here."),
    ] = 0.0,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Split the sound by the map, the rollout if none is asked for: keep this share, score both halves again.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--map", help=f"Also map what speaks for a label: {', '.join(METHODS)}."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label of the map; the best one by default.")] = None,
    against: Annotated[str | None, typer.Option(help="Map why the label won and not this one.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Put the map to the test: how far can it be trusted?")] = False,
) -> None:
    """Show a clip to a checkpoint: scores, and on request pictures of what it heard, why it says so, and the sound in two halves.

    Of a recording that is longer than the checkpoint's input, these are of one window; all windows are told as well.
    """
    from ast_demo.audio import read_audio
    from ast_demo.explain import ReportOptions, report_clip
    from ast_demo.export import summarise_report, write_report
    from ast_demo.models import default_checkpoint, load_checkpoint

    settings = read_settings()
    recording = read_audio(clip, max_s=settings.max_clip_s)
    loaded = load_checkpoint(checkpoint or default_checkpoint(), settings)
    report = report_clip(recording, loaded, ReportOptions(at, keep, method, label, against, trust), tell_progress)
    if output is not None:
        for path in write_report(report, output):
            typer.echo(f"Wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(summarise_report(report), ensure_ascii=False))
    else:
        print_report(report, top)


@app.command()
def compare(
    clip: Annotated[Path, typer.Argument(help="A recording, as for `inspect`.")],
    checkpoint: Annotated[list[str], typer.Option(help=_CHECKPOINT_HELP + " Two to four of them.")],
    as_json: _AsJson = False,
    output: _Output = None,
    top: _Top = SHOWN_SCORES,
) -> None:
    """Show a clip to two to four checkpoints, and tell where they agree.

    A checkpoint that cannot be used is told on standard error and leaves the others standing; the exit code is then 2.
    """
    from ast_demo.audio import read_audio
    from ast_demo.export import summarise_comparison
    from ast_demo.inspection import compare, describe
    from ast_demo.models import CheckpointCache

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
        computing = dict.fromkeys(note for one in comparison.inspections for note in one.computing_notes)
        tell_notes(*waveform.notes, *computing)
        for inspection in comparison.inspections:
            tell_what_is_cut_off(inspection.checkpoint.name, inspection)
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
@takes_data_options
def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            help="Labelled clips: a folder, also in a bucket (s3://, gs:// ...), a CSV or JSONL table, a zip, a Hub data set name[:config][@split], or samples."
        ),
    ],
    checkpoint: Annotated[list[str], typer.Option(help=_CHECKPOINT_HELP + " One to four of them.")],
    output: Annotated[Path, typer.Option(help="Folder of the results. A run that was killed goes on from there.")],
    labelled: DataOptions,
    held_out: Annotated[
        bool, typer.Option(help="Only the clips that the first checkpoint's fine-tuning has held out.")
    ] = False,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows/--beginning",
            help="Of a clip longer than the input: the mean score of overlapping windows, or its beginning alone.",
        ),
    ] = True,
    explain: Annotated[
        bool | None,
        typer.Option(
            "--explain/--no-explain",
            help="Explain every mistake, or none; by default those of checkpoints of up to 20 M parameters.",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Evaluate on this machine, or on a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(help="Cluster to use, such as auto; without, one of this machine's processors for this run.")
    ] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="Ray workers that hold the checkpoints; 0 is one for every two processors.")
    ] = 0,
) -> None:
    """Show labelled clips to one to four checkpoints: a table with a row for each clip, metrics, pictures."""
    from ast_demo.evaluation import evaluate, evaluate_here, ray_engine
    from ast_demo.finetuning import keep_held_out
    from ast_demo.models import CheckpointCache, find_checkpoint
    from ast_demo.spotlight import write_layout

    settings = read_settings()
    runs_on = ray_engine(settings, address=ray_address, workers=workers) if engine == "ray" else evaluate_here
    clips = read_clips([data], labelled, settings, buckets=True)
    if held_out:
        clips = keep_held_out(clips, find_checkpoint(checkpoint[0], settings)[0])
    print_clips(clips)
    result = evaluate(
        clips,
        checkpoint,
        CheckpointCache(settings).load,
        output,
        max_clip_s=settings.max_clip_s,
        windows=windows,
        explain=explain,
        progress=tell_progress(),
        engine=runs_on,
    )
    write_layout(result)
    tell_notes(*result.computing_notes)
    print_evaluation(result)


@app.command()
def spotlight(
    folder: Annotated[Path, typer.Argument(help="What `evaluate` has written.")],
) -> None:
    """Explore an evaluation in Renumics Spotlight: prints its address, and serves it until Ctrl-C."""
    from ast_demo.spotlight import serve_evaluation

    typer.echo("Starting Spotlight, which takes some ten seconds ...", err=True)
    serve_evaluation(folder, typer.echo)


@app.command()
@takes_data_options
def finetune(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Labelled clips: a folder, a CSV or JSONL table, a zip, a Hub data set name[:config][@split]."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="Folder of the new checkpoint. A run that was killed goes on from there.")
    ],
    labelled: DataOptions,
    base: Annotated[str | None, typer.Option(help="What to start from. " + _CHECKPOINT_HELP)] = None,
    from_config: Annotated[
        Path | None,
        typer.Option(help="Train from scratch: a model's config.json, or a recipe (see recipes/README.md)."),
    ] = None,
    preset: Annotated[str, typer.Option(help="Options to start from: default, or esc50.")] = "default",
    extra: Annotated[
        list[str] | None, typer.Option(help="More clips to learn from that are never held out, such as synthetic ones.")
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Hold out the clips with this value, such as fold=4."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Keep clips with one value of this column on one side.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the clips.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips in a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames (10 ms) of the new checkpoint's input.")] = None,
    strides: Annotated[
        tuple[int, int] | None, typer.Option(metavar="FREQUENCY TIME", help="Strides of the new checkpoint's patches.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Choose the best step by it: f1, accuracy, map, loss ...")] = None,
    patience: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many evaluations without a better one.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split, the weights and the batches.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="ID", help="Upload the result to the Hub as this model.")
    ] = None,
) -> None:
    """Train a checkpoint on labelled clips: from a base, or from scratch."""
    from ast_demo import finetuning
    from ast_demo.from_scratch import choose_recipe

    frequency_stride, time_stride = strides or (None, None)
    asked = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "n_frames": frames,
        "frequency_stride": frequency_stride, "time_stride": time_stride, "metric": metric, "patience": patience,
        "seed": seed, "group_column": group,
    }  # fmt: skip
    recipe = choose_recipe(base, from_config, preset, asked, hold_out or [])
    settings = read_settings()
    clips = read_clips(data, labelled, settings)
    more = [read_clips([source], labelled, settings) for source in extra or []]
    for source in (clips, *more):
        print_clips(source)
    result = finetuning.finetune(
        clips,
        recipe.base,
        output,
        recipe.options,
        extra=more,
        card=recipe.card,
        limits=settings,
        progress=lambda line: typer.echo(line, err=True),
        parts=recipe.parts,
    )
    if not result.metrics:
        return  # one of several processes; the main one speaks of the result
    print_metrics(result.metrics)
    typer.echo(f"Wrote {result.folder}", err=True)
    if push_to_hub:
        typer.echo(finetuning.push_to_hub(result.folder, push_to_hub))


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(help=_CHECKPOINT_HELP)],
    output: Annotated[Path, typer.Option(help="Folder of the files.")],
    attention: Annotated[
        bool, typer.Option("--attention", help="The model also gives the mean of each layer's heads, for rollout.")
    ] = False,
) -> None:
    """Write a checkpoint as ONNX with its spectrogram inside, also with 8-bit weights: onnxruntime alone runs it."""
    from ast_demo.export import export_onnx
    from ast_demo.models import load_checkpoint

    for path in export_onnx(load_checkpoint(checkpoint, read_settings()), output, attention=attention):
        typer.echo(f"Wrote {path}", err=True)


@app.command()
def checkpoints() -> None:
    """List the checkpoints that can be loaded now."""
    from ast_demo.models import catalogue

    for entry in catalogue(read_settings()):
        typer.echo(f"{entry.name}\n    {entry.note}{', the default' if entry.name == DEFAULT_CHECKPOINT else ''}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
) -> None:
    """Serve the page."""
    from ast_demo.ui import launch

    launch(read_settings(), host=host, port=port)


def main() -> None:
    """Run the command line; a user's mistake becomes one sentence on standard error."""
    # Hugging Face's libraries draw progress bars of their own for what takes a blink.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "" if sys.stderr.isatty() else "1")
    with told_as_a_sentence():
        try:
            sys.exit(app(standalone_mode=False))  # a command returns nothing, or its exit code
        except typer.TyperException as error:  # an argument that is missing, unknown or wrong
            message = error.format_message().rstrip(".")
            if message:  # without any argument at all, the help is already on the screen
                context = getattr(error, "ctx", None)
                command = context.command_path if context else "python -m ast_demo"
                typer.echo(f"{message}. See `{command} --help`.", err=True)
            sys.exit(2)
