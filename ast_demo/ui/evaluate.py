"""The Evaluate tab: labelled clips through one to four checkpoints, and the worst mistakes to look at."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo.checkpoint_cache import CheckpointCache
from ast_demo.errors import AstDemoError, DataError
from ast_demo.evaluation import Evaluation, column, evaluate, read_row
from ast_demo.labelled_clips import ReadingOptions, read_labelled_clips
from ast_demo.settings import Settings
from ast_demo.spotlight.view import write_layout
from ast_demo.spotlight.viewers import Viewers
from ast_demo.ui import parts

_SAMPLES, _UPLOAD, _ELSEWHERE = "The shipped samples", "A ZIP of mine", "A folder, table or Hub data set"
_WORST = 50  # mistakes in the table


@dataclass(frozen=True)
class EvaluateTab:
    """What the page needs of the tab."""

    checkpoints: gr.Dropdown
    clip: gr.Audio  # the mistake that is looked at
    leave: gr.Button  # takes it to Inspect


@dataclass(frozen=True)
class Run:
    """What one visitor evaluates: asked for again, a run that was stopped goes on in the same folder."""

    question: tuple[object, ...]
    folder: Path
    result: Evaluation | None = None


class _StoppedError(Exception):
    """Ends a run from within its progress."""


def build_tab(checkpoints: CheckpointCache, settings: Settings, viewers: Viewers) -> EvaluateTab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    run = gr.State(None, time_to_live=3600, delete_callback=lambda old: parts.forget(old.folder if old else None))
    with gr.Row():
        with gr.Column(min_width=300):
            source = gr.Radio([_SAMPLES, _UPLOAD, _ELSEWHERE], value=_SAMPLES, label="Labelled clips", elem_id="data")
            upload = gr.File(
                label="A folder per label, or with a metadata.csv, as a ZIP",
                file_types=[".zip"],
                visible=False,
                elem_id="data-file",
                elem_classes="drop",
                height=96,
            )
            path = gr.Textbox(
                label="Folder, .csv or .jsonl table, or Hub data set name[:config][@split]",
                visible=False,
                elem_id="data-path",
            )
        with gr.Column(min_width=300):
            chosen = parts.several_checkpoints("One to four checkpoints", "evaluate-checkpoints")
            with gr.Row():
                go = gr.Button("Evaluate", variant="primary", size="sm", elem_id="evaluate-go")
                stop = gr.Button("Stop", size="sm", interactive=False, elem_id="evaluate-stop")
    status = gr.HTML(elem_id="evaluate-status", elem_classes="message-plain")
    with gr.Column(visible=False, elem_id="evaluate-results") as results:
        metrics = gr.HTML()
        explore = gr.Button("Explore in Spotlight", variant="primary", size="sm", elem_id="explore")
        spotlight = gr.HTML(elem_id="spotlight")
        gr.Markdown("### The worst mistakes\nBy the loss of the first checkpoint. Choose a row to hear it.")
        mistakes = gr.Dataframe(interactive=False, show_label=False, elem_id="mistakes", wrap=True)
        with gr.Row(visible=False, elem_id="mistake") as mistake_panel:
            with gr.Column(min_width=280):
                clip = gr.Audio(label="The mistake", interactive=False, type="filepath", elem_id="mistake-clip")
                mistake_facts = gr.HTML()
                leave = gr.Button("Inspect this clip", size="sm", elem_id="mistake-inspect")
            pictures = gr.Gallery(
                columns=2, show_label=False, object_fit="contain", height=320, elem_id="mistake-pictures"
            )
        confusion = gr.Gallery(
            label="Confusion and reliability", columns=2, object_fit="contain", height="auto", elem_id="confusion"
        )
        with gr.Accordion("Downloads", open=False):
            downloads = gr.Files(interactive=False, show_label=False, elem_id="evaluate-downloads")

    def show_source(kind: str) -> tuple[Any, Any]:
        return gr.update(visible=kind == _UPLOAD), gr.update(visible=kind == _ELSEWHERE)

    def start(
        kind: str, file: str | None, text: str | None, references: list[str] | None, old: Run | None
    ) -> Iterator[dict[Any, object]]:
        references = [reference.strip() for reference in references or []]
        question = (kind, file if kind == _UPLOAD else text, tuple(references))
        if old and old.question == question:
            now = old
        else:
            parts.forget(old.folder if old else None)
            now = Run(question, Path(tempfile.mkdtemp(prefix="ast-demo-")))
        viewers.prepare()  # Spotlight takes ten seconds to start: by the end of the evaluation it is there
        yield {
            run: now,
            spotlight: "",
            status: "<p>Reading the clips …</p>",
            results: gr.update(visible=False),
            mistake_panel: gr.update(visible=False),
            go: gr.update(interactive=False),
            stop: gr.update(interactive=True),
        }
        idle = {go: gr.update(interactive=True), stop: gr.update(interactive=False)}
        try:
            data = {_SAMPLES: "samples", _UPLOAD: file or "", _ELSEWHERE: (text or "").strip()}[kind]
            if not data:
                raise DataError(
                    "Choose a ZIP first." if kind == _UPLOAD else "Type a folder, a table or a data set first."
                )
            clips = read_labelled_clips(data, ReadingOptions(max_archive_mb=settings.max_upload_mb * 5))
            result = None
            for line in _follow(
                lambda tell: evaluate(
                    clips, references, checkpoints.load, now.folder, max_clip_s=settings.max_clip_s, progress=tell
                )
            ):
                if isinstance(line, Evaluation):
                    result = line
                else:
                    yield {status: f"<p>{escape(line)}</p>"}
            assert result is not None
            write_layout(result)
        except AstDemoError as error:
            yield {status: f'<p role="alert">{escape(str(error))}</p>', **idle}
            return
        yield {
            run: Run(question, now.folder, result),
            status: _unreadable(result),
            results: gr.update(visible=True),
            metrics: _metrics(result),
            mistakes: _mistakes(result),
            confusion: [(str(file), file.stem.replace("_", ": ", 1)) for file in sorted(now.folder.glob("*.png"))],
            downloads: _downloads(result),
            **idle,
        }

    def look_at(now: Run | None, event: gr.SelectData) -> dict[Any, object]:
        if now is None or now.result is None:
            return {mistake_panel: gr.skip()}
        row = _worst(now.result).iloc[event.index[0]]
        media = read_row(now.result, int(row.name))
        folder = Path(tempfile.mkdtemp(dir=now.folder))
        sound = folder / f"{Path(row['clip']).stem}.flac"
        sound.write_bytes(media["audio"])
        seen = [("spectrogram", media.get("spectrogram"))]
        seen += [(f"rollout, {name}", media.get(column("rollout", name))) for name in now.result.checkpoints]
        shown = []
        for number, (caption, content) in enumerate(seen):
            if isinstance(content, bytes):
                (folder / f"{number}.png").write_bytes(content)
                shown.append((str(folder / f"{number}.png"), caption))
        return {
            mistake_panel: gr.update(visible=True),
            clip: str(sound),
            pictures: shown,
            mistake_facts: _mistake_facts(row, now.result.checkpoints),
        }

    def open_spotlight(now: Run | None) -> str:
        if now is None or now.result is None:
            return ""
        try:
            address = viewers.open(now.folder)
        except AstDemoError as error:
            return f'<p role="alert">{escape(str(error))}</p>'
        return (
            f'<p><a href="{address}" target="_blank" rel="noopener">Open it in a new tab</a>: it wants a wide window.</p>'
            f'<iframe src="{address}" title="The evaluation in Renumics Spotlight"></iframe>'
        )

    explore.click(open_spotlight, [run], [spotlight], show_progress_on=[spotlight], api_visibility="private")
    source.change(show_source, [source], [upload, path], show_progress="hidden", api_visibility="private")
    running = go.click(
        start,
        [source, upload, path, chosen, run],
        [run, status, results, metrics, mistakes, mistake_panel, confusion, downloads, spotlight, go, stop],
        show_progress="hidden",
        concurrency_limit=1,
        api_visibility="private",
    )
    stop.click(
        lambda: (_STOPPED, gr.update(interactive=True), gr.update(interactive=False)),
        outputs=[status, go, stop],
        cancels=[running],
        api_visibility="private",
    )
    mistakes.select(
        look_at,
        [run],
        [mistake_panel, clip, pictures, mistake_facts],
        show_progress="hidden",
        api_visibility="private",
    )
    return EvaluateTab(chosen, clip, leave)


_STOPPED = "<p>Stopped. What is done is kept: press Evaluate to go on from there.</p>"


def _follow(work: Any) -> Iterator[str | Evaluation]:
    """Run an evaluation in a thread of its own; lines on how far it is, and the result at last.

    When the caller stops listening (the visitor pressed Stop, or left), the run ends at the next clip.
    """
    news: queue.Queue[object] = queue.Queue()
    left = threading.Event()
    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        if left.is_set():
            raise _StoppedError
        news.put((done, total))

    def run() -> None:
        try:
            news.put(work(tell))
        except _StoppedError:
            pass
        except Exception as error:  # told by the thread that listens
            news.put(error)

    threading.Thread(target=run, daemon=True).start()
    first: int | None = None
    done, total = 0, 0
    try:
        while True:
            one = news.get()
            if isinstance(one, Exception):
                raise one
            if isinstance(one, Evaluation):
                yield one
                return
            while not news.empty() and isinstance(news.queue[0], tuple):  # only the newest is of interest
                one = news.get()
            assert isinstance(one, tuple)
            done, total = one
            first = done if first is None else first
            speed = (done - first) / max(time.monotonic() - began, 1e-6)
            left_s = f", about {(total - done) / speed:.0f} s left" if speed and done < total else ""
            yield f"{done} of {total} clips, {speed:.1f} clips a second{left_s}"
    finally:
        left.set()


def _worst(result: Evaluation) -> Any:
    """Clips that some checkpoint got wrong, the highest loss of the first checkpoint first."""
    wrong = ~result.table[[column("correct", name) for name in result.checkpoints]].all(axis=1)
    loss = column("loss", result.checkpoints[0])
    return result.table[wrong].sort_values(loss, ascending=False).head(_WORST)


def _mistakes(result: Evaluation) -> Any:
    rows = _worst(result)
    table = rows[["clip", "label"]].copy()
    for name in result.checkpoints:
        confidence = rows[column("confidence", name)].map("{:.0%}".format)
        table[name] = rows[column("prediction", name)] + ", " + confidence
    table["seconds"] = rows["duration_s"].map("{:.2f}".format)
    return table


def _mistake_facts(row: Any, names: tuple[str, ...]) -> str:
    facts = {"clip": str(row["clip"]), "label": str(row["label"])}
    for name in names:
        facts[name] = f"{row[column('top_3', name)]}; loss {row[column('loss', name)]:.2f}"
    facts["loudness"] = f"{row['loudness_db']:.1f} dB of full scale, {row['clipped_share']:.1%} clipped"
    facts["silence"] = f"{row['silent_share']:.0%}; signal-to-noise about {row['snr_db']:.0f} dB"
    return parts.table("", facts)


def _metrics(result: Evaluation) -> str:
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


def _unreadable(result: Evaluation) -> str:
    if not result.unreadable:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in result.unreadable.values())
    how_many = "One clip" if len(result.unreadable) == 1 else f"{len(result.unreadable)} clips"
    return f"<p>{how_many} could not be read:</p><ul>{listed}</ul>"


def _downloads(result: Evaluation) -> list[str]:
    """The table as Parquet and, without sounds and pictures, as CSV; the metrics; the confusion pictures."""
    plain = result.table.select_dtypes(exclude="object").join(result.table[["clip", "label"]])
    for name in result.checkpoints:
        plain = plain.join(result.table[[column("prediction", name), column("top_3", name)]])
    ordered = [name for name in result.table.columns if name in plain.columns]
    plain[ordered].to_csv(result.folder / "evaluation.csv", index=False)
    names = ("evaluation.parquet", "evaluation.csv", "metrics.json", "layout.json")
    return [str(result.folder / name) for name in names] + [str(file) for file in sorted(result.folder.glob("*.png"))]
