"""A page that grows old: `python -m tests.aging --minutes 20`.

Starts the app as its owner does, on the loopback, with files kept for a minute. In rounds, until the time is over, visitors come
by HTTP with clips and labelled clips of their own; then somebody with a browser clicks every sample on Inspect, compares,
evaluates, opens a mistake and Spotlight, and looks at each picture of the guide, on a page that was opened in the beginning as well
as on a new one. At last everybody has left, and nothing of theirs may be there. Prints what happened as JSON, and
whether it passed. Exit code 1 where something was not served, a message named a path of the server, or something was left.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

from ast_demo.data import list_samples, one_sample_per_label
from ast_demo.models import default_checkpoint, shipped_names
from tests.browser.conftest import find_browser
from tests.browser.visitor import WAIT_MS, Visitor
from tests.public.caller import DONE, call, upload
from tests.served import App, start

# The results of the last evaluation are away for a moment, which may be shorter than from one look to the next.
_NOTE_HIDING = """() => {
    window.wasHidden = false;
    const look = () => {
        window.wasHidden = !document.querySelector('#evaluate-results')?.offsetParent;
        if (!window.wasHidden) requestAnimationFrame(look);
    };
    look();
}"""
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@dataclass
class Seen:
    """What was served, and what was wrong."""

    rounds: int = 0
    calls: int = 0
    clicks: int = 0
    most_files: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--visitors", type=int, default=10)
    parser.add_argument("--kept-s", type=float, default=60)
    parser.add_argument(
        "--pause-s", type=float, default=20, help="between rounds; longer, and a busy machine can do it"
    )
    arguments = parser.parse_args()
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        app = start(Path(folder), kept_s=f"{arguments.kept_s:g}")
        try:
            with _browser() as browser:
                _grow_old(app, browser, arguments, seen)
            time.sleep(arguments.kept_s + 60)  # until what was left is old, and was looked at
            seen.problems += [f"left: {path.relative_to(app.folder)}" for path in _left(app)]
            seen.problems += ["a traceback in the log"] * ("Traceback" in app.log.read_text(errors="replace"))
        finally:
            app.stop()
    print(json.dumps(vars(seen), indent=1))
    print(f"FAILED: {len(seen.problems)} problems" if seen.problems else "passed")
    sys.exit(1 if seen.problems else 0)


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            sys.exit("This needs a Chromium, Chrome or Edge, and found none.")
        yield playwright.chromium.launch(executable_path=path, args=list(_FLAGS))


def _grow_old(app: App, browser: Browser, arguments: argparse.Namespace, seen: Seen) -> None:
    first = Visitor(_patient(browser), app.url).open()
    until = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < until:
        seen.rounds += 1
        _work(app, arguments.visitors, seen)
        seen.most_files = max(seen.most_files, len(_left(app)))
        _look(first, app, seen, tabs=seen.rounds % 3 == 1)
        with _patient(browser) as page:
            _look(Visitor(page, app.url).open(), app, seen, tabs=seen.rounds % 3 == 2)
        print(json.dumps(vars(seen)), file=sys.stderr, flush=True)
        time.sleep(arguments.pause_s)


def _patient(browser: Browser) -> Page:
    """A page that waits as long as a busy machine takes."""
    page = browser.new_page()
    page.set_default_navigation_timeout(2 * WAIT_MS)
    return page


def _work(app: App, visitors: int, seen: Seen) -> None:
    """Visitors who inspect, compare and evaluate what they bring, one after the other."""
    samples = [sample.path for sample in list_samples()]
    with httpx.Client(base_url=app.url, timeout=600, trust_env=False) as client:
        for number in range(visitors):
            path = samples[(seen.rounds * visitors + number) % len(samples)]
            sent = _file(upload(client, f"{number}-{path.name}", path.read_bytes()))
            asked = {"inspect": [sent, default_checkpoint()], "compare": [sent, shipped_names()[:2]]}
            if number == 0:
                asked["evaluate"] = [_file(upload(client, "clips.zip", _archive())), [default_checkpoint()]]
            for name, data in asked.items():
                kind, answer = call(client, name, data)
                seen.calls += 1
                if kind != DONE:
                    seen.problems.append(f"{name}: {kind} {str(answer)[:200]}")


def _look(visitor: Visitor, app: App, seen: Seen, *, tabs: bool) -> None:
    """Click every sample, and on request go through all tabs."""
    page = visitor.page
    try:
        page.get_by_role("tab", name="Inspect").click()
        for number in range(len(one_sample_per_label())):
            before = visitor.source("rollout")
            page.locator("#samples button").nth(number).click()
            visitor.wait_for_result(instead_of=before)
            seen.clicks += 1
        if tabs:
            _go_through_tabs(visitor, seen)
    except (BrowserError, AssertionError) as error:
        alerts = page.locator("[role=alert]:visible").all_inner_texts()
        seen.problems.append(f"{type(error).__name__}: {str(error)[:300]} {alerts}")
    if str(app.folder) in page.locator("body").inner_text():
        seen.problems.append("the page names a path of the server")


def _go_through_tabs(visitor: Visitor, seen: Seen) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    shown = page.locator("#compare-1-rollout img")  # on the page that was opened in the beginning
    before = shown.get_attribute("src") if shown.count() else None
    page.locator("#compare-samples button").nth(seen.rounds % 20).click()
    expect(page.locator("#agreement li").first).to_be_visible(timeout=2 * WAIT_MS)
    expect(shown).not_to_have_attribute("src", before or "", timeout=2 * WAIT_MS)
    page.get_by_role("tab", name="Evaluate").click()
    page.get_by_label("A ZIP of mine").check()
    file = {"name": f"clips-{seen.rounds}.zip", "mimeType": "application/zip", "buffer": _archive()}
    if page.locator("#data-file").get_by_label("Clear").is_visible():  # on the page that was opened in the beginning
        page.locator("#data-file").get_by_label("Clear").click()
    page.locator("#data-file input[type=file]").set_input_files(file)
    expect(page.locator("#data-file")).to_contain_text(f"clips-{seen.rounds}", timeout=WAIT_MS)
    page.evaluate(_NOTE_HIDING)
    page.locator("#evaluate-go").click()
    page.wait_for_function("() => window.wasHidden", timeout=2 * WAIT_MS)
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=4 * WAIT_MS)
    page.locator("#mistakes .cell-wrap:visible", has_text=".ogg").first.click()
    expect(page.locator("#mistake-pictures img").first).to_be_visible(timeout=WAIT_MS)
    page.locator("#explore").click()
    frame = page.frame_locator("#spotlight iframe")
    expect(frame.locator("[data-rowindex='0'][data-columnindex='0']")).to_be_visible(timeout=2 * WAIT_MS)
    page.get_by_role("tab", name="How to read this").click()
    for picture in page.locator(".guide img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True, timeout=WAIT_MS)
        assert picture.evaluate("image => image.naturalWidth") > 0
    seen.clicks += 6


def _file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _archive() -> bytes:
    """Six clips, of which the default checkpoint gets some wrong, as the rain is called a rooster here."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for sample in [one for one in list_samples() if one.label in ("rain", "7")][:6]:
            archive.write(sample.path, f"{'rooster' if sample.label == 'rain' else '7'}/{sample.path.name}")
    return content.getvalue()


def _left(app: App) -> list[Path]:
    """Files of visitors: all in the program's folder but its lock and what Spotlight's processes keep."""
    found = (path for path in app.folder.glob("ast-demo-run-*/**/*") if path.is_file())
    own = ("in-use.lock", "ast-demo-viewer-")
    return [path for path in found if not path.relative_to(app.folder).parts[1].startswith(own)]


if __name__ == "__main__":
    main()
