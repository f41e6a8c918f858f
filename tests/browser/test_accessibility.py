"""For those who cannot see the page or have no mouse, in a real browser: axe-core's rules, what is spoken, where focus is."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio
import pytest
from playwright.sync_api import Page, expect

from ast_demo.models import default_checkpoint
from ast_demo.ui.accessibility import WORDS
from tests.browser.test_evaluate import pack, start_evaluation
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import SAMPLES

pytestmark = pytest.mark.browser

_AXE = find_spec("axe_playwright_python")
needs_axe = pytest.mark.skipif(_AXE is None, reason="axe-core is not installed: pip install -r requirements-dev.txt")
ROOSTER = next((SAMPLES / "rooster").glob("*.ogg"))
# Remembers every text of a live region, however short a time it stands there.
_LISTEN = """() => {
    window.spoken = [];
    new MutationObserver(changes => {
        for (const {target} of changes) {
            const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
            const region = element?.closest('[aria-live], [role=status], [role=alert]');
            const text = region?.textContent.trim();
            if (text && window.spoken.at(-1) !== text) window.spoken.push(text);
        }
    }).observe(document.documentElement, {subtree: true, childList: true, characterData: true});
}"""
_HAS_FOCUS = "() => document.activeElement?.closest('[id]')?.id ?? ''"


def faults(page: Page, of: str) -> list[str]:
    """What axe-core finds that is serious or worse, a line each."""
    page.evaluate((Path(_AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{of}: {rule['id']} at {node['target']}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def unfold(page: Page, where: str) -> None:
    folded = page.locator(f"{where} button.label-wrap:not(.open):visible")
    while folded.count():
        folded.first.click()
        page.wait_for_timeout(300)


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(new_visitor: Callable[..., Visitor], tmp_path: Path, theme: str) -> None:
    visitor = new_visitor().open(f"/?__theme={theme}")
    page = visitor.page
    page.wait_for_timeout(1000)
    found = faults(page, "Inspect, empty")
    visitor.upload(ROOSTER)
    visitor.wait_for_result()
    unfold(page, ".tabitem")
    page.wait_for_timeout(2000)
    found += faults(page, "Inspect, full")

    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-samples button").first.click()
    expect(page.locator("#agreement h2")).to_be_visible(timeout=WAIT_MS)
    unfold(page, ".tabitem")
    page.locator("#compare-go").hover()
    found += faults(page, "Compare")

    page.get_by_role("tab", name="Evaluate").click()
    found += faults(page, "Evaluate, empty")
    start_evaluation(visitor, pack(tmp_path / "clips.zip", {"rain": "rooster", "7": "7"}), "sounds-and-digits-16-16")
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    page.locator("#mistakes .cell-wrap:visible", has_text=".ogg").first.click()
    expect(page.locator("#mistake")).to_be_visible(timeout=WAIT_MS)
    unfold(page, ".tabitem")
    page.locator("#explore").hover()
    found += faults(page, "Evaluate, full")
    page.get_by_role("tab", name="How to read this").click()
    page.wait_for_timeout(500)
    found += faults(page, "guide")
    assert not found, "\n".join(found)


def test_the_answer_is_spoken_in_words(new_visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = new_visitor()
    page = visitor.page
    visitor.open()
    page.evaluate(_LISTEN)
    visitor.upload(ROOSTER)
    visitor.wait_for_result()
    (label, score), *_ = visitor.scores()
    best = f"{default_checkpoint()} heard: {label} {score:.1%}, "
    expect(page.locator("#answer")).to_contain_text(best, timeout=WAIT_MS)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-samples button").first.click()
    expect(page.locator("#agreement h2")).to_be_visible(timeout=WAIT_MS)
    start_evaluation(visitor, pack(tmp_path / "clips.zip", {"rain": "rooster", "7": "7"}), "sounds-and-digits-16-16")
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(6000)  # Gradio speaks of its own status every five seconds
    spoken = page.evaluate("() => window.spoken")
    agreement = page.locator("#agreement li").first.text_content()
    assert any(text.startswith(best) for text in spoken), spoken
    assert any(agreement in text for text in spoken), spoken
    assert any(text.startswith("Evaluated 4 clips. sounds-and-digits-16-16: accuracy") for text in spoken), spoken
    assert not [text for text in spoken if re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", text)], "a key, for want of words"


def test_what_we_give_words_for_gradio_asks_for_and_has_none(visitor: Visitor) -> None:
    """Of the texts that its page looks up, each of ours is one that it would show, or speak, as a key."""
    assets = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
    asked: set[str] = set()
    for file in assets.glob("*.js"):
        text = file.read_text(encoding="utf-8", errors="replace")
        asked |= set(re.findall(r"i18n\)?\(?\)?\([`\"']([A-Za-z0-9_]+\.[A-Za-z0-9_]+)[`\"']\)", text))
    assert len(asked) > 50, "Gradio looks its words up in another way now"
    (english,) = assets.glob("en-*.js")
    known: dict[str, Any] = visitor.page.evaluate(
        """name => import(`/assets/${name}`).then(words => Object.fromEntries(
            Object.entries(words).map(([group, texts]) => [group, Object.keys(Object(texts))])))""",
        english.name,
    )
    assert known["common"]
    missing = {key for key in asked if key.partition(".")[2] not in known.get(key.partition(".")[0], ())}
    assert set(WORDS) <= missing, "Gradio has words for it now: ours can go"


def test_focus_stays_where_a_visitor_has_put_it(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.get_by_label("Checkpoint", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(400)
    assert page.evaluate(_HAS_FOCUS) == "checkpoint"
    expect(page.locator("ul.options:visible")).to_have_count(0)  # to have the focus is not to be opened
    page.keyboard.press("Tab")
    assert page.evaluate(_HAS_FOCUS) not in ("", "checkpoint")

    start_evaluation(visitor, pack(tmp_path / "clips.zip", {"rain": "rooster", "7": "7"}), "sounds-and-digits-16-16")
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    page.locator("#evaluate-go").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#evaluate-results")).to_be_hidden(timeout=WAIT_MS)
    page.wait_for_timeout(300)
    assert page.evaluate(_HAS_FOCUS) in ("evaluate-go", "evaluate-stop")
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(500)
    assert page.evaluate(_HAS_FOCUS) in ("evaluate-go", "evaluate-stop")
    page.mouse.click(5, 5)  # who clicks on nothing takes it away on purpose
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.activeElement === document.body")
