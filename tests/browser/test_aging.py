"""A page that has run for longer than it keeps files: what visitors left is gone, and what is its own is served."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from ast_demo.data import one_sample_per_label
from ast_demo.models import default_checkpoint, shipped_names
from tests.browser.test_evaluate import start_evaluation
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import SAMPLES, sample_clips
from tests.served import App
from tests.waiting import wait_for

pytestmark = pytest.mark.browser
KEPT_S = 20


@pytest.fixture(scope="module")
def app(chromium: Browser, start_app: Callable[..., App]) -> Iterator[App]:
    """It ends with these tests: the others want the processor."""
    app = start_app(kept_s=str(KEPT_S), max_upload_mb="5")
    yield app
    app.stop()


def left_by_visitors(app: App) -> set[Path]:
    """Files that lie where those of visitors lie."""
    found = app.folder.glob("ast-demo-run-*/**/*")
    viewers = re.compile(r"ast-demo-run-[^/]+/(ast-demo-viewer-|in-use)")
    return {path for path in found if path.is_file() and not viewers.search(path.as_posix())}


def test_nothing_of_the_pages_own_lies_where_visitors_files_lie(app: App) -> None:
    assert left_by_visitors(app) == set()


def test_after_that_time_the_old_is_gone_and_all_is_served(
    new_visitor: Callable[..., Visitor], app: App, tmp_path: Path
) -> None:
    samples = one_sample_per_label()
    visitor = new_visitor().open()
    buttons = visitor.page.locator("#samples button")
    buttons.nth(3).click()
    visitor.wait_for_result()
    before = visitor.source("rollout")
    visitor.upload(sample_clips(20)[7])
    visitor.wait_for_result(instead_of=before)
    left = left_by_visitors(app)
    assert {path.name for path in left} >= {samples[3].path.name, sample_clips(20)[7].name, "rollout.png"}
    time.sleep(KEPT_S)
    assert wait_for(lambda: not any(path.exists() for path in left), 60), [path for path in left if path.exists()]

    other = next(name for name in shipped_names() if name != default_checkpoint())
    visitor.choose_checkpoint(other)  # on a page that has the deleted clip still
    complaint = visitor.wait_for_complaint()
    assert complaint.startswith("This recording is no longer on the server, which keeps recordings for 20 seconds.")
    for number in (3, 12):
        before = visitor.source("rollout")
        buttons.nth(number).click()
        visitor.wait_for_result(instead_of=before)
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-samples button").nth(3).click()
    expect(page.locator("#agreement li").first).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tab", name="How to read this").click()
    pictures = page.locator(".guide img")
    assert pictures.count() > 2
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True, timeout=WAIT_MS)
        assert picture.evaluate("image => image.naturalWidth") > 100
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted((SAMPLES / "rain").glob("*.ogg"))[:2]:
            zipped.write(file, f"rain/{file.name}")
    start_evaluation(visitor, archive, "sounds-and-digits-16-16")
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
