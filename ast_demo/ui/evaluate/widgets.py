"""The components of the Evaluate tab, laid out."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.accessibility import answer_for_ears
from ast_demo.ui.evaluate import data_choice
from ast_demo.ui.evaluate.mistakes import MistakeList, build_list


@dataclass(frozen=True)
class Widgets:
    """All that events of the tab read and fill.

    Attributes:
        run: What this visitor evaluates, see `running.Run`.
        answer: What a screen reader speaks.
    """

    run: gr.State
    data: data_choice.DataControls
    chosen: gr.Dropdown
    explain_all: gr.Checkbox
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    answer: gr.HTML
    results: gr.Column
    metrics: gr.HTML
    explore: gr.Button
    spotlight: gr.HTML
    mistakes: MistakeList
    labels: gr.HTML
    confusion: gr.Gallery
    downloads: gr.Files


def lay_out(settings: Settings) -> Widgets:
    """Must be called inside a `gr.Blocks`."""
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
    answer = answer_for_ears("evaluate-answer")
    with gr.Column(visible=False, elem_id="evaluate-results") as results:
        metrics = gr.HTML(elem_id="evaluate-metrics")
        explore = gr.Button("Explore in Spotlight", variant="primary", size="sm", elem_id="explore")
        spotlight = gr.HTML(elem_id="spotlight")
        mistakes = build_list()
        labels = gr.HTML(elem_id="evaluate-labels")
        confusion = gr.Gallery(
            label="Confusion and reliability",
            columns=2,
            object_fit="contain",
            height="auto",
            buttons=["download", "fullscreen"],
            elem_id="confusion",
        )
        with gr.Accordion("Downloads", open=False):
            downloads = gr.Files(interactive=False, show_label=False, elem_id="evaluate-downloads")
    return Widgets(
        run, data, chosen, explain_all, go, stop, status, answer, results, metrics, explore, spotlight, mistakes,
        labels, confusion, downloads,
    )  # fmt: skip
