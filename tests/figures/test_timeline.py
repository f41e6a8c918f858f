"""The timeline is read back, from matplotlib's own objects, and held to the scores that it shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle
from PIL import Image

from ast_demo.figures import Look, envelope, time_at_pixel, timeline_figure, to_png
from ast_demo.inspection.windows import Timeline, look_through
from ast_demo.models.loading import load_checkpoint
from tests.clips import melody, waveform
from tests.pictures import pixel_of
from tests.tiny import save_tiny

SECONDS = 3.0
LOOKS = {"wide": Look(900), "phone": Look(326, dark=True)}
Outline = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    checkpoint = load_checkpoint(save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny"))
    return look_through(waveform(melody(SECONDS)), checkpoint)


@pytest.fixture
def outline() -> Outline:
    return envelope(waveform(melody(SECONDS)).samples, Look(), 0, SECONDS)


def test_each_strip_holds_the_scores_of_its_label_at_their_times(timeline: Timeline, outline: Outline) -> None:
    axes = timeline_figure(timeline, outline).axes[0]
    strips = [one for one in axes.collections if isinstance(one, QuadMesh)]
    labels = timeline.top_labels(5)
    assert len(strips) == len(labels) == 5
    texts = [text.get_text() for text in axes.texts]
    pooled = dict(timeline.pooled.top())
    for strip, label, text in zip(strips, labels, texts, strict=True):
        scores = [dict(window.prediction.top())[label] for window in timeline.windows]
        np.testing.assert_allclose(strip.get_array().ravel(), scores)
        assert text == f"{label}: {pooled[label]:.0%} on average, {max(scores):.0%} at most"
        edges = strip.get_coordinates()[0, :, 0]
        assert (edges[0], edges[-1]) == (0, SECONDS)
        for start, stop, window in zip(edges[:-1], edges[1:], timeline.windows, strict=True):
            assert start < (window.start_s + window.end_s) / 2 < stop
    assert strips[0].get_clim() == (0, 1)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_it_keeps_its_size_from_the_first_window_to_the_last(look: Look, timeline: Timeline, outline: Outline) -> None:
    sizes = set()
    for n in (0, 1, 3, len(timeline.windows)):
        so_far = Timeline(timeline.checkpoint, timeline.duration_s, timeline.windows[:n])
        sizes.add(Image.open(io.BytesIO(to_png(timeline_figure(so_far, outline, look), look))).size)
    ((width, _),) = sizes
    assert width == look.width_px * look.scale


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_pixel_is_the_time_that_is_drawn_there(look: Look, timeline: Timeline, outline: Outline) -> None:
    figure = timeline_figure(timeline, outline, look)
    for seconds in (0.0, 0.7, 2.9, SECONDS):
        x, _ = pixel_of(figure, look, seconds, 50)
        assert time_at_pixel(timeline, look, x) == pytest.approx(seconds, abs=1e-6)
    assert time_at_pixel(timeline, look, 0) == 0
    assert time_at_pixel(timeline, look, 1e5) == SECONDS


def test_the_chosen_window_is_marked(timeline: Timeline, outline: Outline) -> None:
    window = timeline.windows[2]
    axes = timeline_figure(timeline, outline, chosen=(window.start_s, window.end_s)).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert {(box.get_x(), round(box.get_x() + box.get_width(), 9)) for box in boxes} == {
        (window.start_s, round(window.end_s, 9))
    }
