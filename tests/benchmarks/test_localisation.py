"""The benchmark's own arithmetic: where events are put, and how a map is held against them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, roc_auc_score

from ast_demo.audio.decoding import SAMPLE_RATE
from ast_demo.inspection.inspection import inspect
from ast_demo.models.loading import load_checkpoint
from benchmarks.localisation.measures import columns_of, interval, measure
from benchmarks.localisation.picture import draw
from benchmarks.localisation.two_events import BACKGROUND_DB, Event, cut_event, list_clips, mix
from tests.clips import melody, noise, tone, waveform
from tests.tiny import save_tiny


def test_an_event_is_the_loudest_stretch_at_a_fixed_level() -> None:
    event = cut_event(waveform(melody(2.0)), "tone")  # the loudest half second begins at 1.5 s
    assert event.seconds == pytest.approx(0.5, abs=0.05)
    assert np.sqrt(np.square(event.samples).mean()) == pytest.approx(0.1, rel=0.05)
    spectrum = np.abs(np.fft.rfft(event.samples))
    assert spectrum.argmax() / event.seconds == pytest.approx(1900, abs=5)
    assert cut_event(waveform(noise(3.0)), "rain").seconds == pytest.approx(1.0)


def test_events_lie_where_they_are_said_to_lie() -> None:
    events = [Event(tone(440, 0.3), "a"), Event(tone(880, 0.5), "b")]
    samples = mix(events, [0.5, 2.0], 5.0, seed=0).samples
    power = np.square(samples).reshape(-1, SAMPLE_RATE // 100).mean(axis=1)
    assert set(np.flatnonzero(power > 0.01)) == {*range(50, 80), *range(200, 250)}
    assert 10 * np.log10(power[300:].mean() / 0.01) == pytest.approx(BACKGROUND_DB, abs=0.5)


def test_measures_against_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        over_time, inside = random.standard_normal(30).round(1), random.random(30) < 0.3
        inside[3], inside[4] = True, False
        got = measure(over_time, inside)
        assert got["pointing"] == float(inside[int(np.argmax(over_time))])
        assert got["auc"] == pytest.approx(roc_auc_score(inside, over_time))
        upper = over_time > (over_time.max() + over_time.min()) / 2
        assert got["iou"] == pytest.approx(jaccard_score(inside, upper))


def test_columns_of_an_event(tmp_path: Path) -> None:
    """Patches of 5 frames every 5: the middle of the first lies at 0.0325 s, and then every 0.05 s."""
    inspection = inspect(waveform(noise(0.8)), load_checkpoint(save_tiny(tmp_path / "tiny")))
    assert np.flatnonzero(columns_of(inspection, (0.13, 0.29))).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(columns_of(inspection, (0.19, 0.20))).tolist() == [3]


def test_interval_of_a_share() -> None:
    mean, low, high = interval([1.0] * 80 + [0.0] * 20)
    assert (mean, low, high) == (0.8, pytest.approx(0.72, abs=0.02), pytest.approx(0.88, abs=0.02))


def test_clips_not_trained_on() -> None:
    clips = list_clips(None)
    assert len(clips) >= 100 and {label for _, label in clips} >= {"7", "rooster"}


def test_the_picture() -> None:
    numbers = {rank: {"pointing": (0.5, 0.4, 0.6)} for rank in ("winner", "runner-up")}
    assert draw({"one": {"perturbation": numbers, "random": numbers}}).startswith(b"\x89PNG")
