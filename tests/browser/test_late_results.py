"""What takes a while comes too late once something else was asked for: then it is not shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from ast_demo.audio import SAMPLE_RATE, read_audio
from ast_demo.data import list_samples
from ast_demo.models import shipped_names
from tests.browser.visitor import WAIT_MS, Visitor

pytestmark = pytest.mark.browser

# Every text that comes to stand on the page from now on, in the order in which it came, by the places where results are
# shown; a place that is hidden now may come later, so the whole page is watched.
_RECORD = """() => {
    const places = ['trust-verdict', 'map-remarks', 'timeline-note', 'hear-scores', 'patch', 'scores', 'message'];
    // Not the time that Gradio counts over what is being computed.
    const text = place => [...(document.getElementById(place)?.querySelectorAll('.prose') ?? [])].map(
        one => one.innerText).join(' ').trim();
    const last = Object.fromEntries(places.map(place => [place, text(place)]));
    window.told = Object.fromEntries(places.map(place => [place, []]));
    new MutationObserver(() => {
        for (const place of places)
            if (text(place) !== last[place]) window.told[place].push(last[place] = text(place));
    }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def sample(visitor: Visitor, label: str) -> None:
    visitor.page.locator("#samples").get_by_role("button", name=label, exact=True).click()


def wait_for_map(visitor: Visitor) -> None:
    visitor.page.wait_for_function(
        "() => document.querySelector('#picture-map img')?.naturalWidth > 0", timeout=2 * WAIT_MS
    )


def choose(visitor: Visitor, box: str, option: str) -> None:
    visitor.page.locator(f"{box} input").click()
    visitor.page.get_by_role("option", name=option, exact=True).click()


def another_clip(visitor: Visitor) -> None:
    """Show it; what else changes the rollout meanwhile is not taken for it."""
    sample(visitor, "rooster")
    expect(visitor.page.locator("#scores li").first).to_contain_text("rooster", timeout=WAIT_MS)
    visitor.wait_for_result()


def another_checkpoint(visitor: Visitor) -> None:
    before = visitor.source("rollout")
    visitor.choose_checkpoint(next(name for name in shipped_names() if name != checkpoint(visitor)))
    visitor.wait_for_result(instead_of=before)


def another_map(visitor: Visitor) -> None:
    choose(visitor, "#map", "Random (no model)")
    expect(visitor.page.locator("#map-remarks")).to_contain_text("Chance alone", timeout=3 * WAIT_MS)


def another_label(visitor: Visitor) -> None:
    before = visitor.source("map")
    choose(visitor, "#why-label", "dog bark")
    visitor.page.wait_for_function(
        "before => ![before, ''].includes(document.querySelector('#picture-map img')?.getAttribute('src') ?? '')",
        arg=before,
        timeout=WAIT_MS,
    )


def checkpoint(visitor: Visitor) -> str:
    return visitor.page.get_by_label("Checkpoint", exact=True).input_value()


CHANGES = (another_clip, another_checkpoint, another_map, another_label)


@pytest.mark.parametrize("change", CHANGES)
def test_a_card_is_not_shown_under_anything_but_its_own_map(
    change: Callable[[Visitor], None], visitor: Visitor
) -> None:
    page = visitor.page
    # A sample that is chosen already is no change: so another one each time.
    for number, (delay_ms, label) in enumerate(((300, "helicopter"), (700, "rain"), (1200, "helicopter"))):
        before = visitor.source("map")
        sample(visitor, label)
        expect(page.locator("#scores li").first).to_contain_text(label, timeout=WAIT_MS)
        page.wait_for_function(
            "before => ![before, ''].includes(document.querySelector('#picture-map img')?.getAttribute('src') ?? '')",
            arg=before,
            timeout=2 * WAIT_MS,
        )
        if number and change is another_map:
            choose(visitor, "#map", "Perturbation")
            expect(page.locator("#map-remarks")).to_contain_text("Windows of half a second", timeout=2 * WAIT_MS)
        if not number:
            page.get_by_role("button", name="How far can you trust this map?").click()
        page.locator("#trust-go").click()
        page.wait_for_timeout(delay_ms)
        change(visitor)
        expect(page.locator("#trust-verdict")).to_have_text("")
        page.evaluate(_RECORD)
        page.wait_for_timeout(3000)  # until the test of the other map would be done
        told = page.evaluate("() => window.told['trust-verdict']")
        assert [text for text in told if text.strip()] == [], delay_ms
        expect(page.locator("#picture-trust img")).to_have_count(0)
        expect(page.locator("#trust-go")).to_be_enabled()


def test_the_map_of_another_clip_or_method_does_not_come_after_all(visitor: Visitor) -> None:
    page = visitor.page
    for delay_ms in (0, 300, 700):
        sample(visitor, "helicopter")
        expect(page.locator("#scores li").first).to_contain_text("helicopter", timeout=WAIT_MS)
        page.wait_for_timeout(delay_ms)  # a perturbation map is being made
        choose(visitor, "#map", "Energy (no model)")
        expect(page.locator("#map-remarks")).to_contain_text("Loudness alone", timeout=3 * WAIT_MS)
        page.evaluate(_RECORD)
        page.wait_for_timeout(2500)
        assert page.evaluate("() => window.told['map-remarks']") == [], delay_ms
        choose(visitor, "#map", "Perturbation")
        another_clip(visitor)
        wait_for_map(visitor)


def test_a_patch_and_a_depth_of_the_last_clip_do_not_replace_the_new_one(visitor: Visitor) -> None:
    page = visitor.page
    for delay_ms in (0, 100, 300):
        sample(visitor, "helicopter")
        expect(page.locator("#scores li").first).to_contain_text("helicopter", timeout=WAIT_MS)
        visitor.wait_for_result()
        page.locator("#depth input[type=range]").fill("2")
        visitor.click_picture("patch-grid", 600, 300)
        page.wait_for_timeout(delay_ms)
        another_clip(visitor)
        page.wait_for_timeout(2000)
        expect(page.locator("#patch")).to_be_hidden()
        shown = visitor.pixels("rollout")
        # What is drawn from now on is of the new clip: the whole of it, at all depths.
        before = visitor.source("rollout")
        page.get_by_label("Zoom to the clip").check()
        visitor.wait_for_result(instead_of=before)
        before = visitor.source("rollout")
        page.get_by_label("Zoom to the clip").uncheck()
        visitor.wait_for_result(instead_of=before)
        np.testing.assert_array_equal(visitor.pixels("rollout"), shown)


def test_the_halves_and_the_windows_of_the_last_clip_do_not_come_after_all(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    path = tmp_path / "a walk.wav"
    clips = [read_audio(one.path).samples for one in list_samples()[::5]]
    soundfile.write(path, np.concatenate(clips)[: 60 * SAMPLE_RATE], SAMPLE_RATE, subtype="PCM_16")
    for delay_ms in (300, 1200):
        visitor.upload(path)
        expect(page.locator("#timeline")).to_be_visible(timeout=WAIT_MS)
        page.wait_for_timeout(delay_ms)
        another_clip(visitor)
        expect(page.locator("#timeline")).to_be_hidden()
        page.wait_for_timeout(1500)
        expect(page.locator("#timeline")).to_be_hidden()
        assert "window" not in visitor.facts()
    wait_for_map(visitor)
    page.get_by_role("button", name="Hear what the model heard").click()
    for delay_ms in (0, 300):
        page.wait_for_timeout(delay_ms)
        page.locator("#keep input[type=range]").fill(str(50 + delay_ms // 10))
        choose(visitor, "#map", "Energy (no model)" if delay_ms else "Random (no model)")
        title = "Energy" if delay_ms else "Random"
        expect(page.locator("#hear-scores p").first).to_contain_text(f"Split by {title}", timeout=WAIT_MS)
        page.wait_for_timeout(1500)
        expect(page.locator("#hear-scores p").first).to_contain_text(f"Split by {title}")
