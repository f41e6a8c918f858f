"""Every conversion of units is in one place, and goes there and back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ast_demo.features import (
    FRAME_S,
    InputSettings,
    count_frames,
    count_samples,
    frames_to_samples,
    frames_to_time,
    hz_to_mel,
    hz_to_mel_bin,
    mel_to_hz,
    samples_to_time,
    time_to_frames,
    time_to_samples,
)
from ast_demo.features.raster import mel_band_edges_hz, nearest_patch, patch_centres
from tests.clips import REPOSITORY


def test_there_and_back() -> None:
    for n in (1, 2, 31, 512, 1024):
        assert count_frames(count_samples(n)) == n == count_frames(count_samples(n + 1) - 1)
        assert time_to_frames(frames_to_time(n, 0.0075), 0.0075) == pytest.approx(n)
        assert time_to_samples(samples_to_time(n)) == n
        assert samples_to_time(frames_to_samples(n)) == pytest.approx(frames_to_time(n))
        assert samples_to_time(count_samples(n)) == pytest.approx(frames_to_time(n - 1, FRAME_S))
    hz = np.linspace(0, 8000, 17)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-9)
    # The peak of bin m, a corner of two of its neighbours, is drawn in the middle of the bin.
    for n_mels in (43, 128):
        peaks = mel_band_edges_hz(n_mels)[1:-1]
        np.testing.assert_allclose([hz_to_mel_bin(hz, n_mels) for hz in peaks], np.arange(n_mels) + 0.5)


@pytest.mark.parametrize(
    "settings", [InputSettings(), InputSettings(mean=-6.5, std=5.3), InputSettings(mean=0, std=0.5)]
)
def test_normalised_and_back(settings: InputSettings) -> None:
    values = torch.linspace(-16, 5, 50, dtype=torch.float64)
    fed = settings.normalise(values)
    torch.testing.assert_close(fed, (values - settings.mean) / (2 * settings.std))
    torch.testing.assert_close(settings.denormalise(fed), values)
    torch.testing.assert_close(
        settings.denormalise(fed[0]) - settings.denormalise(fed[1]), (fed[0] - fed[1]) * settings.scale
    )
    assert settings.denormalise(settings.padding_value) == pytest.approx(0, abs=1e-12)


def test_the_nearest_patch_is_the_nearest() -> None:
    places = np.arange(0, 140, 0.5)
    for count, stride, size in ((12, 10, 16), (8, 16, 16), (13, 3, 5), (17, 5, 5)):
        centres = patch_centres(count, stride, size)
        found = centres[nearest_patch(places, count, stride, size)]
        np.testing.assert_array_equal(np.abs(found - places), np.abs(centres[:, None] - places).min(axis=0))


# What only a conversion or the normalisation of an input spells out.
_SPELLED_OUT = re.compile(r"[*/] (HOP_S|HOP_LENGTH)\b|2 \* \S*std\b|- \S*\.mean\) /|\b1127\b|[*/] SAMPLE_RATE\b")
# Sound itself: decoding, its statistics, and what shapes samples.
_OF_SOUND = {"audio", "data", "export/onnx.py", "features/raster.py", "features/log_mel.py", "features/resynthesis.py"}


def test_nobody_else_converts() -> None:
    """A second spelling of a conversion is a second place to get it wrong."""
    package = REPOSITORY / "ast_demo"
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name in _OF_SOUND or Path(name).parts[0] in _OF_SOUND:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if _SPELLED_OUT.search(line.partition("#")[0]):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []
