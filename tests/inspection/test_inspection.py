"""One clip through one checkpoint: the answer, what it took, and that nobody else notices."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from transformers import ASTForAudioClassification

from ast_demo.audio.decoding import Waveform, read_audio
from ast_demo.errors import CheckpointError
from ast_demo.inspection.inspection import (
    Inspection,
    Prediction,
    inspect,
    inspect_batch,
    inspect_patch,
    summarise,
    to_scores,
)
from ast_demo.models.loading import Checkpoint, load_checkpoint
from tests.clips import encode, melody, noise, sample_clips, waveform
from tests.tiny import LABELS, SHIPPED_SIZE, build_model, save, save_tiny


def bits(inspection: Inspection) -> list[bytes]:
    """All numbers of an inspection, to the last bit."""
    prediction, rollout = inspection.prediction, inspection.rollout
    arrays = (
        inspection.spectrogram.values,
        prediction.scores,
        prediction.logits,
        prediction.embedding,
        rollout.maps,
        rollout.special_share,
        rollout.padding_share,
    )
    return [array.tobytes() for array in arrays]


# What it says.


def test_scores_logits_and_embedding(tiny_folder: Path, tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(0.61), "knock"), tiny)
    eager = ASTForAudioClassification.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        values = torch.from_numpy(inspection.spectrogram.values[None])
        hidden = eager.audio_spectrogram_transformer(values).last_hidden_state[0]
        logits = eager(values).logits[0].numpy()
    prediction = inspection.prediction
    assert prediction.labels == LABELS
    np.testing.assert_allclose(prediction.logits, logits, atol=1e-5)
    np.testing.assert_allclose(prediction.scores, scipy.special.softmax(logits), atol=1e-5)
    # What the classifier reads: the mean of the two special tokens after the last layer norm.
    np.testing.assert_allclose(prediction.embedding, (hidden[0] + hidden[1]).numpy() / 2, atol=1e-5)
    assert inspection.spectrogram.clip_frames == 59
    assert (inspection.precision, inspection.checkpoint) == ("float32", tiny.facts)
    assert 0 < inspection.seconds < 60


def test_a_multi_label_checkpoint_gives_sigmoids(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "several", problem_type="multi_label_classification")
    prediction = inspect(waveform(noise(0.61)), load_checkpoint(folder)).prediction
    np.testing.assert_allclose(prediction.scores, scipy.special.expit(prediction.logits), rtol=1e-6)
    assert prediction.scores.sum() > 1


@pytest.mark.parametrize("scale", [1, 100, 10_000])
def test_to_scores_against_scipy(scale: float) -> None:
    logits = (scale * np.random.default_rng(0).standard_normal((3, 17))).astype(np.float32)
    np.testing.assert_allclose(
        to_scores(logits, "softmax"), scipy.special.softmax(logits.astype(float), axis=-1), atol=1e-12
    )
    np.testing.assert_allclose(to_scores(logits, "softmax").sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(to_scores(logits, "sigmoid"), scipy.special.expit(logits.astype(float)), atol=1e-12)


def test_top_is_best_first() -> None:
    scores = np.array([0.1, 0.4, 0.2, 0.3])
    prediction = Prediction(("a", "b", "c", "d"), scores, np.log(scores), np.zeros(3))
    assert prediction.top() == [("b", 0.4), ("d", 0.3), ("c", 0.2), ("a", 0.1)]
    assert prediction.top(2) == [("b", 0.4), ("d", 0.3)]
    assert prediction.top(99) == prediction.top()
    tied = Prediction(("a", "b", "c"), np.array([0.25, 0.5, 0.25]), scores, scores)
    assert [label for label, _ in tied.top()] == ["b", "a", "c"]  # those equal in their own order


def test_different_clips_get_different_answers(tiny: Checkpoint) -> None:
    one, other = (inspect(waveform(noise(0.61, seed, level)), tiny) for seed, level in ((0, 0.001), (1, 0.5)))
    assert np.abs(one.prediction.logits - other.prediction.logits).max() > 0.01
    assert np.abs(one.rollout.final - other.rollout.final).max() > 1e-4


def test_a_batch_is_its_clips(tiny: Checkpoint) -> None:
    """Clips of different lengths, one longer than the input; in their order, each as alone."""
    clips = [waveform(noise(seconds, seed), f"clip {seed}") for seed, seconds in enumerate((0.61, 0.03, 2.0, 0.9))]
    batch = inspect_batch(clips, tiny)
    assert [one.waveform for one in batch] == clips
    for got, clip in zip(batch, clips, strict=True):
        alone = inspect(clip, tiny)
        np.testing.assert_array_equal(got.spectrogram.values, alone.spectrogram.values)
        assert got.spectrogram.clip_frames == alone.spectrogram.clip_frames
        np.testing.assert_allclose(got.prediction.logits, alone.prediction.logits, atol=1e-5)
        np.testing.assert_allclose(got.prediction.scores, alone.prediction.scores, atol=1e-6)
        np.testing.assert_allclose(got.prediction.embedding, alone.prediction.embedding, atol=1e-5)
        np.testing.assert_allclose(got.rollout.maps, alone.rollout.maps, atol=1e-6)
        np.testing.assert_allclose(got.rollout.padding_share, alone.rollout.padding_share, atol=1e-6)
        assert got.seconds > 0
    assert np.ptp([one.prediction.logits[0] for one in batch]) > 0.01


def test_a_batch_of_nothing(tiny: Checkpoint) -> None:
    assert inspect_batch([], tiny) == []


SUMMARY_KEYS = {
    # the contract of `inspect --json`
    *("clip", "checkpoint", "activation", "predictions", "duration_s", "frames", "padding_share", "truncated_s"),
    *("patch_grid", "precision", "seconds"),
    # and more
    *("activation_reason", "original_rate", "channels", "notes", "input_frames", "input_s", "mean", "std"),
    *("rollout_on_padding", "rollout_on_special_tokens"),
}


def test_the_summary(tiny: Checkpoint) -> None:
    clip = read_audio(encode(np.outer(melody(3.0, 48_000), (1, 1)), 48_000, "wav", "PCM_16"), name="clip.wav")
    inspection = inspect(clip, tiny)
    summary = json.loads(json.dumps(summarise(inspection), allow_nan=False))
    assert summary.keys() >= SUMMARY_KEYS
    assert (summary["clip"], summary["checkpoint"], summary["activation"]) == ("clip.wav", "tiny", "softmax")
    assert [(row["label"], row["score"]) for row in summary["predictions"]] == inspection.prediction.top()
    assert len(summary["predictions"]) == 5
    assert sum(row["score"] for row in summary["predictions"]) == pytest.approx(1)
    assert (summary["duration_s"], summary["original_rate"], summary["channels"]) == (3.0, 48_000, 2)
    assert (summary["frames"], summary["input_frames"], summary["padding_share"]) == (89, 89, 0)
    assert summary["input_s"] == pytest.approx(0.905)
    assert summary["truncated_s"] == pytest.approx(3.0 - 0.905)
    assert summary["patch_grid"] == {"frequency": 13, "time": 17}
    assert (summary["mean"], summary["std"], summary["precision"]) == (-6.5, 5.3, "float32")
    assert summary["rollout_on_padding"] == 0
    assert summary["rollout_on_special_tokens"] == pytest.approx(1 - inspection.rollout.final.sum(), abs=1e-6)


def test_the_summary_of_a_padded_clip(tiny: Checkpoint) -> None:
    summary = summarise(inspect(waveform(noise(0.61)), tiny))
    assert summary["frames"] == 59
    assert summary["padding_share"] == pytest.approx(30 / 89)
    assert summary["truncated_s"] == 0
    assert 0 < summary["rollout_on_padding"] < 1 - summary["rollout_on_special_tokens"]


# What it leaves behind: nothing.


class BrokenError(RuntimeError):
    pass


def break_layer(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*args: object, **kwargs: object) -> None:
        raise BrokenError

    monkeypatch.setattr(model.audio_spectrogram_transformer.layers[1].layernorm_after, "forward", forward)


def count_hooks(model: torch.nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("call", ["inspect", "inspect_patch"])
def test_a_forward_that_raises_leaves_the_model_as_it_was(
    call: str, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(tiny_folder)
    model, clip = checkpoint.model, waveform(noise(0.61))
    before = inspect(clip, checkpoint)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    with monkeypatch.context() as patch:
        break_layer(model, patch)
        with pytest.raises(BrokenError):
            inspect(clip, checkpoint) if call == "inspect" else inspect_patch(before, checkpoint, 2, 3)
    assert count_hooks(model) == 0
    assert not any(module.training for module in model.modules())
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])
    # What the patch, not the call, has left.
    vars(model.audio_spectrogram_transformer.layers[1].layernorm_after).pop("forward", None)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert bits(inspect(clip, checkpoint)) == bits(before)


def test_nothing_is_kept_on_the_model(tiny_folder: Path) -> None:
    checkpoint = load_checkpoint(tiny_folder)
    attributes = {name: set(vars(module)) for name, module in checkpoint.model.named_modules()}
    inspection = inspect(waveform(noise(0.61)), checkpoint)
    inspect_patch(inspection, checkpoint, 2, 3)
    assert {name: set(vars(module)) for name, module in checkpoint.model.named_modules()} == attributes
    assert count_hooks(checkpoint.model) == 0


def test_the_clip_is_left_alone(tiny: Checkpoint) -> None:
    clip = waveform(noise(0.61))
    before = clip.samples.copy()
    inspection = inspect(clip, tiny)
    spectrogram = inspection.spectrogram.values.copy()
    inspect_patch(inspection, tiny, 2, 3)
    np.testing.assert_array_equal(clip.samples, before)
    np.testing.assert_array_equal(inspection.spectrogram.values, spectrogram)
    assert inspection.waveform is clip


def test_patches_of_a_model_without_patches(tiny: Checkpoint) -> None:
    from dataclasses import replace

    inspection = inspect(waveform(noise(0.61)), tiny)
    gridless = replace(
        inspection, checkpoint=replace(tiny.facts, name="words", grid=None, input=None), spectrogram=None
    )
    with pytest.raises(CheckpointError, match=r"\A'words' has no patch grid: it reads the sound as a sequence\.\Z"):
        inspect_patch(gridless, tiny, 0, 0)


# Threads.


@pytest.fixture(scope="module")
def shipped_size(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    config = {**SHIPPED_SIZE, "max_length": 512, "frequency_stride": 16, "time_stride": 16}
    return load_checkpoint(save(build_model(**config), tmp_path_factory.mktemp("shipped-size")))


def in_threads(clips: list[Waveform], checkpoint: Checkpoint, times: int) -> list[list[list[bytes]]]:
    """The bits of each clip's inspections, one thread a clip."""
    together = threading.Barrier(len(clips))
    results: list[list[list[bytes]]] = [[] for _ in clips]

    def visit(index: int) -> None:
        together.wait()
        for _ in range(times):
            results[index].append(bits(inspect(clips[index], checkpoint)))

    threads = [threading.Thread(target=visit, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("n_threads", [None, 1], ids=["torch's default", "1 thread"])
def test_two_threads_get_what_they_get_alone(n_threads: int | None, shipped_size: Checkpoint) -> None:
    before = torch.get_num_threads()
    if n_threads:
        torch.set_num_threads(n_threads)
    try:
        clips = [read_audio(path) for path in sample_clips(2)]
        alone = [bits(inspect(clip, shipped_size)) for clip in clips]
        assert alone[0] != alone[1]
        for expected, got in zip(alone, in_threads(clips, shipped_size, times=50), strict=True):
            assert len(got) == 50
            assert all(one == expected for one in got)
    finally:
        torch.set_num_threads(before)


def test_a_clip_and_its_patches_at_the_same_time(tiny: Checkpoint) -> None:
    """A visitor clicks patches while another inspects: each keeps its own attention."""
    clips = [waveform(noise(0.61, seed)) for seed in range(2)]
    first = inspect(clips[0], tiny)
    expected = inspect_patch(first, tiny, 3, 11).rollout.maps.tobytes()
    got: list[bytes] = []
    thread = threading.Thread(
        target=lambda: got.extend(inspect_patch(first, tiny, 3, 11).rollout.maps.tobytes() for _ in range(20))
    )
    thread.start()
    others = {b"".join(bits(inspect(clips[1], tiny))) for _ in range(20)}
    thread.join()
    assert got == [expected] * 20
    assert len(others) == 1


@pytest.mark.parametrize(("seconds", "told"), [(0.04, True), (0.24, True), (0.26, False), (0.61, False)])
def test_a_sound_that_fills_next_to_nothing_of_the_input_is_told(seconds: float, told: bool, tiny: Checkpoint) -> None:
    inspection = inspect(waveform(noise(seconds)), tiny)
    share = f"{inspection.padding_share:.0%} of what {tiny.facts.name} was fed is padding"
    assert (inspection.input_note != "") == told
    assert not told or (inspection.input_note.startswith(f"Only {seconds:g} s of sound: {share}"))
    assert summarise(inspection)["notes"] == list(inspection.notes) == [inspection.input_note] * told
