"""A method of explanation is a file and a row: all else that knows of methods reads the row."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ast_demo.errors import CheckpointError
from ast_demo.explain import METHODS, Method, Request, cautions, default_method, explain, measure_trust
from ast_demo.explain.maps import RelevanceMap, rollout_map
from ast_demo.export import write_map
from ast_demo.figures.relevance import map_figure, map_title
from ast_demo.inspection.inspection import inspect
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint
from ast_demo.ui.inspect.explain import map_choices
from tests.clips import REPOSITORY, melody, waveform
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def corners(monkeypatch: pytest.MonkeyPatch) -> Method:
    """A row that is thrown away: a map of the corners, which differs from label to label."""

    def make(asked: Request) -> RelevanceMap:
        values = np.zeros_like(rollout_map(asked.inspection).values)
        values[0, 0] = values[-1, -1] = 1 + asked.checkpoint.facts.labels.index(asked.label)
        return RelevanceMap(values, "corners", asked.label, asked.against)

    row = Method("corners", "Two corners", "It knows nothing but corners.", needs_label=True, cost=1, make=make)
    rows: Any = METHODS
    monkeypatch.setitem(rows, "corners", row)
    return row


def test_a_new_row_is_on_the_page(corners: Method) -> None:
    assert map_choices()[-1] == (corners.title, corners.key)
    assert [key for _, key in map_choices()] == list(METHODS)


def test_a_new_row_has_a_map_a_card_and_a_picture(corners: Method, tiny: Checkpoint, tmp_path: Path) -> None:
    inspection = inspect(waveform(melody(0.5)), tiny)
    relevance = explain(inspection, tiny, "corners", "rain")
    assert relevance.values.max() == 1 + tiny.facts.labels.index("rain")
    assert cautions(relevance, inspection)[0] == corners.caution
    assert map_title(relevance) == "Two corners: what speaks for rain"
    assert map_figure(inspection, relevance).texts[0].get_text() == map_title(relevance)
    card = measure_trust(relevance, inspection, tiny)
    # The map knows nothing of the weights, and so stays the same whatever they are.
    assert card.kept_under_random_weights == pytest.approx((1.0, 1.0, 1.0))
    assert {path.name for path in write_map(relevance, inspection, tmp_path, card)} >= {"map.png", "trust.png"}


def test_a_new_row_is_in_what_the_command_line_says() -> None:
    """And that needs no PyTorch."""
    code = (
        "import sys; from ast_demo.explain import METHODS, Method;"
        "METHODS['corners'] = Method('corners', 'Two corners', '', needs_label=True, cost=1, make=None);"
        "from ast_demo.cli import app; app(['inspect', '--help'], standalone_mode=False);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={"COLUMNS": "300", "PATH": "", "NO_COLOR": "1"},
    )
    assert ", ".join([*METHODS, "corners"]) in " ".join(done.stdout.split())
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_what_there_is_no_row_for_is_refused(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(melody(0.5)), tiny)
    with pytest.raises(CheckpointError, match=re.escape(f"Expected one of {', '.join(METHODS)}.")):
        explain(inspection, tiny, "saliency")


def test_rows_say_who_they_are(tiny: Checkpoint) -> None:
    """Each map carries its own key, and changes with the label where the row says so."""
    inspection = inspect(waveform(melody(0.5)), tiny)
    for key, row in METHODS.items():
        one, other = (explain(inspection, tiny, key, label) for label in ("rain", "wind"))
        assert key == row.key == one.method
        assert (one.label == "rain") == row.needs_label
        assert np.array_equal(one.values, other.values) != row.needs_label
    assert default_method(tiny.facts) == next(iter(METHODS))


@pytest.mark.parametrize("file", ["ast_demo/ui/guide.md"])
def test_the_guide_tells_of_each(file: str) -> None:
    """One paragraph on what it does and one line of the table of how well it points, by the names of the rows."""
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    assert re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)[: len(METHODS)] == [
        row.title for row in METHODS.values()
    ]
    table = text[text.index("| map | the label that won") :]
    names = [line.split("|")[1].strip() for line in table.splitlines()[2 : 2 + len(METHODS)]]
    assert names == [row.choice[0].lower() + row.choice[1:] for row in METHODS.values()]
