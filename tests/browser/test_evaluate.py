"""The Evaluate tab, in a real browser: a ZIP of labelled clips, the worst mistakes, and what is no such ZIP."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from playwright.sync_api import Page, Response, expect

from ast_demo.data.reading import read_labelled_clips
from ast_demo.evaluation import column, evaluate
from ast_demo.models.loading import default_checkpoint, load_checkpoint, shipped_names
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import SAMPLES
from tests.data.layouts import LAYOUTS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples of each of six labels, and a file that is none."""
    path = tmp_path_factory.mktemp("archive") / "clips.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for label in ("3", "7", "rain", "rooster", "clock_tick", "person_sneeze"):
            for file in sorted((SAMPLES / label).glob("*.ogg"))[:2]:
                zipped.write(file, f"{label}/{file.name}")
        zipped.writestr("rain/broken.ogg", b"no sound")
    return path


def pack(path: Path, folders: dict[str, str]) -> Path:
    """A ZIP: two samples of each label, in the folder that is given for it."""
    with zipfile.ZipFile(path, "w") as zipped:
        for label, folder in folders.items():
            for file in sorted((SAMPLES / label).glob("*.ogg"))[:2]:
                zipped.write(file, f"{folder}/{file.name}")
    return path


def start_evaluation(visitor: Visitor, archive: Path, *checkpoints: str) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Evaluate").click()
    page.get_by_label("A ZIP of mine").check()
    page.locator("#data-file input[type=file]").set_input_files(archive)
    expect(page.locator("#data-file")).to_contain_text(archive.stem, timeout=WAIT_MS)
    chosen = page.locator("#evaluate-checkpoints")
    while chosen.locator(".token-remove:visible").count():
        chosen.locator(".token-remove:visible").first.click()
    for name in checkpoints:
        chosen.locator("input").fill(name)
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator("#evaluate-go").click()


def test_a_zip_is_evaluated_and_a_mistake_opens_in_inspect(visitor: Visitor, archive: Path, tmp_path: Path) -> None:
    name = default_checkpoint()
    expected = evaluate(read_labelled_clips(archive), [name], load_checkpoint, tmp_path / "expected")
    page = visitor.page
    start_evaluation(visitor, archive, name)
    results = page.locator("#evaluate-results")
    expect(results).to_be_visible(timeout=WAIT_MS)
    expect(results).to_contain_text(f"{expected.metrics[name]['accuracy']:.1%}")
    expect(page.locator("#evaluate-status")).to_contain_text("One clip could not be read")
    expect(page.locator("#evaluate-status")).to_contain_text("'rain/broken.ogg' is not a recording that can be read")

    wrong = expected.table[~expected.table[column("correct", name)]]
    worst = wrong.sort_values(column("loss", name), ascending=False).iloc[0]
    row = page.locator("#mistakes .cell-wrap:visible", has_text=worst["clip"]).first
    row.click()
    mistake = page.locator("#mistake")
    expect(mistake).to_contain_text(worst[column("top_3", name)], timeout=WAIT_MS)
    page.locator("#mistake-inspect").click()
    visitor.wait_for_result()
    label, _ = visitor.scores()[0]
    assert label == worst[column("prediction", name)].replace("_", " ")

    page.get_by_role("tab", name="Evaluate").click()
    page.locator("#evaluate-results").get_by_role("button", name="Downloads").click()
    links = page.locator("#evaluate-downloads a[href]")
    expect(links.first).to_be_visible()
    addresses = {link.get_attribute("href").rpartition("/")[2]: link.get_attribute("href") for link in links.all()}
    metrics = json.loads(page.request.get(addresses["metrics.json"]).body())
    assert metrics["checkpoints"][name]["accuracy"] == expected.metrics[name]["accuracy"]
    (tmp_path / "downloaded.parquet").write_bytes(page.request.get(addresses["evaluation.parquet"]).body())
    downloaded = pd.read_parquet(tmp_path / "downloaded.parquet")
    assert list(downloaded[column("prediction", name)]) == list(expected.table[column("prediction", name)])


def test_few_labels_of_many_are_averaged_over_those_of_the_data(visitor: Visitor, tmp_path: Path) -> None:
    """Rain that is called rooster, and sevens: two labels of twenty, and predictions of a third."""
    name = "sounds-and-digits-16-16"
    archive = pack(tmp_path / "clips.zip", {"rain": "rooster", "7": "7"})
    table = evaluate(read_labelled_clips(archive), [name], load_checkpoint, tmp_path / "expected").table
    page = visitor.page
    start_evaluation(visitor, archive, name)
    results = page.locator("#evaluate-results")
    expect(results).to_be_visible(timeout=WAIT_MS)
    predicted = table[column("prediction", name)]
    assert set(predicted) - {"rooster", "7"}
    recalls = {label: (predicted[table["label"] == label] == label).mean() for label in ("rooster", "7")}
    of_each = page.locator("#evaluate-labels")
    for label, recall in recalls.items():
        row = of_each.locator("tr", has=page.locator("th", has_text=re.compile(f"^{label}$")))
        cells = row.locator("td").all_inner_texts()
        assert cells[:1] + cells[2:3] == ["2", f"{recall:.0%}"]
    macro = results.get_by_role("row", name="macro recall").get_by_role("cell")
    expect(macro).to_have_text(f"{sum(recalls.values()) / 2:.1%}")
    expect(results).to_contain_text("Macro: the mean over the 2 labels that the clips have")
    expect(of_each).to_contain_text("No clip has these labels.")


def test_a_mistake_comes_to_inspect_with_its_checkpoint_its_label_and_a_way_back(
    visitor: Visitor, tmp_path: Path
) -> None:
    (name,) = {*shipped_names()} - {default_checkpoint()}
    archive = pack(tmp_path / "clips.zip", {"rain": "rooster", "rooster": "rain", "7": "7"})
    table = evaluate(read_labelled_clips(archive), [name], load_checkpoint, tmp_path / "expected").table
    wrong = table[~table[column("correct", name)]].sort_values(column("loss", name), ascending=False)
    page = visitor.page
    start_evaluation(visitor, archive, name)
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    page.locator("#mistakes .cell-wrap:visible", has_text=wrong.iloc[0]["clip"]).first.click()
    expect(page.locator("#mistake")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(1500)
    assert is_seen(page, "#mistake")
    page.locator("#mistake-inspect").click()
    bar, label = page.locator("#from-mistakes"), page.get_by_label("What it really is")
    expect(bar).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(1500)
    assert is_seen(page, "#from-mistakes")
    page.locator("#add").get_by_role("button", name="Add this clip to an evaluation").click()
    before = ""
    for place, mistake in enumerate(wrong.head(2).to_dict("records"), start=1):
        visitor.wait_for_result(instead_of=before)
        before = visitor.source("rollout")
        expect(page.get_by_label("Checkpoint", exact=True)).to_have_value(name)
        expect(label).to_have_value(mistake["label"], timeout=WAIT_MS)
        expect(bar).to_contain_text(f"Mistake {place} of {len(wrong)}")
        expect(page.locator("#scores li").first).to_contain_text(
            mistake[column("prediction", name)].replace("_", " "), timeout=WAIT_MS
        )
        if place == 1:
            page.locator("#next-mistake").click()
    page.locator("#back-to-mistakes").click()
    expect(page.locator("#mistakes")).to_be_visible()
    page.wait_for_timeout(1500)
    assert is_seen(page, "#mistakes")
    page.get_by_role("tab", name="Inspect").click()
    expect(bar).to_be_visible()
    visitor.upload(SAMPLES / "rain" / "drizzle.ogg")  # another clip: no mistake of that list
    visitor.wait_for_result(instead_of=before)
    expect(bar).to_be_hidden(timeout=WAIT_MS)


def is_seen(page: Page, selector: str) -> bool:
    """Whether an element begins where a visitor looks, in the upper half of the window."""
    top = page.locator(selector).evaluate("element => element.getBoundingClientRect().top")
    return -5 <= top <= page.viewport_size["height"] / 2


def test_an_inspected_clip_is_added_to_an_evaluation(visitor: Visitor, archive: Path) -> None:
    page = visitor.page
    list_of_added = page.locator("#added")

    def add(label: str, said: str) -> None:
        page.get_by_label("What it really is").fill(label)
        page.locator("#add-go").click()
        expect(page.get_by_text(said)).to_be_visible(timeout=WAIT_MS)

    seven, rain = (next((SAMPLES / label).glob("*.ogg")) for label in ("7", "rain"))
    visitor.upload(seven)
    visitor.wait_for_result()
    page.locator("#add").get_by_role("button", name="Add this clip to an evaluation").click()
    add("", "Say what the clip is before adding it")
    add("7", "The Evaluate tab has 1 clip of yours now.")
    before = visitor.source("rollout")
    visitor.upload(rain)
    visitor.wait_for_result(instead_of=before)
    add("rooster", "The Evaluate tab has 2 clips of yours now.")

    start_evaluation(visitor, archive, default_checkpoint())
    expect(list_of_added).to_contain_text(f"{seven.name}: 7")
    results = page.locator("#evaluate-results")
    expect(results).to_be_visible(timeout=WAIT_MS)
    expect(results.get_by_role("row", name="clips")).to_contain_text("14")
    page.get_by_label("Only the clips that I added").check()
    page.locator("#evaluate-go").click()
    expect(results.get_by_role("row", name="clips")).to_contain_text("2", timeout=WAIT_MS)
    # The label given is what the prediction is held against.
    expect(page.locator("#mistakes .cell-wrap:visible", has_text=rain.name)).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Remove the clips that I added").click()
    expect(list_of_added).not_to_contain_text(seven.name)
    page.locator("#evaluate-go").click()
    alert = page.locator("#evaluate-status [role=alert]")
    expect(alert).to_contain_text("No clip was added yet.", timeout=WAIT_MS)


def test_labels_of_the_data_are_mapped_in_the_page(visitor: Visitor, tmp_path: Path) -> None:
    archive, label_map = tmp_path / "clips.zip", tmp_path / "map.csv"
    label_map.write_text("downpour,rain\n")
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted((SAMPLES / "rain").glob("*.ogg"))[:2]:
            zipped.write(file, f"downpour/{file.name}")
    page = visitor.page
    page.get_by_role("tab", name="Evaluate").click()
    page.get_by_role("button", name="Columns, labels, held-out clips").click()
    page.locator("#label-map input[type=file]").set_input_files(label_map)
    expect(page.locator("#label-map")).to_contain_text(label_map.stem, timeout=WAIT_MS)
    page.get_by_label("Only the clips that the first checkpoint was not trained on").check()
    start_evaluation(visitor, archive, default_checkpoint())
    results = page.locator("#evaluate-results")
    expect(results).to_be_visible(timeout=WAIT_MS)
    expect(results.get_by_role("row", name="clips")).to_contain_text("2")


def test_what_is_understood_of_public_layouts_is_shown_when_they_are_dropped(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Evaluate").click()
    page.get_by_label("A ZIP of mine").check()
    understood = page.locator("#data-understood")
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        archive = shutil.make_archive(str(tmp_path / f"set-{number}"), "zip", layout.make(tmp_path / name))
        if number:
            page.locator("#data-file").get_by_label("Clear").click()
        page.locator("#data-file input[type=file]").set_input_files(archive)
        if layout.options:
            expect(understood).to_contain_text("no column for the label", timeout=WAIT_MS)
            page.get_by_role("button", name="Columns, labels, held-out clips").click()
            page.locator("#label-from input").fill(layout.options[1])
            page.keyboard.press("Enter")
        for line in layout.says:
            expect(understood).to_contain_text(line, timeout=WAIT_MS)
        if layout.options:
            page.locator("#label-from input").fill("told from the data")
            page.keyboard.press("Enter")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no labelled clips"),
        ({"readme.txt": b"nothing"}, "holds no labelled clips"),
        ({"sandstorm/a.ogg": b"x"}, "does not know these labels of the data: sandstorm"),
    ],
)
def test_an_archive_that_cannot_be_evaluated_gets_a_sentence(
    visitor: Visitor, tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    archive = tmp_path / "odd.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    start_evaluation(visitor, archive, default_checkpoint())
    expect(visitor.page.locator("#evaluate-status [role=alert]")).to_contain_text(sentence, timeout=WAIT_MS)
    expect(visitor.page.locator("#evaluate-go")).to_be_enabled()


def test_no_checkpoint_and_no_data_get_a_sentence(visitor: Visitor, archive: Path) -> None:
    start_evaluation(visitor, archive)
    alert = visitor.page.locator("#evaluate-status [role=alert]")
    expect(alert).to_contain_text("Expected one to 4 different checkpoints to evaluate, got none.", timeout=WAIT_MS)
    visitor.page.get_by_label("A folder, table or Hub data set").check()
    visitor.page.locator("#evaluate-go").click()
    expect(alert).to_contain_text("Type a folder, a table or a data set first.", timeout=WAIT_MS)


def test_a_mistake_is_heard_and_seen_in_spotlight(new_visitor: Callable[..., Visitor], archive: Path) -> None:
    visitor = new_visitor().open()
    page = visitor.page
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    start_evaluation(visitor, archive, default_checkpoint())
    expect(page.locator("#evaluate-results")).to_be_visible(timeout=WAIT_MS)
    worst = page.locator("#mistakes .cell-wrap:visible", has_text=".ogg").first.inner_text()
    page.locator("#explore").click()
    expect(page.locator("#spotlight iframe")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(1500)
    assert is_seen(page, "#spotlight")
    frame = page.frame_locator("#spotlight iframe")
    # The mistakes come first, the worst of them at the top.
    top = frame.locator("[data-rowindex='0'][data-columnindex='0']")
    expect(top).to_have_text(worst, timeout=WAIT_MS)
    top.click()

    expect(frame.get_by_text("Wrong: it is")).to_be_visible(timeout=WAIT_MS)
    picture = frame.locator("img[alt=picture]:visible").first
    expect(picture).to_be_visible(timeout=WAIT_MS)
    assert picture.evaluate("image => image.naturalWidth") > 100
    player = frame.locator("audio").first
    expect(player).to_have_js_property("readyState", 4, timeout=WAIT_MS)
    # What was sent is what the player has.
    (sound,) = [answer for answer in answers if re.search(r"/spotlight/[\w-]{32}/api/table/audio/\d+\?", answer.url)]
    assert sound.status == 200
    length = soundfile.info(io.BytesIO(sound.body())).duration
    assert length > 0.5
    assert player.evaluate("player => player.duration") == pytest.approx(length, abs=0.05)
    # Spotlight's own page says this; it does no harm there.
    assert set(visitor.complaints) <= {"uncaught: process is not defined"}
