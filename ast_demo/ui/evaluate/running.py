"""One visitor's evaluation: started, followed, shown; asked for again, it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo.errors import AstDemoError
from ast_demo.evaluation import Evaluation, evaluate
from ast_demo.models import CheckpointCache
from ast_demo.runtime import Tell, measure_progress
from ast_demo.settings import Settings
from ast_demo.spotlight import Viewers, write_layout
from ast_demo.ui import files
from ast_demo.ui.background import Done, follow
from ast_demo.ui.evaluate import data_choice, views
from ast_demo.ui.evaluate.widgets import Widgets
from ast_demo.ui.messages import alert

STOPPED = "<p>Stopped. What is done is kept for a while, but not if the program is started again: press Evaluate to go on.</p>"


@dataclass(frozen=True)
class Asked:
    """What is to be evaluated, and by which checkpoints."""

    choice: data_choice.Choice
    references: tuple[str, ...]
    explain_all: bool


@dataclass(frozen=True)
class Run:
    """What one visitor evaluates: asked for again, a run that was stopped goes on in the same folder."""

    asked: Asked
    folder: Path
    result: Evaluation | None = None

    @property
    def references(self) -> dict[str, str]:
        """What each checkpoint of the result was asked for by."""
        assert self.result is not None
        return dict(zip(self.result.checkpoints, self.asked.references, strict=True))


@dataclass(frozen=True)
class Services:
    """What the page as a whole has."""

    checkpoints: CheckpointCache
    settings: Settings
    viewers: Viewers


def run_evaluation(widgets: Widgets, services: Services, old: Run | None, asked: Asked) -> Iterator[dict[Any, object]]:
    """Evaluate what is asked for, and tell how far it is; in the end, show what came of it."""
    if old and old.asked == asked:
        now = old
    else:
        files.forget(old.folder if old else None)
        now = Run(asked, files.result_folder())
    services.viewers.prepare()  # Spotlight takes ten seconds to start: by the end of the evaluation it is there
    yield _begin(widgets, now)
    try:
        for news in follow_evaluation(lambda tell: _evaluate(services, now, tell)):
            if isinstance(news, Evaluation):
                write_layout(news)
                yield _fill(widgets, Run(asked, now.folder, news))
            else:
                yield {widgets.status: f"<p>{escape(news)}</p>"}
    except AstDemoError as error:
        yield {widgets.status: alert(error), **rest(widgets)}


def follow_evaluation(work: Callable[[Tell], Evaluation]) -> Iterator[str | Evaluation]:
    """Run an evaluation as `follow` does; lines on how far it is and how long it will take, and the result at last."""
    at = measure_progress()
    for news in follow(work):
        if isinstance(news, Done):
            yield news.result
            return
        yield at(*news).in_words()


def open_in_spotlight(now: Run | None, viewers: Viewers) -> str:
    """The viewer of what was evaluated, in the page."""
    if now is None or now.result is None:
        return ""
    try:
        address = viewers.open(now.folder)
    except AstDemoError as error:
        return alert(error)
    return (
        f'<p><a href="{address}" target="_blank" rel="noopener">Open it in a new tab</a>: it wants a wide window.</p>'
        f'<iframe src="{address}" title="The evaluation in Renumics Spotlight"></iframe>'
    )


def rest(widgets: Widgets) -> dict[Any, object]:
    """The buttons while nothing runs."""
    return {widgets.go: gr.update(interactive=True), widgets.stop: gr.update(interactive=False)}


def _evaluate(services: Services, now: Run, tell: Tell) -> Evaluation:
    asked, settings = now.asked, services.settings
    clips = data_choice.read_choice(asked.choice, list(asked.references), settings)
    return evaluate(
        clips,
        asked.references,
        services.checkpoints.load,
        now.folder,
        label_map=data_choice.read_map(asked.choice),
        explain=True if asked.explain_all and settings.local_paths else None,
        max_clip_s=settings.max_clip_s,
        progress=tell,
    )


def _begin(widgets: Widgets, now: Run) -> dict[Any, object]:
    return {
        widgets.run: now,
        widgets.spotlight: "",
        widgets.status: "<p>Reading the clips …</p>",
        widgets.answer: "",
        widgets.results: gr.update(visible=False),
        widgets.mistakes.box: gr.update(visible=False),
        widgets.go: gr.update(interactive=False),
        widgets.stop: gr.update(interactive=True),
    }


def _fill(widgets: Widgets, now: Run) -> dict[Any, object]:
    result = now.result
    assert result is not None
    pictures = sorted(now.folder.glob("*.png"))
    return {
        widgets.run: now,
        widgets.status: views.notes_list(result),
        widgets.answer: views.in_a_sentence(result),
        widgets.results: gr.update(visible=True),
        widgets.metrics: views.metrics_table(result),
        widgets.mistakes.table: views.mistakes_table(result),
        widgets.labels: views.labels_table(result),
        widgets.confusion: [(str(file), file.stem.replace("_", ": ", 1)) for file in pictures],
        widgets.downloads: views.write_downloads(result),
        **rest(widgets),
    }
