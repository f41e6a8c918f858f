"""The route for GPUs, on the processor: the same fused attention is there as well, held to the textbook."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTForAudioClassification

from ast_demo.inference.gpu import explain_batch, multiply_rows, to_device
from tests.bounds import assert_exact
from tests.reference import eager_attentions, exact_attentions, textbook_rollout
from tests.tiny import build_model, save


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> ASTForAudioClassification:
    # Heads of 32, as the kernels want them to be multiples of 8.
    folder: Path = save(build_model(hidden_size=64), tmp_path_factory.mktemp("model"))
    return ASTForAudioClassification.from_pretrained(folder, attn_implementation="eager").eval()


@pytest.mark.parametrize(("device", "precision"), [("cpu", "float32"), ("cpu", "bfloat16"), ("cuda", "bfloat16")])
def test_equal_to_the_textbook(device: str, precision: str, eager: ASTForAudioClassification) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip(reason="needs a GPU")
    dtype = getattr(torch, precision)
    same = copy.deepcopy(eager).to(dtype)  # the library's own route, in that precision
    inputs = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 89, 43)).astype(np.float32))
    logits, rows = explain_batch(to_device(eager, device, dtype), inputs.to(device, dtype))
    assert rows.shape == (3, 3, 223)
    for clip, one in enumerate(inputs.numpy()):
        (exact_logits, exact), (library_logits, library) = exact_attentions(eager, one), eager_attentions(same, one)
        assert_exact(logits[clip].float().cpu(), exact_logits, library_logits)
        by_depth = (textbook_rollout(attentions)[:, :2].mean(axis=1) for attentions in (exact, library))
        for got, *expected in zip(rows[clip].cpu().numpy(), *by_depth, strict=True):
            assert_exact(got, *expected)
            np.testing.assert_allclose(got.sum(), 1, atol=1e-5)
    assert next(eager.parameters()).dtype == torch.float32  # the model itself is left alone


def test_scores_of_every_size(eager: ASTForAudioClassification) -> None:
    """Row sums that are far apart: more than e^60 from one to another."""
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 2, 17, 8, generator=generator) for _ in range(2))
    query *= torch.linspace(0.1, 6, 17)[:, None]
    scores = (query @ key.mT).double()
    assert np.ptp(scores.logsumexp(dim=-1).numpy()) > 60
    rows = torch.rand(1, 11, 17, generator=generator)  # more than fit beside each other in values of 8
    expected = rows.double() @ scores.softmax(dim=-1).mean(dim=1)
    got = multiply_rows(rows, query, key, scores.logsumexp(dim=-1).float(), 1.0)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
