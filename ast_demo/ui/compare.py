"""The Compare tab: one clip, two to four checkpoints, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ast_demo import export
from ast_demo.audio import Waveform
from ast_demo.data import match_key
from ast_demo.errors import AstDemoError
from ast_demo.figures import Look
from ast_demo.inspection import MOST, Comparison, Inspection, compare, describe
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from ast_demo.ui import components, files, html
from ast_demo.ui.accessibility import answer_for_ears
from ast_demo.ui.background import Done, follow
from ast_demo.ui.latest import Latest, ends_with_nothing
from ast_demo.ui.messages import alert

_PICTURES = {
    "waveform": "Waveform of the clip over time",
    "spectrogram": "Spectrogram, as this checkpoint was fed it",
    "patch_grid": "This checkpoint's patches",
    "rollout": "This checkpoint's attention rollout",
    "difference": "This checkpoint's rollout less that of the first",
}
_BARS = 5  # labels in each column


@dataclass(frozen=True)
class Column:
    """The components of one checkpoint's column."""

    panel: gr.Column
    text: gr.HTML
    pictures: dict[str, gr.Image]
    no_grid: gr.HTML  # in the place of the pictures that a checkpoint without a patch grid does not have


@dataclass(frozen=True)
class Widgets:
    """The tab, from top to bottom."""

    clip: gr.Audio
    chosen: gr.Dropdown
    go: gr.Button
    to_inspect: gr.Button
    message: gr.HTML
    answer: gr.HTML
    agreement: gr.HTML
    columns: list[Column]
    facts: gr.HTML
    downloads_panel: gr.Accordion
    downloads: gr.Files

    @property
    def outputs(self) -> list[Any]:
        mine = [self.message, self.answer, self.agreement, self.facts, self.downloads_panel, self.downloads]
        return mine + [
            output
            for column in self.columns
            for output in (column.panel, column.text, *column.pictures.values(), column.no_grid)
        ]


@dataclass(frozen=True)
class Page:
    """What one visitor asked the tab for: the `turn`-th time; and the files behind what it shows."""

    turn: int = 0
    clip: str | None = None
    references: tuple[str, ...] = ()
    look: Look = Look()
    folder: Path | None = None


def build_tab(checkpoints: CheckpointCache, settings: Settings) -> components.Tab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    state = gr.State(Latest(Page()), time_to_live=settings.kept_s, delete_callback=_forget)
    browser = gr.JSON(visible=False)
    tab = _build(settings)
    asked = gr.on(  # one event for both, so that a visitor's runs follow one another
        [tab.clip.change, tab.go.click],
        ask,
        [state, tab.clip, tab.chosen, browser],
        [state],
        js=f"async (visit, clip, chosen, browser) => [visit, clip, chosen, await {components.see(_COLUMN_WIDTH)}]",
        queue=False,
        trigger_mode="multiple",
        show_progress="hidden",
        api_visibility="private",
    )
    asked.then(
        partial(show, tab, checkpoints, settings),
        [state],
        tab.outputs,
        show_progress_on=[tab.message],
        trigger_mode="always_last",
        api_visibility="private",
        **components.pool(components.MODEL, settings),
    )
    return components.Tab(tab.clip, tab.chosen, tab.to_inspect)


def _build(settings: Settings) -> Widgets:
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            clip = components.clip_input("compare-")
        with gr.Column(scale=2, min_width=300):
            chosen = components.several_checkpoints(
                settings,
                "Two to four checkpoints",
                "compare-checkpoints",
                f"{components.other_checkpoints(settings)}; press Enter after each",
            )
            with gr.Row():
                go = gr.Button("Compare", variant="primary", size="sm", elem_id="compare-go")
                to_inspect = gr.Button("Inspect this clip", size="sm", elem_id="to-inspect")
            components.sample_buttons(clip, "compare-samples")
    message = gr.HTML(elem_id="compare-message", elem_classes="message")
    answer = answer_for_ears("compare-answer")
    agreement = gr.HTML(elem_id="agreement")
    with gr.Row(elem_id="compare-columns", equal_height=False):
        columns = [_column(number) for number in range(MOST)]
    facts = gr.HTML(elem_id="compare-facts")
    with gr.Accordion("Downloads", open=False, visible=False, elem_id="compare-downloads") as downloads_panel:
        downloads = gr.Files(interactive=False, show_label=False)
    return Widgets(clip, chosen, go, to_inspect, message, answer, agreement, columns, facts, downloads_panel, downloads)


def ask(
    visit: Latest[Page], clip: str | None, references: list[str] | None, seen_by: dict[str, Any] | None
) -> Latest[Page]:
    """Note what is to be compared; what is being compared for another question ends."""
    page = visit.value
    wanted = tuple(reference.strip() for reference in references or [])
    visit.change(turn=page.turn + 1, clip=clip, references=wanted, look=components.look(seen_by, page.look, zoom=False))
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
    folder = None
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
                    folder = files.result_folder()
                    values = fill(tab, news, page, folder)
                else:
                    yield unchanged  # here the work ends where the visitor has left
                    progress((news + 1, n + 2), f"Checkpoint {news + 1} of {n}: {page.references[news]}")
    except AstDemoError as error:
        values = clear(tab, error)
    replaced = visit.value.folder
    if not visit.change_if(page, _ASKED, folder=folder):
        files.forget(folder)
        return
    try:
        yield values
    finally:
        files.forget(replaced)


def clear(tab: Widgets, error: AstDemoError | None = None) -> dict[Any, object]:
    """The tab without a comparison."""
    complaint = alert(error) if error else ""
    panels = {column.panel: gr.update(visible=False) for column in tab.columns}
    hidden = {tab.downloads_panel: gr.update(visible=False), tab.downloads: None}
    return {tab.message: complaint, tab.answer: "", tab.agreement: "", tab.facts: "", **hidden, **panels}


def fill(tab: Widgets, comparison: Comparison, page: Page, folder: Path) -> dict[Any, object]:
    """The tab with a comparison, whose files are written into a folder."""
    paths = export.write_comparison(comparison, folder, export.draw_comparison(comparison, page.look))
    values: dict[Any, object] = {
        tab.message: "".join(f"<p>{escape(note)}</p>" for note in comparison.waveform.notes),
        tab.answer: " ".join(map(escape, describe(comparison))),
        tab.agreement: _agreement(comparison),
        tab.facts: _facts(comparison),
        tab.downloads_panel: gr.update(visible=True),
        tab.downloads: _archive(folder, paths),
    }
    values |= {column.panel: gr.update(visible=False) for column in tab.columns}
    order = _label_order(comparison.inspections)
    failures = {failure.checkpoint: failure for failure in comparison.failures}
    number = 0
    for column, reference in zip(tab.columns, page.references, strict=False):
        values |= {column.panel: gr.update(visible=True), column.no_grid: gr.update(visible=False)}
        if failure := failures.get(reference):
            values[column.text] = f"<h2>{escape(reference)}</h2>{alert(failure.message)}"
            values |= dict.fromkeys(column.pictures.values())
            continue
        inspection = comparison.inspections[number]
        number += 1
        values[column.text] = _heading(inspection, order)
        values[column.no_grid] = gr.update(visible=inspection.checkpoint.grid is None)
        its_folder = export.folder_of(comparison, number, folder)
        for name, picture in column.pictures.items():
            file = its_folder / f"{name}.png"
            values[picture] = str(file) if file.is_file() else None
    return values


def _forget(visit: Latest[Page] | None) -> None:
    """End the work for a visitor who has left, and delete their files."""
    if visit is not None:
        folder = visit.value.folder
        visit.change(turn=visit.value.turn + 1, folder=None)
        files.forget(folder)


_ASKED = ("turn", "clip", "references")


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


# The width of a column once there are as many as are chosen; 0 while the tab is not to be seen.
_COLUMN_WIDTH = """(() => {
    const all = document.querySelector('#compare-columns')?.parentElement.clientWidth ?? 0;
    const beside = Math.max(1, Math.min(chosen.length, Math.floor((all + 16) / 300)));
    return all && Math.floor((all - 16 * (beside - 1)) / beside);
})()"""


_NO_GRID = """
<p>No spectrogram and no patch grid: this checkpoint reads the sound as a sequence over time, and so its rollout is over
time only.</p>
"""
_READING = """
<p class="reading">Scores apart: Jensen–Shannon divergence on the shared labels; 0 bits are equal scores, 1 bit is as
different as can be. Rollouts are drawn on one colour scale, and correlated where both checkpoints heard the clip.</p>
"""


def _column(number: int) -> Column:
    with gr.Column(visible=False, elem_id=f"compare-column-{number + 1}") as panel:
        text = gr.HTML(elem_classes="heading")
        pictures = {
            name: components.picture(f"compare-{number + 1}-{name.replace('_', '-')}", alt)
            for name, alt in _PICTURES.items()
        }
        no_grid = gr.HTML(_NO_GRID, visible=False, elem_id=f"compare-{number + 1}-no-grid")
    return Column(panel, text, pictures, no_grid)


def _label_order(inspections: tuple[Inspection, ...]) -> list[str]:
    """The labels to show in every column, in one order: the best of each, by the highest of their scores."""
    best: dict[str, tuple[float, str]] = {}
    for one in inspections:
        for label, score in one.prediction.top(_BARS):
            key = match_key(label)
            best[key] = max(best.get(key, (0.0, label)), (score, label))
    return [label for _, label in sorted(best.values(), reverse=True)]


def _heading(inspection: Inspection, order: list[str]) -> str:
    scores = {match_key(label): score for label, score in reversed(inspection.prediction.top())}
    rows = [(label, scores.get(match_key(label))) for label in order]
    winner = inspection.prediction.top(1)[0][0].replace("_", " ")
    heading = f"<h2>{escape(inspection.checkpoint.name)}</h2><p>says <b>{escape(winner)}</b></p>"
    return heading + html.scores_table(
        rows, html.activation_note(inspection.checkpoint), list(filter(None, [inspection.input_note]))
    )


def _agreement(comparison: Comparison) -> str:
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
        rows = html.scores_table(list(agreement.ensemble[:_BARS]))
        ensemble = f"<details><summary>Ensemble: mean of the scores on shared labels</summary>{rows}</details>"
    return f"<h2>Where they agree</h2><ul>{sentences}{unshared}</ul>{_READING}{ensemble}"


def _facts(comparison: Comparison) -> str:
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
        "computed": f"{inspection.seconds:.2f} s, {inspection.precision}. {inspection.precision_note}".rstrip(". "),
    }


def _archive(folder: Path, paths: list[Path]) -> list[str]:
    """One ZIP of everything, and the summary."""
    import zipfile

    archive = folder / "comparison.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in paths:
            zipped.write(path, path.relative_to(folder))
    return [str(archive), str(folder / "comparison.json")]
