"""What is written to files is what was inspected, all of it, and nothing else."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ast_demo.errors import DataError
from ast_demo.export.files import arrays, draw, write_inspection
from ast_demo.figures import Look
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.inspection.rollout import Rollout
from ast_demo.models.loading import load_checkpoint
from tests.clips import melody, waveform
from tests.tiny import TINY, save_tiny

FILES = ["waveform.png", "spectrogram.png", "patch_grid.png", "rollout.png", "inspection.json", "inspection.npz"]


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")
    return inspect(waveform(melody(0.7), "döner & co.wav"), load_checkpoint(folder))


def test_the_four_pictures_are_drawn_for_the_look_that_is_asked_for(inspection: Inspection) -> None:
    pictures = draw(inspection, Look(width_px=333, scale=1.0))
    assert list(pictures) == ["waveform", "spectrogram", "patch_grid", "rollout"]
    sizes = [Image.open(io.BytesIO(picture)).size for picture in pictures.values()]
    assert {width for width, _ in sizes} == {333}
    assert len({height for _, height in sizes[1:]}) == 1
    assert len(set(pictures.values())) == 4


def test_arrays_are_those_of_the_inspection(inspection: Inspection) -> None:
    with np.load(io.BytesIO(arrays(inspection))) as held:  # without pickle: nothing in it can run
        contents = dict(held)
    prediction = inspection.prediction
    expected = {
        "samples": inspection.waveform.samples,
        "spectrogram": inspection.spectrogram.values,
        "rollout": inspection.rollout.maps[-1],
        "rollout_by_depth": inspection.rollout.maps,
        "logits": prediction.logits,
        "scores": prediction.scores,
        "embedding": prediction.embedding,
        "labels": np.array(prediction.labels),
    }
    assert set(contents) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(contents[name], array, err_msg=name)
        assert contents[name].dtype == array.dtype
    grid = inspection.checkpoint.grid
    assert contents["spectrogram"].shape == (TINY["max_length"], TINY["num_mel_bins"])  # frames × mel bins
    assert contents["rollout"].shape == (grid.n_frequency, grid.n_time)


def test_a_folder_gets_six_files_and_is_made_if_need_be(inspection: Inspection, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    paths = write_inspection(inspection, folder)
    assert paths == [folder / name for name in FILES]
    assert sorted(folder.iterdir()) == sorted(paths)
    facts = json.loads((folder / "inspection.json").read_text(encoding="utf-8"))
    assert facts["clip"] == "döner & co.wav"
    assert [row["label"] for row in facts["predictions"]] == [label for label, _ in inspection.prediction.top()]
    grid = inspection.checkpoint.grid
    assert facts["patch_grid"] == {"frequency": grid.n_frequency, "time": grid.n_time}
    assert (folder / "inspection.npz").read_bytes() == arrays(inspection)
    assert (folder / "rollout.png").read_bytes() == draw(inspection)["rollout"]
    # Again into the same folder: what was there is replaced.
    assert write_inspection(inspection, folder, {"waveform": b"a picture"})[0].read_bytes() == b"a picture"


def test_a_folder_that_cannot_be_written_to_is_told_in_a_sentence(inspection: Inspection, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("I am in the way.")
    for folder in (file, file / "below"):
        with pytest.raises(DataError, match=rf"^Cannot write to the folder '{folder}': .+\.$"):
            write_inspection(inspection, folder)


def test_a_model_without_a_grid_has_no_spectrogram_and_no_patches_to_export(
    inspection: Inspection, tmp_path: Path
) -> None:
    maps = np.full((3, 1, 20), 0.05, np.float32)
    without = replace(
        inspection,
        checkpoint=replace(inspection.checkpoint, input=None, grid=None),
        spectrogram=None,
        rollout=Rollout(maps, np.zeros(3, np.float32), np.zeros(3, np.float32)),
    )
    names = [path.name for path in write_inspection(without, tmp_path)]
    assert names == ["waveform.png", "rollout.png", "inspection.json", "inspection.npz"]
    with np.load(tmp_path / "inspection.npz") as held:
        assert "spectrogram" not in held
        assert held["rollout"].shape == (1, 20)
    assert json.loads((tmp_path / "inspection.json").read_text(encoding="utf-8"))["patch_grid"] is None
