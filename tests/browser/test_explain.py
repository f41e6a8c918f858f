"""Why this label? In a real browser: the map that comes by itself, another label, and the trust card."""

from __future__ import annotations

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from ast_demo.audio.decoding import read_audio
from ast_demo.explain.methods import cautions, default_method, explain
from ast_demo.inspection.inspection import inspect
from ast_demo.models.loading import default_checkpoint, load_checkpoint
from tests.browser.visitor import WAIT_MS, Visitor
from tests.clips import sample_clips

pytestmark = pytest.mark.browser


def drawn(visitor: Visitor, name: str, instead_of: str = "") -> str:
    """Wait for a picture, another one than before; its address."""
    visitor.page.wait_for_function(
        """([name, before]) => {
            const image = document.querySelector(`#picture-${name} img`);
            return image && image.complete && image.naturalWidth > 0 && image.src !== before;
        }""",
        arg=[name, instead_of],
        timeout=2 * WAIT_MS,
    )
    return visitor.picture(name).evaluate("image => image.src")


def choose(visitor: Visitor, box: str, option: str) -> None:
    visitor.page.locator(f"{box} input").click()
    visitor.page.get_by_role("option", name=option, exact=True).click()


def test_a_map_comes_by_itself_and_can_be_asked_about_and_tested(visitor: Visitor) -> None:
    path = sample_clips(20)[13]
    visitor.upload(path)
    visitor.wait_for_result()
    first = drawn(visitor, "map")
    assert visitor.size("map") == visitor.size("rollout")  # one time axis
    checkpoint = load_checkpoint(default_checkpoint())
    inspection = inspect(read_audio(path), checkpoint)
    best, second = (label for label, _ in inspection.prediction.top(2))
    relevance = explain(inspection, checkpoint, default_method(checkpoint.facts))
    remarks = visitor.page.locator("#map-remarks")
    expect(remarks).to_contain_text(cautions(relevance, inspection)[0], timeout=WAIT_MS)
    choose(visitor, "#why-not", second.replace("_", " "))
    difference = drawn(visitor, "map", instead_of=first)
    assert np.ptp(visitor.pixels("map").sum(axis=2)) > 200
    choose(visitor, "#map", "Energy (no model)")
    drawn(visitor, "map", instead_of=difference)
    expect(remarks).to_contain_text("this map does not look at the model", timeout=WAIT_MS)
    expect(visitor.page.locator("#why-label input")).to_be_disabled()
    visitor.page.get_by_role("button", name="How far can you trust this map?").click()
    visitor.page.locator("#trust-go").click()
    drawn(visitor, "trust")
    expect(visitor.page.locator("#trust-verdict .verdict")).to_contain_text("On this clip no better than")
    facts = visitor.facts("#trust-verdict")
    assert set(facts) == {"insertion less deletion", "shuffled weights", "rests on"}
    assert "loudness" in facts["insertion less deletion"] and "10 random maps" in facts["insertion less deletion"]
    assert visitor.complaints == [], json.dumps(visitor.complaints)
    assert best != second
