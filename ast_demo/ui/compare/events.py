"""What the tab is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo import export
from ast_demo.audio import Waveform
from ast_demo.errors import AstDemoError
from ast_demo.figures import Look
from ast_demo.inspection import Comparison, Failure, compare, describe
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.background import Done, follow
from ast_demo.ui.compare import facts
from ast_demo.ui.compare.widgets import Column, Widgets
from ast_demo.ui.latest import Latest, ends_with_nothing
from ast_demo.ui.messages import alert


@dataclass(frozen=True)
class Shown:
    """A comparison, and what was drawn of it for the page."""

    comparison: Comparison
    references: tuple[str, ...]  # of its columns, those that failed too
    look: Look
    folder: Path
    files: tuple[Path, ...]  # in that folder


@dataclass(frozen=True)
class Page:
    """What one visitor asked the tab for, the `turn`-th time; and what it shows."""

    turn: int = 0
    clip: str | None = None
    references: tuple[str, ...] = ()
    look: Look = Look()
    shown: Shown | None = None


_ASKED = ("turn", "clip", "references")


def ask(
    visit: Latest[Page], clip: str | None, references: list[str] | None, seen_by: dict[str, Any] | None
) -> Latest[Page]:
    """Note what is to be compared; what is being compared for another question ends."""
    page = visit.value
    wanted = tuple(reference.strip() for reference in references or [])
    visit.change(turn=page.turn + 1, clip=clip, references=wanted, look=components.look(seen_by, page.look, zoom=False))
    return visit


def ask_look(visit: Latest[Page], seen_by: dict[str, Any] | None) -> Latest[Page]:
    """Note how what is shown is to be drawn from now on."""
    visit.change(look=components.look(seen_by, visit.value.look, zoom=False))
    return visit


@ends_with_nothing
def show(
    tab: Widgets,
    checkpoints: CheckpointCache,
    settings: Settings,
    visit: Latest[Page],
    progress: gr.Progress = gr.Progress(),
) -> Iterator[dict[Any, object]]:
    """Compare what was asked for last, and show it if that still is what is asked for."""
    unchanged = {tab.facts: gr.skip()}
    yield unchanged
    page, n = visit.value, len(visit.value.references)
    shown = None
    try:
        values = clear(tab)
        if page.clip is not None:
            progress(0, "Reading the recording")
            waveform = components.read_clip(page.clip, settings)
            for news in follow_comparison(waveform, page.references, checkpoints):
                if not visit.still(page, _ASKED):
                    return
                if isinstance(news, Comparison):
                    progress((n + 1, n + 2), "Drawing")
                    shown = _draw(news, page.references, visit.value.look)
                    values = fill(tab, shown)
                else:
                    yield unchanged  # here the work ends where the visitor has left
                    progress((news + 1, n + 2), f"Checkpoint {news + 1} of {n}: {page.references[news]}")
    except AstDemoError as error:
        values = clear(tab, error)
    yield from _replace(visit, page, _ASKED, shown, values)
    yield from redraw(tab, visit)  # where the look has changed meanwhile


@ends_with_nothing
def redraw(tab: Widgets, visit: Latest[Page]) -> Iterator[dict[Any, object]]:
    """Draw what is shown in the look that is asked for, unless it is."""
    page, old = visit.value, visit.value.shown
    if old is None or old.look == page.look:
        return
    new = _draw(old.comparison, old.references, page.look)
    values = _pictures(tab, new) | {tab.downloads: _archive(new)}
    yield from _replace(visit, page, (*_ASKED, "look", "shown"), new, values)


def _replace(
    visit: Latest[Page], of: Page, names: Sequence[str], shown: Shown | None, values: dict[Any, object]
) -> Iterator[dict[Any, object]]:
    """Show something else, if what that is of is still asked for; the files behind what was shown go."""
    replaced = visit.value.shown
    if not visit.change_if(of, names, shown=shown):
        forget(shown)
        return
    try:
        yield values
    finally:
        forget(replaced)


def forget(shown: Shown | None) -> None:
    """Delete the files behind what was shown."""
    files.forget(shown.folder if shown else None)


def _draw(comparison: Comparison, references: tuple[str, ...], look: Look) -> Shown:
    """Into a folder of its own."""
    folder = files.result_folder()
    paths = export.write_comparison(comparison, folder, export.draw_comparison(comparison, look))
    return Shown(comparison, references, look, folder, tuple(paths))


def clear(tab: Widgets, error: AstDemoError | None = None) -> dict[Any, object]:
    """The tab without a comparison."""
    complaint = alert(error) if error else ""
    panels = {column.panel: gr.update(visible=False) for column in tab.columns}
    hidden = {tab.downloads_panel: gr.update(visible=False), tab.downloads: None}
    return {tab.message: complaint, tab.answer: "", tab.agreement: "", tab.facts: "", **hidden, **panels}


def fill(tab: Widgets, shown: Shown) -> dict[Any, object]:
    """The tab with a comparison."""
    comparison = shown.comparison
    values: dict[Any, object] = {
        tab.message: "".join(f"<p>{escape(note)}</p>" for note in comparison.waveform.notes),
        tab.answer: " ".join(map(escape, describe(comparison))),
        tab.agreement: facts.agreement_of(comparison),
        tab.facts: facts.facts_table(comparison),
        tab.downloads_panel: gr.update(visible=True),
        tab.downloads: _archive(shown),
    }
    values |= {column.panel: gr.update(visible=False) for column in tab.columns}
    order = facts.label_order(comparison.inspections)
    for column, failure, number in _columns(tab, shown):
        values |= {column.panel: gr.update(visible=True), column.no_grid: gr.update(visible=False)}
        if failure:
            values[column.text] = f"<h2>{escape(failure.checkpoint)}</h2>{alert(failure.message)}"
        else:
            one = comparison.inspections[number - 1]
            values[column.text] = facts.heading_of(one, order)
            values[column.no_grid] = gr.update(visible=one.checkpoint.grid is None)
    return values | _pictures(tab, shown)


def _columns(tab: Widgets, shown: Shown) -> Iterator[tuple[Column, Failure | None, int]]:
    """Each column that is used, with why its checkpoint failed, or else the number of its inspection from 1."""
    failures = {failure.checkpoint: failure for failure in shown.comparison.failures}
    number = 0
    for column, reference in zip(tab.columns, shown.references, strict=False):
        failure = failures.get(reference)
        number += failure is None
        yield column, failure, number


def _pictures(tab: Widgets, shown: Shown) -> dict[Any, object]:
    """Those of each column; a checkpoint that failed has none."""
    values: dict[Any, object] = {}
    for column, failure, number in _columns(tab, shown):
        if failure:
            values |= dict.fromkeys(column.pictures.values())
            continue
        folder = export.folder_of(shown.comparison, number, shown.folder)
        for name, picture in column.pictures.items():
            file = folder / f"{name}.png"
            values[picture] = str(file) if file.is_file() else None
    return values


def follow_comparison(
    waveform: Waveform, references: Sequence[str], checkpoints: CheckpointCache
) -> Iterator[int | Comparison]:
    """Compare, as `follow` follows work: how many checkpoints are done, before each, and the comparison at last.

    Raises:
        CheckpointError: As `compare`.
    """
    n = len(references)
    for news in follow(
        lambda tell: compare(waveform, references, checkpoints.load, lambda done, reference: tell(done, n))
    ):
        yield news.result if isinstance(news, Done) else news[0]


def _archive(shown: Shown) -> list[str]:
    """One ZIP of everything, and the summary."""
    import zipfile

    archive = shown.folder / "comparison.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in shown.files:
            zipped.write(path, path.relative_to(shown.folder))
    return [str(archive), str(shown.folder / "comparison.json")]
