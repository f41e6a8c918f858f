"""Why this label? In the Inspect tab: a map of any label by any method, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ast_demo import figures
from ast_demo.errors import AstDemoError
from ast_demo.explain import (
    METHODS,
    STAGES,
    TrustCard,
    cautions,
    default_method,
    explain,
    measure_trust,
)
from ast_demo.export import write_map
from ast_demo.figures import Look
from ast_demo.models import CheckpointCache, CheckpointFacts
from ast_demo.settings import Settings
from ast_demo.ui import components, files, html
from ast_demo.ui.background import Done, follow
from ast_demo.ui.inspect.visit import CARD, MAP, Explained, Page, Shown, Visit
from ast_demo.ui.latest import ends_with_nothing
from ast_demo.ui.messages import alert


def map_choices() -> list[tuple[str, str]]:
    """What the page calls each map, and its key."""
    return [(row.choice, row.key) for row in METHODS.values()]


@dataclass(frozen=True)
class Panel:
    method: gr.Dropdown
    label: gr.Dropdown
    against: gr.Dropdown
    picture: gr.Image
    remarks: gr.HTML
    go: gr.Button
    stop: gr.Button
    verdict: gr.HTML
    curves: gr.Image

    @property
    def outputs(self) -> list[Any]:
        return [self.method, self.label, self.against, self.picture, self.remarks, *self.card]

    @property
    def card(self) -> list[Any]:
        return [self.go, self.stop, self.verdict, self.curves]


def build_panel() -> Panel:
    """Lay out the panel. Must be called inside a `gr.Blocks`."""
    with gr.Column(elem_id="why"):
        with gr.Row(equal_height=True):
            method = gr.Dropdown(map_choices(), label="Map", elem_id="map")
            label = gr.Dropdown([], label="Why this label", elem_id="why-label", min_width=140)
            against = gr.Dropdown([], label="… and not", elem_id="why-not", min_width=140)
        picture = components.picture("picture-map", "Map of what speaks for the label, over the spectrogram")
        remarks = gr.HTML(elem_id="map-remarks", elem_classes="caution")
        with gr.Accordion("How far can you trust this map?", open=False, elem_id="trust"):
            gr.HTML(_WHAT_IT_DOES, elem_classes="caution")
            with gr.Row():
                go = gr.Button("Put it to the test", size="sm", elem_id="trust-go")
                stop = gr.Button("Stop", size="sm", interactive=False, elem_id="trust-stop")
            verdict = gr.HTML(elem_id="trust-verdict")
            curves = components.picture(
                "picture-trust", "Deletion and insertion curves of the map, of loudness, of chance"
            )
    return Panel(method, label, against, picture, remarks, go, stop, verdict, curves)


def empty(panel: Panel) -> dict[Any, object]:
    """The panel without a map."""
    return {**no_card(panel), panel.picture: None, panel.remarks: ""}


def begin(panel: Panel, page: Page) -> dict[Any, object]:
    """The panel for what is shown, before there is a map of it."""
    shown = page.ready
    if shown is None:
        return empty(panel)
    method, label, against = _asked(page, shown)
    labels = [(one.replace("_", " "), one) for one in shown.inspection.checkpoint.labels]
    of_a_label = METHODS[method].needs_label
    return {
        **empty(panel),
        panel.method: method,
        panel.label: gr.update(choices=labels, value=label, interactive=of_a_label),
        panel.against: gr.update(choices=[("nobody else", ""), *labels], value=against, interactive=of_a_label),
    }


def ask(panel: Panel, visit: Visit, method: str, label: str, against: str) -> dict[Any, object]:
    """Note which map is wanted, and take the card of the last one away."""
    if visit.value.ready is None:
        return {panel.go: gr.skip()}
    visit.change(method=method, label=label, against=against, testing=False, card=None)
    of_a_label = gr.update(interactive=METHODS[method].needs_label)
    return {**no_card(panel), panel.label: of_a_label, panel.against: of_a_label}


@ends_with_nothing
def make(panel: Panel, downloads: gr.Files, checkpoints: CheckpointCache, visit: Visit) -> Iterator[dict[Any, object]]:
    """Make the map that is wanted of what is shown, unless it is there; drawn anew if only the look has changed."""
    yield {panel.remarks: gr.skip()}
    page = visit.value
    shown, old = page.ready, page.map
    if shown is None or shown.look != page.look:  # what is shown comes first
        return
    asked = _asked(page, shown)
    if old is not None and old.asked == asked:
        if page.map_look != page.look:
            yield from _show_map(panel, downloads, visit, page, old)
        else:  # where another map was begun meanwhile, how far it came stands there
            yield {panel.remarks: _remarks(old)}
        return
    method, label, against = asked
    inspection, prepared = shown.inspection, dict(old.prepared) if old else {}
    try:
        loaded = checkpoints.load(page.checkpoint)
        prepare = METHODS[method].prepare
        if prepare is not None and method not in prepared:
            for news in follow(lambda tell: prepare(inspection, loaded, tell)):
                if not visit.still(page, MAP):
                    return
                if isinstance(news, Done):
                    prepared[method] = news.result
                else:
                    yield {panel.remarks: f"<p>{escape(_progress('Taking parts away', *news))}</p>"}
        relevance = explain(
            inspection,
            loaded,
            method,
            label,
            against if against not in ("", label) else None,
            prepared=prepared.get(method),
        )
        new = Explained(inspection, asked, relevance, prepared)
        yield from _show_map(panel, downloads, visit, page, new)
    except AstDemoError as error:
        if visit.change_if(page, MAP, explained=None, card=None, testing=False):
            yield {**no_card(panel), panel.remarks: alert(error), panel.picture: None}


def _show_map(
    panel: Panel, downloads: gr.Files, visit: Visit, page: Page, new: Explained
) -> Iterator[dict[Any, object]]:
    """A map, if it is still wanted. The card of another one goes; its own is drawn anew."""
    written = write_map(new.relevance, new.inspection, files.new_folder(), look=page.look)
    if new is page.map:
        card = _show_card(panel, page.card, new, page.look) if page.card else {}
        is_wanted = visit.change_if(page, MAP, map_look=page.look)
    else:
        card = no_card(panel)
        is_wanted = visit.change_if(page, MAP, explained=new, map_look=page.look, card=None, testing=False)
    if not is_wanted or page.shown is None:
        return
    method, label, against = new.asked
    yield {
        **card,
        panel.method: method,
        panel.label: label,
        panel.against: against,
        panel.picture: str(written[0]),
        downloads: [*files.files_in(page.shown.folder), *map(str, written)],
        panel.remarks: _remarks(new),
    }


def _remarks(of: Explained) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in cautions(of.relevance, of.inspection))


def ask_card(panel: Panel, visit: Visit) -> dict[Any, object]:
    """Note that the map that is shown is to be put to the test."""
    page = visit.value
    if page.map is None or page.map.asked != _asked(page, page.map):
        return {panel.verdict: "<p>There is no map yet to put to the test.</p>"}
    visit.change(testing=True)
    return _running(panel)


@ends_with_nothing
def test(panel: Panel, checkpoints: CheckpointCache, visit: Visit) -> Iterator[dict[Any, object]]:
    """Put the map that is shown to the test, if that is wanted."""
    page = visit.value
    shown, now = page.ready, page.map
    if shown is None or now is None or not page.testing:
        yield {panel.go: gr.skip()}
        return
    yield _running(panel)
    try:
        loaded = checkpoints.load(page.checkpoint)
        for news in follow(lambda tell: measure_trust(now.relevance, now.inspection, loaded, tell)):
            if not isinstance(news, Done) and visit.still(page, CARD):
                yield {panel.verdict: f"<p>{escape(_progress('Running the model', *news))}</p>"}
            while isinstance(news, Done) and visit.still(page, CARD):  # once more if the look changes while it is drawn
                look = visit.value.look
                drawn = _show_card(panel, news.result, now, look)
                if visit.change_if(replace(page, look=look), (*CARD, "look"), card=news.result, testing=False):
                    yield drawn
                    return
            if not visit.still(page, CARD):
                break
    except AstDemoError as error:
        if visit.change_if(page, CARD, testing=False):
            yield {**no_card(panel), panel.verdict: alert(error)}
            return
    # What was told of this test may still be on its way to the page, behind what cleared it: this comes after it.
    yield _running(panel) if visit.value.testing else _stopped(panel, page, visit)


def stop_test(panel: Panel, visit: Visit) -> dict[Any, object]:
    page = visit.value
    visit.change(testing=False)
    return _stopped(panel, page, visit)


def _running(panel: Panel) -> dict[Any, object]:
    """The card while a map is put to the test."""
    return {
        **no_card(panel),
        panel.go: gr.update(interactive=False),
        panel.stop: gr.update(interactive=True),
    }


def _stopped(panel: Panel, page: Page, visit: Visit) -> dict[Any, object]:
    """The card after a test that did not come to its end: of the map that is still shown, or of one that is not."""
    same = visit.still(page, (name for name in CARD if name != "testing"))
    return {**no_card(panel), panel.verdict: "<p>Stopped.</p>" if same else ""}


def wire(
    panel: Panel,
    state: gr.State,
    downloads: gr.Files,
    checkpoints: CheckpointCache,
    settings: Settings,
    after: Sequence[Dependency],
) -> list[Dependency]:
    """Make a map whenever another clip is shown, or another map or label is asked for.

    Args:
        state: The `Visit`.
        downloads: Where the files of the map join those of the clip.
        after: Events that show something else.

    Returns:
        The events at the end of which there may be another map.
    """
    noted: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    job: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
    job |= components.pool(components.LONG, settings)
    choosers = [panel.method, panel.label, panel.against]
    chosen = gr.on(
        [chooser.input for chooser in choosers],
        partial(ask, panel),
        [state, *choosers],
        [*choosers, *panel.card],
        trigger_mode="multiple",
        **noted,
    )
    work = partial(make, panel, downloads, checkpoints)
    made = [event.then(work, [state], [*panel.outputs, downloads], **job) for event in (*after, chosen)]
    pressed = panel.go.click(partial(ask_card, panel), [state], panel.card, **noted)
    pressed.then(partial(test, panel, checkpoints), [state], panel.card, **job)
    panel.stop.click(partial(stop_test, panel), [state], panel.card, **noted)
    return made


def _asked(page: Page, of: Shown | Explained) -> tuple[str, str, str]:
    """The map that is wanted: method, label, and the label that it is set against."""
    inspection = of.inspection
    return (
        page.method or default_method(inspection.checkpoint),
        page.label or inspection.prediction.top(1)[0][0],
        page.against,
    )


def _show_card(panel: Panel, card: TrustCard, of: Explained, look: Look) -> dict[Any, object]:
    curves = files.write_picture(look, "trust", figures.trust_figure(card, look))
    return {
        **no_card(panel),
        panel.verdict: _card(card, of.inspection.checkpoint),
        panel.curves: curves,
    }


def no_card(panel: Panel) -> dict[Any, object]:
    """The card before a map is put to the test."""
    return {
        panel.go: gr.update(interactive=True),
        panel.stop: gr.update(interactive=False),
        panel.verdict: "",
        panel.curves: None,
    }


def _progress(what: str, done: int, total: int) -> str:
    return f"{what}: {done / max(total, 1):.0%}"


def _card(card: TrustCard, facts: CheckpointFacts) -> str:
    """The verdict, and the numbers behind it, each with its controls."""
    chance = [curves.gap for curves in card.of_random]
    rows = {
        "insertion less deletion": f"{card.of_map.gap:+.2f}; loudness {card.of_energy.gap:+.2f}; "
        f"{len(chance)} random maps {min(chance):+.2f} to {max(chance):+.2f}",
        "shuffled weights": ", ".join(
            f"{stage} {kept:+.2f}" for stage, kept in zip(STAGES, card.kept_under_random_weights, strict=False)
        )
        or f"not measured: with {facts.n_parameters / 1e6:.0f} M parameters this map would take minutes",
        "rests on": f"padding {card.padding_share:.0%}, special tokens {card.special_share:.0%}",
    }
    first, *others = card.verdict
    return (
        f'<p class="verdict"><b>{escape(first)}</b> {escape(" ".join(others))}</p>{html.table("", rows)}{_HOW_TO_READ}'
    )


_WHAT_IT_DOES = """
<p>The highest places of the map are taken away first, then put back first, and the score is watched, beside the same
with loudness and with ten random maps. A bin that is taken away becomes the clip's own background: the level that a
tenth of its frames stay below. Zero would be padding, which the model sees brighter than sound.</p>
"""
_HOW_TO_READ = """
<p class="reading">A map that finds what the score hangs on falls early on the left and rises early on the right.
<i>Shuffled weights</i> is how much the map stays the same (1: all of it) when the model's weights are shuffled from
the classifier down: high at the end, the map shows the sound and not the model.</p>
"""
