"""Checkpoints on a device: the route of a GPU through the whole program, here on the processor, held to that of the CPU.

The numbers of that route are held to the textbook in `tests/inference/test_gpu.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ast_demo.audio import SAMPLE_RATE
from ast_demo.data import read_labelled_clips
from ast_demo.errors import CheckpointError, SettingsError
from ast_demo.evaluation import column, evaluate
from ast_demo.explain import METHODS, explain, measure_trust
from ast_demo.inference import gpu
from ast_demo.inspection import inspect, inspect_batch, inspect_patch, look_through
from ast_demo.models import Checkpoint, load_checkpoint
from ast_demo.models.placing import place_on
from ast_demo.runtime import CPU, Device, choose_device, take_turns
from ast_demo.settings import Settings
from tests.clips import melody, noise, waveform
from tests.devices import GPU_ON_CPU
from tests.tiny import LABELS, build_model, save
from tests.tiny_sequence import save_sequence_model

NOWHERE = Device("cuda:7", "a card that is not there", is_gpu=True, bfloat16=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save(build_model(hidden_size=64), tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def there(request: pytest.FixtureRequest, here: Checkpoint) -> Checkpoint:
    """The same checkpoint on a GPU, in single precision."""
    device = GPU_ON_CPU if request.param == "cpu" else choose_device("cuda")
    placed = place_on(replace(here), device, "float32")
    assert (placed.device, placed.device_note, placed.precision) == (device, "", "float32")
    return placed


def test_a_clip_its_patches_and_its_windows(here: Checkpoint, there: Checkpoint) -> None:
    clip = waveform(noise(3.1))
    one, other = inspect(clip, here), inspect(clip, there)
    assert (one.device, other.device) == ("cpu", str(there.device))
    assert f"on {there.device}" in other.computed
    np.testing.assert_allclose(other.prediction.logits, one.prediction.logits, atol=1e-4)
    np.testing.assert_allclose(other.prediction.embedding, one.prediction.embedding, atol=1e-4)
    np.testing.assert_allclose(other.rollout.maps, one.rollout.maps, atol=1e-6)
    patches = inspect_patch(one, here, 2, 3), inspect_patch(other, there, 2, 3)
    np.testing.assert_allclose(patches[1].attention, patches[0].attention, atol=1e-5)
    np.testing.assert_allclose(patches[1].rollout.maps, patches[0].rollout.maps, atol=1e-6)
    timelines = look_through(clip, here), look_through(clip, there)
    assert len(timelines[0].windows) == len(timelines[1].windows) > 3
    np.testing.assert_allclose(timelines[1].pooled.scores, timelines[0].pooled.scores, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_map_and_its_trust_card(method: str, here: Checkpoint, there: Checkpoint) -> None:
    clip = waveform(noise(0.61))
    made = []
    for checkpoint in (here, there):
        inspection = inspect(clip, checkpoint)
        relevance = explain(inspection, checkpoint, method)
        made.append((relevance, measure_trust(relevance, inspection, checkpoint)))
    (one, card), (other, other_card) = made
    np.testing.assert_allclose(other.values, one.values, atol=1e-3 * np.abs(one.values).max())
    assert other_card.of_map.gap == pytest.approx(card.of_map.gap, abs=1e-3)
    assert other_card.kept_under_random_weights == pytest.approx(card.kept_under_random_weights, abs=2e-2)


def test_in_half_precision(here: Checkpoint) -> None:
    placed = place_on(replace(here), GPU_ON_CPU, "bfloat16")
    assert (placed.precision, placed.precision_note, placed.device_note) == ("bfloat16", "", "")
    assert placed.fast("bfloat16").is_fused
    clip = waveform(noise(0.61))
    one, other = inspect(clip, here), inspect(clip, placed)
    assert other.precision == "bfloat16"
    assert np.corrcoef(one.rollout.final.ravel(), other.rollout.final.ravel())[0, 1] > 0.99
    for method in ("perturbation", "relevance"):
        maps = [explain(made, checkpoint, method).values for made, checkpoint in ((one, here), (other, placed))]
        assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.99
    assert place_on(replace(here), GPU_ON_CPU, "auto").precision == "float32"  # it is small
    assert placed.n_bytes == pytest.approx(2.5 * here.n_bytes, rel=0.05)  # copies count, in each precision


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_a_model_that_reads_a_sequence(kind: str, tmp_path: Path) -> None:
    here = load_checkpoint(save_sequence_model(kind, tmp_path / kind))
    there = place_on(replace(here), GPU_ON_CPU, "auto")
    assert (there.device, there.device_note) == (GPU_ON_CPU, "")
    clip = waveform(melody(1.5))
    one, other = inspect(clip, here), inspect(clip, there)
    np.testing.assert_allclose(other.prediction.logits, one.prediction.logits, atol=1e-4)
    for method in ("perturbation", "relevance"):
        maps = [explain(made, checkpoint, method).values for made, checkpoint in ((one, here), (other, there))]
        np.testing.assert_allclose(maps[1], maps[0], atol=1e-3 * np.abs(maps[0]).max())


# What a device cannot do.


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    folder = save(build_model(), tmp_path / "tiny")
    for choice in ("cuda:99", "cuda:7"):
        expected = rf"\AAST_DEMO_DEVICE is '{choice}', but PyTorch finds no such device on this machine\. It finds cpu"
        with pytest.raises(SettingsError, match=expected):
            load_checkpoint(folder, Settings(device=choice))


def test_what_does_not_run_there_runs_on_the_cpu_and_says_so(here: Checkpoint) -> None:
    placed = place_on(replace(here), NOWHERE, "auto")
    assert placed.device == CPU
    assert placed.device_note.startswith("'tiny' does not run on cuda:7 (a card that is not there) (")
    assert placed.device_note.endswith("): computed on the CPU instead.")
    inspection = inspect(waveform(noise(0.61)), placed)
    assert inspection.computing_notes == (placed.device_note,)
    assert placed.device_note.rstrip(".") in inspection.computed


def test_half_precision_that_does_not_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with heads whose size the kernel does not take: in single precision, on the same device."""

    def refuse(*_: object) -> None:
        raise RuntimeError("head_dim should be a multiple of 8. And more.")

    checkpoint = load_checkpoint(save(build_model(), tmp_path / "tiny"))
    monkeypatch.setattr(gpu, "fused_attention", refuse)
    placed = place_on(checkpoint, GPU_ON_CPU, "bfloat16")
    assert (placed.device, placed.precision) == (GPU_ON_CPU, "float32")
    assert placed.precision_note.startswith(
        "bfloat16 does not run on cpu (as a GPU) (head_dim should be a multiple of 8)"
    )
    none = place_on(checkpoint, replace(GPU_ON_CPU, bfloat16=False), "bfloat16")
    assert none.precision_note == (
        "bfloat16 was asked for, but cpu (as a GPU) does not support it: computed in float32 instead."
    )


@pytest.fixture
def memory_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Let the device hold so many clips: batches that were tried are noted down."""

    def limit(n: int) -> list[int]:
        tried: list[int] = []
        fused = gpu.fused_attention

        def attend(query: torch.Tensor, *rest: object) -> object:
            tried.append(len(query))
            if len(query) > n:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.14 GiB.")
            return fused(query, *rest)

        monkeypatch.setattr(gpu, "fused_attention", attend)
        return tried

    return limit


def test_batches_are_halved_until_they_fit(here: Checkpoint, memory_of: Callable[[int], list[int]]) -> None:
    placed = place_on(replace(here), GPU_ON_CPU, "bfloat16")
    clips = [waveform(noise(0.4 + number / 20, number)) for number in range(11)]
    whole = inspect_batch(clips, placed)
    tried = memory_of(3)
    halved = inspect_batch(clips, placed)
    assert tried[0] == 11 and {size for size in tried if size <= 3} == {2, 3}
    assert [one.waveform for one in halved] == clips
    for one, other in zip(whole, halved, strict=True):
        np.testing.assert_allclose(other.prediction.logits, one.prediction.logits, atol=0.05)
        np.testing.assert_allclose(other.rollout.final, one.rollout.final, atol=1e-3)
    perturbed = explain(whole[0], placed, "perturbation")
    assert np.isfinite(perturbed.values).all()


def test_a_memory_that_holds_no_clip_is_a_sentence(here: Checkpoint, memory_of: Callable[[int], list[int]]) -> None:
    placed = place_on(replace(here), GPU_ON_CPU, "bfloat16")
    memory_of(0)
    with pytest.raises(CheckpointError) as error:
        inspect_batch([waveform(noise(0.4)), waveform(noise(0.6))], placed)
    assert str(error.value) == (
        "The memory of cpu (as a GPU) is too small, or too full, for one clip through 'tiny'. Close what else uses it and "
        "try again, or set AST_DEMO_DEVICE=cpu."
    )


# Evaluations.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(60):  # three parts
        folder = tmp_path / "data" / LABELS[number % 5]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{number}.wav", noise(0.4 + number / 100, number), SAMPLE_RATE)
    return tmp_path / "data"


def test_an_evaluation(data: Path, here: Checkpoint, there: Checkpoint, tmp_path: Path) -> None:
    clips = read_labelled_clips(data)
    one, other = (
        evaluate(clips, ["tiny"], lambda _, checkpoint=checkpoint: checkpoint, tmp_path / name)
        for name, checkpoint in (("one", here), ("other", there))
    )
    scores = [result.table[column("confidence", "tiny")].to_numpy() for result in (one, other)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-5)
    counts = [[result.metrics["tiny"][name] for name in ("clips", "accuracy", "f1")] for result in (one, other)]
    assert counts[0] == counts[1]


def test_an_evaluation_whose_memory_fills_up_goes_on_with_what_is_done(
    data: Path,
    here: Checkpoint,
    memory_of: Callable[[int], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed, clips = place_on(replace(here), GPU_ON_CPU, "bfloat16"), read_labelled_clips(data)
    told: list[int] = []

    def tell(done: int, _: int) -> None:
        told.append(done)
        if done >= 25:
            memory_of(0)  # somebody else takes it

    with pytest.raises(CheckpointError, match="too small, or too full"):
        evaluate(clips, ["tiny"], lambda _: placed, tmp_path / "out", progress=tell, explain=False)
    assert 25 <= max(told) < 60
    again: list[int] = []
    monkeypatch.setattr(gpu, "fused_attention", _FUSED)
    result = evaluate(
        clips, ["tiny"], lambda _: placed, tmp_path / "out", progress=lambda n, _: again.append(n), explain=False
    )
    assert again[0] == 50
    assert len(result.table) == 60


_FUSED = gpu.fused_attention


def test_evaluations_on_one_gpu_take_turns() -> None:
    """However many there are; and who is stopped waits no longer."""
    device = Device("cuda:98", "for this test", is_gpu=True)
    inside, most, waited = [0], [0], threading.Event()

    def work() -> None:
        with take_turns(device, waited.set):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            waited.wait(5)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert waited.is_set()

    def stop() -> None:
        raise KeyboardInterrupt

    with take_turns(device, stop), pytest.raises(KeyboardInterrupt), take_turns(device, stop):
        pass
    with take_turns(CPU, stop), take_turns(CPU, stop):  # everybody's at once
        pass
