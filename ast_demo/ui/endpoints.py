"""The page for programs: `inspect`, `compare` and `evaluate`, for `gradio_client` and as tools over MCP.

Each takes the path that the tab of the same name takes, and answers with what the command line prints as JSON.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ast_demo.audio import list_names
from ast_demo.data import read_labelled_clips_of_visitor
from ast_demo.errors import AudioError
from ast_demo.evaluation import Evaluation
from ast_demo.evaluation import evaluate as evaluate_clips
from ast_demo.explain import report_clip
from ast_demo.export import summarise_comparison, summarise_report
from ast_demo.inspection import Comparison
from ast_demo.models import CheckpointCache, default_checkpoint, shipped_names
from ast_demo.settings import Settings
from ast_demo.ui import components, files
from ast_demo.ui.background import Done, follow
from ast_demo.ui.compare.events import follow_comparison
from ast_demo.ui.evaluate import running
from ast_demo.ui.messages import sentence


@dataclass(frozen=True)
class Endpoints:
    """What programs may call. The names, the annotations and the texts below are what they read of it."""

    checkpoints: CheckpointCache
    settings: Settings

    def inspect(self, clip: str | None, checkpoint: str) -> Iterator[dict[str, Any]]:
        """Classify a recording with an audio classifier, and tell what the model was fed.

        Args:
            clip: The recording, of any usual kind, video included.
            checkpoint: Name of a shipped checkpoint, or the id of an audio classifier on the Hugging Face Hub.

        Returns:
            While a recording longer than the input is heard, `progress`. At last all labels with their scores, best first,
            under `predictions`, those of each window under `windows`, their mean under `pooled`, and the facts of the input.
        """
        recording = components.read_clip(_given(clip), self.settings)
        loaded = self.checkpoints.load(checkpoint or default_checkpoint())
        for news in follow(lambda tell: report_clip(recording, loaded, progress=lambda what: tell)):
            if isinstance(news, Done):
                yield summarise_report(news.result)
            else:
                yield {"progress": "{} of {} windows".format(*news)}

    def compare(self, clip: str | None, chosen: list[str]) -> Iterator[dict[str, Any]]:
        """Classify a recording with two to four audio classifiers, and tell where they agree.

        Args:
            clip: The recording, as for `inspect`.
            chosen: Two to four checkpoints, each as for `inspect`.

        Returns:
            While it runs, `progress`. At last, what `inspect` tells of each under `inspections`, those that failed under
            `failures`, and `agreement`.
        """
        waveform = components.read_clip(_given(clip), self.settings)
        for news in follow_comparison(waveform, chosen, self.checkpoints):
            if isinstance(news, Comparison):
                yield summarise_comparison(news)
            else:
                yield {"progress": f"{news} of {len(chosen)} checkpoints"}

    def evaluate(self, archive: str | None = None, chosen: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Measure how well one to four audio classifiers do on labelled recordings.

        Args:
            archive: A ZIP with a folder of recordings for each label; without one, the shipped samples.
            chosen: One to four checkpoints, each as for `inspect`.

        Returns:
            While it runs, `progress`. At last, for each checkpoint its metrics under `checkpoints`, for every two
            whether one is better under `comparisons`, and the clips that could not be read under `unreadable`.
        """
        clips = read_labelled_clips_of_visitor("samples", archive, self.settings)

        def run(tell: Callable[[int, int], None]) -> Evaluation:
            folder = files.result_folder()
            try:
                return evaluate_clips(
                    clips, chosen, self.checkpoints.load, folder, max_clip_s=self.settings.max_clip_s, progress=tell
                )
            finally:  # here, as who hangs up leaves before the work has noticed, which would make the folder again
                shutil.rmtree(folder, ignore_errors=True)

        for news in running.follow_evaluation(run):
            yield _summary(news) if isinstance(news, Evaluation) else {"progress": news}


def add_endpoints(checkpoints: CheckpointCache, settings: Settings) -> None:
    """Add the three to a page. Must be called inside a `gr.Blocks`."""
    call, shipped = Endpoints(checkpoints, settings), shipped_names()
    with gr.Row(visible=False):
        clip = gr.File(label="Recording")
        archive = gr.File(label="ZIP with a folder for each label")
        one = gr.Textbox(default_checkpoint(), label="Checkpoint")
        several = gr.Dropdown(
            shipped, value=shipped[:2], multiselect=True, allow_custom_value=True, label="Checkpoints"
        )
        answer = gr.JSON()
        bell = gr.Button()
    long, model, evaluation = (
        components.pool(kind, settings) for kind in (components.LONG, components.MODEL, components.EVALUATION)
    )
    bell.click(call.inspect, [clip, one], [answer], api_name="inspect", **long)
    bell.click(call.compare, [clip, several], [answer], api_name="compare", **model)
    bell.click(call.evaluate, [archive, several], [answer], api_name="evaluate", **evaluation)


def _given(clip: str | None) -> str:
    if clip is None:
        raise AudioError(f"No recording was given. Expected {list_names()}.")
    return clip


def _summary(result: Evaluation) -> dict[str, Any]:
    return {
        "checkpoints": dict(result.metrics),
        "comparisons": list(result.comparisons),
        "unreadable": {name: sentence(reason) for name, reason in result.unreadable.items()},
    }
