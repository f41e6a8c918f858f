"""Maps and trust cards as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ast_demo.explain.faithfulness import Curves, TrustCard
from ast_demo.explain.maps import RelevanceMap, energy_map
from ast_demo.figures import Look, map_figure, map_title, rollout_figure, to_png, trust_figure
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.models.loading import load_checkpoint
from tests.clips import noise, waveform
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return inspect(waveform(noise(0.61)), load_checkpoint(save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")))


def mesh_of(figure: object) -> np.ndarray:
    (mesh,) = figure.axes[0].collections  # type: ignore[attr-defined]
    return np.asarray(mesh.get_array()).reshape(13, 17)


def test_what_speaks_for_a_label_is_drawn_as_shares(inspection: Inspection) -> None:
    values = np.random.default_rng(0).standard_normal((13, 17)).astype(np.float32)
    drawn = mesh_of(map_figure(inspection, RelevanceMap(values, "perturbation", "dog")))
    positive = np.maximum(values, 0)
    np.testing.assert_allclose(drawn, positive / positive.sum() * 221, rtol=1e-4)


def test_a_difference_is_drawn_with_both_signs(inspection: Inspection) -> None:
    values = np.random.default_rng(0).standard_normal((13, 17)).astype(np.float32)
    drawn = mesh_of(map_figure(inspection, RelevanceMap(values, "relevance", "dog", "bell")))
    np.testing.assert_allclose(drawn, values / np.abs(values).max(), rtol=1e-5)


def test_titles() -> None:
    values = np.ones((13, 17), np.float32)
    assert map_title(RelevanceMap(values, "rollout")) == "Attention rollout: the same for every label"
    assert map_title(RelevanceMap(values, "relevance", "dog_bark")) == "Class relevance: what speaks for dog bark"
    title = map_title(RelevanceMap(values, "perturbation", "dog_bark", "rain"))
    assert title == "Perturbation: dog bark rather than rain"


@pytest.mark.parametrize("look", [Look(), Look(width_px=300, dark=True)])
def test_maps_line_up_with_the_other_pictures(inspection: Inspection, look: Look) -> None:
    one, other = (f(inspection, *a, look) for f, a in ((map_figure, [energy_map(inspection)]), (rollout_figure, [])))
    assert one.axes[0].get_position().bounds == other.axes[0].get_position().bounds
    assert one.axes[0].get_xlim() == other.axes[0].get_xlim()


def test_a_trust_card_shows_the_map_beside_its_controls() -> None:
    rise, fall = np.linspace(0, 1, 5), np.linspace(1, 0, 5)
    card = TrustCard("dog_bark", Curves(fall**2, rise), Curves(fall, rise), (Curves(fall, rise),) * 10, (), 0.1, 0.2)
    for look in (Look(), Look(width_px=300)):
        figure = trust_figure(card, look)
        for axes, expected in zip(figure.axes, (card.of_map.deletion, card.of_map.insertion), strict=True):
            lines = {line.get_label(): line.get_ydata() for line in axes.lines}
            assert set(lines) == {"this map", "loudness"}
            np.testing.assert_array_equal(lines["this map"], expected)
            assert len(axes.collections) == 1  # the band of the random maps
        assert to_png(figure, look).startswith(b"\x89PNG")


def test_a_constant_map_can_be_drawn(tmp_path: Path, inspection: Inspection) -> None:
    for against in (None, "bell"):
        nothing = RelevanceMap(np.zeros((13, 17), np.float32), "relevance", "dog", against)
        (tmp_path / "nothing.png").write_bytes(to_png(map_figure(inspection, nothing)))
