"""Rollout, held to the paper's formula on the attentions of 🤗 Transformers' eager model, and to planted answers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTForAudioClassification

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.waveform import SAMPLE_RATE, Waveform
from ast_demo.features.layout import TimeAxis, TokenLayout
from ast_demo.features.log_mel import InputSettings
from ast_demo.features.patches import PatchGrid
from ast_demo.features.raster import count_samples
from ast_demo.inference.rollout import roll_out
from ast_demo.inspection.inspection import inspect, inspect_patch
from ast_demo.inspection.rollout import Rollout, rollout_of_clip
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint
from tests.bounds import assert_exact
from tests.clips import clips_of, noise, waveform
from tests.features.test_log_mel import extractor
from tests.reference import (
    eager_attentions,
    exact_attentions,
    from_special_tokens,
    padding_share,
    rollout_in_loops,
    row_to_map,
    textbook_rollout,
)
from tests.tiny import SHIPPED_SIZE, build_model, save, save_tiny

GRID = PatchGrid(n_mels=43, n_frames=89, patch_size=5, frequency_stride=3, time_stride=5)  # 13 × 17
N_LAYERS = 3


def assert_same_relevance(got: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-6, as promised, which says little of maps whose cells are 1e-3: so to four digits of the map as well.

    What is left is single precision: the model's own attentions differ in the sixth digit between two routes.
    """
    assert got.shape == expected.shape
    error = np.abs(got - expected).max()
    assert error < 1e-6
    assert error < 1e-4 * expected.max()


ROUTES = (exact_attentions, eager_attentions)


def non_uniformity(attentions: np.ndarray) -> float:
    """How many times its fair share the favourite token gets, on average over all rows, heads and layers."""
    return float(attentions.max(axis=-1).mean() * attentions.shape[-1])


# The model against 🤗 Transformers, on clips.


@pytest.fixture(scope="module", params=[(10, 512), (14, 512), (16, 512), (10, 1024), (14, 1024), (16, 1024)], ids=str)
def shipped_size(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkpoint, ASTForAudioClassification]:
    """A checkpoint of the size that is shipped, as this program loads it and as 🤗 Transformers does with eager attention."""
    stride, n_frames = request.param
    folder = tmp_path_factory.mktemp(f"stride-{stride}-frames-{n_frames}")
    config = {**SHIPPED_SIZE, "max_length": n_frames, "frequency_stride": stride, "time_stride": stride}
    save(build_model(seed=stride + n_frames, **config), folder)
    eager = ASTForAudioClassification.from_pretrained(folder, attn_implementation="eager")
    return load_checkpoint(folder), eager.eval()


@cache  # the three grids share them
def decode_and_extract(path: Path, settings: InputSettings) -> tuple[Waveform, np.ndarray]:
    """A clip, and its input by 🤗 Transformers."""
    clip = read_audio(path)
    return clip, extractor(settings)(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="np").input_values[0]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small products on a busy machine: threads that wait for each other take many times as long as one."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("source", ["samples", "recordings"])
def test_equal_to_transformers_and_to_the_textbook(
    source: str, shipped_size: tuple[Checkpoint, ASTForAudioClassification]
) -> None:
    checkpoint, eager = shipped_size
    grid, settings = checkpoint.facts.grid, checkpoint.facts.input
    for number, path in enumerate(clips_of(source, 20 if source == "recordings" else 5)):
        clip, features = decode_and_extract(path, settings)
        inspection = inspect(clip, checkpoint)
        spectrogram = inspection.spectrogram

        error = np.abs(spectrogram.values - features)
        # As promised; `test_spectrogram` shows that it is far less.
        assert error.max() < 1e-3
        assert error.mean() < 5e-5

        logits, attentions = eager_attentions(eager, spectrogram.values)
        assert non_uniformity(attentions) > 30
        expected = from_special_tokens(textbook_rollout(attentions)[-1], grid)
        assert_same_relevance(inspection.rollout.final, expected)
        if number == 0:  # it takes its time
            exact_logits, exact = exact_attentions(eager, spectrogram.values)
            assert_exact(inspection.prediction.logits, exact_logits, logits)
            exact_map = from_special_tokens(textbook_rollout(exact)[-1], grid)
            assert_exact(inspection.rollout.final, exact_map, expected)
            allowed = 5 * np.abs(logits - exact_logits).max()  # its own error, and four times that
        assert np.abs(inspection.prediction.logits - logits).max() <= 4 * allowed  # of this clip and that one
        assert expected.max() > 2 * expected.mean()  # there is something to see
        assert inspection.rollout.special_share[-1] == pytest.approx(1 - expected.sum(), abs=1e-5)
        assert inspection.rollout.padding_share[-1] == pytest.approx(
            padding_share(expected, grid, spectrogram.clip_frames), abs=1e-5
        )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, ASTForAudioClassification]:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"))
    eager = ASTForAudioClassification.from_pretrained(folder, attn_implementation="eager")
    return load_checkpoint(folder), eager.eval()


def test_every_depth(tiny: tuple[Checkpoint, ASTForAudioClassification]) -> None:
    checkpoint, eager = tiny
    assert (checkpoint.facts.grid, checkpoint.facts.n_layers) == (GRID, N_LAYERS)
    inspection = inspect(waveform(noise(0.61)), checkpoint)
    exact, library = (textbook_rollout(route(eager, inspection.spectrogram.values)[1]) for route in ROUTES)
    assert inspection.rollout.maps.shape == (N_LAYERS, 13, 17)
    for depth in range(N_LAYERS):
        expected = from_special_tokens(exact[depth], GRID)
        assert_exact(inspection.rollout.maps[depth], expected, from_special_tokens(library[depth], GRID))
        assert inspection.rollout.special_share[depth] == pytest.approx(1 - expected.sum(), abs=1e-6)
        assert inspection.rollout.padding_share[depth] == pytest.approx(padding_share(expected, GRID, 59), abs=1e-6)
    assert inspection.rollout.padding_share.min() > 0.05  # a third of the input is padding


@pytest.mark.parametrize(("frequency", "time"), [(0, 0), (12, 16), (3, 11)])
def test_from_a_single_patch(frequency: int, time: int, tiny: tuple[Checkpoint, ASTForAudioClassification]) -> None:
    checkpoint, eager = tiny
    inspection = inspect(waveform(noise(0.61)), checkpoint)
    patch = inspect_patch(inspection, checkpoint, frequency, time)
    assert (patch.frequency, patch.time) == (frequency, time)
    exact, library = (route(eager, inspection.spectrogram.values)[1] for route in ROUTES)
    token = 2 + frequency * 17 + time
    rollouts = zip(textbook_rollout(exact), textbook_rollout(library), strict=True)
    for depth, (rollout, of_library) in enumerate(rollouts):
        expected = row_to_map(rollout[token], GRID)
        assert_exact(patch.rollout.maps[depth], expected, row_to_map(of_library[token], GRID))
        assert patch.rollout.special_share[depth] == pytest.approx(rollout[token, :2].sum(), abs=1e-6)
        assert patch.rollout.padding_share[depth] == pytest.approx(padding_share(expected, GRID, 59), abs=1e-6)
        attended = (row_to_map(weights[depth, :, token].mean(axis=0), GRID) for weights in (exact, library))
        assert_exact(patch.attention[depth], *attended)
    assert np.unravel_index(patch.rollout.maps[0].argmax(), (13, 17)) == (frequency, time)


def test_no_such_patch_to_start_from(tiny: tuple[Checkpoint, ASTForAudioClassification]) -> None:
    checkpoint, _ = tiny
    inspection = inspect(waveform(noise(0.61)), checkpoint)
    with pytest.raises(IndexError, match=r"\AThere is no patch \(13, 0\) in a grid of 13 × 17\.\Z"):
        inspect_patch(inspection, checkpoint, 13, 0)


def test_the_shared_model_is_what_it_was_after_a_clip_and_a_patch(
    tiny: tuple[Checkpoint, ASTForAudioClassification],
) -> None:
    """Nothing is left on it of what was asked of it, and nobody who called it themselves hears of anything."""
    checkpoint, _ = tiny
    values = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 89, 43)).astype(np.float32))

    def state() -> tuple[dict[str, torch.Tensor], torch.Tensor, set[str], str, bool]:
        model = checkpoint.model
        with torch.inference_mode():
            logits = model(values).logits
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        return weights, logits, set(vars(model)), model.config._attn_implementation, model.training

    before = state()
    inspection = inspect(waveform(noise(0.61)), checkpoint)
    inspect_patch(inspection, checkpoint, 3, 11)
    after = state()
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(weight, after[0][name]) for name, weight in before[0].items())
    assert torch.equal(before[1], after[1])
    assert before[1].std() > 0.1
    assert before[2:] == after[2:]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in checkpoint.model.modules())


# Planted answers.


def layers_of(*matrices: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices]


def rollout_of(layers: list[torch.Tensor], layout: TokenLayout, n_samples: int, token: int | None = None) -> Rollout:
    """From what the classifier reads, or from a token."""
    start = torch.from_numpy(layout.read_by_classifier())
    if token is not None:
        start = torch.nn.functional.one_hot(torch.tensor(token), len(start)).float()
    return rollout_of_clip(roll_out(layers, start).numpy(), layout, n_samples)


def random_attention(seed: int, tokens: int = GRID.n_tokens) -> np.ndarray:
    weights = np.random.default_rng(seed).exponential(size=(tokens, tokens)) ** 3
    return weights / weights.sum(axis=1, keepdims=True)


def test_the_references_agree_with_each_other() -> None:
    attentions = np.stack(
        [np.stack([random_attention(2 * layer + head, 11) for head in range(2)]) for layer in range(3)]
    )
    np.testing.assert_allclose(textbook_rollout(attentions)[-1], rollout_in_loops(attentions), atol=1e-15)


@pytest.mark.parametrize("token", [0, 1, 2, 100, GRID.n_tokens - 1])
def test_attention_to_nothing_but_oneself_gives_the_token_itself(token: int) -> None:
    identity = layers_of(*[np.eye(GRID.n_tokens)] * N_LAYERS)
    start = torch.zeros(GRID.n_tokens)
    start[token] = 1
    assert roll_out(identity, start).tolist() == [start.tolist()] * N_LAYERS


def test_attention_to_nothing_but_oneself_leaves_all_on_the_special_tokens() -> None:
    rollout = rollout_of(layers_of(*[np.eye(GRID.n_tokens)] * N_LAYERS), GRID, n_samples=count_samples(0))
    assert not rollout.maps.any()
    assert rollout.special_share.tolist() == [1, 1, 1]
    assert rollout.padding_share.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("frequency", "time"), [(0, 0), (0, 16), (12, 0), (5, 3), (3, 5)])
def test_attention_fixed_on_one_patch_lights_that_patch_and_no_other(frequency: int, time: int) -> None:
    fixed = np.zeros((GRID.n_tokens, GRID.n_tokens))
    fixed[:, 2 + frequency * 17 + time] = 1
    rollout = rollout_of(layers_of(*[fixed] * N_LAYERS), GRID, n_samples=count_samples(89))
    for depth, share in enumerate((1 / 2, 3 / 4, 7 / 8)):  # half of what is left on the special tokens, each layer
        expected = np.zeros((13, 17))
        expected[frequency, time] = share
        np.testing.assert_array_equal(rollout.maps[depth], expected)
        assert rollout.special_share[depth] == 1 - share


def test_both_special_tokens_count_half() -> None:
    """CLS looks at one patch, the distillation token at another."""
    attention = np.eye(GRID.n_tokens)
    attention[0], attention[1] = 0, 0
    attention[0, GRID.token(2, 3)] = attention[1, GRID.token(11, 7)] = 1
    rollout = rollout_of(layers_of(attention), GRID, n_samples=count_samples(89))
    assert {tuple(cell) for cell in np.argwhere(rollout.final)} == {(2, 3), (11, 7)}
    assert rollout.final[2, 3] == rollout.final[11, 7] == 0.25


def test_layers_are_multiplied_in_their_order() -> None:
    """The last layer leads from the special tokens to patch a; the first from a to b. The wrong way round, b stays dark."""
    a, b = GRID.token(1, 2), GRID.token(7, 13)
    first, last = np.eye(GRID.n_tokens), np.eye(GRID.n_tokens)
    first[a] = np.eye(GRID.n_tokens)[b]
    last[:2] = np.eye(GRID.n_tokens)[a]
    rollout = rollout_of(layers_of(first, last), GRID, n_samples=count_samples(89))
    assert not rollout.maps[0].any()
    assert rollout.maps[1][1, 2] == rollout.maps[1][7, 13] == 0.25
    assert rollout.maps[1].sum() == 0.5


def test_rows_sum_to_one() -> None:
    layers = layers_of(*(random_attention(seed) for seed in range(5)))
    rows = roll_out(layers, torch.full((GRID.n_tokens,), 1 / GRID.n_tokens))
    np.testing.assert_allclose(rows.sum(dim=1), 1, atol=1e-6)
    rollout = rollout_of(layers, GRID, n_samples=count_samples(89))
    np.testing.assert_allclose(rollout.maps.sum(axis=(1, 2)) + rollout.special_share, 1, atol=1e-6)


@pytest.mark.parametrize("clip_frames", [0, 1, 4, 5, 7, 42, 84, 85, 89])
@pytest.mark.parametrize("time_stride", [2, 5])
def test_the_share_on_padding(clip_frames: int, time_stride: int) -> None:
    grid = PatchGrid(n_mels=43, n_frames=89, patch_size=5, frequency_stride=3, time_stride=time_stride)
    layers = [random_attention(seed, grid.n_tokens) for seed in range(2)]
    rollout = rollout_of(layers_of(*layers), grid, count_samples(clip_frames))
    for depth, product in enumerate(textbook_rollout(np.stack(layers)[:, None])):
        expected = padding_share(from_special_tokens(product, grid), grid, clip_frames)
        assert rollout.padding_share[depth] == pytest.approx(expected, abs=1e-6)


def test_padding_of_columns() -> None:
    # Patches of 5 frames every 5: with 12 frames of clip, the third column has 2 frames of clip and 3 of padding.
    np.testing.assert_allclose(GRID.padding_of_columns(count_samples(12))[:4], [0, 0, 0.6, 1])


def test_rollout_leaves_the_attentions_alone() -> None:
    layers = layers_of(*(random_attention(seed) for seed in range(2)))
    before = [layer.clone() for layer in layers]
    rollout_of(layers, GRID, count_samples(50), token=7)
    for layer, copy in zip(layers, before, strict=True):
        assert torch.equal(layer, copy)


# A model that reads a sequence.


@pytest.mark.parametrize("clip_share", [0.0, 0.3, 0.5, 1.0, 1.7])
def test_rollout_over_time(clip_share: float) -> None:
    """Starts from the mean of all tokens; what lies beyond the clip is padding, a token in part where the clip ends in it."""
    layers = [random_attention(seed, 11) for seed in range(3)]
    rollout = rollout_of(layers_of(*layers), TimeAxis(11, 2.0), round(clip_share * 2 * SAMPLE_RATE))
    assert rollout.maps.shape == (3, 1, 11)
    assert rollout.special_share.tolist() == [0, 0, 0]
    for depth, product in enumerate(textbook_rollout(np.stack(layers)[:, None])):
        expected = product.mean(axis=0)
        np.testing.assert_allclose(rollout.maps[depth, 0], expected, atol=1e-7)
        share = 0.0
        for token in range(11):
            begins, ends = token / 11, (token + 1) / 11
            share += expected[token] * max(0.0, ends - max(begins, clip_share)) * 11
        assert rollout.padding_share[depth] == pytest.approx(share, abs=1e-6)
