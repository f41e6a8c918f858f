"""The routes for GPUs, on the processor: the same fused attention is there as well, held to the textbook."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTForAudioClassification

from ast_demo.inference.forward import FastAST, explain, make_fast, run
from ast_demo.inference.gpu import FusedAttention, multiply_rows, run_layers_fused
from ast_demo.runtime import choose_device
from tests.bounds import TIMES, assert_exact
from tests.devices import GPU_ON_CPU
from tests.reference import eager_attentions, exact_attentions, textbook_rollout
from tests.tiny import build_model, save


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> ASTForAudioClassification:
    # Heads of 32, as the kernels want them to be multiples of 8.
    folder: Path = save(build_model(hidden_size=64), tmp_path_factory.mktemp("model"))
    return ASTForAudioClassification.from_pretrained(folder, attn_implementation="eager").eval()


def make(eager: ASTForAudioClassification, device: str, precision: str, is_fused: bool) -> FastAST:
    """The model as the product makes it ready, or, in single precision, with fused attention for once."""
    place = GPU_ON_CPU if device == "cpu" else choose_device(device)
    if precision == "float32" and is_fused:
        layers = tuple(eager.audio_spectrogram_transformer.layers)
        return FastAST(eager, precision, layers, run_layers_fused, 0, is_fused=True)
    fast = make_fast(copy.deepcopy(eager).to(place.name), precision, place)
    assert fast.is_fused == is_fused
    return fast


# A weight that fused attention left out is the exponential of the difference of two rounded numbers, of several units each.
_TIMES_FUSED = 10.0


@pytest.mark.parametrize("token", [None, 2, 150])
@pytest.mark.parametrize(
    ("device", "precision", "is_fused"),
    [
        ("cpu", "float32", False),
        ("cpu", "float32", True),
        ("cpu", "bfloat16", True),
        pytest.param("cuda", "float32", False, marks=pytest.mark.gpu),
        pytest.param("cuda", "bfloat16", True, marks=pytest.mark.gpu),
    ],
)
def test_equal_to_the_textbook(
    device: str, precision: str, is_fused: bool, token: int | None, eager: ASTForAudioClassification
) -> None:
    same = copy.deepcopy(eager).to(getattr(torch, precision))  # the library's own route, in that precision
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    output = explain(make(eager, device, precision, is_fused), inputs, token)
    assert output.rollout.shape == (3, 3, 223)
    assert {part.dtype for part in (output.logits, output.embeddings, output.rollout)} == {np.dtype(np.float32)}
    read = [0, 1] if token is None else [token]
    for clip, one in enumerate(inputs.numpy()):
        (exact_logits, exact), (library_logits, library) = exact_attentions(eager, one), eager_attentions(same, one)
        assert_exact(output.logits[clip], exact_logits, library_logits)
        by_depth = (textbook_rollout(attentions)[:, read].mean(axis=1) for attentions in (exact, library))
        for got, *expected in zip(output.rollout[clip], *by_depth, strict=True):
            assert_exact(got, *expected, times=_TIMES_FUSED if is_fused else TIMES)
            assert abs(got.sum() - 1) <= 1e-5
        if token is None:
            assert output.attention is None
            continue
        attended = (attentions.mean(axis=1, dtype=np.float64)[:, token] for attentions in (exact, library))
        for got, *expected in zip(output.attention[clip], *attended, strict=True):
            assert_exact(got, *expected)
    assert next(eager.parameters()).dtype == torch.float32  # the model itself is left alone


@pytest.mark.parametrize(("precision", "is_fused"), [("float32", False), ("bfloat16", True)])
def test_scores_alone_are_the_same(precision: str, is_fused: bool, eager: ASTForAudioClassification) -> None:
    fast = make(eager, "cpu", precision, is_fused)
    inputs = torch.randn(2, 89, 43, generator=torch.Generator().manual_seed(3))
    logits = run(fast, inputs, sums=False).logits.float().numpy()
    same = copy.deepcopy(eager).to(getattr(torch, precision))
    for clip, one in enumerate(inputs.numpy()):
        assert_exact(logits[clip], exact_attentions(eager, one)[0], eager_attentions(same, one)[0])
    if is_fused:
        with pytest.raises(ValueError, match="fused attention leaves no sums"):
            run(fast, inputs)


def test_scores_of_every_size(eager: ASTForAudioClassification) -> None:
    """Row sums that are far apart: more than e^60 from one to another."""
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 2, 17, 8, generator=generator) for _ in range(2))
    query *= torch.linspace(0.1, 6, 17)[:, None]
    scores = (query @ key.mT).double()
    assert np.ptp(scores.logsumexp(dim=-1).numpy()) > 60
    rows = torch.rand(1, 11, 17, generator=generator)  # more than fit beside each other in values of 8
    expected = rows.double() @ scores.softmax(dim=-1).mean(dim=1)
    got = multiply_rows(rows, FusedAttention(query, key, scores.logsumexp(dim=-1).float(), 1.0))
    np.testing.assert_allclose(got, expected, rtol=1e-4)
