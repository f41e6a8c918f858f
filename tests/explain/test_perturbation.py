"""Perturbation: tokens really are taken away, and the surrogate finds what the answers hang on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTForAudioClassification

from ast_demo.audio.decoding import read_audio
from ast_demo.errors import CheckpointError
from ast_demo.explain.perturbation import Perturbations, make_masks, perturb, perturbation_map, run_masked, share_out
from ast_demo.inspection.inspection import inspect
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint, shipped_names
from tests import planted
from tests.clips import melody, noise, sample_clips, waveform
from tests.threads import at_once
from tests.tiny import LABELS
from tests.tiny_sequence import save_sequence_model


def test_masks_slide_over_the_edges_and_cover_every_patch() -> None:
    kept, kinds = make_masks(8, 32, 0.16)
    assert kept[0].all() and (kinds == 0).sum() == 1
    for kind in np.unique(kinds)[1:]:
        masks = kept[kinds == kind]
        assert masks.any(axis=0).all() and not masks.all(axis=0).any()
    # In steps of one column, every column is in as many windows as a window is wide, those at the edges included.
    for kind, width in ((1, 3), (2, 5)):
        windows = kept[kinds == kind]
        assert set(windows.sum(axis=0).ravel()) == {width}
        assert sorted(windows.sum(axis=(1, 2)) // 8) == [
            *sorted(2 * list(range(1, width))),
            *[width] * (32 - width + 1),
        ]
    dropped = ~kept[kinds == 3]
    assert dropped[:, :, 0].any(axis=1).sum() == dropped[:, :, 8].any(axis=1).sum()
    assert max(dropped.sum(axis=(1, 2))) == 8 * 5
    assert max((~kept[kinds == 4]).sum(axis=(1, 2))) == 3 * 5
    assert set(kept.sum(axis=(1, 2))) == {8, 16, 24, 32, 40, 216, 232, 241, 248, 250, 256}
    over_time, _ = make_masks(1, 100, 0.02)
    assert set(over_time.sum(axis=(1, 2))) == {8, 16, 24, 32, 40, 60, 76, 92, 100}


def test_tokens_are_taken_away_and_not_painted_over(tiny_folder: Path, tiny: Checkpoint) -> None:
    """Against the eager model in plain steps, mask by mask, token by token."""
    inspection = inspect(waveform(noise(0.61)), tiny)
    spectrogram, grid = inspection.fed
    kept = np.random.default_rng(0).random((7, grid.n_frequency, grid.n_time)) < 0.6
    kept[3] = kept[5][::-1]
    eager = ASTForAudioClassification.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    ast = eager.audio_spectrogram_transformer
    expected = []
    with torch.inference_mode():
        tokens = ast.embeddings(torch.from_numpy(spectrogram.values[None]))[0]
        for mask in kept:
            left = [tokens[0], tokens[1]]
            for f in range(grid.n_frequency):
                for t in range(grid.n_time):
                    if mask[f, t]:
                        left.append(tokens[grid.token(f, t)])
            hidden = torch.stack(left)[None]
            for layer in ast.layers:
                hidden = layer(hidden)
            hidden = ast.layernorm(hidden)
            expected.append(eager.classifier((hidden[:, 0] + hidden[:, 1]) / 2)[0].numpy())
    np.testing.assert_allclose(run_masked(inspection, tiny, kept), expected, atol=1e-5)


def test_nothing_taken_away_is_the_prediction() -> None:
    checkpoint = load_checkpoint(shipped_names()[0])
    inspection = inspect(read_audio(sample_clips(3)[1]), checkpoint)
    told: list[tuple[int, int]] = []
    result = perturb(inspection, checkpoint, lambda *numbers: told.append(numbers))
    np.testing.assert_allclose(result.logits[0], inspection.prediction.logits, atol=1e-3)
    assert told[-1] == (len(result.kept),) * 2 and len(told) > 3
    assert result.logits.std(axis=0).min() > 0.01


def test_sharing_out_in_loops() -> None:
    kept, kinds = make_masks(5, 7, 0.5)
    answers = np.random.default_rng(0).standard_normal(len(kept))
    expected = np.zeros((5, 7))
    for kind in range(1, kinds.max() + 1):
        masks = [i for i in range(len(kinds)) if kinds[i] == kind]
        mean = sum(answers[i] for i in masks) / len(masks)
        deviation = (sum((answers[i] - mean) ** 2 for i in masks) / len(masks)) ** 0.5
        drops = sum(kept[i].sum() for i in masks) > 35 * len(masks) / 2
        cells = np.zeros((5, 7))
        for f in range(5):
            for t in range(7):
                if drops:
                    values = [-(answers[i] - mean) / deviation for i in masks if not kept[i, f, t]]
                else:
                    values = [(answers[i] - mean) / deviation for i in masks if kept[i, f, t]]
                cells[f, t] = sum(values) / len(values)
        expected += cells - cells.mean()
    shared = share_out(kept.reshape(len(kept), -1), kinds, answers)
    np.testing.assert_allclose(shared.reshape(5, 7), expected, atol=1e-10)


def test_a_label_that_nothing_changes_gives_zeros() -> None:
    kept, kinds = make_masks(5, 7, 0.5)
    assert not share_out(kept.reshape(len(kept), -1), kinds, np.full(len(kept), 3.0)).any()


@pytest.mark.parametrize("where", [(0, 0), (3, 5), (4, 6)])
def test_the_patch_that_is_read_lights_and_no_other(tmp_path: Path, where: tuple[int, int]) -> None:
    """Patch by patch, the model's answers lie on that patch alone; with the page's regions, it stands out."""
    checkpoint = load_checkpoint(planted.save_planted(tmp_path / "planted", *where))
    inspection = inspect(waveform(noise(0.3)), checkpoint)
    n_patches = planted.N_FREQUENCY * planted.N_TIME
    without_one = ~np.eye(n_patches, dtype=bool).reshape(n_patches, planted.N_FREQUENCY, planted.N_TIME)
    single = Perturbations(without_one, np.ones(n_patches), run_masked(inspection, checkpoint, without_one))
    values = perturbation_map(single, checkpoint.facts, "heard").values
    assert np.unravel_index(values.argmax(), values.shape) == where
    others = np.delete(values.ravel(), values.argmax())
    assert np.abs(others).max() < 0.05 * values.max()  # an equal share of the offset
    sliding = perturbation_map(perturb(inspection, checkpoint), checkpoint.facts, "heard").values
    assert sliding[where] > 0.9 * sliding.max()
    against = perturbation_map(single, checkpoint.facts, "heard", "not")
    assert (against.label, against.against) == ("heard", "not")
    assert np.unravel_index(against.values.argmax(), values.shape) == where


def test_the_difference_of_two_labels_turns_with_them(tiny: Checkpoint) -> None:
    result = perturb(inspect(waveform(noise(0.61)), tiny), tiny)
    one, other = (perturbation_map(result, tiny.facts, *pair).values for pair in (("bell", "dog"), ("dog", "bell")))
    np.testing.assert_allclose(one, -other, atol=1e-6)
    with pytest.raises(CheckpointError, match="has no label 'cat'"):
        perturbation_map(result, tiny.facts, "bell", "cat")


@pytest.mark.parametrize("kind", ["wavlm", "whisper"])
def test_without_a_patch_grid_windows_are_silenced(tmp_path: Path, kind: str) -> None:
    checkpoint = load_checkpoint(save_sequence_model(kind, tmp_path / kind))
    clip = waveform(melody(1.5))
    inspection = inspect(clip, checkpoint)
    n_tokens = inspection.rollout.final.shape[-1]
    kept = np.ones((2, 1, n_tokens), dtype=bool)
    kept[1, 0, n_tokens // 3 : n_tokens // 2] = False
    logits = run_masked(inspection, checkpoint, kept)
    np.testing.assert_allclose(logits[0], inspection.prediction.logits, atol=1e-5)
    silenced = clip.samples.copy()
    for i in range(len(silenced)):
        if n_tokens // 3 <= i / 16_000 / inspection.input_s * n_tokens < n_tokens // 2:
            silenced[i] = 0
    np.testing.assert_allclose(logits[1], inspect(waveform(silenced), checkpoint).prediction.logits, atol=1e-5)
    relevance = perturbation_map(perturb(inspection, checkpoint), checkpoint.facts, LABELS[0])
    assert relevance.values.shape == (1, n_tokens) and relevance.values.std() > 0


def test_what_the_progress_raises_ends_the_work(tiny: Checkpoint) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    inspection = inspect(waveform(noise(0.61)), tiny)
    with pytest.raises(KeyboardInterrupt):
        perturb(inspection, tiny, stop)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_two_threads_at_once_give_the_same(tiny: Checkpoint) -> None:
    inspections = [inspect(waveform(noise(s)), tiny) for s in (0.4, 0.7)]
    alone = [perturb(one, tiny).logits for one in inspections]
    together: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        together[k] = perturb(inspections[k], tiny).logits

    at_once(work)
    for k in (0, 1):
        np.testing.assert_allclose(together[k], alone[k], atol=1e-5)
