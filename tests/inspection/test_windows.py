"""Windows of a recording: together they hear all of it, and each is heard as it would be alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ast_demo.audio.decoding import SAMPLE_RATE, Waveform, read_audio
from ast_demo.inspection.inspection import inspect, to_scores
from ast_demo.inspection.windows import (
    NAMED,
    Timeline,
    Window,
    begin_timeline,
    cut_window,
    follow_windows,
    inspect_recordings,
    look_through,
    nearest_window,
    pool,
    summarise_windows,
    window_starts,
)
from ast_demo.models.loading import Checkpoint, load_checkpoint, shipped_names
from tests.clips import clips_of, melody, sample_clips, waveform
from tests.tiny import LABELS, build_model, save
from tests.tiny_sequence import save_sequence_model

SIZE = 88 * 160 + 400  # samples of the tiny model's input: 89 frames
HOP = 44 * 160


def long_recording(source: str, n: int) -> Waveform:
    """Real clips one after the other."""
    return waveform(np.concatenate([read_audio(path).samples for path in clips_of(source, n)]), "long")


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [
        (400, [0]),
        (SIZE, [0]),
        (SIZE + 159, [0]),  # no whole frame more
        (SIZE + 160, [0, 160]),
        (SIZE + HOP, [0, HOP]),
        (SIZE + HOP + 1, [0, HOP, HOP + 1]),
        (SIZE + 3 * HOP, [0, HOP, 2 * HOP, 3 * HOP]),
    ],
)
def test_where_windows_begin(n_samples: int, expected: list[int], tiny: Checkpoint) -> None:
    assert window_starts(n_samples, tiny) == expected


@pytest.mark.parametrize("n_samples", [400, 16_000, 31_415, 60 * SAMPLE_RATE])
def test_together_they_hold_every_sample_as_it_was(n_samples: int, tiny: Checkpoint) -> None:
    recording = waveform(np.random.default_rng(0).uniform(-1, 1, n_samples))
    heard = np.full(n_samples, np.nan, np.float32)
    for start in window_starts(n_samples, tiny):
        window = cut_window(recording, tiny, start)
        assert window.start_s == start / SAMPLE_RATE
        assert len(window.samples) == min(SIZE, n_samples)
        heard[start : start + len(window.samples)] = window.samples
    np.testing.assert_array_equal(heard, recording.samples)


@pytest.mark.parametrize("source", ["samples", "recordings"])
def test_each_window_scores_as_inspect_says_of_it_alone(source: str) -> None:
    checkpoint = load_checkpoint(shipped_names()[0])
    recording = long_recording(source, 7)
    timeline = look_through(recording, checkpoint)
    assert len(timeline.windows) > 5
    for window in timeline.windows[::3]:
        start, stop = round(window.start_s * SAMPLE_RATE), round(window.end_s * SAMPLE_RATE)
        alone = inspect(waveform(recording.samples[start:stop]), checkpoint)
        np.testing.assert_allclose(window.prediction.scores, alone.prediction.scores, atol=1e-5)
        np.testing.assert_allclose(window.prediction.logits, alone.prediction.logits, atol=1e-4)
        np.testing.assert_allclose(window.prediction.embedding, alone.prediction.embedding, atol=1e-4)
        assert alone.truncated_s == 0
        assert alone.padding_share == 0
    assert len({window.prediction.top(1)[0][0] for window in timeline.windows}) > 1


def test_they_come_a_few_at_a_time_and_go_on_from_what_is_known(tiny: Checkpoint) -> None:
    recording = waveform(melody(10.0))
    n = len(window_starts(len(recording.samples), tiny))
    told = list(follow_windows(recording, tiny))
    assert [len(timeline.windows) for timeline in told] == [*range(9, n, 9), n]  # of 223 tokens each
    rest = list(follow_windows(recording, tiny, told[1]))
    assert len(rest) == len(told) - 2
    assert rest[-1].windows[:18] == told[1].windows
    for one, other in zip(rest[-1].windows, told[-1].windows, strict=True):
        assert one.start_s == other.start_s
        np.testing.assert_array_equal(one.prediction.scores, other.prediction.scores)


def test_pooling_is_the_mean_of_the_scores(tiny: Checkpoint, tmp_path) -> None:
    several = load_checkpoint(save(build_model(problem_type="multi_label_classification"), tmp_path / "several"))
    for checkpoint in (tiny, several):
        timeline = look_through(waveform(melody(3.0)), checkpoint)
        scores = np.stack([window.prediction.scores for window in timeline.windows])
        assert len(scores) > 2
        np.testing.assert_allclose(timeline.pooled.scores, scores.mean(axis=0))
        np.testing.assert_allclose(
            to_scores(timeline.pooled.logits, checkpoint.facts.activation), timeline.pooled.scores, atol=1e-12
        )
    with np.errstate(all="raise"):  # scores of exactly 0 and 1
        one = timeline.pooled
        sure = type(one)(one.labels, np.array([0.0, 1.0, 0.5, 0.0, 1.0]), one.logits, one.embedding)
        assert np.isfinite(pool([sure, sure], several.facts).logits).all()


def test_a_clip_that_fits_is_what_inspect_says(tiny: Checkpoint) -> None:
    clip = read_audio(sample_clips(20)[13])
    short = waveform(clip.samples[:SIZE])
    assert cut_window(short, tiny, 0) is short
    timeline = look_through(short, tiny)
    (window,) = timeline.windows
    assert timeline.pooled is window.prediction
    np.testing.assert_allclose(window.prediction.scores, inspect(short, tiny).prediction.scores, atol=1e-6)


def test_the_window_of_a_time_is_the_one_whose_middle_is_nearest(tiny: Checkpoint) -> None:
    starts = window_starts(SIZE + 3 * HOP, tiny)
    middle_s = [(start + SIZE / 2) / SAMPLE_RATE for start in starts]
    for number, seconds in enumerate(middle_s):
        for near in (seconds - 0.2, seconds, seconds + 0.2):
            assert nearest_window(starts, SIZE / SAMPLE_RATE, near) == number
    assert nearest_window(starts, SIZE / SAMPLE_RATE, 0) == 0
    assert nearest_window(starts, SIZE / SAMPLE_RATE, 1e6) == 3


def test_the_best_labels_of_a_timeline(tiny: Checkpoint) -> None:
    timeline = look_through(waveform(melody(3.0)), tiny)
    scores = np.stack([window.prediction.scores for window in timeline.windows])
    named = [label for label, _ in timeline.pooled.top(NAMED)]
    others = [LABELS[i] for i in np.argsort(-scores.max(axis=0), kind="stable") if LABELS[i] not in named]
    labels = timeline.top_labels(NAMED + 1)
    assert set(labels) == {*named, others[0]}
    assert labels == sorted(labels, key=lambda label: -scores[:, LABELS.index(label)].mean())
    assert set(timeline.top_labels(99)) == set(LABELS)


def test_a_label_that_wins_on_average_and_nowhere_else_has_its_row(tiny: Checkpoint) -> None:
    one = inspect(waveform(melody(0.9)), tiny)
    scores = np.full((len(LABELS) - 1, len(LABELS)), 0.0)
    scores[:, 0] = 0.4  # everywhere a little
    scores[np.arange(len(LABELS) - 1), np.arange(1, len(LABELS))] = 0.6  # in its window more than any other
    windows = tuple(Window(float(i), i + 1.0, replace(one.prediction, scores=row)) for i, row in enumerate(scores))
    timeline = Timeline(tiny.facts, 9.0, windows)
    assert timeline.pooled.top(1)[0][0] == LABELS[0]
    for k in (1, 2, 3):
        assert timeline.top_labels(k)[0] == LABELS[0]


def test_the_summary_tells_of_the_recording_and_of_each_window(tiny: Checkpoint) -> None:
    recording = waveform(melody(2.0))
    timeline = look_through(recording, tiny)
    starts = window_starts(len(recording.samples), tiny)
    first = summarise_windows(inspect(cut_window(recording, tiny, 0), tiny), timeline)
    # What was said of a long recording before there were windows still holds: of its beginning.
    whole = inspect(recording, tiny)
    assert first["truncated_s"] == pytest.approx(whole.truncated_s)
    assert first["duration_s"] == 2.0
    assert first["frames"] == whole.spectrogram.clip_frames
    assert first["predictions"] == [{"label": label, "score": score} for label, score in whole.prediction.top()]
    assert [window["start_s"] for window in first["windows"]] == [round(start / SAMPLE_RATE, 4) for start in starts]
    assert first["windows"][-1]["end_s"] == 2.0
    for window, seen in zip(first["windows"], timeline.windows, strict=True):
        assert (window["label"], window["score"]) == seen.prediction.top(1)[0]
        assert window["predictions"] == [{"label": label, "score": score} for label, score in seen.prediction.top(5)]
    known = begin_timeline(recording, inspect(cut_window(recording, tiny, 0), tiny))
    assert json.loads(json.dumps(first)) == first
    assert len(known.windows) == 1
    np.testing.assert_allclose(look_through(recording, tiny, known).pooled.scores, timeline.pooled.scores, atol=1e-6)
    last = summarise_windows(inspect(cut_window(recording, tiny, starts[-1]), tiny), timeline)
    assert last["start_s"] == starts[-1] / SAMPLE_RATE
    assert last["predictions"] != first["predictions"]
    assert last["pooled"] == first["pooled"]


def test_a_checkpoint_without_a_patch_grid_has_windows_of_30_seconds(tmp_path) -> None:
    checkpoint = load_checkpoint(save_sequence_model("wav2vec2", tmp_path / "sequence"))
    n_samples = 40 * SAMPLE_RATE
    assert window_starts(30 * SAMPLE_RATE, checkpoint) == [0]
    assert window_starts(n_samples, checkpoint) == [0, 10 * SAMPLE_RATE]
    window = cut_window(waveform(np.zeros(n_samples)), checkpoint, 10 * SAMPLE_RATE)
    assert (window.duration_s, window.start_s) == (30.0, 10.0)
    short = waveform(melody(0.5))
    (alone,) = look_through(short, checkpoint).windows
    np.testing.assert_allclose(alone.prediction.scores, inspect(short, checkpoint).prediction.scores)


def test_recordings_of_all_lengths_in_one_go(tiny: Checkpoint) -> None:
    recordings = [waveform(melody(seconds), f"{seconds} s") for seconds in (0.5, 2.0, 0.9, 3.0)]
    inspections = inspect_recordings(recordings, tiny)
    assert [one.waveform.name for one in inspections] == ["0.5 s", "2.0 s", "0.9 s", "3.0 s"]
    for recording, one in zip(recordings, inspections, strict=True):
        timeline = look_through(recording, tiny)
        np.testing.assert_allclose(one.prediction.scores, timeline.pooled.scores, atol=1e-6)
        best = int(timeline.pooled.scores.argmax())
        loudest = max(timeline.windows, key=lambda window: window.prediction.scores[best])
        assert one.waveform.start_s == loudest.start_s
