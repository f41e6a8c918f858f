"""The Inspect tab, in a real browser: what goes in, what comes out, and what happens when it is not a recording."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession
from playwright.sync_api import expect

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.formats import list_names
from ast_demo.data.samples import one_sample_per_label
from ast_demo.figures import Look, patch_at_pixel, patch_grid_figure
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.models import shipped_names
from ast_demo.models.config import read_facts
from ast_demo.models.loading import SHIPPED_FOLDER, default_checkpoint, load_checkpoint
from tests.browser.conftest import App
from tests.browser.visitor import PICTURES, WAIT_MS, Visitor
from tests.clips import encode, melody, noise, sample_clips
from tests.pictures import pixel_of
from tests.tiny import build_model, save

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def inspected_by_the_library(path: Path) -> Inspection:
    return inspect(read_audio(path), load_checkpoint(default_checkpoint()))


def assert_scores(visitor: Visitor, path: Path, inspection: Inspection | None = None) -> None:
    """The page shows what the library says of the same file."""
    visitor.assert_scores((inspection or inspected_by_the_library(path)).prediction.top(5))


# What goes in


def test_a_recording_from_the_microphone_is_explained_in_two_clicks(visitor: Visitor) -> None:
    visitor.record(2.0)
    visitor.wait_for_result()
    assert len(visitor.scores()) == 5
    # Chromium records some tenths of a second more or less than were waited; a busy machine adds to it.
    recording = re.fullmatch(r"(\d+\.\d+) s, (\d+) Hz, .*", visitor.facts()["recording"])
    assert 1.5 < float(recording[1]) < 4.0
    assert int(recording[2]) in (16_000, 44_100, 48_000)
    expect(visitor.page.locator("#welcome")).to_be_hidden()
    assert np.ptp(visitor.pixels("waveform").sum(axis=2)) > 200


FORMATS = {
    "ogg": ("ogg", "VORBIS", 44_100, 1),
    "opus": ("ogg", "libopus", 48_000, 2),
    "webm": ("webm", "libopus", 48_000, 1),
    "m4a": ("ipod", "aac", 44_100, 2),
    "mp4": ("mp4", "aac", 44_100, 1),
    "mp3": ("mp3", "MPEG_LAYER_III", 44_100, 2),
    "flac": ("flac", "PCM_16", 96_000, 1),
    "aiff": ("aiff", "PCM_16", 22_050, 2),
    "wav": ("wav", "PCM_16", 48_000, 2),
}


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_of_each_format(ending: str, new_visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    container, codec, rate, channels = FORMATS[ending]
    path = tmp_path / f"my clip.{ending}"
    sound = melody(2.0, rate)
    path.write_bytes(encode(np.stack([sound] * channels, axis=1), rate, container, codec))
    visitor = new_visitor().open()
    visitor.upload(path)
    visitor.wait_for_result()
    assert_scores(visitor, path)
    recording = re.fullmatch(r"(\d+\.\d+) s, (\d+) Hz, (.*); resampled to 16000 Hz", visitor.facts()["recording"])
    assert float(recording[1]) == pytest.approx(2.0, abs=0.05)  # lossy encoders add some milliseconds of silence
    assert int(recording[2]) == rate
    assert recording[3] == ("mono" if channels == 1 else "mean of 2 channels")
    # Chromium plays no AIFF: its player may say so. The page still must do its work.
    assert [text for text in visitor.complaints if ending != "aiff" or "MediaError" not in text] == []


def test_each_sample_is_a_click_away(visitor: Visitor) -> None:
    samples = one_sample_per_label()
    buttons = visitor.page.locator("#samples button")
    assert buttons.all_inner_texts() == [sample.label.replace("_", " ") for sample in samples]
    before = ""
    for position in (7, 13):
        buttons.nth(position).click()
        visitor.wait_for_result(instead_of=before)
        assert_scores(visitor, samples[position].path)
        before = visitor.source("rollout")


def test_a_clip_can_be_taken_away_again(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[3])
    visitor.wait_for_result()
    visitor.page.locator("#clip").get_by_role("button", name="Clear").click()
    expect(visitor.page.locator("#welcome")).to_be_visible(timeout=WAIT_MS)
    for name in PICTURES:
        expect(visitor.picture(name)).to_be_hidden()
    assert visitor.scores() == []


# What is no recording

NO_RECORDINGS = {
    "text.wav": f"'text.wav' is not a recording that can be read. Expected {list_names()}.",
    "notes.txt": "'notes.txt' is not a recording",
    "empty.wav": "'empty.wav' is empty (0 bytes). Record again or choose another file.",
    "short.wav": "'short.wav' is 0.020 s long, but at least 0.025 s (one frame of the spectrogram) are needed.",
    "nan.wav": "'nan.wav' holds only samples that are not numbers (NaN or infinite). Export it again.",
    "truncated.m4a": "'truncated.m4a' is cut off or damaged",
    "long.wav": "'long.wav' is 71.0 s long, but at most 70 s are accepted here. Cut out the part of interest.",
    "rock & roll.wav": "'rock & roll.wav' is empty",
}


def no_recording(name: str) -> bytes:
    sound = noise(2.0)
    if name in ("text.wav", "notes.txt"):
        return b"I am a text, not a recording.\n" * 40
    return {
        "short.wav": encode(sound[:320], 16_000, "wav", "PCM_16"),
        "nan.wav": encode(np.full(16_000, np.nan, np.float32), 16_000, "wav", "FLOAT"),
        "truncated.m4a": encode(sound, 48_000, "mp4", "aac")[:3000],  # where its packets lie is told at its end
        "long.wav": encode(noise(71.0), 16_000, "wav", "PCM_16"),
    }.get(name, b"")


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_what_is_no_recording_gives_a_sentence_and_the_page_goes_on(
    name: str, new_visitor: Callable[..., Visitor], tmp_path: Path
) -> None:
    bad, good = tmp_path / name, sample_clips(20)[12]
    bad.write_bytes(no_recording(name))
    visitor = new_visitor().open()
    visitor.upload(bad)
    complaint = visitor.wait_for_complaint()
    assert complaint.startswith(NO_RECORDINGS[name])
    for picture in PICTURES:
        expect(visitor.picture(picture)).to_be_hidden()
    assert visitor.scores() == []
    visitor.page.locator("#clip").get_by_role("button", name="Clear").click()
    expect(visitor.page.locator("#message [role=alert]")).to_be_hidden(timeout=WAIT_MS)
    visitor.upload(good)
    visitor.wait_for_result()
    assert_scores(visitor, good)
    expect(visitor.page.locator("#message [role=alert]")).to_be_hidden()
    # The browser's own player cannot play what is no recording, and says so in the console; nothing else may fail.
    assert [text for text in visitor.complaints if not re.search("MediaError|RANGE_NOT_SATISFIABLE|416", text)] == []


TRUNCATED = {"wav": ("wav", "PCM_16"), "ogg": ("ogg", "VORBIS"), "webm": ("webm", "libopus")}


@pytest.mark.parametrize("suffix", TRUNCATED)
def test_of_a_recording_that_is_cut_off_what_is_there_is_read_and_told(
    suffix: str, new_visitor: Callable[..., Visitor], tmp_path: Path
) -> None:
    content = encode(noise(8.0), 48_000 if suffix == "webm" else 16_000, *TRUNCATED[suffix])
    path = tmp_path / f"truncated.{suffix}"
    path.write_bytes(content[: len(content) // 2])
    visitor = new_visitor().open()  # whose browser's own player may complain of it
    visitor.upload(path)
    visitor.wait_for_result()
    assert_scores(visitor, path)
    expect(visitor.page.locator("#scores")).to_contain_text("The recording is cut off or damaged")


def test_a_silent_recording_is_told_beside_its_scores(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    path.write_bytes(encode(np.zeros(32_000), 16_000, "wav", "PCM_16"))
    visitor.upload(path)
    visitor.wait_for_result()
    expect(visitor.page.locator("#scores .warning")).to_contain_text("silent")


def test_a_file_that_is_too_large_is_refused_with_its_limit(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(encode(noise(200.0), 16_000, "wav", "PCM_16"))  # 6.4 MB
    visitor.upload(path)
    refused = visitor.page.locator(".too-large")
    expect(refused).to_have_text("“large.wav” has 6.4 MB. At most 5 MB are accepted here: choose a smaller file.")
    visitor.upload(sample_clips(20)[12])
    visitor.wait_for_result()
    expect(refused).to_have_count(0)


# What comes out


@pytest.mark.parametrize("size", [{"width": 1440, "height": 900}, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_line_up_are_drawn_for_their_width_and_fit(
    size: dict[str, int], theme: str, new_visitor: Callable[..., Visitor]
) -> None:
    visitor = new_visitor(**size).open(f"?__theme={theme}")
    visitor.page.locator("#samples button").nth(3).click()
    visitor.wait_for_result()
    boxes = [visitor.picture(name).bounding_box() for name in PICTURES]
    assert len({(box["x"], box["width"]) for box in boxes}) == 1
    assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
    for name, box in zip(PICTURES, boxes, strict=True):
        width, height = visitor.size(name)
        # Two pixels of the file for each of the page: drawn for this width, not shrunk to it; layout may round to one.
        assert width / 2 == pytest.approx(box["width"], abs=1)
        assert height / width == pytest.approx(box["height"] / box["width"], rel=0.01)
        corner = visitor.pixels(name)[0, 0]
        assert corner.max() < 64 if theme == "dark" else corner.min() > 240
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert visitor.complaints == []


def test_a_clicked_patch_is_the_one_that_is_told_of(visitor: Visitor) -> None:
    path = one_sample_per_label()[10].path
    visitor.upload(path)
    visitor.wait_for_result()
    inspection = inspected_by_the_library(path)
    grid = inspection.checkpoint.grid
    look = Look(visitor.size("patch-grid")[0] // 2)
    figure = patch_grid_figure(inspection, look)
    panel = visitor.page.locator("#patch")
    expect(panel).to_be_hidden()
    for picture, (frequency, time) in (("patch-grid", (2, 5)), ("rollout", (grid.n_frequency - 1, grid.n_time - 2))):
        box = grid.box(frequency, time)
        before = visitor.source("patch-grid"), visitor.source("patch-rollout")
        # The centre of the patch: frames are drawn from 7.5 ms on, 10 ms each.
        x, y = pixel_of(
            figure,
            look,
            0.0075 + (box.frame_start + box.frame_stop) / 200,
            (box.mel_start + box.mel_stop) / 2,
        )
        assert patch_at_pixel(inspection, look, x, y) == (frequency, time)
        visitor.click_picture(picture, x, y)
        expect(panel.locator("dd").first).to_have_text(str(grid.token(frequency, time)), timeout=WAIT_MS)
        facts = visitor.facts("#patch")
        assert facts["sees"] == (f"{box.low_hz:.0f}–{box.high_hz:.0f} Hz, {box.start_s:.3f}–{box.stop_s:.3f} s")
        assert facts["mel bins, frames"] == (
            f"{box.mel_start}–{box.mel_stop - 1}, {box.frame_start}–{box.frame_stop - 1}"
        )
        share = inspection.rollout.final[frequency, time] * grid.n_patches
        assert float(facts["rollout of the whole clip"].split()[0]) == pytest.approx(share, abs=0.006)  # two decimals
        for name in ("patch-rollout", "patch-attention"):
            expect(visitor.picture(name)).to_be_visible(timeout=WAIT_MS)
        assert (visitor.source("patch-grid"), visitor.source("patch-rollout")) != before
    visitor.page.get_by_role("button", name="Close the patch").click()
    expect(panel).to_be_hidden(timeout=WAIT_MS)


def test_depth_and_zoom_redraw_the_pictures(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[4])
    visitor.wait_for_result()
    depth = visitor.page.locator("#depth input[type=range]")
    layers = read_facts(SHIPPED_FOLDER / default_checkpoint()).n_layers
    assert (depth.get_attribute("min"), depth.get_attribute("max"), depth.input_value()) == (
        "1",
        str(layers),
        str(layers),
    )
    through_all, waveform = visitor.pixels("rollout"), visitor.pixels("waveform")
    before = visitor.source("rollout")
    depth.fill("1")
    visitor.wait_for_result(instead_of=before)
    through_one = visitor.pixels("rollout")
    assert (through_one != through_all).any()
    before = visitor.source("rollout")
    visitor.page.get_by_label("Zoom to the clip").check()
    visitor.wait_for_result(instead_of=before)
    zoomed = visitor.pixels("rollout")
    assert (visitor.pixels("waveform") != waveform).any()
    # The title tells the depth: as it stands on the slider, so after zooming out nothing is different from before.
    before = visitor.source("rollout")
    visitor.page.get_by_label("Zoom to the clip").uncheck()
    visitor.wait_for_result(instead_of=before)
    np.testing.assert_array_equal(visitor.pixels("rollout"), through_one)
    before = visitor.source("rollout")
    depth.fill(str(layers))
    visitor.wait_for_result(instead_of=before)
    np.testing.assert_array_equal(visitor.pixels("rollout"), through_all)
    assert zoomed.shape == through_all.shape


def test_a_new_clip_is_zoomed_if_the_last_was_and_the_files_of_the_last_are_deleted(visitor: Visitor, app: App) -> None:
    before_all = app.results()
    visitor.upload(sample_clips(20)[4])
    visitor.wait_for_result()
    source = visitor.source("rollout")
    visitor.page.get_by_label("Zoom to the clip").check()
    visitor.wait_for_result(instead_of=source)
    zoomed = visitor.pixels("spectrogram")
    assert len(app.results() - before_all) == 1
    visitor.page.locator("#clip").get_by_role("button", name="Clear").click()
    expect(visitor.page.locator("#welcome")).to_be_visible(timeout=WAIT_MS)
    assert app.results() - before_all == set()  # those of earlier visitors may go meanwhile
    visitor.upload(sample_clips(20)[4])
    visitor.wait_for_result()
    expect(visitor.page.get_by_label("Zoom to the clip")).to_be_checked()
    np.testing.assert_array_equal(visitor.pixels("spectrogram"), zoomed)
    assert len(app.results() - before_all) == 1


def test_downloads_hold_the_pictures_the_arrays_and_the_facts(visitor: Visitor, tmp_path: Path) -> None:
    path = one_sample_per_label()[15].path
    visitor.upload(path)
    visitor.wait_for_result()
    visitor.page.locator("#downloads").get_by_role("button").first.click()
    links = visitor.page.locator("#downloads a[download]")
    expect(links).to_have_count(9, timeout=WAIT_MS)  # the map comes last
    files = {}
    for link in links.all():
        with visitor.page.expect_download() as download:
            link.click()
        files[download.value.suggested_filename] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[download.value.suggested_filename])
    names = {"waveform.png", "spectrogram.png", "patch_grid.png", "rollout.png", "inspection.json", "inspection.npz"}
    assert set(files) == names | {"map.png", "map.npz", "map.json"}
    assert np.load(files["map.npz"])["values"].shape == np.load(files["inspection.npz"])["rollout"].shape
    inspection = inspected_by_the_library(path)
    with np.load(files["inspection.npz"]) as arrays:
        np.testing.assert_array_equal(arrays["samples"], inspection.waveform.samples)
        np.testing.assert_array_equal(arrays["spectrogram"], inspection.spectrogram.values)
        # Another process, perhaps with another number of threads, may add in another order.
        np.testing.assert_allclose(arrays["rollout"], inspection.rollout.final, atol=1e-6)
        np.testing.assert_allclose(arrays["logits"], inspection.prediction.logits, atol=1e-4)
    facts = json.loads(files["inspection.json"].read_text(encoding="utf-8"))
    assert (facts["clip"], facts["checkpoint"]) == (path.name, default_checkpoint())
    assert files["rollout.png"].read_bytes().startswith(b"\x89PNG")


# Checkpoints


def test_the_checkpoint_is_written_as_onnx_and_goes_away_with_another_one(visitor: Visitor, tmp_path: Path) -> None:
    page, name = visitor.page, shipped_names()[0]
    visitor.choose_checkpoint(name)
    visitor.upload(sample_clips(20)[7])
    visitor.wait_for_result()
    page.locator("#downloads").get_by_role("button", name="Downloads").click()
    page.locator("#onnx-write").click()
    expect(page.locator("#onnx-message")).to_contain_text(f"Writing {name}", timeout=WAIT_MS)
    link = page.locator("#onnx a[download]")
    expect(link).to_have_attribute("download", f"{name} onnx.zip", timeout=2 * WAIT_MS)
    with zipfile.ZipFile(io.BytesIO(page.request.get(link.get_attribute("href")).body())) as archive:
        assert sorted(archive.namelist()) == ["README.md", "labels.json", "model.int8.onnx", "model.onnx"]
        archive.extractall(tmp_path)
    labels = json.loads((tmp_path / "labels.json").read_text())["labels"]
    samples = read_audio(sample_clips(20)[7]).samples
    (logits,) = InferenceSession(tmp_path / "model.onnx").run(["logits"], {"samples": samples[None]})
    assert labels[logits[0].argmax()].replace("_", " ") == visitor.scores()[0][0]
    before = visitor.source("rollout")
    visitor.choose_checkpoint(shipped_names()[1])
    visitor.wait_for_result(instead_of=before)
    expect(link).to_have_count(0)


def test_another_checkpoint_runs_again_and_one_that_is_none_gives_a_sentence(
    visitor: Visitor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints") / "five-labels"
    save(build_model(num_mel_bins=128, max_length=256, patch_size=16, frequency_stride=10, time_stride=10), folder)
    path = sample_clips(20)[8]
    visitor.upload(path)
    visitor.wait_for_result()
    visitor.choose_checkpoint(str(folder))
    # Not the next picture: the list of checkpoints, when it comes late, makes the first one run again.
    expect(visitor.page.locator("#facts")).to_contain_text("302: 12 × 25 patches", timeout=WAIT_MS)
    visitor.wait_for_result()
    assert_scores(visitor, path, inspect(read_audio(path), load_checkpoint(folder)))
    assert visitor.facts()["tokens"].startswith("302: 12 × 25 patches")
    visitor.choose_checkpoint("no-such-checkpoint")
    complaint = visitor.wait_for_complaint()
    assert complaint.startswith("There is no checkpoint 'no-such-checkpoint'. Expected ")
    visitor.choose_checkpoint(default_checkpoint())
    visitor.wait_for_result()
    assert_scores(visitor, path)
    expect(visitor.page.locator("#message [role=alert]")).to_be_hidden()


def test_a_checkpoint_that_is_not_downloaded_says_so_without_a_network(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[8])
    visitor.wait_for_result()
    visitor.choose_checkpoint("MIT/ast-finetuned-audioset-10-10-0.4593")
    complaint = visitor.wait_for_complaint()
    assert "is not on this machine yet, and the Hugging Face Hub cannot be reached" in complaint


# For everybody


def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(visitor: Visitor) -> None:
    visitor.upload(sample_clips(20)[2])
    visitor.wait_for_result()
    grid = visitor.picture("patch-grid").bounding_box()
    visitor.picture("patch-grid").click(position={"x": grid["width"] / 2, "y": grid["height"] / 2})
    expect(visitor.page.locator("#patch")).to_be_visible(timeout=WAIT_MS)
    # As assistive technology gets it: a role, and a name in quotes.
    tree = visitor.page.locator("body").aria_snapshot()
    roles = "button|link|textbox|checkbox|slider|combobox|tab|radio|spinbutton|listbox"
    nameless = [line for line in tree.splitlines() if re.match(rf"\s*- ({roles})\b(?! \")", line)]
    assert nameless == [], tree
    for picture in ("Waveform", "Normalised log-mel spectrogram", "cut into the model's patches", "Attention rollout"):
        assert re.search(rf'- img ".*{picture}', tree), tree

    # Mark what can be operated, press Tab until it starts over, and see what was never focused.
    n = visitor.page.evaluate(
        """() => {
            const all = [...document.querySelectorAll('button, input, select, textarea, a[href], audio[controls]')];
            const usable = all.filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled
                && e.type !== 'file' && e.tabIndex >= 0 && e.getBoundingClientRect().width > 1);
            usable.forEach((e, i) => e.dataset.control = i);
            return usable.length;
        }"""
    )
    reached = set()
    for _ in range(2 * n + 20):
        visitor.page.keyboard.press("Tab")
        reached.add(visitor.page.evaluate("document.activeElement.dataset.control"))
    missed = [
        visitor.page.locator(f"[data-control='{i}']").evaluate("e => e.outerHTML.slice(0, 200)")
        for i in range(n)
        if str(i) not in reached
    ]
    assert n > 30
    assert missed == []


def test_the_guide_opens(visitor: Visitor) -> None:
    visitor.page.get_by_role("tab", name="How to read this").click()
    expect(visitor.page.get_by_role("heading", name="What rollout is not")).to_be_visible()


def test_two_visitors_see_each_their_own_clip(new_visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    samples = [one_sample_per_label()[position].path for position in (1, 16)]
    visitors = [new_visitor().open(), new_visitor().open()]
    for visitor, path in zip(visitors, samples, strict=True):
        visitor.upload(path)  # nobody waits for the other
    for visitor in visitors:
        visitor.wait_for_result()
    inspections = [inspected_by_the_library(path) for path in samples]
    for visitor, path, inspection in zip(visitors, samples, inspections, strict=True):
        assert_scores(visitor, path, inspection)
        assert visitor.facts()["recording"].startswith(f"{inspection.waveform.duration_s:.2f} s")
    # Their next steps neither.
    before = [visitor.source("rollout") for visitor in visitors]
    for visitor in visitors:
        visitor.page.locator("#depth input[type=range]").fill("2")
    for visitor, source in zip(visitors, before, strict=True):
        visitor.wait_for_result(instead_of=source)
    one, other = (visitor.pixels("rollout") for visitor in visitors)
    assert one.shape == other.shape
    assert (one != other).mean() > 0.01
