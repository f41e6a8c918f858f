"""A stranger with a phone, on a page that is open to all: what they do at a Hugging Face Space."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import WAIT_MS, Visitor
from tests.served import App

pytestmark = pytest.mark.browser


@pytest.fixture
def stranger(chromium: Browser, public_app: App) -> Iterator[Visitor]:
    """With a phone's window, and fingers."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, permissions=["microphone"]
    )
    visitor = Visitor(context.new_page(), public_app.url)
    yield visitor
    context.close()
    assert {url.split("/")[2] for url in visitor.requests if "//" in url} <= {public_app.url[7:]}


def test_a_phone_records_inspects_compares_evaluates_and_explores(stranger: Visitor, public_app: App) -> None:
    page = stranger.open().page
    stranger.record(2)
    stranger.wait_for_result()
    page.locator("#to-compare").click()
    expect(page.locator("#agreement li").first).to_be_visible(timeout=WAIT_MS)

    page.locator(".overflow-menu > button").click()  # four tabs are too wide for a phone
    page.locator(".overflow-dropdown").get_by_text("Evaluate").click()
    expect(page.get_by_text("A ZIP of mine")).to_be_visible()
    expect(page.get_by_text("A folder, table or Hub data set")).to_have_count(0)
    chosen = page.locator("#evaluate-checkpoints .token-remove:visible")
    chosen.first.click()
    page.locator("#evaluate-go").click()
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=4 * WAIT_MS)
    page.locator("#explore").click()
    expect(page.locator("#spotlight iframe")).to_be_visible(timeout=2 * WAIT_MS)
    frame = page.frame_locator("#spotlight iframe")
    expect(frame.locator("[data-rowindex='0'][data-columnindex='0']")).to_be_visible(timeout=WAIT_MS)
    assert set(stranger.complaints) <= {"uncaught: process is not defined"}  # Spotlight's own


def test_a_stranger_who_types_a_folder_gets_a_sentence(stranger: Visitor) -> None:
    stranger.open()
    stranger.page.locator("#samples button").first.click()
    stranger.wait_for_result()
    stranger.choose_checkpoint("/etc")
    assert stranger.wait_for_complaint().startswith(
        "There is no checkpoint '/etc'. Expected 'sounds-and-digits-10-10', "
    )
    options = json.dumps(stranger.page.locator("#checkpoint").inner_text())
    assert "folder" not in options
