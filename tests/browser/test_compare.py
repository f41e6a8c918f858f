"""The Compare tab, in a real browser: a column for each checkpoint, on the same axes, and one that fails among them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from ast_demo.audio.decoding import read_audio
from ast_demo.inspection.comparison import Comparison, compare, describe
from ast_demo.models.loading import load_checkpoint, shipped_names
from tests.browser.conftest import App
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import SAMPLES, sample_clips
from tests.tiny import build_model, save
from tests.tiny_sequence import save_sequence_model

pytestmark = pytest.mark.browser

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SHIPPED = shipped_names()[:2]
OF_AN_AST = ["waveform", "spectrogram", "patch-grid", "rollout"]
ACCENT = {"light": (0x0B, 0x7A, 0x75), "dark": (0x3F, 0xD0, 0xC4)}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checkpoints to type in: two AST with their own grids, labels and lengths, and a tiny Wav2Vec2."""
    root = tmp_path_factory.mktemp("to-compare")
    size = {"num_mel_bins": 128, "patch_size": 16}
    third = build_model(
        1, ("Dog bark", "rain", "SEVEN", "seven"), max_length=256, frequency_stride=10, time_stride=10, **size
    )
    other = build_model(2, ("dog_bark", "rain", "7"), max_length=512, frequency_stride=16, time_stride=8, **size)
    return {
        "third": str(save(third, root / "third")),
        "other": str(save(other, root / "other")),
        "waves": str(save_sequence_model("wav2vec2", root / "waves", labels=("bark", "drizzle"))),
    }


class Comparing:
    """A visitor at the Compare tab."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.page = visitor, visitor.page

    def open(self) -> Comparing:
        self.page.get_by_role("tab", name="Compare").click()
        expect(self.page.locator("#compare-go")).to_be_visible(timeout=WAIT_MS)
        return self

    def add(self, *references: str) -> None:
        box = self.page.locator("#compare-checkpoints input")
        for reference in references:
            box.fill(reference)
            box.press("Enter")
        box.blur()

    def chosen(self) -> list[str]:
        return [text.strip() for text in self.page.locator("#compare-checkpoints .token").all_inner_texts()]

    def go(self) -> None:
        self.page.locator("#compare-go").click()

    def upload(self, path: Path) -> None:
        self.page.locator("#compare-file input[type=file]").set_input_files(path)

    def wait_for_columns(self, *names: str) -> None:
        """Until there are these columns, from left to right, and nothing is under way any more."""
        expect(self.page.locator("#compare-columns h2")).to_have_text(list(names), timeout=WAIT_MS)
        expect(self.page.locator("#compare-message .wrap")).to_be_hidden(timeout=WAIT_MS)

    def pictures(self, column: int) -> dict[str, Locator]:
        """By their names, from top to bottom, each one loaded."""
        images = self.page.locator(f"#compare-column-{column} .picture img").all()
        for image in images:
            image.scroll_into_view_if_needed()  # only then does the browser load it
            image.evaluate("image => image.decode()")
        blocks = self.page.locator(f"#compare-column-{column} .picture:has(img)").all()
        names = [block.get_attribute("id").removeprefix(f"compare-{column}-") for block in blocks]
        return dict(zip(names, images, strict=True))

    def pixels(self, image: Locator) -> np.ndarray:
        content = self.page.request.get(image.get_attribute("src")).body()
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def scores(self, column: int) -> list[tuple[str, str]]:
        rows = self.page.locator(f"#compare-column-{column} .scores li").all()
        return [(row.locator("span").inner_text(), row.locator("b").inner_text()) for row in rows]

    def facts(self) -> dict[str, list[str]]:
        """Rows of the table, without the one with the names."""
        rows = self.page.locator("#compare-facts tr").all()[1:]
        return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


@pytest.fixture
def comparing(visitor: Visitor) -> Comparing:
    return Comparing(visitor).open()


def two(folders: dict[str, str]) -> list[str]:
    """What has to be added to the shipped checkpoints to have two."""
    return [folders["other"]][len(SHIPPED) - 1 :]


def names_of(*references: str) -> list[str]:
    return [*SHIPPED, *(Path(reference).name for reference in references)]


def by_the_library(path: Path, references: list[str]) -> Comparison:
    return compare(read_audio(path), references, load_checkpoint)


def test_a_recording_goes_to_four_checkpoints_and_back_to_inspect(visitor: Visitor, folders: dict[str, str]) -> None:
    visitor.record(2.0)
    visitor.wait_for_result()
    recording = visitor.facts()["recording"]
    comparing = Comparing(visitor)
    visitor.page.locator("#to-compare").click()
    expect(visitor.page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    if added := two(folders):
        comparing.add(*added)
        comparing.go()
    comparing.wait_for_columns(*names_of(*added))
    assert list(comparing.pictures(1)) == OF_AN_AST
    assert list(comparing.pictures(2)) == [*OF_AN_AST, "difference"]
    expect(visitor.page.locator("#agreement li").first).to_contain_text(f"{SHIPPED[0]} and ")

    comparing.add(folders["third"], folders["waves"])
    comparing.go()
    comparing.wait_for_columns(*names_of(*added, "third", "waves"))
    assert list(comparing.pictures(3)) == [*OF_AN_AST, "difference"]
    assert list(comparing.pictures(4)) == ["waveform", "rollout", "difference"]
    no_grid = visitor.page.locator("#compare-columns").get_by_text("No spectrogram and no patch grid")
    expect(no_grid).to_have_count(1)
    assert no_grid.evaluate("text => text.closest('.column').id") == "compare-column-4"
    assert comparing.facts()["patches"][3] == "no patch grid"

    visitor.page.locator("#to-inspect").click()
    expect(visitor.page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    visitor.wait_for_result()
    seconds = float(recording.split()[0])
    now = visitor.facts()["recording"]
    assert float(now.split()[0]) == pytest.approx(seconds, abs=0.05)  # it is the same recording


def test_columns_show_what_the_library_says(comparing: Comparing, folders: dict[str, str]) -> None:
    path = sample_clips(20)[7]
    comparing.add(*two(folders), folders["third"], folders["waves"])
    references = comparing.chosen()
    assert len(references) == 4
    comparing.upload(path)
    comparing.wait_for_columns(*(Path(reference).name for reference in references))
    comparison = by_the_library(path, references)
    for column, one in enumerate(comparison.inspections, start=1):
        shown = comparing.scores(column)
        scores = {label.replace("_", " ").lower(): score for label, score in reversed(one.prediction.top())}
        for label, percent in shown:
            score = scores.get(label.lower())
            # Another process may round the last digit in another way.
            assert percent == "–" if score is None else abs(float(percent.rstrip("%")) - 100 * score) < 0.11
        assert sum(percent != "–" for _, percent in shown) >= min(5, len(scores) - 1)
        best = one.prediction.top(1)[0][0].replace("_", " ")
        expect(comparing.page.locator(f"#compare-column-{column} .block.heading")).to_contain_text(f"says {best}")
    orders = [[label for label, _ in comparing.scores(column)] for column in range(1, 5)]
    assert orders == [orders[0]] * 4  # one order of labels
    sentences = comparing.page.locator("#agreement li").all_inner_texts()

    def without_numbers(sentence: str) -> str:
        return re.sub(r"[+−-]?\d+\.\d+", "", sentence)

    assert list(map(without_numbers, sentences[: len(describe(comparison))])) == list(
        map(without_numbers, describe(comparison))
    )
    facts = comparing.facts()
    assert facts["parameters"] == [f"{one.checkpoint.n_parameters:,}" for one in comparison.inspections]
    tokens = [one.checkpoint.grid.n_tokens if one.checkpoint.grid else 0 for one in comparison.inspections]
    assert facts["tokens"][:3] == list(map(str, tokens[:3]))
    assert facts["strides"][2:] == ["10 bins, 10 frames", "–"]
    assert facts["padding"] == [f"{one.padding_share:.0%}" for one in comparison.inspections]
    assert facts["activation"] == ["softmax"] * 4


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, {"width": 1000, "height": 800}, PHONE], ids=["desk", "half a desk", "phone"])
def test_the_same_axes_in_every_column(
    size: dict[str, int], theme: str, new_visitor: Callable[..., Visitor], folders: dict[str, str]
) -> None:
    comparing = Comparing(new_visitor(**size).open(f"?__theme={theme}")).open()
    comparing.add(*two(folders), folders["third"], folders["waves"])
    comparing.upload(SAMPLES / "7" / "new-york-male-clear.ogg")  # shorter than any input, so nowhere cut off
    comparing.wait_for_columns(*names_of(*two(folders), "third", "waves"))
    columns = [comparing.pictures(number) for number in range(1, 5)]
    boxes = [{name: image.bounding_box() for name, image in column.items()} for column in columns]
    page = comparing.page

    # Each picture is drawn for its width, two pixels of the file for each of the page, and all have the same.
    for column, its_boxes in zip(columns, boxes, strict=True):
        assert len({(box["x"], box["width"]) for box in its_boxes.values()}) == 1
        for name, image in column.items():
            assert image.evaluate("image => image.naturalWidth") / 2 == pytest.approx(its_boxes[name]["width"], abs=1)
            corner = comparing.pixels(image)[0, 0]
            assert corner.max() < 64 if theme == "dark" else corner.min() > 240
    assert len({round(box["width"]) for its_boxes in boxes for box in its_boxes.values()}) == 1

    # The clip lies at the same pixels in every waveform.
    strokes = []
    for column in columns:
        pixels = comparing.pixels(column["waveform"]).astype(int)
        strokes.append(np.flatnonzero((np.abs(pixels - ACCENT[theme]).max(axis=2) < 8).any(axis=0)))
    # Padding begins after the last whole frame, and so over the last 20 ms of the clip at most.
    end = min(pixels.max() for pixels in strokes)
    assert all(end <= pixels.max() <= end + 5 for pixels in strokes)
    assert (strokes[0] <= end).sum() > 100
    for others in strokes[1:]:
        np.testing.assert_array_equal(others[others <= end], strokes[0][strokes[0] <= end])

    x = [its_boxes["rollout"]["x"] for its_boxes in boxes]
    if size == PHONE:
        assert len(set(x)) == 1
        assert [its_boxes["waveform"]["y"] for its_boxes in boxes] == sorted(b["waveform"]["y"] for b in boxes)
        ends = [page.locator(f"#compare-column-{n}").bounding_box() for n in range(1, 5)]
        for above, below in pairwise(ends):
            assert above["y"] + above["height"] <= below["y"]
    elif size == DESK:
        assert x == sorted(set(x))
        for name in (*OF_AN_AST, "difference"):  # in one row
            assert len({round(page_y(page, n, name)) for n in range(1, 5) if name in columns[n - 1]}) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert comparing.visitor.complaints == []


def page_y(page, column: int, name: str) -> float:
    """From the top of the document, wherever it is scrolled to."""
    return page.locator(f"#compare-{column}-{name} img").evaluate(
        "image => image.getBoundingClientRect().top + window.scrollY"
    )


def test_a_failing_checkpoint_has_its_sentence_in_its_own_column(
    comparing: Comparing, folders: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    failing = str(tmp_path / "empty")
    comparing.add(*two(folders), failing, folders["waves"])
    comparing.upload(sample_clips(20)[3])
    before = names_of(*two(folders))
    comparing.wait_for_columns(*before, failing, "waves")
    alert = comparing.page.locator("#compare-column-3 [role=alert]")
    expect(alert).to_have_text(f"The folder '{failing}' is no checkpoint: it has no config.json.")
    expect(comparing.page.locator("#compare-columns [role=alert]")).to_have_count(1)
    assert comparing.pictures(3) == {}
    for column, expected in (
        (1, OF_AN_AST),
        (2, [*OF_AN_AST, "difference"]),
        (4, ["waveform", "rollout", "difference"]),
    ):
        assert list(comparing.pictures(column)) == expected
    assert len(comparing.facts()["parameters"]) == 3


def test_fewer_than_two_is_told(comparing: Comparing) -> None:
    box = comparing.page.locator("#compare-checkpoints input")
    for _ in SHIPPED[1:]:
        box.focus()
        box.press("Backspace")
    assert comparing.chosen() == SHIPPED[:1]
    comparing.upload(sample_clips(20)[3])
    alert = comparing.page.locator("#compare-message [role=alert]")
    expect(alert).to_have_text("Expected 2 to 4 checkpoints to compare, got 1.", timeout=WAIT_MS)
    expect(comparing.page.locator("#compare-columns h2")).to_have_count(0)


def test_what_is_no_recording_gives_a_sentence(comparing: Comparing, folders: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    comparing.add(*two(folders))
    comparing.upload(sample_clips(20)[3])
    comparing.wait_for_columns(*names_of(*two(folders)))
    comparing.page.locator("#compare-clip").get_by_role("button", name="Clear").click()
    expect(comparing.page.locator("#compare-columns h2")).to_have_count(0, timeout=WAIT_MS)
    comparing.upload(tmp_path / "empty.wav")
    alert = comparing.page.locator("#compare-message [role=alert]")
    expect(alert).to_have_text("'empty.wav' is empty (0 bytes). Record again or choose another file.", timeout=WAIT_MS)
    expect(comparing.page.locator("#compare-downloads")).to_be_hidden()
    # The browser's own player cannot play it, and says so in the console.
    comparing.visitor.complaints[:] = [
        text for text in comparing.visitor.complaints if not re.search("MediaError|RANGE_NOT_SATISFIABLE|416", text)
    ]


def test_downloads_and_that_old_files_go(
    comparing: Comparing, folders: dict[str, str], app: App, tmp_path: Path
) -> None:
    before = app.results()
    comparing.add(*two(folders))
    comparing.upload(sample_clips(20)[3])
    comparing.wait_for_columns(*names_of(*two(folders)))
    sources = "images => images.map(image => image.src)"
    drawn = comparing.page.locator("#compare-columns .picture img").evaluate_all(sources)
    comparing.page.wait_for_timeout(1500)
    assert comparing.page.locator("#compare-columns .picture img").evaluate_all(sources) == drawn  # once is enough
    assert len(app.results() - before) == 1
    comparing.add(folders["waves"])
    comparing.go()
    comparing.wait_for_columns(*names_of(*two(folders), "waves"))
    assert len(app.results() - before) == 1
    comparing.page.locator("#compare-downloads").get_by_role("button").first.click()
    links = comparing.page.locator("#compare-downloads a[download]")
    expect(links).to_have_count(2, timeout=WAIT_MS)
    with comparing.page.expect_download() as download:
        links.first.click()
    download.value.save_as(tmp_path / "comparison.zip")
    names = zipfile.ZipFile(tmp_path / "comparison.zip").namelist()
    assert "comparison.json" in names
    assert f"1-{SHIPPED[0]}/inspection.npz" in names
    assert "3-waves/rollout.png" in names
    comparing.page.locator("#compare-clip").get_by_role("button", name="Clear").click()
    expect(comparing.page.locator("#compare-columns h2")).to_have_count(0, timeout=WAIT_MS)
    assert app.results() - before == set()
