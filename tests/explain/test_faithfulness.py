"""The trust card: curves in plain loops, a planted answer, shuffled weights on a copy, and no number without controls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from ast_demo.audio.decoding import read_audio
from ast_demo.errors import CheckpointError
from ast_demo.explain.deletion import STEPS, delete
from ast_demo.explain.faithfulness import N_RANDOM, STAGES, measure_trust, shuffle_weights
from ast_demo.explain.maps import RelevanceMap, energy_map, random_map
from ast_demo.explain.methods import METHODS, cautions, explain
from ast_demo.explain.perturbation import perturb, perturbation_map
from ast_demo.inspection.inspection import inspect
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint, shipped_names
from ast_demo.models.prediction import to_scores
from tests import planted
from tests.clips import melody, noise, sample_clips, waveform
from tests.tiny import LABELS
from tests.tiny_sequence import save_sequence_model


def test_deletion_bin_by_bin(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    spectrogram, grid = inspection.fed
    order = random_map(inspection, 5).values
    bins = []
    for frame in range(spectrogram.clip_frames):
        for mel in range(grid.n_mels):
            inside = (min(mel, grid.seen_mels - 1) + 0.5, min(frame, grid.seen_frames - 1) + 0.5)
            f, t = grid.patch_at(*inside)
            bins.append((-order[f, t], frame, mel))
    bins.sort()
    quiet = [np.quantile(spectrogram.values[:59, mel], 0.1) for mel in range(grid.n_mels)]
    expected = []
    for share in STEPS:
        values = spectrogram.values.copy()
        for _, frame, mel in bins[: round(share * len(bins))]:
            values[frame, mel] = quiet[mel]
        with torch.inference_mode():
            logits = tiny.model(torch.from_numpy(values[None])).logits[0].numpy()
        expected.append(to_scores(logits, "softmax")[2])
    np.testing.assert_allclose(delete(inspection, tiny, [order], 2)[0], expected, atol=1e-5)


def test_a_card_of_the_planted_answer(tmp_path: Path) -> None:
    """The one patch that is read, first taken away and first put back, beats chance; the opposite map does not."""
    checkpoint = load_checkpoint(planted.save_planted(tmp_path / "planted", 3, 2))
    inspection = inspect(waveform(melody(0.3)), checkpoint)
    values = np.zeros((planted.N_FREQUENCY, planted.N_TIME), np.float32)
    values[3, 2] = 1
    card = measure_trust(RelevanceMap(values, "relevance", "heard"), inspection, checkpoint)
    scores = card.of_map
    assert scores.deletion[0] == scores.insertion[-1] and scores.deletion[-1] == scores.insertion[0]
    assert len(card.of_random) == N_RANDOM
    # The sound in that patch may speak for the label or against it; either way the map acts at the first step.
    change = scores.deletion[-1] - scores.deletion[0]
    assert abs(change) > 1e-3
    assert scores.deletion[1] - scores.deletion[0] == pytest.approx(change, rel=1e-3)
    assert scores.insertion[1] - scores.insertion[0] == pytest.approx(-change, rel=1e-3)
    assert abs(scores.gap) == max(abs(curves.gap) for curves in (scores, card.of_energy, *card.of_random))


def test_a_card_in_words(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    told: list[tuple[int, int]] = []
    card = measure_trust(energy_map(inspection), inspection, tiny, lambda *numbers: told.append(numbers))
    assert card.of_map.gap == card.of_energy.gap
    assert card.verdict[0].startswith("On this clip no better than")
    assert card.kept_under_random_weights == (1.0,) * len(STAGES)
    assert "shows the sound more than what the model has learnt" in card.verdict[1]
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)


def test_weights_are_shuffled_from_the_top_down_on_a_copy(tiny: Checkpoint) -> None:
    before = {name: value.clone() for name, value in tiny.model.named_parameters()}
    changed = []
    for stage in range(len(STAGES)):
        after = dict(shuffle_weights(tiny, stage).model.named_parameters())
        changed.append({name for name, value in before.items() if not torch.equal(after[name], value)})
        for name, value in before.items():
            torch.testing.assert_close(after[name].flatten().sort().values, value.flatten().sort().values)
            assert torch.equal(dict(tiny.model.named_parameters())[name], value)
    assert {name.split(".")[0] for name in changed[0]} <= {"classifier", "audio_spectrogram_transformer"}
    assert "classifier.dense.weight" in changed[0] and not any("layers" in name for name in changed[0])
    assert changed[0] < changed[1] < changed[2]
    assert {name.split(".")[2] for name in changed[1] if ".layers." in name} == {"1", "2"}
    assert any("patch_embeddings" in name for name in changed[2])


@pytest.mark.parametrize("layers", ["layers", "layer"])
def test_layers_are_found_whatever_a_model_calls_them(tiny: Checkpoint, layers: str) -> None:
    """SEW-D has `encoder.layer.0`, most others `encoder.layers.0`."""
    encoder = nn.ModuleDict({layers: nn.ModuleList(nn.Linear(5, 5) for _ in range(4))})
    model = nn.ModuleDict({"encoder": encoder, "classifier": nn.Linear(5, 3)})
    checkpoint = replace(tiny, facts=replace(tiny.facts, n_layers=4), model=model)
    before = dict(model.named_parameters())
    changed = [
        {
            name
            for name, value in shuffle_weights(checkpoint, stage).model.named_parameters()
            if not torch.equal(value, before[name])
        }
        for stage in range(len(STAGES))
    ]
    assert {name.split(".")[0] for name in changed[0]} == {"classifier"}
    assert {name.split(".")[2] for name in changed[1] - changed[0]} == {"2", "3"}
    assert changed[2] == set(before)


def test_without_layers_a_map_cannot_be_put_to_the_test(tiny: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="do not tell which of them belong to which layer"):
        shuffle_weights(replace(tiny, model=nn.Linear(5, 3)), 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_map_of_a_shipped_checkpoint_has_a_card(method: str) -> None:
    checkpoint = load_checkpoint(shipped_names()[-1])
    inspection = inspect(read_audio(sample_clips(3)[1]), checkpoint)
    relevance = explain(inspection, checkpoint, method)
    assert relevance.method == method and cautions(relevance, inspection)
    if method in ("relevance", "energy"):  # one that runs the model backwards, one that does not
        card = measure_trust(relevance, inspection, checkpoint)
        assert np.isfinite([card.of_map.gap, card.of_energy.gap, *(curves.gap for curves in card.of_random)]).all()
        assert card.verdict


def test_the_difference_of_two_labels(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    one, other = (explain(inspection, tiny, "relevance", label).values for label in ("bell", "dog"))
    difference = explain(inspection, tiny, "relevance", "bell", "dog")
    np.testing.assert_allclose(difference.values, one - other, atol=1e-7)
    assert (difference.label, difference.against) == ("bell", "dog")


def test_a_perturbation_map_under_shuffled_weights(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    relevance = explain(inspection, tiny, "perturbation", "dog")
    windows = perturbation_map(perturb(inspection, tiny, only_windows=True), tiny.facts, "dog").values
    told: list[int] = []
    card = measure_trust(relevance, inspection, tiny, lambda done, total: told.append(done))
    kept = card.kept_under_random_weights
    assert all(told.count(done) > 1 for done in sorted(set(told))[-len(STAGES) - 1 : -1])  # it can be ended in a stage
    for stage, value in enumerate(kept):
        shuffled = shuffle_weights(tiny, stage)
        other = perturbation_map(perturb(inspection, shuffled, only_windows=True), tiny.facts, "dog").values
        assert value == pytest.approx(spearmanr(windows.ravel(), other.ravel()).statistic, abs=1e-6)


def test_without_a_patch_grid(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_sequence_model("whisper", tmp_path / "whisper"))
    inspection = inspect(waveform(melody(1.5)), checkpoint)
    card = measure_trust(explain(inspection, checkpoint, "relevance", LABELS[0]), inspection, checkpoint)
    assert card.of_map.deletion[0] == pytest.approx(float(inspection.prediction.scores[0]), abs=1e-5)
    assert len(card.kept_under_random_weights) == len(STAGES)


def test_what_the_progress_raises_ends_the_work(tiny: Checkpoint) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    inspection = inspect(waveform(noise(0.61)), tiny)
    with pytest.raises(KeyboardInterrupt):
        measure_trust(energy_map(inspection), inspection, tiny, stop)
