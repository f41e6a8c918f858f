"""What a visitor sees stays where it is, has the size of its place, and comes into view when it was asked for."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile
from playwright.sync_api import Browser, expect

from ast_demo.audio import SAMPLE_RATE
from tests.browser.conftest import _FLAGS, _NAMES
from tests.browser.visitor import PICTURES, WAIT_MS, Visitor
from tests.clips import noise, sample_clips
from tests.served import App

pytestmark = pytest.mark.browser

SIZES = pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
_COUNT_SHIFTS = """
    window.shifted = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => { window.shifted += entry.value; })).observe(
        {type: 'layout-shift', buffered: true});
"""


@SIZES
def test_little_moves_while_the_page_loads(size: tuple[int, int], new_visitor: Callable[..., Visitor]) -> None:
    visitor = new_visitor(*size)
    visitor.page.add_init_script(_COUNT_SHIFTS)
    visitor.open()
    expect(visitor.page.locator("#welcome h2")).to_be_visible(timeout=WAIT_MS)
    visitor.page.wait_for_timeout(1500)
    assert visitor.page.evaluate("() => window.shifted") < 0.1


@SIZES
def test_little_moves_when_a_clip_is_shown(size: tuple[int, int], new_visitor: Callable[..., Visitor]) -> None:
    """And nothing under the pointer: the next sample is where it was."""
    visitor = new_visitor(*size)
    page = visitor.page
    page.add_init_script(_COUNT_SHIFTS)
    visitor.open()
    button = page.locator("#samples").get_by_role("button", name="rooster", exact=True)
    button.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    before, _ = button.bounding_box(), page.evaluate("() => { window.shifted = 0; }")
    for _ in range(2):
        shown = visitor.source("rollout")
        button.click()
        visitor.wait_for_result(instead_of=shown)
        expect(page.locator("#map-remarks p").first).to_be_attached(timeout=2 * WAIT_MS)
        page.wait_for_timeout(500)
        assert page.evaluate("() => window.shifted") < 0.1
        assert button.bounding_box() == {key: pytest.approx(value, abs=2) for key, value in before.items()}
        button = page.locator("#samples").get_by_role("button", name="rain", exact=True)
        before = button.bounding_box()


@SIZES
def test_stop_is_where_record_was(size: tuple[int, int], new_visitor: Callable[..., Visitor]) -> None:
    visitor = new_visitor(*size).open()
    clip = visitor.page.locator("#clip")
    record = clip.get_by_role("button", name="Record", exact=True).bounding_box()
    clip.get_by_role("button", name="Record", exact=True).click()
    stop = clip.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible(timeout=WAIT_MS)
    visitor.page.wait_for_timeout(500)
    box = stop.bounding_box()
    assert (box["x"], box["y"]) == pytest.approx((record["x"], record["y"]), abs=4)
    stop.click()
    visitor.wait_for_result()


def is_drawn_for_its_place(visitor: Visitor, name: str) -> bool:
    return visitor.size(name)[0] / 2 == pytest.approx(visitor.picture(name).bounding_box()["width"], abs=1)


def test_pictures_of_a_clip_from_compare_have_the_width_of_their_place(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-file input[type=file]").set_input_files(sample_clips(20)[4])
    expect(page.locator("#compare-columns h2").first).to_be_visible(timeout=WAIT_MS)
    page.locator("#to-inspect").click()
    visitor.wait_for_result()
    assert [name for name in PICTURES if not is_drawn_for_its_place(visitor, name)] == []
    assert visitor.size("rollout")[0] > 1000


def test_another_width_and_another_theme_draw_them_anew(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[4])
    visitor.wait_for_result()
    images = [f"#picture-{name} img" for name in (*PICTURES, "map")]
    visitor.page.wait_for_function(
        f"() => document.querySelector('{images[-1]}')?.naturalWidth > 0", timeout=2 * WAIT_MS
    )
    follow_the_page(visitor, images)


def test_another_width_and_another_theme_draw_a_comparison_anew(visitor: Visitor) -> None:
    """Also where other checkpoints have been chosen meanwhile: the columns are those that were compared."""
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-file input[type=file]").set_input_files(sample_clips(20)[4])
    expect(page.locator("#compare-columns h2")).to_have_count(2, timeout=WAIT_MS)
    sentences = page.locator("#agreement li")  # without the seconds that Gradio shows over it for a moment
    expect(sentences.first).to_be_visible(timeout=WAIT_MS)
    agreement = sentences.all_inner_texts()
    page.locator("#compare-checkpoints .token-remove").last.click()
    images = [f"#compare-{column}-{name} img" for column in (1, 2) for name in PICTURES] + ["#compare-2-difference img"]
    follow_the_page(visitor, images)
    assert sentences.all_inner_texts() == agreement


def follow_the_page(visitor: Visitor, images: list[str]) -> None:
    """Make the page narrower, then dark: each picture is drawn as wide as its place, then dark."""
    page = visitor.page
    page.set_viewport_size({"width": 1100, "height": 900})
    for image in images:
        page.locator(image).scroll_into_view_if_needed()
        page.wait_for_function(
            """selector => {
                const image = document.querySelector(selector);
                return Math.abs(image.naturalWidth / 2 - image.getBoundingClientRect().width) <= 1;
            }""",
            arg=image,
            timeout=WAIT_MS,
        )
    before = {image: page.locator(image).get_attribute("src") for image in images}
    page.emulate_media(color_scheme="dark")
    for image, source in before.items():
        expect(page.locator(image)).not_to_have_attribute("src", source, timeout=WAIT_MS)
        content = page.request.get(page.locator(image).get_attribute("src")).body()
        assert np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"))[0, 0].max() < 64, image


def test_a_chosen_patch_comes_into_view(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[4])
    visitor.wait_for_result()
    visitor.picture("patch-grid").scroll_into_view_if_needed()
    visitor.click_picture("patch-grid", 600, 300)
    expect(visitor.page.locator("#picture-patch-rollout img")).to_be_in_viewport(timeout=WAIT_MS)


WARNED = {
    "silence": (np.zeros(2 * SAMPLE_RATE, np.float32), "silent"),
    "nearly-silence": (noise(2.0) * 1e-4, "silent"),
    "blip": (noise(0.1), "Only 0.1 s of sound: 98% of what"),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_speaks_against_the_scores_stands_above_them(name: str, visitor: Visitor, tmp_path: Path) -> None:
    samples, words = WARNED[name]
    soundfile.write(tmp_path / f"{name}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    visitor.upload(tmp_path / f"{name}.wav")
    visitor.wait_for_result()
    warning = visitor.page.locator("#scores .warning", has_text=words)
    expect(warning).to_contain_text(words, timeout=WAIT_MS)
    expect(warning).to_be_in_viewport()


@pytest.fixture
def refused(chromium: Browser, app: App) -> Iterator[Visitor]:
    """A visitor whose browser gives this page no microphone."""
    path = next(filter(None, map(shutil.which, _NAMES)), chromium.browser_type.executable_path)
    asks_people = [flag for flag in _FLAGS if flag != "--use-fake-ui-for-media-stream"]
    browser = chromium.browser_type.launch(executable_path=path, args=asks_people)
    try:
        yield Visitor(browser.new_context(permissions=[]).new_page(), app.url).open()
    finally:
        browser.close()


def test_without_a_microphone_a_sentence_says_what_to_do(refused: Visitor) -> None:
    page = refused.page
    for _ in range(2):
        page.locator("#clip").get_by_role("button", name="Record", exact=True).click()
        expect(page.locator("#microphone [role=alert]")).to_contain_text(
            "The browser does not let this page use the microphone. Allow it", timeout=WAIT_MS
        )
    refused.upload(sample_clips(20)[4])
    refused.wait_for_result()
    assert refused.complaints == []
