"""Recordings longer than the input, and a clip in two halves, in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from ast_demo.audio.decoding import SAMPLE_RATE, Waveform, read_audio
from ast_demo.data.samples import list_samples, one_sample_per_label
from ast_demo.explain.listening import split_clip
from ast_demo.explain.maps import RelevanceMap, rollout_map
from ast_demo.explain.methods import default_method, explain
from ast_demo.figures import Look, map_title, time_at_pixel
from ast_demo.inspection.inspection import inspect
from ast_demo.inspection.windows import look_through
from ast_demo.models.loading import default_checkpoint, load_checkpoint
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import waveform

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 60 s: samples one after the other."""
    path = tmp_path_factory.mktemp("recordings") / "a walk.wav"
    clips = [read_audio(sample.path).samples for sample in list_samples()[::5]]
    soundfile.write(path, np.concatenate(clips)[: 60 * SAMPLE_RATE], SAMPLE_RATE, subtype="PCM_16")
    return path


def window_facts(visitor: Visitor) -> tuple[int, int, float, float]:
    """Number of the window that the page shows, of how many, and its seconds."""
    told = re.fullmatch(
        r"(\d+) of (\d+): ([\d.]+)–([\d.]+) s of a recording of 60.00 s", visitor.facts()["window"]
    ).groups()
    return int(told[0]), int(told[1]), float(told[2]), float(told[3])


def assert_scores_of(visitor: Visitor, clip: Waveform) -> None:
    """The page shows what Inspect says of this clip alone."""
    visitor.assert_scores(inspect(clip, load_checkpoint(default_checkpoint())).prediction.top(5))


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_a_minute_has_a_timeline_and_each_window_can_be_inspected(
    size: tuple[int, int], minute: Path, new_visitor: Callable[..., Visitor]
) -> None:
    visitor = new_visitor(*size).open()
    visitor.upload(minute)
    visitor.wait_for_result()
    recording = read_audio(minute)
    timeline = look_through(recording, load_checkpoint(default_checkpoint()))
    n = len(timeline.windows)
    note = visitor.page.locator("#timeline-note")
    expect(note).to_contain_text(f"Mean of {n} windows", timeout=WAIT_MS)
    best, score = timeline.pooled.top(1)[0]
    expect(note).to_contain_text(f"{best.replace('_', ' ')} {score:.0%}")
    expect(visitor.page.locator("#stop-timeline")).to_be_hidden()
    assert window_facts(visitor) == (1, n, 0.0, pytest.approx(timeline.windows[0].end_s, abs=0.006))
    assert_scores_of(visitor, waveform(recording.samples[: round(timeline.windows[0].end_s * SAMPLE_RATE)]))

    # A click on a time shows the window round it.
    before = visitor.source("rollout")
    width, height = visitor.size("timeline")
    look = Look(width // 2)
    x = 0.7 * width
    seconds = time_at_pixel(timeline, look, x)
    visitor.click_picture("timeline", x, height / 3)
    visitor.wait_for_result(instead_of=before)
    number = min(range(n), key=lambda i: abs(timeline.windows[i].start_s + timeline.windows[i].end_s - 2 * seconds))
    window = timeline.windows[number]
    assert window_facts(visitor) == (
        number + 1, n, pytest.approx(window.start_s, abs=0.006), pytest.approx(window.end_s, abs=0.006)
    )  # fmt: skip
    start, stop = round(window.start_s * SAMPLE_RATE), round(window.end_s * SAMPLE_RATE)
    assert_scores_of(visitor, waveform(recording.samples[start:stop]))
    slider = visitor.page.locator("#window input[type=range]")
    expect(slider).to_have_value(str(number + 1))
    expect(note).to_contain_text(f"{window.start_s:.2f}–{window.end_s:.2f} s")

    # The next one, by the keyboard.
    visitor.page.wait_for_timeout(1500)  # nothing may change the slider any more, whatever comes after the pictures
    expect(slider).to_have_value(str(number + 1))
    before = visitor.source("rollout")
    slider.focus()
    slider.press("ArrowRight")
    visitor.wait_for_result(instead_of=before)
    window = timeline.windows[number + 1]
    assert window_facts(visitor)[0] == number + 2
    start, stop = round(window.start_s * SAMPLE_RATE), round(window.end_s * SAMPLE_RATE)
    assert_scores_of(visitor, waveform(recording.samples[start:stop]))
    visitor.click_picture("patch-grid", 300, 200)
    expect(visitor.page.locator("#patch dd").nth(1)).to_be_visible(timeout=WAIT_MS)
    sees = re.search(r"([\d.]+)–([\d.]+) s", visitor.facts("#patch")["sees"])
    assert window.start_s <= float(sees[1]) < float(sees[2]) <= window.end_s + 0.001
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size[0]

    # A clip that fits has no timeline.
    before = visitor.source("rollout")
    visitor.upload(one_sample_per_label()[3].path)
    visitor.wait_for_result(instead_of=before)
    expect(visitor.page.locator("#timeline")).to_be_hidden()
    assert visitor.complaints == []


def test_what_the_chosen_map_keeps_and_what_it_removes_can_be_heard(visitor: Visitor) -> None:
    path = one_sample_per_label()[10].path
    visitor.upload(path)
    visitor.wait_for_result()
    page = visitor.page
    scores = page.locator("#hear-scores table")
    expect(scores).to_be_hidden()
    page.get_by_role("button", name="Hear what the model heard").click()
    expect(scores).to_be_visible(timeout=WAIT_MS)
    checkpoint = load_checkpoint(default_checkpoint())
    inspection = inspect(read_audio(path), checkpoint)

    def assert_shows(relevance: RelevanceMap, keep: float) -> None:
        halves = split_clip(inspection, relevance, checkpoint, keep)
        expect(page.locator("#hear-scores p").first).to_have_text(f"Split by {map_title(relevance)}.", timeout=WAIT_MS)
        for name, half in (("kept", halves.kept), ("removed", halves.removed)):
            link = page.locator(f"#{name} a[download]")
            expect(link).to_have_attribute("download", f"{name}.wav", timeout=WAIT_MS)
            content = page.request.get(link.get_attribute("href")).body()
            samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
            assert rate == SAMPLE_RATE
            np.testing.assert_allclose(samples, half.waveform.samples, atol=1e-5)
        rows = [row.locator("th, td").all_inner_texts() for row in scores.locator("tr").all()]
        assert rows[0] == ["", "the clip", "kept", "removed"]
        for label, *cells in rows[1:]:
            expected = [
                dict(one.prediction.top())[label.replace(" ", "_")] for one in (inspection, halves.kept, halves.removed)
            ]
            assert [float(cell.rstrip("%")) / 100 for cell in cells] == pytest.approx(expected, abs=0.0006)

    first = explain(inspection, checkpoint, default_method(checkpoint.facts))
    assert_shows(first, 0.65)
    before = scores.inner_text()
    page.locator("#keep input[type=range]").focus()
    page.locator("#keep input[type=range]").press("ArrowLeft")
    page.wait_for_function(
        "before => (document.querySelector('#hear-scores table')?.innerText ?? before) !== before",
        arg=before,
        timeout=WAIT_MS,
    )
    assert_shows(first, 0.6)
    # Another map: the halves are those that it makes.
    page.locator("#map input").click()
    page.get_by_role("option", name="Attention rollout", exact=True).click()
    assert_shows(rollout_map(inspection), 0.6)
    # Another clip, while it is unfolded: its halves follow.
    before = scores.inner_text()
    visitor.upload(one_sample_per_label()[7].path)
    page.wait_for_function(
        "before => (document.querySelector('#hear-scores table')?.innerText ?? before) !== before",
        arg=before,
        timeout=WAIT_MS,
    )
    expect(page.locator("#hear-scores th").nth(1)).not_to_have_text("")
