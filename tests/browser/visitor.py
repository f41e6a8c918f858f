"""What a visitor does with the page, and what the page shows them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

PICTURES = ("waveform", "spectrogram", "patch-grid", "rollout")
WAIT_MS = 60_000  # the machine may be busy


class Visitor:
    """A person with a browser. `complaints` is what the browser's console held against the page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.context.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)

    def open(self, query: str = "") -> Visitor:
        self.page.goto(self.url + query)
        expect(self.page.get_by_role("button", name="Record", exact=True).first).to_be_visible(timeout=WAIT_MS)
        return self

    # What they do

    def record(self, seconds: float) -> None:
        clip = self.page.locator("#clip")
        clip.get_by_role("button", name="Record", exact=True).click()
        stop = clip.get_by_role("button", name="Stop", exact=True)
        expect(stop).to_be_visible(timeout=WAIT_MS)
        self.page.wait_for_timeout(1000 * seconds)
        stop.click()

    def upload(self, path: Path) -> None:
        self.page.locator("#file input[type=file]").set_input_files(path)

    def choose_checkpoint(self, reference: str) -> None:
        box = self.page.get_by_label("Checkpoint", exact=True)
        box.fill(reference)
        box.press("Enter")
        box.blur()

    def click_picture(self, name: str, x: float, y: float) -> None:
        """Click a picture at a pixel of the file that it shows."""
        image = self.picture(name)
        box, (width, height) = image.bounding_box(), self.size(name)
        image.click(position={"x": x / width * box["width"], "y": y / height * box["height"]})

    # What they see

    def wait_for_result(self, *, instead_of: str = "") -> None:
        """Until the four pictures are there and drawn, the last of them another one than before.

        However far down they are: the browser itself would load them only when they come near.
        """
        self.page.wait_for_function(
            """([names, before]) => names.every(name => {
                const image = document.querySelector(`#picture-${name} img`);
                if (image) image.loading = 'eager';
                return image && image.complete && image.naturalWidth > 0;
            }) && document.querySelector('#picture-rollout img').src !== before""",
            arg=[list(PICTURES), instead_of],
            timeout=WAIT_MS,
        )

    def wait_for_complaint(self) -> str:
        alert = self.page.locator("#message [role=alert]")
        expect(alert).to_be_visible(timeout=WAIT_MS)
        return alert.inner_text()

    def picture(self, name: str) -> Locator:
        return self.page.locator(f"#picture-{name} img")

    def source(self, name: str) -> str:
        return self.picture(name).get_attribute("src") if self.picture(name).count() else ""

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of the file that a picture shows."""
        width, height = self.picture(name).evaluate("image => [image.naturalWidth, image.naturalHeight]")
        return width, height

    def pixels(self, name: str) -> np.ndarray:
        """(height, width, 3) of the file that a picture shows."""
        content = self.page.request.get(self.source(name)).body()
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def facts(self, of: str = "#facts") -> dict[str, str]:
        names, values = (self.page.locator(f"{of} {tag}").all_inner_texts() for tag in ("dt", "dd"))
        return dict(zip(names, values, strict=True))

    def scores(self) -> list[tuple[str, float]]:
        rows = self.page.locator("#scores li").evaluate_all(
            "rows => rows.map(row => [row.querySelector('span').innerText, row.querySelector('b').innerText])"
        )
        return [(label, float(score.rstrip("%")) / 100) for label, score in rows]

    def assert_scores(self, expected: list[tuple[str, float]]) -> None:
        """The page shows these, rounded to a tenth of a percent; text may come a moment after the pictures."""
        wanted = [(label.replace("_", " "), pytest.approx(score, abs=0.0006)) for label, score in expected]
        for _ in range(50):
            if self.scores() == wanted:
                return
            self.page.wait_for_timeout(100)
        assert self.scores() == wanted
