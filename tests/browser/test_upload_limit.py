"""Files that are too large: a sentence with the limit, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import sample_clips

pytestmark = pytest.mark.browser
PLACES = ["#file", "#compare-file", "#data-file", "#label-map"]


@pytest.fixture
def large(tmp_path: Path) -> Callable[[str], Path]:
    def make(ending: str) -> Path:
        path = tmp_path / f"an hour of rain.{ending}"
        with path.open("wb") as file:
            file.truncate(6_000_000)
        return path

    return make


def open_place(visitor: Visitor, place: str) -> None:
    page = visitor.page
    if place == "#compare-file":
        page.get_by_role("tab", name="Compare").click()
    elif place != "#file":
        page.get_by_role("tab", name="Evaluate").click()
        page.get_by_label("A ZIP of mine").check()
        page.get_by_role("button", name="Columns, labels, held-out clips").click()


@pytest.mark.parametrize("place", PLACES)
def test_each_place_refuses_what_is_too_large(visitor: Visitor, large: Callable[[str], Path], place: str) -> None:
    open_place(visitor, place)
    path = large({"#data-file": "zip", "#label-map": "csv"}.get(place, "wav"))
    visitor.page.locator(f"{place} input[type=file]").set_input_files(path)
    alert = visitor.page.locator(".too-large:visible")
    expect(alert).to_have_text(
        f"“{path.name}” has 6.0 MB. At most 5 MB are accepted here: choose a smaller file.", timeout=WAIT_MS
    )
    assert alert.get_attribute("role") == "alert"
    assert not [url for url in visitor.requests if "/upload" in url]


def test_no_place_is_without_a_limit(visitor: Visitor) -> None:
    """Who adds a place for files adds it to the list above."""
    page = visitor.page
    found = set()
    for name, place in (("Inspect", "#file"), ("Compare", "#compare-file"), ("Evaluate", "#label-map")):
        page.get_by_role("tab", name=name).click()
        if name == "Evaluate":
            page.get_by_label("A ZIP of mine").check()
            page.get_by_role("button", name="Columns, labels, held-out clips").click()
            expect(page.locator("#data-file input[type=file]")).to_be_attached(timeout=WAIT_MS)
        expect(page.locator(f"{place} input[type=file]")).to_be_attached(timeout=WAIT_MS)
        inputs = page.locator("input[type=file]")
        found |= set(inputs.evaluate_all("inputs => inputs.map(input => input.closest('.block').id)"))
    assert {f"#{name}" for name in found if name} == set(PLACES)


def test_a_file_that_is_dropped_is_refused_and_a_smaller_one_taken(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#file .upload-container, #file button").first.evaluate(
        """element => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(6e6)], 'dropped.wav'));
            element.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: carried}));
        }"""
    )
    expect(page.locator(".too-large")).to_contain_text("“dropped.wav” has 6.0 MB.")
    visitor.upload(sample_clips(20)[7])
    expect(page.locator(".too-large")).to_have_count(0)
    visitor.wait_for_result()
