"""Masks back to sound: held to the same thing done one sample, one bin and one filter at a time, on real clips."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ast_demo.audio.decoding import read_audio
from ast_demo.features.patches import PatchGrid
from ast_demo.features.resynthesis import apply_mask, mask_on_spectrum
from tests.clips import clips_of, sample_clips, tone

GRIDS = [PatchGrid(128, 512, 16, 10, 10), PatchGrid(128, 512, 16, 16, 16), PatchGrid(41, 103, 7, 3, 5)]


def mel(hz: float) -> float:
    return 1127 * math.log(1 + hz / 700)


def masked_in_loops(samples: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Kaldi's triangles, Fourier transforms and overlap-add as they are written down, frame by frame."""
    n_mels, n_frames = mask.shape
    step = (mel(8000) - mel(20)) / (n_mels + 1)
    total = np.zeros(len(samples))
    weight = np.zeros(len(samples))
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / 400) for i in range(400)]
    for frame in range(-2, len(samples) // 160 + 1):
        places = [frame * 160 + i for i in range(400)]
        inside = [i for i, place in enumerate(places) if 0 <= place < len(samples)]
        values = np.zeros(512)
        for i in inside:
            values[i] = samples[places[i]] * window[i]
        spectrum = np.fft.fft(values)
        for k in range(257):
            weights = []
            for k_heard in (k, min(max(k, 1), 255)):  # no filter hears 0 Hz and 8 kHz: they go with their neighbours
                distance = [abs(mel(k_heard * 31.25) - mel(20) - (m + 1) * step) / step for m in range(n_mels)]
                weights = [max(0.0, 1 - d) for d in distance]
                if sum(weights) > 0:
                    break
            column = mask[:, min(max(frame, 0), n_frames - 1)]
            gain = sum(w * column[m] for m, w in enumerate(weights)) / sum(weights)
            spectrum[k] *= gain
            if 0 < k < 256:
                spectrum[512 - k] *= gain
        sound = np.fft.ifft(spectrum).real
        for i in inside:
            total[places[i]] += sound[i] * window[i]
            weight[places[i]] += window[i] ** 2
    return total / weight


def random_mask(n_mels: int, n_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n_mels, n_frames))


@pytest.mark.parametrize("source", ["samples", "recordings"])
def test_masking_nothing_gives_the_clip_and_masking_all_gives_silence(source: str) -> None:
    for path in clips_of(source, 6):
        samples = read_audio(path).samples
        whole = apply_mask(samples, np.ones((128, 512)))
        assert whole.dtype == np.float32
        np.testing.assert_allclose(whole, samples, atol=1e-6)
        loud = np.abs(samples) > 1e-3
        assert loud.any()
        np.testing.assert_allclose(whole[loud] / samples[loud], 1, atol=1e-3)
        assert not apply_mask(samples, np.zeros((128, 512))).any()


def test_it_is_what_the_loops_say() -> None:
    samples = read_audio(sample_clips(20)[13]).samples[8000:12_150]
    mask = random_mask(64, 20)
    expected = masked_in_loops(samples, mask)
    assert np.abs(expected - samples).max() > 0.01
    np.testing.assert_allclose(apply_mask(samples, mask), expected, atol=1e-6)


def test_what_is_kept_and_what_is_removed_add_up_to_the_clip() -> None:
    samples = read_audio(sample_clips(20)[3]).samples
    mask = random_mask(128, 512)
    kept, removed = apply_mask(samples, mask), apply_mask(samples, 1 - mask)
    np.testing.assert_allclose(kept + removed, samples, atol=1e-6)
    assert kept.any()
    assert removed.any()


def test_a_mask_parts_two_tones_and_two_times() -> None:
    low, high = tone(500, 2.0), tone(3000, 2.0)
    mask = np.zeros((128, 200))
    mask[:60] = 1  # the 60th of 128 mel bins peaks at 1.4 kHz
    inner = slice(400, -400)
    kept = apply_mask(low + high, mask)
    assert np.abs(kept[inner] - low[inner]).max() < 0.01
    mask = np.zeros((128, 200))
    mask[:, 100:] = 1
    kept = apply_mask(low, mask)
    assert np.abs(kept[: 100 * 160 - 1]).max() < 1e-6  # frame 100 begins at sample 16000, and none before is kept
    np.testing.assert_allclose(kept[101 * 160 + 400 :], low[101 * 160 + 400 :], atol=1e-6)


@pytest.mark.parametrize("n_mels", [128, 64, 41])
def test_each_bin_of_the_spectrum_takes_a_mean_of_mel_bins(n_mels: int) -> None:
    mask = random_mask(n_mels, 3)
    on_spectrum = mask_on_spectrum(mask)
    assert on_spectrum.shape == (257, 3)
    np.testing.assert_allclose(mask_on_spectrum(np.ones((n_mels, 2))), 1, atol=1e-6)
    assert (on_spectrum.min(axis=0) >= mask.min(axis=0) - 1e-6).all()
    assert (on_spectrum.max(axis=0) <= mask.max(axis=0) + 1e-6).all()


@pytest.mark.parametrize("grid", GRIDS, ids=["12 x 50", "8 x 32", "uneven"])
def test_a_map_keeps_its_values_at_the_centres_of_the_patches(grid: PatchGrid) -> None:
    values = np.random.default_rng(1).random((grid.n_frequency, grid.n_time))
    spread = grid.spread_over_bins(values)
    assert spread.shape == (grid.n_mels, grid.n_frames)
    for frequency, time in np.ndindex(*values.shape):
        box = grid.box(frequency, time)
        middle = spread[
            (box.mel_start + box.mel_stop - 1) // 2 : (box.mel_start + box.mel_stop) // 2 + 1,
            (box.frame_start + box.frame_stop - 1) // 2 : (box.frame_start + box.frame_stop) // 2 + 1,
        ]
        # An even patch has its centre between two bins, where the line may bend.
        assert middle.min() - 0.2 <= values[frequency, time] <= middle.max() + 0.2
        if grid.patch_size % 2:
            np.testing.assert_allclose(middle, values[frequency, time])
    assert spread.max() <= values.max() + 1e-12
    np.testing.assert_allclose(grid.spread_over_bins(np.full_like(values, 0.3)), 0.3)


def test_between_two_patches_a_map_is_a_straight_line() -> None:
    grid = GRIDS[1]
    values = np.arange(grid.n_time)[None] + np.zeros((grid.n_frequency, 1))
    row = grid.spread_over_bins(values)[5]
    # The centre of patch t lies at frame 16 t + 8; frame f is drawn round f + 0.5.
    np.testing.assert_allclose(row[8:-8], (np.arange(8, 504) + 0.5 - 8) / 16)
    assert row[0] == 0
    assert row[-1] == grid.n_time - 1
