"""Who leaves while an evaluation is put together ends it there, in whatever step it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from ast_demo.data import read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.models import load_checkpoint
from tests.clips import noise
from tests.tiny import LABELS, save_tiny


class LeftError(Exception):
    """The visitor has left."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for place, label in enumerate(LABELS):
        (tmp_path / "data" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / label / "a.wav", noise(0.3, seed=place, level=0.1), 16_000)
    return tmp_path / "data"


def test_every_step_at_the_end_can_be_stopped(data: Path, tmp_path: Path) -> None:
    models = [str(save_tiny(tmp_path / name, seed=seed)) for seed, name in enumerate(("one", "two"))]
    clips = read_labelled_clips(data)

    def run(folder: str, last: int | None = None) -> int:
        """How many steps there were when all clips were done; it is left at the last one, where one is given."""
        steps = 0

        def tell(done: int, total: int) -> None:
            nonlocal steps
            steps += done == total
            if steps == last:
                raise LeftError

        evaluate(clips, models, load_checkpoint, tmp_path / folder, progress=tell)
        return steps

    steps = run("whole")
    assert steps > 4 * len(models)  # for each: metrics, a map, two pictures
    for last in range(1, steps + 1):
        with pytest.raises(LeftError):
            run("again", last)
    run("again")
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (tmp_path / "whole" / "metrics.json").read_bytes()
