"""Class relevance: equal to the textbook, true to a planted answer, and invisible to everyone else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTForAudioClassification, AutoModelForAudioClassification

from ast_demo.audio.decoding import read_audio
from ast_demo.errors import CheckpointError
from ast_demo.explain.attention_gradient import relevance_maps, relevance_of_tokens
from ast_demo.explain.maps import RelevanceMap
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import SHIPPED_FOLDER, load_checkpoint, shipped_names
from ast_demo.models.prediction import log_odds
from tests import planted
from tests.bounds import assert_exact
from tests.clips import noise, sample_clips, waveform
from tests.reference import in_double, row_to_map, textbook_relevance
from tests.threads import at_once
from tests.tiny import LABELS
from tests.tiny_sequence import save_sequence_model


def relevance_map(inspection: Inspection, checkpoint: Checkpoint, label: str) -> RelevanceMap:
    (only,) = relevance_maps(inspection, checkpoint, [label])
    return only


def textbook(folder: Path, values: np.ndarray, index: int) -> np.ndarray:
    """(tokens, tokens) by the eager model and its own attentions, for the log-odds under a softmax."""
    eager = AutoModelForAudioClassification.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()
    output = eager(torch.from_numpy(values[None]).requires_grad_(), output_attentions=True)
    probability = output.logits[0].double().softmax(0)[index]
    gradients = torch.autograd.grad((probability / (1 - probability)).log(), output.attentions)
    return textbook_relevance([a[0].detach() for a in output.attentions], [g[0] for g in gradients])


def exact_textbook(model: ASTForAudioClassification, values: np.ndarray, index: int) -> np.ndarray:
    """The same in double precision."""
    logits, attentions = in_double(model, values)
    probability = logits.softmax(0)[index]
    gradients = torch.autograd.grad((probability / (1 - probability)).log(), attentions)
    return textbook_relevance([attention.detach() for attention in attentions], list(gradients))


@pytest.mark.parametrize("label", ["bell", "rain", "wind"])
def test_against_the_textbook(tiny_folder: Path, tiny: Checkpoint, label: str) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    spectrogram, grid = inspection.fed
    index = LABELS.index(label)
    exact = exact_textbook(tiny.model, spectrogram.values, index)
    library = textbook(tiny_folder, spectrogram.values, index)
    rows = [(found[0] + found[1]) / 2 for found in (exact, library)]
    for row in rows:
        row[:2] -= 1 / 2  # what the special tokens were before anything was gathered
    relevance = relevance_map(inspection, tiny, label)
    expected = (np.append(row_to_map(row, grid), row[:2].sum()) / row.sum() for row in rows)
    assert_exact(np.append(relevance.values, relevance.special_share), *expected)
    assert (relevance.label, relevance.method, relevance.against) == (label, "relevance", None)


def test_a_sample_through_a_shipped_checkpoint_against_the_textbook() -> None:
    name = shipped_names()[-1]
    checkpoint = load_checkpoint(name)
    inspection = inspect(read_audio(sample_clips(3)[1]), checkpoint)
    spectrogram, grid = inspection.fed
    index = checkpoint.facts.labels.index("rooster")
    expected = textbook(SHIPPED_FOLDER / name, spectrogram.values, index)
    row = (expected[0] + expected[1]) / 2
    row[:2] -= 1 / 2
    relevance = relevance_map(inspection, checkpoint, "rooster")
    np.testing.assert_allclose(relevance.values, row_to_map(row, grid) / row.sum(), atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "whisper"])
def test_over_time_against_the_textbook(tmp_path: Path, kind: str) -> None:
    folder = save_sequence_model(kind, tmp_path / kind)
    checkpoint = load_checkpoint(folder)
    clip = waveform(noise(1.1))
    inspection = inspect(clip, checkpoint)
    extractor = checkpoint.extractor
    features = extractor(clip.samples, sampling_rate=16_000, return_tensors="np")[extractor.model_input_names[0]]
    expected = textbook(folder, features[0], LABELS.index("dog"))
    row = expected.mean(axis=0) - 1 / len(expected)
    relevance = relevance_map(inspection, checkpoint, "dog")
    assert relevance.values.shape == inspection.rollout.final.shape
    np.testing.assert_allclose(relevance.values[0], row / row.sum(), atol=1e-5)


def test_a_model_whose_attention_no_gradient_reaches(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_sequence_model("wavlm", tmp_path / "wavlm"))
    inspection = inspect(waveform(noise(1.1)), checkpoint)
    with pytest.raises(CheckpointError, match="No gradient reaches the attention of 'wavlm'"):
        relevance_map(inspection, checkpoint, "dog")


@pytest.mark.parametrize("where", [(0, 0), (3, 5), (4, 6)])
def test_the_patch_that_is_read_lights_and_no_other(tmp_path: Path, where: tuple[int, int]) -> None:
    checkpoint = load_checkpoint(planted.save_planted(tmp_path / "planted", *where))
    relevance = relevance_map(inspect(waveform(noise(0.3)), checkpoint), checkpoint, "heard")
    expected = np.zeros((planted.N_FREQUENCY, planted.N_TIME))
    expected[where] = 1
    np.testing.assert_allclose(relevance.values, expected, atol=1e-6)


def test_in_bfloat16_the_map_is_nearly_the_same(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny, "float32")
    exact = relevance_map(inspection, tiny, "bell")
    near = relevance_map(replace(inspection, precision="bfloat16"), tiny, "bell")
    assert near.values.dtype == np.float32
    assert not np.array_equal(near.values, exact.values)
    assert np.corrcoef(near.values.ravel(), exact.values.ravel())[0, 1] > 0.99
    assert near.special_share == pytest.approx(exact.special_share, abs=0.01)


def test_labels_differ_and_an_unknown_one_is_named(tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    bell, rain = (relevance_map(inspection, tiny, label).values for label in ("bell", "rain"))
    assert np.corrcoef(bell.ravel(), rain.ravel())[0, 1] < 0.95
    for one, alone in zip(relevance_maps(inspection, tiny, ["rain", "bell"]), (rain, bell), strict=True):
        np.testing.assert_allclose(one.values, alone, atol=1e-7)  # together as each alone
    with pytest.raises(CheckpointError, match=r"'tiny' has no label 'cat'\. Expected one of bell, dog"):
        relevance_map(inspection, tiny, "cat")


def test_a_batch_is_as_each_alone(tiny: Checkpoint) -> None:
    values = torch.stack([torch.from_numpy(inspect(waveform(noise(s)), tiny).fed[0].values) for s in (0.4, 0.7)])

    def target(logits: torch.Tensor) -> torch.Tensor:
        return log_odds(logits, 1, "softmax")

    together = relevance_of_tokens(tiny.model, values, [target])
    alone = torch.cat([relevance_of_tokens(tiny.model, one[None], [target]) for one in values], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-4)


def test_the_shared_model_stays_as_it_was(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    inspection = inspect(waveform(noise(0.61)), tiny)
    before = relevance_map(inspection, tiny, "dog").values

    def untouched() -> bool:
        modules = list(tiny.model.modules())
        return (
            not any(p.requires_grad or p.grad is not None for p in tiny.model.parameters())
            and not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m.training for m in modules)
            and torch.is_grad_enabled()
        )

    assert untouched()

    def fail(*_: object) -> None:
        raise RuntimeError("a layer fails")

    with monkeypatch.context() as patch:
        patch.setattr(tiny.model.audio_spectrogram_transformer.layers[1].mlp, "forward", fail)
        with pytest.raises(RuntimeError, match="a layer fails"):
            relevance_map(inspection, tiny, "dog")
    assert untouched()
    np.testing.assert_array_equal(relevance_map(inspection, tiny, "dog").values, before)


def test_two_threads_at_once_give_the_same(tiny: Checkpoint) -> None:
    inspections = [inspect(waveform(noise(s)), tiny) for s in (0.4, 0.7)]
    alone = [relevance_map(one, tiny, "dog").values for one in inspections]
    together: list[list[np.ndarray]] = [[], []]

    def work(k: int) -> None:
        for _ in range(5):
            together[k].append(relevance_map(inspections[k], tiny, "dog").values)

    at_once(work)
    for k in (0, 1):
        assert len(together[k]) == 5
        for values in together[k]:
            np.testing.assert_allclose(values, alone[k], atol=1e-7)
    assert isinstance(tiny.model, ASTForAudioClassification)
