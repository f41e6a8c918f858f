"""Why was it wrong? Both maps are those that Inspect shows, the numbers beside them hold in plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH, read_audio
from ast_demo.audio.statistics import find_silence
from ast_demo.errors import CheckpointError
from ast_demo.explain.deletion import background, to_bins
from ast_demo.explain.maps import RelevanceMap, energy_map, padding_share, random_map, silence_share
from ast_demo.explain.methods import explain
from ast_demo.explain.mistakes import TAKEN_AWAY, explain_mistake
from ast_demo.inspection.inspection import inspect
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint, shipped_names
from ast_demo.models.prediction import to_scores
from tests import planted
from tests.clips import melody, noise, sample_clips, tone, waveform
from tests.tiny_sequence import save_sequence_model


def silence_in_loops(samples: np.ndarray) -> list[bool]:
    """Frame by frame, in decibels of full scale."""
    starts = range(0, len(samples) - FRAME_LENGTH + 1, HOP_LENGTH)
    power = [float(np.mean(samples[start : start + FRAME_LENGTH].astype(np.float64) ** 2)) for start in starts]
    level = [10 * np.log10(one) if one else -np.inf for one in power]
    quiet, loud = (10 * np.log10(np.percentile(power, q)) for q in (10, 95))
    varies = loud - quiet > 12
    return [bool(one < -60 or (varies and one < quiet + 6)) for one in level]


@pytest.mark.parametrize("number", range(0, 20, 3))
def test_silence_frame_by_frame(number: int) -> None:
    clip = read_audio(sample_clips(20)[number])
    assert find_silence(clip).tolist() == silence_in_loops(clip.samples)


def test_a_pause_is_silent_and_a_sound_that_goes_on_is_not() -> None:
    hum = noise(2.0, level=0.003)
    hum[8_000:16_000] += tone(500, 0.5, level=0.3)
    silent = find_silence(waveform(hum))
    assert silent[:47].all()
    assert not silent[50:97].any()
    assert not find_silence(waveform(noise(1.0, level=0.1))).any()
    assert find_silence(waveform(noise(1.0, level=0.0001))).all()


def test_the_share_on_silence_patch_by_patch(tiny: Checkpoint) -> None:
    samples = noise(0.61, level=0.002)
    samples[3_000:6_000] += tone(900, 3_000 / 16_000, level=0.3)
    inspection = inspect(waveform(samples), tiny)
    spectrogram, grid = inspection.fed
    relevance = random_map(inspection, 3)
    silent = [*silence_in_loops(samples), *[False] * grid.n_frames][: grid.n_frames]
    assert 0 < sum(silent) < spectrogram.clip_frames
    share = 0.0
    for frequency in range(grid.n_frequency):
        for time in range(grid.n_time):
            first = time * grid.time_stride
            inside = sum(silent[first : first + grid.patch_size]) / grid.patch_size
            share += relevance.values[frequency, time] / relevance.values.sum() * inside
    assert silence_share(relevance, inspection) == pytest.approx(share, abs=1e-6)
    even = RelevanceMap(np.ones_like(relevance.values), "random")
    assert silence_share(even, inspection) + padding_share(even, inspection) < 1


def test_both_maps_are_those_of_inspect_and_the_numbers_are_what_they_say(tiny: Checkpoint) -> None:
    samples = noise(0.61, level=0.002)
    samples[3_000:6_000] += tone(900, 3_000 / 16_000, level=0.3)
    inspection = inspect(waveform(samples), tiny)
    spectrogram, grid = inspection.fed
    mistake = explain_mistake(inspection, tiny, "bell", "rain")
    for one, label in ((mistake.predicted, "bell"), (mistake.true, "rain")):
        assert one is not None and one.label == label
        np.testing.assert_allclose(one.values, explain(inspection, tiny, "relevance", label).values, atol=1e-7)
    facts = mistake.facts
    even = RelevanceMap(np.ones_like(mistake.predicted.values), "random")
    assert facts.map_on_padding == padding_share(mistake.predicted, inspection)
    assert facts.map_on_silence == silence_share(mistake.predicted, inspection)
    assert facts.silence_share == silence_share(even, inspection)
    assert facts.map_on_special_tokens == mistake.predicted.special_share
    heard = [time for time in range(grid.n_time) if time * grid.time_stride < spectrogram.clip_frames]
    energy = energy_map(inspection)
    expected = spearmanr(mistake.predicted.values[:, heard].ravel(), energy.values[:, heard].ravel()).statistic
    assert facts.map_like_loudness == pytest.approx(expected, abs=1e-6)

    def score(values: np.ndarray) -> float:
        with torch.inference_mode():
            logits = tiny.model(torch.from_numpy(values[None])).logits[0].numpy()
        return float(to_scores(logits, "softmax")[0])

    quiet = background(inspection)
    falls = (facts.fall_by_map, facts.fall_by_loudness, facts.fall_by_chance)
    for fall, order in zip(falls, (mistake.predicted, energy, random_map(inspection, 0)), strict=True):
        bins = to_bins(order.values, inspection)
        places = sorted(np.ndindex(*bins.shape), key=lambda at: -bins[at])
        values = spectrogram.values.copy()
        for frame, mel in places[: round(TAKEN_AWAY * len(places))]:
            values[frame, mel] = quiet[mel]
        assert fall == pytest.approx(score(spectrogram.values) - score(values), abs=1e-5)


def test_a_clip_without_a_true_label_has_one_map(tiny: Checkpoint) -> None:
    mistake = explain_mistake(inspect(waveform(noise(0.61)), tiny), tiny, "bell", None)
    assert mistake.predicted.label == "bell"
    assert mistake.true is None


def test_a_model_that_reads_padding_is_found_out(tmp_path: Path) -> None:
    """The one patch that it reads lies behind the end of the clip: all of the map is on padding."""
    checkpoint = load_checkpoint(planted.save_planted(tmp_path / "planted", 2, planted.N_TIME - 1))
    facts = explain_mistake(inspect(waveform(melody(0.15)), checkpoint), checkpoint, "heard", "not").facts
    assert facts.map_on_padding == pytest.approx(1, abs=1e-5)
    assert facts.map_on_silence == pytest.approx(0, abs=1e-5)
    assert facts.fall_by_map == pytest.approx(0, abs=1e-6)  # taking sound away changes nothing


def test_a_shipped_checkpoint_explains_a_sample_that_it_gets_wrong() -> None:
    checkpoint = load_checkpoint(shipped_names()[-1])
    inspection = inspect(read_audio(sample_clips(3)[1]), checkpoint)
    best, other = (label for label, _ in inspection.prediction.top(2))
    mistake = explain_mistake(inspection, checkpoint, other, best)
    assert mistake.true is not None
    assert np.abs(mistake.predicted.values - mistake.true.values).max() > 1e-4
    assert mistake.facts.fall_by_map > mistake.facts.fall_by_chance


def test_without_a_patch_grid_there_is_nothing_to_draw_on(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_sequence_model("wavlm", tmp_path / "wavlm"))
    with pytest.raises(CheckpointError, match="'wavlm' has no patch grid"):
        explain_mistake(inspect(waveform(noise(1.1)), checkpoint), checkpoint, "dog", "rain")
