"""The one type of map, and the controls that know nothing of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ast_demo.audio.decoding import read_audio
from ast_demo.explain.maps import RelevanceMap, energy_map, padding_share, random_map, rollout_map
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.models.loading import load_checkpoint, shipped_names
from tests.clips import melody, noise, sample_clips, waveform
from tests.reference import padding_share as padding_in_loops
from tests.tiny import save_tiny
from tests.tiny_sequence import save_sequence_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    """A clip of 59 of 89 frames."""
    checkpoint = load_checkpoint(save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny"))
    return inspect(waveform(noise(0.61)), checkpoint)


def energy_in_loops(inspection: Inspection) -> np.ndarray:
    """Patch by patch, bin by bin, from the log-mel in natural units."""
    spectrogram, grid = inspection.fed
    log_mel = spectrogram.values.astype(np.float64) * 2 * spectrogram.settings.std + spectrogram.settings.mean
    quietest = min(log_mel[t, m] for t in range(spectrogram.clip_frames) for m in range(grid.n_mels))
    cells = np.zeros((grid.n_frequency, grid.n_time))
    for f in range(grid.n_frequency):
        for t in range(grid.n_time):
            box = grid.box(f, t)
            for mel in range(box.mel_start, box.mel_stop):
                for frame in range(box.frame_start, min(box.frame_stop, spectrogram.clip_frames)):
                    cells[f, t] += (log_mel[frame, mel] - quietest) / grid.patch_size**2
    return cells


def test_energy_against_loops(tiny: Inspection) -> None:
    np.testing.assert_allclose(energy_map(tiny).values, energy_in_loops(tiny), atol=1e-5)


def test_energy_of_a_sample_against_loops() -> None:
    inspection = inspect(read_audio(sample_clips(3)[1]), load_checkpoint(shipped_names()[0]))
    np.testing.assert_allclose(energy_map(inspection).values, energy_in_loops(inspection), atol=1e-4)


def test_rollout_is_the_inspections(tiny: Inspection) -> None:
    relevance = rollout_map(tiny)
    np.testing.assert_array_equal(relevance.values, tiny.rollout.maps[-1])
    assert (relevance.method, relevance.label) == ("rollout", None)
    assert relevance.shares.sum() == pytest.approx(1)
    assert relevance.values.sum() + relevance.special_share == pytest.approx(1)
    # Shares are of what rests on patches, so the padding of the whole is a little less than that of the shares.
    on_patches = 1 - relevance.special_share
    assert padding_share(relevance, tiny) * on_patches == pytest.approx(float(tiny.rollout.padding_share[-1]), abs=1e-6)


def test_random_maps_differ_by_seed_only(tiny: Inspection) -> None:
    first, again, other = (random_map(tiny, seed).values for seed in (0, 0, 1))
    assert first.shape == tiny.rollout.final.shape
    assert first.min() >= 0
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.3


def test_padding_share_against_loops(tiny: Inspection) -> None:
    spectrogram, grid = tiny.fed
    relevance = random_map(tiny, 3)
    expected = padding_in_loops(relevance.values / relevance.values.sum(dtype=float), grid, spectrogram.clip_frames)
    assert padding_share(relevance, tiny) == pytest.approx(expected, abs=1e-6)


def test_shares_leave_out_what_speaks_against() -> None:
    relevance = RelevanceMap(np.array([[3.0, -2.0], [1.0, 0.0]], np.float32), "perturbation", "dog")
    np.testing.assert_allclose(relevance.shares, [[0.75, 0], [0.25, 0]])
    np.testing.assert_allclose(relevance.over_time, [2, -1])
    nothing = RelevanceMap(-np.ones((2, 3), np.float32), "perturbation", "dog")
    np.testing.assert_allclose(nothing.shares, np.full((2, 3), 1 / 6))


def test_without_a_patch_grid_over_time(tmp_path: Path) -> None:
    inspection = inspect(waveform(melody(1.0)), load_checkpoint(save_sequence_model("whisper", tmp_path / "whisper")))
    energy = energy_map(inspection)
    assert energy.values.shape == inspection.rollout.final.shape == (1, 100)
    # Two seconds of room for one second of sound, whose last quarter is the loudest and whose start is quiet.
    assert 37 <= int(energy.over_time.argmax()) < 50
    assert energy.values[0, 50:].max() == 0
    assert padding_share(energy, inspection) == 0
    assert padding_share(random_map(inspection, 0), inspection) == pytest.approx(0.5, abs=0.1)
