"""The Evaluate tab: labelled clips through one to four checkpoints, and the worst mistakes to look at."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo.errors import AstDemoError
from ast_demo.evaluation import Evaluation, column, evaluate, read_row
from ast_demo.inference import precision_note
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers, write_layout
from ast_demo.ui import components, files
from ast_demo.ui.background import Done, Tell, follow
from ast_demo.ui.evaluate import data_choice, views


@dataclass(frozen=True)
class EvaluateTab:
    """What the page needs of the tab."""

    checkpoints: gr.Dropdown
    clip: gr.Audio  # the mistake that is looked at
    leave: gr.Button  # takes it to Inspect
    data: data_choice.DataControls


@dataclass(frozen=True)
class Run:
    """What one visitor evaluates: asked for again, a run that was stopped goes on in the same folder."""

    question: tuple[object, ...]
    folder: Path
    result: Evaluation | None = None


def build_tab(checkpoints: CheckpointCache, settings: Settings, viewers: Viewers) -> EvaluateTab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    run = gr.State(
        None, time_to_live=settings.kept_s, delete_callback=lambda old: files.forget(old.folder if old else None)
    )
    with gr.Row():
        with gr.Column(min_width=300):
            data = data_choice.build_controls(settings)
        with gr.Column(min_width=300):
            chosen = components.several_checkpoints(settings, "One to four checkpoints", "evaluate-checkpoints")
            explain_all = gr.Checkbox(
                label="Explain the mistakes of large checkpoints, too",
                info="Those of small ones are explained anyway; of one with 86 M parameters, each takes ten seconds or more",
                visible=settings.local_paths,  # strangers would keep the others waiting for hours
                elem_id="explain-all",
            )
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

    def start(
        references: list[str] | None, explains_all: bool, old: Run | None, *choices: Any
    ) -> Iterator[dict[Any, object]]:
        references = [reference.strip() for reference in references or []]
        choice = data_choice.Choice(*choices)
        question = (choice, tuple(references), explains_all)
        if old and old.question == question:
            now = old
        else:
            files.forget(old.folder if old else None)
            now = Run(question, files.result_folder())
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
            clips = data_choice.read_choice(choice, references, settings)
            label_map = data_choice.read_map(choice)
            result = None
            for line in follow_evaluation(
                lambda tell: evaluate(
                    clips,
                    references,
                    checkpoints.load,
                    now.folder,
                    label_map=label_map,
                    explain=True if explains_all and settings.local_paths else None,
                    max_clip_s=settings.max_clip_s,
                    progress=tell,
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
            status: views.notes_list(result, precision_note(settings.precision)),
            results: gr.update(visible=True),
            metrics: views.metrics_table(result),
            mistakes: views.mistakes_table(result),
            confusion: [(str(file), file.stem.replace("_", ": ", 1)) for file in sorted(now.folder.glob("*.png"))],
            downloads: views.write_downloads(result),
            **idle,
        }

    def look_at(now: Run | None, event: gr.SelectData) -> dict[Any, object]:
        if now is None or now.result is None:
            return {mistake_panel: gr.skip()}
        row = views.worst(now.result).iloc[event.index[0]]
        media = read_row(now.result, int(row.name))
        folder = Path(tempfile.mkdtemp(dir=now.folder))
        sound = folder / f"{Path(row['clip']).stem}.flac"
        sound.write_bytes(media["audio"])
        seen = [("spectrogram", media.get("spectrogram"))]
        seen += [
            (caption, media.get(column(field, name)))
            for name in now.result.checkpoints
            for field, caption in views.captions(row, name).items()
        ]
        shown = []
        for number, (caption, content) in enumerate(seen):
            if isinstance(content, bytes):
                (folder / f"{number}.png").write_bytes(content)
                shown.append((str(folder / f"{number}.png"), caption))
        return {
            mistake_panel: gr.update(visible=True),
            clip: str(sound),
            pictures: shown,
            mistake_facts: views.mistake_facts(row, now.result.checkpoints),
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
    running = go.click(
        start,
        [chosen, explain_all, run, *data.inputs],
        [run, status, results, metrics, mistakes, mistake_panel, confusion, downloads, spotlight, go, stop],
        show_progress="minimal",  # the place in the queue
        show_progress_on=[status],
        api_visibility="private",
        **components.pool(components.EVALUATION, settings),
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
    return EvaluateTab(chosen, clip, leave, data)


_STOPPED = "<p>Stopped. What is done is kept for a while, but not if the program is started again: press Evaluate to go on.</p>"


def follow_evaluation(work: Callable[[Tell], Evaluation]) -> Iterator[str | Evaluation]:
    """Run an evaluation as `follow` does; lines on how far it is and how long it will take, and the result at last."""
    began = time.monotonic()
    first: int | None = None
    for news in follow(work):
        if isinstance(news, Done):
            yield news.result
            return
        done, total = news
        first = done if first is None else first  # what an earlier run has done takes no time now
        speed = (done - first) / max(time.monotonic() - began, 1e-6)
        left_s = f", about {(total - done) / speed:.0f} s left" if speed and done < total else ""
        yield f"{done} of {total} clips, {speed:.1f} clips a second{left_s}"
