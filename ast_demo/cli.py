"""The command line: each command parses, calls the library, prints.

Results go to standard output, progress and errors to standard error. A user's mistake is one sentence and exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ast_demo.errors import told_as_a_sentence
from ast_demo.explain import METHODS
from ast_demo.settings import DEFAULT_CHECKPOINT, read_settings

if TYPE_CHECKING:  # they take a second to import
    from ast_demo.data import LabelledClips, ReadingOptions
    from ast_demo.evaluation import Evaluation
    from ast_demo.explain import ClipReport
    from ast_demo.inspection import Inspection
    from ast_demo.runtime import Tell

app = typer.Typer(
    help="What did this audio model hear, and why was it wrong?",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_LabelColumn = Annotated[str, typer.Option(help="Column with the label, if it has no usual name.")]
_FileColumn = Annotated[str, typer.Option(help="Column with the recording, if it has no usual name.")]
_MultiLabel = Annotated[
    bool, typer.Option(help="A clip may have several labels, separated by semicolons, bars or commas.")
]
_LabelFrom = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        help="What the label is: folder, a column, or a pattern on the file's name such as {label}_{speaker}_{index}.",
    ),
]
_AudioFolder = Annotated[
    str, typer.Option(metavar="DIR", help="Where the recordings of a table lie, if they are not found without.")
]
_LabelMap = Annotated[
    Path | None,
    typer.Option(
        help="CSV of two columns: a label of the data, and what the checkpoints call it; empty to leave its clips out."
    ),
]
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
    top: _Top = 5,
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
    report = report_clip(recording, loaded, ReportOptions(at, keep, method, label, against, trust), _progress)
    if output is not None:
        for path in write_report(report, output):
            typer.echo(f"Wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(summarise_report(report), ensure_ascii=False))
    else:
        _print_report(report, top)


def _print_report(report: ClipReport, top: int) -> None:
    from ast_demo.explain import tell_halves

    recording, inspection, timeline = report.recording, report.inspection, report.timeline
    _tell_notes(*inspection.notes, inspection.precision_note)
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


def _progress(what: str = "clips") -> Tell:
    """Tells on standard error now and then how far a run is and how long it will take."""
    from ast_demo.runtime import tell_now_and_then

    return tell_now_and_then(lambda line: typer.echo(line, err=True), what)


@app.command()
def compare(
    clip: Annotated[Path, typer.Argument(help="A recording, as for `inspect`.")],
    checkpoint: Annotated[list[str], typer.Option(help=_CHECKPOINT_HELP + " Two to four of them.")],
    as_json: _AsJson = False,
    output: _Output = None,
    top: _Top = 5,
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
        _tell_notes(*waveform.notes, *dict.fromkeys(one.precision_note for one in comparison.inspections))
        for inspection in comparison.inspections:
            _tell_what_is_cut_off(inspection.checkpoint.name, inspection)
            typer.echo(inspection.checkpoint.name)
            for label, score in inspection.prediction.top(top):
                typer.echo(f"{score:7.2%}  {label}")
        for sentence in describe(comparison):
            typer.echo(sentence)
    for failure in comparison.failures:
        typer.echo(failure.message, err=True)
    if comparison.failures:
        raise typer.Exit(2)


def _tell_notes(*notes: str) -> None:
    for note in filter(None, notes):
        typer.echo(f"Note: {note}", err=True)


def _tell_what_is_cut_off(who: str, inspection: Inspection) -> None:
    if inspection.truncated_s > 0:
        typer.echo(
            f"Note: {who} hears the first {inspection.input_s:.2f} s only; {inspection.truncated_s:.2f} s are cut off.",
            err=True,
        )


@app.command()
def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            help="Labelled clips: a folder, also in a bucket (s3://, gs:// ...), a CSV or JSONL table, a zip, a Hub data set name[:config][@split], or samples."
        ),
    ],
    checkpoint: Annotated[list[str], typer.Option(help=_CHECKPOINT_HELP + " One to four of them.")],
    output: Annotated[Path, typer.Option(help="Folder of the results. A run that was killed goes on from there.")],
    label_column: _LabelColumn = "",
    file_column: _FileColumn = "",
    label_from: _LabelFrom = "",
    audio_folder: _AudioFolder = "",
    multi_label: _MultiLabel = False,
    label_map: _LabelMap = None,
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
    from ast_demo.data import ReadingOptions
    from ast_demo.evaluation import evaluate, evaluate_here, ray_engine
    from ast_demo.finetuning import keep_held_out
    from ast_demo.inference import precision_note
    from ast_demo.models import CheckpointCache, find_checkpoint
    from ast_demo.spotlight import write_layout

    settings = read_settings()
    runs_on = ray_engine(settings, address=ray_address, workers=workers) if engine == "ray" else evaluate_here
    reading = ReadingOptions(
        file_column, label_column, multi_label, buckets=True, audio_folder=audio_folder, label_from=label_from
    ).within(settings)
    clips = _read_mapped([data], reading, label_map)
    if held_out:
        clips = keep_held_out(clips, find_checkpoint(checkpoint[0], settings)[0])
    _describe(clips)
    result = evaluate(
        clips,
        checkpoint,
        CheckpointCache(settings).load,
        output,
        max_clip_s=settings.max_clip_s,
        windows=windows,
        explain=explain,
        progress=_progress(),
        engine=runs_on,
    )
    write_layout(result)
    _tell_notes(precision_note(settings.precision))
    _print_evaluation(result)


def _print_evaluation(result: Evaluation) -> None:
    for name, reason in result.unreadable.items():
        typer.echo(f"Skipped {name}: {reason}", err=True)
    for name, metrics in result.metrics.items():
        typer.echo(name)
        _tell_metrics(metrics)
    for comparison in result.comparisons:
        typer.echo(comparison["sentence"])
    typer.echo(f"Wrote {result.folder}", err=True)


def _tell_metrics(metrics: Mapping[str, Any]) -> None:
    from ast_demo.metrics import explain_macro, list_numbers

    for name, value in list_numbers(metrics):
        typer.echo(f"{name:>24}  {value:.4g}")
    typer.echo(explain_macro(metrics["labels"]))


def _describe(clips: LabelledClips) -> None:
    from ast_demo.data import describe_clips

    for sentence in describe_clips(clips):
        typer.echo(sentence, err=True)


def _read_mapped(sources: list[str], reading: ReadingOptions, label_map: Path | None) -> LabelledClips:
    """The clips of several sources, with their labels as the map calls them."""
    from ast_demo.data import join_clips, map_labels, read_label_map, read_labelled_clips

    clips = [read_labelled_clips(source, reading) for source in sources]
    joined = clips[0] if len(clips) == 1 else join_clips(clips)
    return map_labels(joined, read_label_map(label_map) if label_map else {})


@app.command()
def spotlight(
    folder: Annotated[Path, typer.Argument(help="What `evaluate` has written.")],
) -> None:
    """Explore an evaluation in Renumics Spotlight: prints its address, and serves it until Ctrl-C."""
    from ast_demo.spotlight import serve_evaluation

    typer.echo("Starting Spotlight, which takes some ten seconds ...", err=True)
    serve_evaluation(folder, typer.echo)


@app.command()
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
    label_column: _LabelColumn = "",
    file_column: _FileColumn = "",
    label_from: _LabelFrom = "",
    audio_folder: _AudioFolder = "",
    multi_label: _MultiLabel = False,
    label_map: _LabelMap = None,
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
    from ast_demo.data import ReadingOptions
    from ast_demo.from_scratch import choose_recipe

    frequency_stride, time_stride = strides or (None, None)
    asked = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "n_frames": frames,
        "frequency_stride": frequency_stride, "time_stride": time_stride, "metric": metric, "patience": patience,
        "seed": seed, "group_column": group,
    }  # fmt: skip
    recipe = choose_recipe(base, from_config, preset, asked, hold_out or [])
    settings = read_settings()
    reading = ReadingOptions(
        file_column, label_column, multi_label, audio_folder=audio_folder, label_from=label_from
    ).within(settings)
    clips = _read_mapped(data, reading, label_map)
    more = [_read_mapped([source], reading, label_map) for source in extra or []]
    for source in (clips, *more):
        _describe(source)
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
    _tell_metrics(result.metrics)
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
