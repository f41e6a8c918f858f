"""The fast forward pass, held to 🤗 Transformers' eager one and to the textbook's rollout; bfloat16, to float32."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTForAudioClassification

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.waveform import Waveform
from ast_demo.inference import forward, layers_bfloat16, layers_float32
from ast_demo.inference.forward import choose_precision, make_fast, run
from ast_demo.inspection.inspection import Inspection, inspect, inspect_batch, inspect_patch
from ast_demo.models.cache import CheckpointCache
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint, shipped_names
from ast_demo.runtime import has_matrix_unit
from ast_demo.settings import Settings
from tests.bounds import assert_exact
from tests.clips import clips_of, noise, sample_clips, waveform
from tests.inspection.test_inspection import bits
from tests.reference import eager_attentions, exact_attentions, from_special_tokens, row_to_map, textbook_rollout
from tests.tiny import BASE_WIDTH, SHIPPED_SIZE, build_model, save, save_tiny

ROUTES = (exact_attentions, eager_attentions)


def in_bfloat16(model: ASTForAudioClassification) -> ASTForAudioClassification:
    """The library's own route there."""
    eager = copy.deepcopy(model).bfloat16()
    eager.set_attn_implementation("eager")
    return eager


def assert_equal_to_the_textbook(checkpoint: Checkpoint, eager: ASTForAudioClassification, clip: Waveform) -> None:
    inspection = inspect(clip, checkpoint, "float32")
    (exact_logits, exact), (logits, library) = (
        (logits, from_special_tokens(textbook_rollout(attentions)[-1], checkpoint.facts.grid))
        for logits, attentions in (route(eager, inspection.spectrogram.values) for route in ROUTES)
    )
    assert_exact(inspection.rollout.final, exact, library)
    assert_exact(inspection.prediction.logits, exact_logits, logits)
    assert exact.max() > 1.2 * exact.mean()  # there is something to see


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
    monkeypatch.setattr(forward, "_LARGE", 1 if is_large else 10**12)
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
    monkeypatch.setattr(forward, "_LARGE", 1 if is_large else 10**12)
    monkeypatch.setattr(layers_float32, "_WEIGHT_BYTES_AT_A_TIME", bytes_at_a_time)
    monkeypatch.setattr(layers_float32, "_TOKENS_AT_A_TIME", tokens_at_a_time)
    monkeypatch.setattr(layers_float32, "_ROWS_AT_A_TIME", min(tokens_at_a_time, 7))
    answer = run(make_fast(model, "float32"), inputs)
    assert [tuple(mean.shape) for mean in answer.head_sums] == [(3, 223, 223)] * 3
    for clip, one in enumerate(inputs.numpy()):
        (exact_logits, exact), (logits, library) = (route(eager, one) for route in ROUTES)
        assert_exact(answer.logits[clip], exact_logits, logits)
        sums = [layer[clip] for layer in answer.head_sums]
        for got, *expected in zip(sums[:-1], exact.sum(axis=1), library.sum(axis=1), strict=False):
            assert_exact(got, *expected)
        assert_exact(sums[-1][:2], exact[-1].sum(axis=0)[:2], library[-1].sum(axis=0)[:2])
        assert not answer.head_sums[-1][clip, 2:].any()  # nobody reads them


@pytest.mark.parametrize("weigh", [layers_float32.weigh_by_kernel, layers_float32.weigh_by_operations])
def test_weights_in_single_precision(weigh: layers_float32.Weigh) -> None:
    """They overwrite what is there, or are added to it."""
    scores = torch.randn(2, 3, 7, 301, generator=torch.Generator().manual_seed(0)) * 5
    weights, total, exact = scores.clone(), torch.full((2, 7, 301), torch.nan), scores.double().softmax(-1)
    library = scores.softmax(-1)
    weigh(weights, total, False)
    # Small weights are held to their own size.
    assert_exact(weights / exact, torch.ones_like(exact), library / exact)
    assert_exact(total / exact.sum(1), torch.ones_like(exact.sum(1)), library.sum(1) / exact.sum(1))
    weigh(scores.clone(), total, True)
    assert_exact(total, 2 * exact.sum(1), 2 * library.sum(1))


def test_without_biases(tmp_path: Path) -> None:
    model = build_model(qkv_bias=False)
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 89, 43)).astype(np.float32))
    (one,) = inputs.numpy()
    exact, _ = exact_attentions(model, one)
    for precision, eager in (("float32", copy.deepcopy(model)), ("bfloat16", in_bfloat16(model))):
        eager.set_attn_implementation("eager")
        assert_exact(run(make_fast(model, precision), inputs).logits[0], exact, eager_attentions(eager, one)[0])


# In bfloat16.


@pytest.fixture(params=["PyTorch's products", "matrix unit"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who multiplies queries, keys and values."""
    if request.param == "PyTorch's products":
        monkeypatch.setattr(layers_bfloat16, "has_matrix_unit", lambda: False)
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
    read = [0, 1, 5]
    monkeypatch.setattr(layers_bfloat16, "_SCORE_BYTES_AT_A_TIME", bytes_at_a_time)
    monkeypatch.setattr(layers_bfloat16, "_TOKENS_AT_A_TIME", tokens_at_a_time)
    monkeypatch.setattr(layers_bfloat16, "_INNER_AT_A_TIME", inner_at_a_time)
    answer = run(make_fast(model, "bfloat16"), inputs, token=5)
    for clip, one in enumerate(inputs.numpy()):
        (exact_logits, exact), (logits, library) = (
            exact_attentions(model, one),
            eager_attentions(in_bfloat16(model), one),
        )
        assert_exact(answer.logits[clip], exact_logits, logits)
        assert np.ptp(exact_logits) > 0.3
        for got, *expected in zip(answer.head_sums[:-1], exact.sum(axis=1), library.sum(axis=1), strict=False):
            assert_exact(got[clip].float(), *expected)
        assert_exact(answer.head_sums[-1][clip, read], exact[-1].sum(axis=0)[read], library[-1].sum(axis=0)[read])
    rows = answer.head_sums[-1].any(dim=-1)
    assert [row.nonzero().flatten().tolist() for row in rows] == [read] * 3  # nobody reads the others


@pytest.mark.usefixtures("by")
def test_what_tokens_share_costs_no_precision() -> None:
    """It is much larger here than what tells them apart: the library loses that, this keeps it."""
    model = build_model()
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    with torch.no_grad():
        for layer in model.audio_spectrogram_transformer.layers:
            layer.layernorm_before.bias.normal_(std=10, generator=torch.Generator().manual_seed(0))
    got = run(make_fast(model, "bfloat16"), inputs).head_sums
    for clip, one in enumerate(inputs.numpy()):
        (_, exact), (_, library) = exact_attentions(model, one), eager_attentions(in_bfloat16(model), one)
        for sums, *expected in zip(got[:-1], exact.sum(axis=1), library.sum(axis=1), strict=False):
            assert_exact(sums[clip].float(), *expected, times=1)


def test_bfloat16_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model()
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 89, 43)).astype(np.float32))
    packed = run(make_fast(model, "bfloat16"), inputs)
    monkeypatch.setattr(layers_bfloat16, "supports_bfloat16", lambda: False)
    plain = run(make_fast(model, "bfloat16"), inputs)
    for clip, one in enumerate(inputs.numpy()):
        (exact_logits, exact), (logits, library) = (
            exact_attentions(model, one),
            eager_attentions(in_bfloat16(model), one),
        )
        for answer in (packed, plain):
            assert_exact(answer.logits[clip], exact_logits, logits)
            assert_exact(answer.head_sums[0][clip].float(), exact[0].sum(axis=0), library[0].sum(axis=0))


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
    grid, library = checkpoint.facts.grid, in_bfloat16(checkpoint.model)
    clips = [waveform(noise(seconds, seed)) for seed, seconds in enumerate((0.61, 0.03, 2.0))]
    for clip, got in zip(clips, inspect_batch(clips, checkpoint, "bfloat16"), strict=True):
        alone = inspect(clip, checkpoint, "bfloat16")
        assert got.precision == "bfloat16"
        values = got.spectrogram.values
        (exact_logits, exact), (logits, weights) = (
            exact_attentions(checkpoint.model, values),
            eager_attentions(library, values),
        )
        for one in (got, alone):
            assert_exact(one.prediction.logits, exact_logits, logits)
            for depth, *expected in zip(
                one.rollout.maps, textbook_rollout(exact), textbook_rollout(weights), strict=True
            ):
                assert_exact(depth, *(from_special_tokens(rollout, grid) for rollout in expected))
    inspection = inspect(clips[0], checkpoint, "bfloat16")
    patch, token = inspect_patch(inspection, checkpoint, 2, 3), grid.token(2, 3)
    assert patch.attention.dtype == patch.rollout.maps.dtype == np.float32
    values = inspection.spectrogram.values
    (_, exact), (_, weights) = exact_attentions(checkpoint.model, values), eager_attentions(library, values)
    maps = [row_to_map(textbook_rollout(one)[-1][token], grid) for one in (exact, weights)]
    assert_exact(patch.rollout.final, *maps)
    assert_exact(patch.attention[-1], *(row_to_map(one[-1].mean(axis=0)[token], grid) for one in (exact, weights)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_sums_the_answer_is_the_same(precision: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(build_model(**{**BASE_WIDTH, "max_length": 256}), tmp_path))
    clips = [read_audio(path) for path in sample_clips(2)]
    inputs = torch.from_numpy(np.stack([inspect(clip, checkpoint).fed[0].values for clip in clips]))
    fast = checkpoint.fast(precision)
    full, without = run(fast, inputs, token=7), run(fast, inputs, sums=False)
    assert len(full.head_sums) == checkpoint.facts.n_layers
    assert without.head_sums == []
    eager = copy.deepcopy(checkpoint.model) if precision == "float32" else in_bfloat16(checkpoint.model)
    eager.set_attn_implementation("eager")
    for clip, values in enumerate(inputs.numpy()):
        (exact, _), (library, _) = exact_attentions(checkpoint.model, values), eager_attentions(eager, values)
        for answer in (full, without):
            assert_exact(answer.logits[clip], exact, library)
            assert torch.equal(answer.logits, checkpoint.model.classifier(answer.embeddings))
        assert np.ptp(exact) > 0.2


# Which precision.


def test_auto_is_exact_unless_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "supports_bfloat16", lambda: True)
    for native in (True, False):
        monkeypatch.setattr(forward, "has_bfloat16", lambda native=native: native)
        assert choose_precision("auto", 3_000_000) == "float32"
        assert choose_precision("auto", 87_000_000) == ("bfloat16" if native else "float32")
        for asked in ("float32", "bfloat16"):
            assert {choose_precision(asked, size) for size in (3_000_000, 87_000_000)} == {asked}


def test_what_is_not_supported_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "supports_bfloat16", lambda: False)
    for asked in ("auto", "float32", "bfloat16"):
        assert {choose_precision(asked, size) for size in (3_000_000, 87_000_000)} == {"float32"}


def test_a_checkpoint_is_inspected_in_the_precision_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "supports_bfloat16", lambda: True)
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
    monkeypatch.setattr("ast_demo.models.checkpoint.make_fast", lambda *given: made.append(given) or make_fast(*given))
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
