"""The compiled loops, held to PyTorch and NumPy number by number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numba.core.caching import CacheImpl

from ast_demo.inference.kernels import BLOCK, _kept, _store, add_and_normalize, attend, attention_weights, lay_out
from ast_demo.runtime import has_matrix_unit
from tests.bounds import assert_exact


def bits(values: torch.Tensor) -> np.ndarray:
    return values.view(torch.uint16).numpy()


def scores_of(shape: tuple[int, ...], spread: float, seed: int = 0) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread).bfloat16()


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("tokens", [1, 2, 31, 64, 301])
def test_weights_are_those_of_softmax(tokens: int, spread: float) -> None:
    """From scores that are all the same to such that one token takes everything."""
    scores = scores_of((3, 14, tokens + 5), spread)
    weights, sums = scores.clone(), torch.full((14, tokens), torch.nan, dtype=torch.float16)
    attention_weights(bits(weights), 0.125, tokens, bits(sums), 0, 14)
    expected = (scores[..., :tokens].double() * 0.125).softmax(-1)
    # Half a step of bfloat16, relatively; nearly nothing where nearly nothing is expected.
    torch.testing.assert_close(weights[..., :tokens].double(), expected, rtol=2**-8, atol=1e-30)
    assert not weights[..., tokens:].any()
    torch.testing.assert_close(sums.double(), expected.sum(0), rtol=2**-11 + 1e-5, atol=2**-24)


@pytest.mark.parametrize("pieces", [[0, 15], [0, 1, 15], [0, 4, 5, 11, 15]])
def test_whoever_does_which_rows(pieces: list[int]) -> None:
    scores = scores_of((2, 15, 32), 2)
    alone, together = scores.clone(), scores.clone()
    sums, sums_together = torch.zeros(2, 15, 30, dtype=torch.float16)
    attention_weights(bits(alone), 1.0, 30, bits(sums), 0, 15)
    for start, stop in itertools.pairwise(pieces):
        attention_weights(bits(together), 1.0, 30, bits(sums_together), start, stop)
    assert torch.equal(alone, together)
    assert torch.equal(sums, sums_together)
    assert sums.sum() == pytest.approx(2 * 15, rel=1e-2)


def test_without_sums_and_with_rows_that_nobody_sums() -> None:
    scores = scores_of((2, 6, 32), 1)
    with_sums, without = scores.clone(), scores.clone()
    sums = torch.zeros(4, 32, dtype=torch.float16)  # rows 4 and 5 are filled up
    attention_weights(bits(with_sums), 1.0, 32, bits(sums), 0, 6)
    attention_weights(bits(without), 1.0, 32, np.empty((0, 0), np.uint16), 0, 6)
    assert torch.equal(with_sums, without)
    torch.testing.assert_close(sums.sum(-1), torch.full((4,), 2.0, dtype=torch.float16), rtol=1e-2, atol=0)


needs_amx = pytest.mark.skipif(not has_matrix_unit(), reason="this processor has no matrix unit (AMX)")


def attend_by_tiles(
    queries: torch.Tensor, projected: torch.Tensor, n_heads: int, tokens: int, sums: torch.Tensor, pieces: list[int]
) -> torch.Tensor:
    columns, width = projected.shape
    attended = torch.full((len(queries), width // 3), torch.nan).bfloat16()
    keys, values = torch.full((2, n_heads, columns * width // 3 // n_heads), torch.nan).bfloat16()
    for start, stop in ((0, 1), (1, columns // BLOCK)):
        lay_out(bits(projected), bits(keys), bits(values), start, stop)
    for start, stop in itertools.pairwise(pieces):
        given = (bits(queries), bits(keys), bits(values))
        attend(*given, 0.125, bits(attended), tokens, bits(sums), start, stop)
    return attended


@needs_amx
@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
@pytest.mark.parametrize(("size", "tokens", "columns"), [(32, 1, 32), (64, 60, 64), (96, 223, 224)])
def test_attention_by_the_matrix_unit(size: int, tokens: int, columns: int, spread: float) -> None:
    """All rows at once and in pieces; the columns behind the tokens are read by nobody."""
    projected = scores_of((columns, 9 * size), spread)
    query, key, value = projected.double().view(columns, 3, 3, size).permute(1, 2, 0, 3)
    expected = (query @ key[:, :tokens].mT * 0.125).softmax(-1)
    wanted = (expected @ value[:, :tokens]).transpose(0, 1).flatten(1)
    sums, sums_of_pieces = torch.full((2, columns - 1, tokens), torch.nan, dtype=torch.float16)
    n_blocks = columns // BLOCK
    attended = attend_by_tiles(projected, projected, 3, tokens, sums, [0, n_blocks])
    # Products are exact, sums in single precision; weights, and what comes of them, are rounded to bfloat16.
    torch.testing.assert_close(attended.double(), wanted, rtol=2**-8, atol=2**-8 * value.abs().max().item())
    torch.testing.assert_close(sums.double(), expected.sum(0)[:-1], rtol=2**-11 + 1e-4, atol=2**-24)
    pieces = sorted({0, 1, n_blocks // 2, n_blocks - 1, n_blocks})
    assert torch.equal(attend_by_tiles(projected, projected, 3, tokens, sums_of_pieces, pieces), attended)
    assert torch.equal(sums_of_pieces, sums)
    nobodys = torch.empty(0, 0, dtype=torch.float16)
    assert torch.equal(attend_by_tiles(projected, projected, 3, tokens, nobodys, [0, n_blocks]), attended)


@needs_amx
def test_the_matrix_unit_for_some_rows_only() -> None:
    projected = scores_of((96, 6 * 32), 1)
    some = projected[torch.arange(1, 96, 3)]
    sums, sums_of_some = torch.empty(96, 90, dtype=torch.float16), torch.empty(2, 90, dtype=torch.float16)
    attended = attend_by_tiles(projected, projected, 2, 90, sums, [0, 3])
    assert torch.equal(attend_by_tiles(some, projected, 2, 90, sums_of_some, [0, 1]), attended[1::3])
    assert torch.equal(sums_of_some, sums[[1, 4]])


@pytest.mark.parametrize("has_more", [True, False])
def test_adding_and_normalizing(has_more: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 53, generator=generator) * 3 + 1
    output, more = (torch.randn(7, 53, generator=generator).bfloat16() for _ in range(2))
    weight, bias = torch.randn(2, 53, generator=generator)
    normed = torch.full((7, 53), torch.nan).bfloat16()
    added = hidden + output + (more if has_more else 0)
    exact = hidden.double() + output.double() + (more.double() if has_more else 0)
    expected = torch.nn.functional.layer_norm(exact, (53,), weight.double(), bias.double(), 1e-3)
    library = torch.nn.functional.layer_norm(added, (53,), weight, bias, 1e-3).bfloat16()
    given = bits(more if has_more else more[:0])
    for start, stop in ((0, 3), (3, 7)):
        where = (bits(normed), start, stop)
        add_and_normalize(hidden.numpy(), bits(output), given, weight.numpy(), bias.numpy(), 1e-3, *where)
    assert_exact(hidden, exact, added)
    assert_exact(normed.float(), expected, library.float())


def test_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba looks for a folder that it may write to: beside the source, then in the user's cache."""
    assert attention_weights._cache.cache_path  # here it has found one
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    compiled = _kept(lambda number: number + 1)
    assert compiled(1) == 2
    assert not hasattr(compiled._cache, "cache_path") or compiled._cache.cache_path is None


def test_float16_is_numpys() -> None:
    """All that a sum of weights can be: every float16 from 0 to 16, and numbers between, rounded to one of the nearest."""
    exact = np.arange(0x4C00, dtype=np.uint16)
    values = exact.view(np.float16).astype(np.float32)
    got = np.empty_like(exact)
    _store(values, got)
    np.testing.assert_array_equal(got, exact)
    between = np.random.default_rng(0).random(100_000).astype(np.float32) ** 12 * 16
    got = np.empty(len(between), np.uint16)
    _store(between, got)
    expected = between.astype(np.float16)
    np.testing.assert_array_less(
        np.abs(got.view(np.float16).astype(np.float64) - between),
        np.abs(expected.astype(np.float64) - between) + 1e-12,
    )
    assert (got != expected.view(np.uint16)).mean() < 1e-3  # ties only
