"""Why this label? In the Inspect tab: a map of any label by any method, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ast_demo import figures
from ast_demo.errors import AstDemoError
from ast_demo.explain import (
    METHODS,
    STAGES,
    RelevanceMap,
    TrustCard,
    cautions,
    default_method,
    explain,
    measure_trust,
)
from ast_demo.export import write_map
from ast_demo.figures import Look
from ast_demo.inspection import Inspection
from ast_demo.models import CheckpointCache, CheckpointFacts
from ast_demo.settings import Settings
from ast_demo.ui import components, files, html
from ast_demo.ui.background import Done, follow
from ast_demo.ui.messages import alert


@dataclass(frozen=True)
class Explained:
    """The map that one visitor looks at."""

    inspection: Inspection
    reference: str
    look: Look
    relevance: RelevanceMap
    prepared: dict[str, Any]  # by method, what its maps of all labels share


@dataclass(frozen=True)
class Panel:
    """Components that the tab shows and hides."""

    box: gr.Column
    explained: gr.State
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
        return [self.box, self.explained, self.method, self.label, self.against, self.picture, self.remarks, *self.card]

    @property
    def card(self) -> list[Any]:
        return [self.go, self.stop, self.verdict, self.curves]


def map_choices() -> list[tuple[str, str]]:
    """What the page calls each map, and its key."""
    return [(row.choice, row.key) for row in METHODS.values()]


def build_panel(settings: Settings) -> Panel:
    """Lay out the panel, hidden. Must be called inside a `gr.Blocks`."""
    with gr.Column(visible=False, elem_id="why") as box:
        with gr.Row(equal_height=True):
            method = gr.Dropdown(map_choices(), label="Map", elem_id="map")
            label = gr.Dropdown([], label="Why this label", elem_id="why-label", min_width=140)
            against = gr.Dropdown([], label="… and not", elem_id="why-not", min_width=140)
        picture = components.picture(
            "picture-map", "Map of what speaks for the label, over the spectrogram", visible=True
        )
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
    return Panel(
        box,
        gr.State(None, time_to_live=settings.kept_s),
        method,
        label,
        against,
        picture,
        remarks,
        go,
        stop,
        verdict,
        curves,
    )


def wire(
    panel: Panel,
    shown: gr.State,
    checkpoints: CheckpointCache,
    settings: Settings,
    after: Sequence[Dependency],
    downloads: gr.Files,
) -> list[Dependency]:
    """Make a map whenever another clip is shown, or another map or label is asked for.

    Args:
        shown: What the tab shows: None, or something with `inspection`, `reference`, `look` and `folder`.
        after: Events that show something else.
        downloads: Where the files of the map join those of the clip.

    Returns:
        The events at the end of which there is another map, in `panel.explained`.
    """

    def start(now: Any, old: Explained | None, asked: str | None) -> Iterator[dict[Any, object]]:
        if now is None:
            yield {**_no_card(panel), panel.box: gr.update(visible=False), panel.explained: None, panel.picture: None}
            return
        if old is not None and old.inspection is now.inspection:  # at most the look has changed
            yield {panel.explained: gr.skip()} if old.look == now.look else draw(now, old.relevance, old.prepared)
            return
        facts = now.inspection.checkpoint
        best = now.inspection.prediction.top(1)[0][0]
        labels = [(one.replace("_", " "), one) for one in facts.labels]
        # A choice between maps stays as it is while clips come and go.
        method = asked if asked is not None and asked in METHODS and old is not None else default_method(facts)
        yield {
            **_no_card(panel),
            panel.box: gr.update(visible=True),
            panel.method: method,
            panel.label: gr.update(choices=labels, value=best, interactive=METHODS[method].needs_label),
            panel.against: gr.update(
                choices=[("nobody else", ""), *labels], value="", interactive=METHODS[method].needs_label
            ),
        }
        yield from make(now, None, method, best, "")

    def change(now: Any, old: Explained | None, method: str, label: str, against: str) -> Iterator[dict[Any, object]]:
        if now is None:
            yield {panel.explained: gr.skip()}
            return
        chosen = METHODS[method].needs_label
        yield {
            **_no_card(panel),
            panel.label: gr.update(interactive=chosen),
            panel.against: gr.update(interactive=chosen),
        }
        yield from make(now, old, method, label, against)

    def make(now: Any, old: Explained | None, method: str, label: str, against: str) -> Iterator[dict[Any, object]]:
        inspection: Inspection = now.inspection
        try:
            loaded = checkpoints.load(now.reference)
            prepared = dict(old.prepared) if old is not None and old.inspection is inspection else {}
            prepare = METHODS[method].prepare
            if prepare is not None and method not in prepared:
                for news in follow(lambda tell: prepare(inspection, loaded, tell)):
                    if isinstance(news, Done):
                        prepared[method] = news.result
                    else:
                        yield {panel.remarks: f"<p>{escape(_progress('Taking parts away', *news))}</p>"}
            relevance = explain(
                inspection,
                loaded,
                method,
                label,
                against if against and against != label else None,
                prepared=prepared.get(method),
            )
        except AstDemoError as error:
            yield {
                panel.remarks: alert(error),
                panel.picture: None,
                panel.explained: None,
            }
            return
        yield draw(now, relevance, prepared)

    def draw(now: Any, relevance: RelevanceMap, prepared: dict[str, Any]) -> dict[Any, object]:
        written = write_map(relevance, now.inspection, files.new_folder(), look=now.look)
        return {
            panel.explained: Explained(now.inspection, now.reference, now.look, relevance, prepared),
            panel.picture: str(written[0]),
            downloads: [*files.files_in(now.folder), *map(str, written)],
            panel.remarks: "".join(f"<p>{escape(text)}</p>" for text in cautions(relevance, now.inspection)),
        }

    def test(now: Explained | None) -> Iterator[dict[Any, object]]:
        if now is None:
            yield {panel.go: gr.skip()}
            return
        yield {panel.go: gr.update(interactive=False), panel.stop: gr.update(interactive=True)}
        idle = {panel.go: gr.update(interactive=True), panel.stop: gr.update(interactive=False)}
        try:
            loaded = checkpoints.load(now.reference)
            for news in follow(lambda tell: measure_trust(now.relevance, now.inspection, loaded, tell)):
                if isinstance(news, Done):
                    curves = files.write_picture(now.look, "trust", figures.trust_figure(news.result, now.look))
                    yield {
                        **idle,
                        panel.verdict: _card(news.result, loaded.facts),
                        panel.curves: gr.update(value=curves, visible=True),
                    }
                else:
                    yield {panel.verdict: f"<p>{escape(_progress('Running the model', *news))}</p>"}
        except AstDemoError as error:
            yield {**idle, panel.verdict: alert(error)}

    hidden: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        **components.pool(components.LONG, settings),
    }
    quiet: dict[str, Any] = {**hidden, "trigger_mode": "always_last"}
    made = [
        event.then(start, [shown, panel.explained, panel.method], [*panel.outputs, downloads], **quiet)
        for event in after
    ]
    asked: list[Any] = [shown, panel.explained, panel.method, panel.label, panel.against]
    made += [
        chooser.input(change, asked, [*panel.outputs, downloads], **quiet)
        for chooser in (panel.method, panel.label, panel.against)
    ]
    running = panel.go.click(test, [panel.explained], panel.card, trigger_mode="once", **hidden)
    panel.stop.click(
        lambda: _no_card(panel) | {panel.verdict: "<p>Stopped.</p>"},
        outputs=panel.card,
        cancels=[running],
        api_visibility="private",
    )
    return made


def _no_card(panel: Panel) -> dict[Any, object]:
    """The card before a map is put to the test."""
    return {
        panel.go: gr.update(interactive=True),
        panel.stop: gr.update(interactive=False),
        panel.verdict: "",
        panel.curves: gr.update(value=None, visible=False),
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
