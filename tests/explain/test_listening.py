"""Both halves of a clip: what they hold, and that the checkpoint hears them as it hears any clip."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from ast_demo.audio.decoding import SAMPLE_RATE, read_audio
from ast_demo.audio.encoding import to_wav
from ast_demo.data.samples import list_samples
from ast_demo.errors import AudioError
from ast_demo.explain.listening import keep_highest, split_clip
from ast_demo.explain.maps import RelevanceMap, energy_map, rollout_map
from ast_demo.inspection.inspection import inspect
from ast_demo.models.loading import Checkpoint, load_checkpoint, shipped_names
from tests.clips import melody, noise, sample_clips, tone, waveform
from tests.tiny import save_tiny
from tests.tiny_sequence import save_sequence_model


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(shipped_names()[0])


def test_the_halves_add_up_and_are_scored_as_clips_of_their_own(shipped: Checkpoint) -> None:
    clip = read_audio(sample_clips(20)[12])
    inspection = inspect(clip, shipped)
    halves = split_clip(inspection, rollout_map(inspection), shipped)
    kept, removed = halves.kept.waveform, halves.removed.waveform
    np.testing.assert_allclose(kept.samples + removed.samples, clip.samples, atol=1e-6)
    for half in (halves.kept, halves.removed):
        alone = inspect(waveform(half.waveform.samples), shipped)
        np.testing.assert_allclose(half.prediction.scores, alone.prediction.scores, atol=1e-5)
        assert 0.01 < (half.waveform.samples**2).mean() / (clip.samples**2).mean() < 1
    assert halves.energy_share == pytest.approx((kept.samples**2).sum() / (clip.samples**2).sum(), rel=1e-3)


def test_the_map_decides_which_sound_is_kept(shipped: Checkpoint) -> None:
    """A low tone, then a high one; a map that points at the second has it kept, and the first removed."""
    low, high = tone(400, 1.0, level=0.3), tone(3000, 1.0, level=0.3)
    inspection = inspect(waveform(np.concatenate([low, high])), shipped)
    grid = shipped.facts.grid
    values = np.zeros((grid.n_frequency, grid.n_time), np.float32)
    values[:, -(-100 // grid.time_stride) :] = 1
    halves = split_clip(inspection, RelevanceMap(values, "random"), shipped, keep=0.5)
    kept = halves.kept.waveform.samples
    assert np.abs(kept[:14_000]).max() < 1e-3
    np.testing.assert_allclose(kept[20_000:31_000], high[4_000:15_000], atol=1e-3)


def test_all_and_nothing(shipped: Checkpoint) -> None:
    clip = read_audio(sample_clips(20)[3])
    inspection = inspect(clip, shipped)
    everything, nothing = (split_clip(inspection, energy_map(inspection), shipped, keep) for keep in (1.0, 0.0))
    np.testing.assert_allclose(everything.kept.waveform.samples, clip.samples, atol=1e-6)
    np.testing.assert_allclose(everything.kept.prediction.scores, inspection.prediction.scores, atol=1e-4)
    assert everything.energy_share == pytest.approx(1)
    assert not nothing.kept.waveform.samples.any()
    assert nothing.energy_share == 0
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(AudioError, match="between 0 and 1"):
            split_clip(inspection, energy_map(inspection), shipped, wrong)


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.25, 0.5, 0.9, 1.0])
def test_the_highest_values_are_kept_in_the_wanted_share(keep: float) -> None:
    values = np.random.default_rng(0).random((40, 50)) ** 4
    mask = keep_highest(values, keep)
    assert mask.shape == values.shape
    assert mask.mean() == pytest.approx(keep, abs=1e-3)
    # By hand: the value on place k of n has the rank (k + 1/2) / n, and the ramp takes half of the ranks at most.
    width = min(0.5, 2 * keep, 2 - 2 * keep)
    for place, index in enumerate(np.argsort(values, axis=None)):
        above = (place + 0.5) / values.size - (1 - keep - width / 2)
        expected = float(keep == 1) if width == 0 else min(max(above / width, 0), 1)
        assert mask.flat[index] == pytest.approx(expected, abs=1e-9)


def test_values_that_are_the_same_are_treated_the_same() -> None:
    np.testing.assert_allclose(keep_highest(np.full((4, 5), 0.3), 0.5), 0.5)
    two = np.zeros((4, 5))
    two[1:3] = 7
    np.testing.assert_array_equal(keep_highest(two, 0.5), two / 7)


def test_a_long_clip_is_split_as_far_as_it_was_heard(shipped: Checkpoint) -> None:
    clip = waveform(noise(7.0))
    inspection = inspect(clip, shipped)
    halves = split_clip(inspection, rollout_map(inspection), shipped)
    assert len(halves.kept.waveform.samples) == round(inspection.input_s * SAMPLE_RATE)
    assert halves.mask.shape == (128, 512)


def test_a_checkpoint_without_a_patch_grid_keeps_times(tmp_path) -> None:
    checkpoint = load_checkpoint(save_sequence_model("wav2vec2", tmp_path / "sequence"))
    clip = waveform(melody(1.0))
    inspection = inspect(clip, checkpoint)
    halves = split_clip(inspection, rollout_map(inspection), checkpoint)
    assert halves.mask.shape == (128, 100)
    assert (np.ptp(halves.mask, axis=0) == 0).all()
    kept, removed = halves.kept.waveform.samples, halves.removed.waveform.samples
    np.testing.assert_allclose(kept + removed, clip.samples, atol=1e-6)
    assert 0 < halves.energy_share < 1


def test_bins_of_a_short_clip_hold_no_padding(tmp_path) -> None:
    checkpoint = load_checkpoint(save_tiny(tmp_path / "tiny"))
    inspection = inspect(waveform(melody(0.5)), checkpoint)
    assert inspection.layout.spread_over_clip(
        rollout_map(inspection).values, len(inspection.waveform.samples)
    ).shape == (43, 48)


def test_what_is_written_is_what_was_scored() -> None:
    clip = waveform(1.5 * tone(440, 0.5, level=1.0))  # a half may overshoot
    samples, rate = soundfile.read(io.BytesIO(to_wav(clip)), dtype="float32")
    assert rate == SAMPLE_RATE
    np.testing.assert_array_equal(samples, clip.samples)


@pytest.mark.parametrize("name", shipped_names())
def test_the_kept_part_keeps_the_label_and_the_removed_part_loses_it(name: str) -> None:
    """On some of the samples; `benchmarks.hear` counts all of them."""
    checkpoint = load_checkpoint(name)
    kept = removed = 0
    clips = list_samples()[::10]
    for sample in clips:
        inspection = inspect(read_audio(sample.path), checkpoint)
        halves = split_clip(inspection, rollout_map(inspection), checkpoint)
        best = [one.prediction.top(1)[0][0] for one in (inspection, halves.kept, halves.removed)]
        kept += best[1] == best[0]
        removed += best[2] == best[0]
    assert kept >= 0.8 * len(clips)
    assert removed < kept - 0.2 * len(clips)
