"""The compiled loops, held to PyTorch and NumPy number by number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numba.core.caching import CacheImpl

from ast_demo.fast_kernels import _kept, _store, attention_weights


def bits(values: torch.Tensor) -> np.ndarray:
    return values.view(torch.uint16).numpy()


def scores_of(shape: tuple[int, ...], spread: float, seed: int = 0) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread).bfloat16()


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("tokens", [1, 2, 31, 64, 301])
def test_weights_are_those_of_softmax(tokens: int, spread: float) -> None:
    """From scores that are all the same to such that one token takes everything."""
    scores = scores_of((2, 3, 7, tokens + 5), spread)
    weights, sums = scores.clone(), torch.full((2, 7, tokens), torch.nan, dtype=torch.float16)
    attention_weights(bits(weights), 0.125, tokens, bits(sums), 0, 14)
    expected = (scores[..., :tokens].double() * 0.125).softmax(-1)
    # Half a step of bfloat16, relatively; nearly nothing where nearly nothing is expected.
    torch.testing.assert_close(weights[..., :tokens].double(), expected, rtol=2**-8, atol=1e-30)
    assert not weights[..., tokens:].any()
    torch.testing.assert_close(sums.double(), expected.sum(1), rtol=2**-11 + 1e-5, atol=2**-24)


@pytest.mark.parametrize("pieces", [[0, 15], [0, 1, 15], [0, 4, 5, 11, 15]])
def test_whoever_does_which_rows(pieces: list[int]) -> None:
    scores = scores_of((3, 2, 5, 32), 2)
    alone, together = scores.clone(), scores.clone()
    sums, sums_together = torch.zeros(2, 3, 5, 30, dtype=torch.float16)
    attention_weights(bits(alone), 1.0, 30, bits(sums), 0, 15)
    for start, stop in itertools.pairwise(pieces):
        attention_weights(bits(together), 1.0, 30, bits(sums_together), start, stop)
    assert torch.equal(alone, together)
    assert torch.equal(sums, sums_together)
    assert sums.sum() == pytest.approx(2 * 15, rel=1e-2)


def test_without_sums_and_with_rows_that_nobody_sums() -> None:
    scores = scores_of((1, 2, 6, 32), 1)
    with_sums, without = scores.clone(), scores.clone()
    sums = torch.zeros(1, 4, 32, dtype=torch.float16)  # rows 4 and 5 are filled up
    attention_weights(bits(with_sums), 1.0, 32, bits(sums), 0, 6)
    attention_weights(bits(without), 1.0, 32, np.empty((0, 0, 0), np.uint16), 0, 6)
    assert torch.equal(with_sums, without)
    torch.testing.assert_close(sums.sum(-1), torch.full((1, 4), 2.0, dtype=torch.float16), rtol=1e-2, atol=0)


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
