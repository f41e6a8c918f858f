"""A Chromium that is already on the machine, and the app as its owner starts it, both once for all browser tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from ast_demo.audio.decoding import read_audio
from tests.browser.visitor import Visitor
from tests.clips import sample_clips
from tests.served import App

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def find_browser(playwright: Playwright) -> str | None:
    candidates = [*filter(None, map(shutil.which, _NAMES)), *_PLACES, playwright.chromium.executable_path]
    return next((path for path in candidates if Path(path).is_file()), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    app = getattr(item, "funcargs", {}).get("app")
    if report.failed and app is not None:
        report.sections.append(("end of the app's log", app.log.read_text(errors="replace")[-5000:]))
    return report


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake microphone hears: a sample, as the WAV that Chromium wants, over and over again."""
    import soundfile

    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(path, read_audio(sample_clips(20)[7]).samples, 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="package")  # while Playwright is open, its event loop runs in this thread, and no other can
def chromium(spoken: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            reason = f"no Chromium was found: none of {', '.join(_NAMES)} is on the PATH"
            if os.environ.get("REQUIRE_BROWSER"):
                pytest.fail(reason)
            pytest.skip(reason)
        flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={spoken}"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="package")
def app(chromium: Browser, start_app: Callable[..., App]) -> App:
    return start_app(max_clip_s="70", max_upload_mb="5")


@pytest.fixture
def new_visitor(chromium: Browser, app: App) -> Iterator[Callable[..., Visitor]]:
    """A visitor with a browser window of their own; no page may ask any other host for anything."""
    visitors: list[Visitor] = []

    def enter(width: int = 1440, height: int = 900) -> Visitor:
        context = chromium.new_context(viewport={"width": width, "height": height}, permissions=["microphone"])
        visitor = Visitor(context.new_page(), app.url)
        visitors.append(visitor)
        return visitor

    log_before = len(app.log.read_text(errors="replace"))
    try:
        yield enter
    finally:
        for visitor in visitors:
            visitor.page.context.close()
    log = app.log.read_text(errors="replace")[log_before:]
    assert {url.split("/")[2] for visitor in visitors for url in visitor.requests if "//" in url} <= {app.url[7:]}
    assert "Traceback" not in log, log


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Iterator[Visitor]:
    """A visitor at a desk, with the page open. What they do must leave no error in the browser's console."""
    visitor = new_visitor().open()
    yield visitor
    assert visitor.complaints == []
