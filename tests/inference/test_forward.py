"""The fast forward pass, held to 🤗 Transformers' eager one and to the textbook's rollout; bfloat16, to float32."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTForAudioClassification

from ast_demo.audio.decoding import Waveform, read_audio
from ast_demo.inference import forward as fast_ast
from ast_demo.inference import layers_bfloat16 as fast_bfloat16
from ast_demo.inference import layers_float32 as fast_float32
from ast_demo.inference.forward import choose_precision, make_fast, run
from ast_demo.inspection.inspection import Inspection, inspect, inspect_batch, inspect_patch
from ast_demo.models.cache import CheckpointCache
from ast_demo.models.loading import Checkpoint, load_checkpoint, shipped_names
from ast_demo.settings import Settings
from tests.clips import clips_of, noise, sample_clips, waveform
from tests.inspection.test_inspection import bits
from tests.reference import eager_attentions, from_special_tokens, textbook_rollout
from tests.tiny import SHIPPED_SIZE, build_model, save, save_tiny

# AST as published but for its depth: 1214 tokens, 12 heads of 64.
BASE_WIDTH = {
    **{"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 2},
    **{"num_mel_bins": 128, "max_length": 1024, "patch_size": 16, "frequency_stride": 10, "time_stride": 10},
}


def assert_equal_to_the_textbook(checkpoint: Checkpoint, eager: ASTForAudioClassification, clip: Waveform) -> None:
    inspection = inspect(clip, checkpoint, "float32")
    logits, attentions = eager_attentions(eager, inspection.spectrogram.values)
    expected = from_special_tokens(textbook_rollout(attentions)[-1], checkpoint.facts.grid)
    np.testing.assert_allclose(inspection.rollout.final, expected, atol=1e-6)
    assert np.abs(inspection.rollout.final - expected).max() < 1e-4 * expected.max()
    np.testing.assert_allclose(inspection.prediction.logits, logits, atol=1e-4)
    assert expected.max() > 1.2 * expected.mean()  # there is something to see


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_checkpoint_is_equal_to_the_textbook(name: str) -> None:
    checkpoint = load_checkpoint(name)
    folder = Path(__file__).parents[2] / "assets" / "checkpoints" / name
    eager = ASTForAudioClassification.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()
    for path in sample_clips(2):
        assert_equal_to_the_textbook(checkpoint, eager, read_audio(path))


@pytest.fixture(scope="module")
def base_width(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(build_model(**BASE_WIDTH), tmp_path_factory.mktemp("base-width"))


@pytest.mark.parametrize("is_large", [True, False])
def test_the_published_width_is_equal_to_the_textbook(
    is_large: bool, base_width: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_ast, "_LARGE", 1 if is_large else 10**12)
    eager = ASTForAudioClassification.from_pretrained(base_width, attn_implementation="eager").eval()
    (path,) = sample_clips(1)
    assert_equal_to_the_textbook(load_checkpoint(base_width), eager, read_audio(path))


@pytest.mark.parametrize("is_large", [True, False])
@pytest.mark.parametrize(
    ("bytes_at_a_time", "tokens_at_a_time"),
    [(1, 1), (4000, 223), (4 * 223 * 223, 2 * 223), (8 * 223 * 223, 3 * 223), (10**9, 10**9)],
)
def test_whatever_is_done_at_a_time(
    bytes_at_a_time: int, tokens_at_a_time: int, is_large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, some rows, a clip, two clips, all three at once."""
    model = build_model()
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    eager = ASTForAudioClassification.from_pretrained(save(model, tmp_path), attn_implementation="eager").eval()
    monkeypatch.setattr(fast_ast, "_LARGE", 1 if is_large else 10**12)
    monkeypatch.setattr(fast_float32, "_WEIGHT_BYTES_AT_A_TIME", bytes_at_a_time)
    monkeypatch.setattr(fast_float32, "_TOKENS_AT_A_TIME", tokens_at_a_time)
    monkeypatch.setattr(fast_float32, "_ROWS_AT_A_TIME", min(tokens_at_a_time, 7))
    answer = run(make_fast(model, "float32"), inputs)
    assert [tuple(mean.shape) for mean in answer.head_sums] == [(3, 223, 223)] * 3
    for clip, one in enumerate(inputs.numpy()):
        logits, attentions = eager_attentions(eager, one)
        np.testing.assert_allclose(answer.logits[clip], logits, atol=1e-5)
        means = [layer[clip] / attentions.shape[1] for layer in answer.head_sums]
        for mean, expected in zip(means[:-1], attentions.mean(axis=1), strict=False):
            np.testing.assert_allclose(mean, expected, atol=1e-6)
        np.testing.assert_allclose(means[-1][:2], attentions[-1].mean(axis=0)[:2], atol=1e-6)
        assert not answer.head_sums[-1][clip, 2:].any()  # nobody reads them


@pytest.mark.parametrize("weigh", [fast_float32.weigh_by_kernel, fast_float32.weigh_by_operations])
def test_weights_in_single_precision(weigh: fast_float32.Weigh) -> None:
    """They overwrite what is there, or are added to it."""
    scores = torch.randn(2, 3, 7, 301, generator=torch.Generator().manual_seed(0)) * 5
    weights, total, expected = scores.clone(), torch.full((2, 7, 301), torch.nan), scores.double().softmax(-1)
    weigh(weights, total, False)
    torch.testing.assert_close(weights.double(), expected, rtol=4e-6, atol=1e-30)
    torch.testing.assert_close(total.double(), expected.sum(1), rtol=4e-6, atol=1e-30)
    weigh(scores.clone(), total, True)
    torch.testing.assert_close(total.double(), 2 * expected.sum(1), rtol=4e-6, atol=1e-30)


def test_without_biases(tmp_path: Path) -> None:
    model = build_model(qkv_bias=False)
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 89, 43)).astype(np.float32))
    with torch.inference_mode():
        expected = model(inputs).logits
    assert (run(make_fast(model, "float32"), inputs).logits - expected).abs().max() < 1e-5
    assert (run(make_fast(model, "bfloat16"), inputs).logits - expected).abs().max() < 0.03


# In bfloat16.


@pytest.fixture(params=["PyTorch's products", "matrix unit"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who multiplies queries, keys and values."""
    if request.param == "PyTorch's products":
        monkeypatch.setattr(fast_bfloat16, "has_matrix_unit", lambda: False)
    elif not has_matrix_unit():
        pytest.skip(reason="this processor has no matrix unit (AMX)")
    return request.param


@pytest.mark.parametrize(
    ("bytes_at_a_time", "tokens_at_a_time", "inner_at_a_time"),
    [(1, 1, 20), (4000, 223, 53), (2 * 2 * 224 * 224, 446, 16), (10**9, 10**9, 10**9)],
)
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.usefixtures("by")
def test_bfloat16_whatever_is_done_at_a_time(
    bytes_at_a_time: int, tokens_at_a_time: int, inner_at_a_time: int, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, some rows, two clips, all three at once; an activation that oneDNN adds to a product, and another."""
    model = build_model(hidden_act=activation)
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    exact = run(make_fast(model, "float32"), inputs, token=5)
    monkeypatch.setattr(fast_bfloat16, "_SCORE_BYTES_AT_A_TIME", bytes_at_a_time)
    monkeypatch.setattr(fast_bfloat16, "_TOKENS_AT_A_TIME", tokens_at_a_time)
    monkeypatch.setattr(fast_bfloat16, "_INNER_AT_A_TIME", inner_at_a_time)
    answer = run(make_fast(model, "bfloat16"), inputs, token=5)
    np.testing.assert_allclose(answer.logits, exact.logits, atol=0.03)
    assert np.ptp(exact.logits.numpy()) > 0.3
    for got, expected in zip(answer.head_sums, exact.head_sums, strict=True):
        # Scores are rounded by as much as they are large, and a few weights move with them; most move by little.
        assert (got.float() - expected).abs().mean() < 4e-2 * expected.mean()
        assert (got.float() - expected).abs().quantile(0.999) < 0.01
        np.testing.assert_allclose(got.float(), expected, rtol=0.02, atol=0.05)
    rows = answer.head_sums[-1].any(dim=-1)
    assert torch.equal(rows, exact.head_sums[-1].any(dim=-1))
    assert rows.sum(dim=1).tolist() == [3, 3, 3]


@pytest.mark.usefixtures("by")
def test_what_tokens_share_costs_no_precision() -> None:
    """It is much larger here than what tells them apart."""
    model = build_model()
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    with torch.no_grad():
        for layer in model.audio_spectrogram_transformer.layers:
            layer.layernorm_before.bias.normal_(std=10, generator=torch.Generator().manual_seed(0))
    exact, got = (run(make_fast(model, precision), inputs).head_sums for precision in ("float32", "bfloat16"))
    for one, other in zip(exact[:-1], got[:-1], strict=True):
        assert (other.float() - one).abs().mean() < 0.2 * one.mean()


def test_bfloat16_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model()
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 89, 43)).astype(np.float32))
    packed = run(make_fast(model, "bfloat16"), inputs)
    monkeypatch.setattr(fast_bfloat16, "supports_bfloat16", lambda: False)
    plain = run(make_fast(model, "bfloat16"), inputs)
    np.testing.assert_allclose(plain.logits, packed.logits, atol=0.02)
    np.testing.assert_allclose(plain.head_sums[0].float(), packed.head_sums[0].float(), rtol=0.02, atol=1e-4)


def correlation(got: list[Inspection], exact: list[Inspection]) -> float:
    shown, expected = (np.concatenate([one.rollout.final.ravel() for one in several]) for several in (got, exact))
    return float(np.corrcoef(shown, expected)[0, 1])


def assert_near(got: Inspection, exact: Inspection) -> None:
    assert (got.precision, exact.precision) == ("bfloat16", "float32")
    assert np.abs(got.prediction.scores - exact.prediction.scores).max() < 2e-2
    assert correlation([got], [exact]) > 0.9998
    assert got.rollout.final.sum() + got.rollout.special_share[-1] == pytest.approx(1, abs=1e-3)
    # The same top 5, where their scores differ by more than the precision tells apart.
    scores = np.sort(exact.prediction.scores)[::-1]
    best = {label for label, _ in exact.prediction.top(5)}
    if len(scores) < 6 or scores[4] - scores[5] > 1e-3:
        assert {label for label, _ in got.prediction.top(5)} == best


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("source", ["samples", "recordings"])
@pytest.mark.usefixtures("by")
def test_bfloat16_on_the_shipped_checkpoints(source: str, name: str) -> None:
    checkpoint = load_checkpoint(name)
    clips = [read_audio(path) for path in clips_of(source, 20)]
    got, exact = ([inspect(clip, checkpoint, precision) for clip in clips] for precision in ("bfloat16", "float32"))
    assert len(got) == 20
    for one, other in zip(got, exact, strict=True):
        assert_near(one, other)
    assert correlation(got, exact) > 0.9999


@pytest.mark.usefixtures("by")
def test_bfloat16_at_the_published_width(base_width: Path) -> None:
    checkpoint = load_checkpoint(base_width)
    (path,) = sample_clips(1)
    clip = read_audio(path)
    assert_near(inspect(clip, checkpoint, "bfloat16"), inspect(clip, checkpoint, "float32"))


@pytest.mark.usefixtures("by")
def test_bfloat16_where_attention_is_nearly_uniform(tmp_path: Path) -> None:
    """Weights as Transformers starts them: what tells patches apart are the last digits of the head means."""
    torch.manual_seed(0)
    save(ASTForAudioClassification(ASTConfig(**{**BASE_WIDTH, "num_hidden_layers": 4})), tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    (path,) = sample_clips(1)
    clip = read_audio(path)
    got, exact = (inspect(clip, checkpoint, precision) for precision in ("bfloat16", "float32"))
    assert exact.rollout.final.max() < 1.5 * exact.rollout.final.mean()
    assert correlation([got], [exact]) > 0.9999


@pytest.mark.usefixtures("by")
def test_a_batch_and_a_patch_in_bfloat16(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_tiny(tmp_path))
    clips = [waveform(noise(seconds, seed)) for seed, seconds in enumerate((0.61, 0.03, 2.0))]
    for clip, got in zip(clips, inspect_batch(clips, checkpoint, "bfloat16"), strict=True):
        alone = inspect(clip, checkpoint, "bfloat16")
        assert got.precision == "bfloat16"
        np.testing.assert_allclose(got.prediction.scores, alone.prediction.scores, atol=1e-3)
        np.testing.assert_allclose(got.rollout.maps, alone.rollout.maps, atol=1e-4)
    exact = inspect_patch(inspect(clips[0], checkpoint, "float32"), checkpoint, 2, 3)
    patch = inspect_patch(inspect(clips[0], checkpoint, "bfloat16"), checkpoint, 2, 3)
    assert patch.attention.dtype == patch.rollout.maps.dtype == np.float32
    np.testing.assert_allclose(patch.rollout.final, exact.rollout.final, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(patch.attention, exact.attention, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_sums_the_answer_is_the_same(precision: str, base_width: Path) -> None:
    checkpoint = load_checkpoint(base_width)
    clips = [read_audio(path) for path in sample_clips(2)]
    inputs = torch.from_numpy(np.stack([inspect(clip, checkpoint).fed[0].values for clip in clips]))
    fast = checkpoint.fast(precision)
    full, without = run(fast, inputs, token=7), run(fast, inputs, sums=False)
    assert len(full.head_sums) == checkpoint.facts.n_layers
    assert without.head_sums == []
    tolerance = 1e-4 if precision == "float32" else 2e-2
    np.testing.assert_allclose(without.logits, full.logits, atol=tolerance)
    np.testing.assert_allclose(without.embeddings, full.embeddings, atol=tolerance)
    assert np.ptp(full.logits.numpy()) > 10 * tolerance


# Which precision.


def test_auto_is_exact_unless_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ast, "supports_bfloat16", lambda: True)
    for native in (True, False):
        monkeypatch.setattr(fast_ast, "has_bfloat16", lambda native=native: native)
        assert choose_precision("auto", 3_000_000) == "float32"
        assert choose_precision("auto", 87_000_000) == ("bfloat16" if native else "float32")
        for asked in ("float32", "bfloat16"):
            assert {choose_precision(asked, size) for size in (3_000_000, 87_000_000)} == {asked}


def test_what_is_not_supported_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ast, "supports_bfloat16", lambda: False)
    for asked in ("auto", "float32", "bfloat16"):
        assert {choose_precision(asked, size) for size in (3_000_000, 87_000_000)} == {"float32"}


def test_a_checkpoint_is_inspected_in_the_precision_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_ast, "supports_bfloat16", lambda: True)
    save_tiny(tmp_path)
    clip = waveform(noise(0.61))
    for asked, expected in (("auto", "float32"), ("float32", "float32"), ("bfloat16", "bfloat16")):
        assert inspect(clip, load_checkpoint(tmp_path, Settings(precision=asked))).precision == expected


# Made once, shared, counted.


def test_float32_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_tiny(tmp_path))
    before = checkpoint.n_bytes
    inspect(waveform(noise(0.61)), checkpoint, "float32")
    assert checkpoint.n_bytes == before


def test_bfloat16_weights_are_made_once_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = load_checkpoint(save_tiny(tmp_path))
    before, made = checkpoint.n_bytes, []
    monkeypatch.setattr("ast_demo.models.loading.make_fast", lambda *given: made.append(given) or make_fast(*given))
    clip, together = waveform(noise(0.61)), threading.Barrier(3)

    def visit() -> None:
        together.wait()
        inspect(clip, checkpoint, "bfloat16")

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(made) == 1
    # Layers, times numbers in the matrices of each, whose two heads of 17 are filled up.
    n_matrix = 3 * (4 * 34 * 64 + 2 * 34 * 53)
    assert checkpoint.n_bytes == before + 2 * n_matrix


def test_the_cache_lets_go_when_bfloat16_weights_are_made(tmp_path: Path) -> None:
    folders = [save_tiny(tmp_path / name) for name in ("one", "other")]
    n_bytes = load_checkpoint(folders[0]).n_bytes
    cache = CheckpointCache(Settings(checkpoint_cache_mb=2.5 * n_bytes / 1e6))
    one, other = (cache.load(folder) for folder in folders)
    assert (cache.load(folders[0]), cache.load(folders[1])) == (one, other)
    inspect(waveform(noise(0.61)), one, "bfloat16")
    inspect(waveform(noise(0.61)), other, "bfloat16")
    assert one.n_bytes + other.n_bytes > 2.5 * n_bytes
    assert cache.load(folders[1]) is other
    assert cache.load(folders[0]) is not one


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_threads_at_once_get_what_they_get_alone(precision: str, tmp_path: Path) -> None:
    config = {**SHIPPED_SIZE, "num_hidden_layers": 2, "max_length": 512, "frequency_stride": 12, "time_stride": 12}
    checkpoint = load_checkpoint(save(build_model(**config), tmp_path))
    clips = [read_audio(path) for path in sample_clips(2)]
    alone = [bits(inspect(clip, checkpoint, precision)) for clip in clips]
    got = at_once([lambda clip=clip: bits(inspect(clip, checkpoint, precision)) for clip in clips], times=8)
    assert got == [[one] * 8 for one in alone]
    assert alone[0] != alone[1]


def at_once(calls: list[Callable[[], object]], times: int) -> list[list[object]]:
    together, results = threading.Barrier(len(calls)), [[] for _ in calls]

    def visit(index: int) -> None:
        together.wait()
        results[index] += [calls[index]() for _ in range(times)]

    threads = [threading.Thread(target=visit, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
