"""The sample clips that come with the program: all are there, can be read, and are what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from ast_demo.audio.decoding import read_audio
from ast_demo.data.samples import SAMPLES_FOLDER, list_samples, one_sample_per_label
from ast_demo.inspection.inspection import inspect
from ast_demo.models.loading import default_checkpoint, load_checkpoint

SOUNDS = ("baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling")
SOUNDS += ("helicopter", "person_sneeze", "rain", "rooster", "sea_waves")


def test_every_file_is_listed_once_with_a_label_and_a_description() -> None:
    samples = list_samples()
    listed = [sample.path for sample in samples]
    clips = {path for path in SAMPLES_FOLDER.glob("*/*") if path.suffix in {".ogg", ".flac", ".wav", ".mp3"}}
    assert len(listed) == len(set(listed)) >= 20
    assert set(listed) == clips
    assert all(sample.label == sample.path.parent.name for sample in samples)
    assert len({sample.description for sample in samples}) == len(samples)
    assert all(sample.description.endswith(".") for sample in samples)


def test_there_is_one_to_try_for_each_label_of_the_shipped_checkpoint() -> None:
    labels = [sample.label for sample in one_sample_per_label()]
    assert labels == [*"0123456789", *SOUNDS]
    assert set(labels) == set(load_checkpoint(default_checkpoint()).facts.labels)


@pytest.mark.parametrize("label", [*"0123456789", *SOUNDS])
def test_samples_can_be_read_and_hold_sound(label: str) -> None:
    for sample in list_samples():
        if sample.label == label:
            waveform = read_audio(sample.path)
            assert 0.2 < waveform.duration_s < 15
            # A sound stands out: its loudest 25 ms are louder than digital silence by far.
            frames = waveform.samples[: len(waveform.samples) // 400 * 400].reshape(-1, 400)
            assert np.sqrt(np.square(frames).mean(axis=1)).max() > 0.005


def test_the_shipped_checkpoint_knows_most_of_what_is_offered_first() -> None:
    checkpoint = load_checkpoint(default_checkpoint())
    samples = one_sample_per_label()
    answers = [inspect(read_audio(sample.path), checkpoint).prediction.top(3) for sample in samples]
    right = [sample.label in dict(answer) for sample, answer in zip(samples, answers, strict=True)]
    # By chance 3 of 20 are among the best three; 10 or more come about once in 20,000 tries.
    assert sum(right) >= 10
