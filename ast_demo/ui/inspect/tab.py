"""The Inspect tab: a clip goes in, and what one checkpoint heard comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from ast_demo import export, figures
from ast_demo.data import sort_labels
from ast_demo.errors import AstDemoError
from ast_demo.explain import split_clip
from ast_demo.figures import Look
from ast_demo.inspection import Inspection, PatchInspection, cut_window, inspect, inspect_patch
from ast_demo.models import CheckpointCache, default_checkpoint
from ast_demo.settings import Settings
from ast_demo.ui import components, files, html
from ast_demo.ui.inspect import explain, hear, timeline
from ast_demo.ui.inspect import facts as facts_of
from ast_demo.ui.messages import alert

_ALT = {
    "waveform": "Waveform of the clip over time",
    "spectrogram": "Normalised log-mel spectrogram, as the model was fed it",
    "patch_grid": "The spectrogram cut into the model's patches; click one to look from it",
    "rollout": "Attention rollout over the spectrogram; click a patch to look from it",
}


@dataclass(frozen=True)
class InspectTab(components.Tab):
    """What the page needs of the tab."""

    label: gr.Dropdown  # what the clip is
    add: gr.Button  # adds it to an evaluation
    arrived: Dependency  # the event at the end of which another clip is shown


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows now."""

    clip: str  # path of the recording
    inspection: Inspection
    reference: str  # what the checkpoint was asked for by
    look: Look
    folder: Path  # the files behind the pictures and downloads
    patch: PatchInspection | None = None


def build_tab(checkpoints: CheckpointCache, settings: Settings) -> InspectTab:
    """Lay out the tab and wire its events. Must be called inside a `gr.Blocks`."""
    shown = gr.State(
        None, time_to_live=settings.kept_s, delete_callback=lambda old: files.forget(old.folder if old else None)
    )
    browser = gr.JSON(visible=False)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300, elem_classes="side"):
            clip = components.clip_input("")
            message = gr.HTML(elem_id="message", elem_classes="message")
            scores = gr.HTML(html.scores_table([]), elem_id="scores")
            components.sample_buttons(clip, "samples")
            checkpoint = gr.Dropdown(
                components.checkpoint_choices(settings),
                value=default_checkpoint(),
                label="Checkpoint",
                info=components.other_checkpoints(settings),
                allow_custom_value=True,
                elem_id="checkpoint",
            )
            to_compare = gr.Button("Compare checkpoints on this clip", size="sm", elem_id="to-compare")
            with gr.Accordion("Add this clip to an evaluation", open=False, elem_id="add"):
                label = gr.Dropdown(
                    [], value=None, label="What it really is", allow_custom_value=True, elem_id="add-label"
                )
                add = gr.Button("Add it", size="sm", elem_id="add-go")
        with gr.Column(scale=3, min_width=300, elem_id="pictures"):
            welcome = gr.HTML(_WELCOME, elem_id="welcome")
            along = timeline.build_panel(settings)
            pictures = {}
            for name, alt in _ALT.items():
                if name == "rollout":  # what speaks for the label comes first
                    why = explain.build_panel(settings)
                pictures[name] = components.picture(f"picture-{name.replace('_', '-')}", alt)
            with gr.Column(visible=False, elem_id="controls") as controls:
                with gr.Row(equal_height=True):
                    depth = gr.Slider(
                        1, 12, step=1, label="Depth: layers of the rollout", elem_id="depth", min_width=260
                    )
                    zoom = gr.Checkbox(label="Zoom to the clip", elem_id="zoom", min_width=160)
                gr.HTML(_CAUTION, elem_classes="caution")
            with gr.Column(visible=False, elem_id="patch") as patch_panel:
                patch_facts = gr.HTML()
                patch_rollout = components.picture(
                    "picture-patch-rollout", "Attention rollout that starts from the chosen patch", visible=True
                )
                patch_attention = components.picture(
                    "picture-patch-attention", "What the chosen patch attends to in one layer", visible=True
                )
                close_patch = gr.Button("Close the patch", size="sm")
            halves = hear.build_panel()
            with gr.Accordion("What the model was fed", open=True, visible=False, elem_id="facts") as facts_panel:
                facts = gr.HTML()
            with gr.Accordion("Downloads", open=False, visible=False, elem_id="downloads") as downloads_panel:
                downloads = gr.Files(interactive=False, show_label=False)

    results: list[Component] = [shown, message, scores, welcome, *pictures.values(), controls, depth, zoom, label]
    results += [patch_panel, facts_panel, facts, downloads_panel, downloads, *halves.outputs, *along.outputs]

    def clear(error: AstDemoError | None = None) -> dict[Component, object]:
        values: dict[Component, object] = dict.fromkeys(results, gr.update(visible=False))
        values |= {**timeline.hide(along), **hear.show(halves, visible=False)}
        complaint = alert(error) if error else ""
        return values | {
            shown: None,
            message: gr.update(value=complaint, visible=True),
            scores: gr.update(value=html.scores_table([]), visible=True),
            welcome: gr.update(visible=True),
            depth: gr.skip(),
            zoom: gr.skip(),
            label: gr.update(value=None),
            facts: "",
            downloads: None,
        }

    def fill(new: Shown, recording: timeline.Recording | None) -> dict[Component, object]:
        checkpoint_of, notes = new.inspection.checkpoint, new.inspection.notes
        return {
            shown: new,
            message: "".join(f"<p>{escape(note)}</p>" for note in notes),
            scores: html.scores_table(new.inspection.prediction.top(5), html.activation_note(checkpoint_of)),
            welcome: gr.update(visible=False),
            **{picture: gr.update(value=path, visible=path is not None) for picture, path in _pictures_of(new)},
            controls: gr.update(visible=True),
            depth: gr.update(maximum=checkpoint_of.n_layers, value=checkpoint_of.n_layers),
            label: gr.update(choices=list(sort_labels(checkpoint_of.labels)), value=None),
            patch_panel: gr.update(visible=False),
            facts_panel: gr.update(visible=True),
            facts: facts_of.facts_table(new.inspection, timeline.describe_shown(recording) if recording else ""),
            downloads_panel: gr.update(visible=True),
            downloads: files.files_in(new.folder),
            **hear.show(halves, visible=True),
        }

    def _pictures_of(new: Shown) -> list[tuple[Component, str | None]]:
        """A checkpoint without a patch grid has neither a spectrogram nor patches to show."""
        paths = {name: new.folder / f"{name}.png" for name in pictures}
        return [(pictures[name], str(path) if path.is_file() else None) for name, path in paths.items()]

    def show(
        path: str | None,
        reference: str | None,
        seen_by: dict | None,
        zoomed: bool,
        old: Shown | None,
        recording: timeline.Recording | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[dict[Component, object]]:
        reference = reference or default_checkpoint()
        unchanged: dict[Component, object] = {shown: gr.skip()}
        if old is not None and (path, reference) == (old.clip, old.reference):
            yield unchanged  # the list of checkpoints has come from the Hub, and the choice is the same
            return
        timeline.leave(recording)
        try:
            if path is None:
                yield clear()
                return
            progress(0.1, "Reading the recording")
            whole = components.read_clip(path, settings)
            yield unchanged  # here, and below, the work ends where the visitor has left
            progress(0.3, "Loading the checkpoint")
            loaded = checkpoints.load(reference)
            yield unchanged
            progress(0.6, "Running the model")
            inspection = inspect(cut_window(whole, loaded, 0), loaded)
            yield unchanged
            progress(0.8, "Drawing")
            new = _draw_into_folder(path, inspection, reference, components.look(seen_by, zoom=zoomed))
            panel = timeline.begin(along, whole, inspection, loaded, new.look)
            yield {**fill(new, panel[along.recording]), **panel}
        except AstDemoError as error:
            yield clear(error)
        finally:
            files.forget(old.folder if old else None)

    def show_window(now: Shown | None, recording: timeline.Recording | None, number: int) -> dict[Component, object]:
        """Inspect another window of the recording, by its place."""
        if now is None or recording is None:
            return {shown: gr.skip()}
        timeline.leave(recording)  # it goes on from there once the other window is shown
        try:
            loaded = checkpoints.load(now.reference)
            whole = components.read_clip(now.clip, settings)
            inspection = inspect(cut_window(whole, loaded, recording.starts[number]), loaded)
            panel = timeline.choose(along, recording, number)
            new = _draw_into_folder(now.clip, inspection, now.reference, now.look)
            return {**fill(new, panel[along.recording]), **panel}
        except AstDemoError as error:
            return clear(error)
        finally:
            files.forget(now.folder)

    def slide(now: Shown | None, recording: timeline.Recording | None, number: float) -> dict[Component, object]:
        return show_window(now, recording, round(number) - 1)

    def click_timeline(
        now: Shown | None, recording: timeline.Recording | None, event: gr.SelectData
    ) -> dict[Component, object]:
        return show_window(now, recording, timeline.window_under(recording, event.index[0]) if recording else 0)

    def follow(now: Shown | None, recording: timeline.Recording | None) -> Iterator[dict[Component, object]]:
        if now is None or recording is None:
            yield {along.note: gr.skip()}
            return
        try:
            loaded = checkpoints.load(now.reference)
            yield from timeline.follow(along, now.clip, recording, loaded, settings)
        except AstDemoError as error:
            yield {along.note: alert(error)}

    def split(now: Shown | None, explained: explain.Explained | None, keep: float) -> dict[Component, object]:
        if now is None:
            return {halves.scores: gr.skip()}
        if explained is None or explained.inspection is not now.inspection:
            return {halves.scores: "<p>There is no map yet to split the clip by.</p>"}
        try:
            loaded = checkpoints.load(now.reference)
            parted = split_clip(now.inspection, explained.relevance, loaded, keep / 100)
        except AstDemoError as error:
            return {halves.scores: alert(error)}
        return hear.fill(halves, now.inspection, parted, now.look)

    def split_if_open(
        now: Shown | None, explained: explain.Explained | None, keep: float, is_open: bool
    ) -> dict[Component, object]:
        return split(now, explained, keep) if is_open else {halves.scores: gr.skip()}

    def redraw(now: Shown | None, layers: int, zoomed: bool) -> dict[Component, object]:
        if now is None or now.look.zoom == zoomed:
            return {shown: gr.skip()}
        new = _draw_into_folder(now.clip, now.inspection, now.reference, replace(now.look, zoom=zoomed))
        files.forget(now.folder)
        return {
            shown: new,
            downloads: files.files_in(new.folder),
            patch_panel: gr.update(visible=False),
            **dict(_pictures_of(new)),
            **change_depth(new, layers),
        }

    def change_depth(now: Shown | None, layers: int) -> dict[Component, object]:
        if now is None:
            return {shown: gr.skip()}
        picture = figures.rollout_figure(now.inspection, now.look, layers)
        return {
            pictures["rollout"]: files.write_picture(now.look, "rollout", picture),
            **draw_patch(now, layers),
        }

    def choose_patch(now: Shown | None, layers: int, event: gr.SelectData) -> dict[Component, object]:
        if now is None:
            return {shown: gr.skip()}
        if now.inspection.checkpoint.grid is None:
            gr.Info("This checkpoint has no patches to choose from.")
            return {shown: gr.skip()}
        x, y = event.index
        where = figures.patch_at_pixel(now.inspection, now.look, x, y)
        if where is None:
            return {shown: gr.skip()}
        patch = inspect_patch(now.inspection, checkpoints.load(now.reference), *where)
        new = replace(now, patch=patch)
        return {
            shown: new,
            patch_panel: gr.update(visible=True),
            patch_facts: facts_of.patch_facts(new.inspection, patch),
            pictures["patch_grid"]: files.write_picture(
                new.look, "patch_grid", figures.patch_grid_figure(new.inspection, new.look, where)
            ),
            **draw_patch(new, layers),
        }

    def draw_patch(now: Shown, layers: int) -> dict[Component, object]:
        if now.patch is None:
            return {}
        rollout = figures.rollout_figure(now.inspection, now.look, layers, now.patch)
        attention = figures.attention_figure(now.inspection, now.patch, now.look, layers)
        return {
            patch_rollout: files.write_picture(now.look, "patch_rollout", rollout),
            patch_attention: files.write_picture(now.look, "patch_attention", attention),
        }

    def close(now: Shown | None) -> dict[Component, object]:
        if now is None:
            return {shown: gr.skip()}
        grid = files.write_picture(now.look, "patch_grid", figures.patch_grid_figure(now.inspection, now.look))
        return {shown: replace(now, patch=None), patch_panel: gr.update(visible=False), pictures["patch_grid"]: grid}

    pool = components.pool(components.MODEL, settings)
    busy: dict[str, Any] = {
        **pool,
        "show_progress_on": [scores, message],
        "trigger_mode": "always_last",
        "api_visibility": "private",
    }
    run = gr.on(  # one event for both, so that a visitor's runs follow one another
        [clip.change, checkpoint.change],
        show,
        [clip, checkpoint, browser, zoom, shown, along.recording],
        results,
        js=f"(clip, checkpoint, browser, ...rest) => [clip, checkpoint, {components.LOOK_OF_BROWSER}, ...rest]",
        **busy,
    )
    slid = along.window.input(slide, [shown, along.recording, along.window], results, **busy)
    clicked = along.picture.select(click_timeline, [shown, along.recording], results, **busy)
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
    patch = [patch_panel, patch_facts, patch_rollout, patch_attention]
    zoomed = zoom.change(redraw, [shown, depth, zoom], [shown, *pictures.values(), patch_panel, downloads], **quiet)
    depth.input(change_depth, [shown, depth], [shown, pictures["rollout"], *patch], **quiet)
    mapped = explain.wire(why, shown, checkpoints, settings, [run, slid, clicked, zoomed], downloads)
    for name in ("patch_grid", "rollout"):
        pictures[name].select(choose_patch, [shown, depth], [shown, pictures["patch_grid"], *patch], **quiet, **pool)
    close_patch.click(close, [shown], [shown, patch_panel, pictures["patch_grid"]], **quiet)
    for arrived in (run, slid, clicked):
        arrived.then(
            follow, [shown, along.recording], along.outputs, **quiet, **components.pool(components.LONG, settings)
        )
    for made in mapped:
        made.then(split_if_open, [shown, why.explained, halves.keep, halves.is_open], halves.outputs, **quiet, **pool)
    along.stop.click(timeline.stop, [along.recording], [along.stop], show_progress="hidden", api_visibility="private")
    for listen in (halves.accordion.expand, halves.keep.change):
        listen(
            split,
            [shown, why.explained, halves.keep],
            halves.outputs,
            show_progress_on=[halves.scores],
            api_visibility="private",
            **pool,
        )
    return InspectTab(clip, checkpoint, to_compare, label, add, run)


def _draw_into_folder(clip: str, inspection: Inspection, reference: str, look: Look) -> Shown:
    folder = files.result_folder()
    export.write_inspection(inspection, folder, export.draw(inspection, look))
    return Shown(clip, inspection, reference, look, folder)


_WELCOME = """
<h2>See what the model hears</h2>
<p>Press <b>Record</b>, say a digit from zero to nine, press <b>Stop</b>. Or drop a file, or pick a sample.</p>
<p>You will see the scores, the waveform, the spectrogram that the model is really fed, the patches that it cuts it
into, and where its attention flowed.</p>
"""
_CAUTION = """
<p>Rollout shows where information flowed, not why a label won: it is the same for every label. Click a patch to look
from there.</p>
"""
