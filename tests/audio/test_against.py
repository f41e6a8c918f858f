"""Recordings that ffmpeg and sox make, heard here as they hear them: samples, lag, level, correlation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.against import differences, is_alike
from tests.audio.made import RECIPES, Recipe, has_programs

pytestmark = pytest.mark.skipif(not has_programs(), reason="ffmpeg and sox are not installed")


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])
def test_the_same_is_heard(recipe: Recipe, tmp_path: Path) -> None:
    found = dict(differences(recipe, tmp_path))
    assert found, "no other program reads it"
    assert {program: difference for program, difference in found.items() if not is_alike(difference)} == {}


def test_the_set_is_broad() -> None:
    assert len(RECIPES) >= 140
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
