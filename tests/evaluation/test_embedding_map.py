"""The map of the embeddings: what was fitted stays where it is, the others lie among their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from ast_demo.evaluation.embedding_map import fit_coordinates, place_others, spread


@pytest.mark.parametrize(("n", "most"), [(0, 5), (1, 5), (4, 5), (5, 5), (6, 5), (101, 10)])
def test_spread_takes_so_many_from_first_to_last(n: int, most: int) -> None:
    places = spread(n, most)
    assert len(places) == len(set(places)) == min(n, most)
    assert list(places) == sorted(places)
    if n:
        assert places[0] == 0
        assert np.diff([*places, n]).max() <= -(-n // most)


@pytest.mark.parametrize("n", [1, 2, 10, 60])
def test_clusters_stay_apart_and_others_join_theirs(n: int) -> None:
    generator = np.random.default_rng(0)
    cluster = np.arange(n) % 2
    embeddings = (10 * cluster[:, None] + generator.standard_normal((n, 8))).astype(np.float32)
    coordinates = fit_coordinates(embeddings)
    assert coordinates.shape == (n, 2)
    place = place_others(embeddings, coordinates)
    np.testing.assert_allclose(place(embeddings), coordinates, atol=0.02 * np.ptp(coordinates) + 1e-9)
    if n >= 10:
        centres = np.stack([coordinates[cluster == one].mean(axis=0) for one in (0, 1)])
        others = np.stack([np.full(8, 0.0), np.full(8, 10.0)]).astype(np.float32)
        distances = np.linalg.norm(place(others)[:, None] - centres, axis=2)
        assert list(distances.argmin(axis=1)) == [0, 1]


def test_a_model_that_always_says_the_same_has_a_map_of_one_point() -> None:
    embeddings = np.ones((40, 8), np.float32)
    coordinates = fit_coordinates(embeddings)
    np.testing.assert_array_equal(place_others(embeddings, coordinates)(embeddings), np.zeros((40, 2)))
