"""Scores of held-out clips: those that an evaluation of the same clips has, by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, precision_score

from ast_demo.data.clips import LabelledClip
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.scores import compute_metrics
from ast_demo.metrics import score_multi_label, score_single_label

LABELS = tuple("abcdefgh")


def held_out(truth: np.ndarray) -> list[LabelledClip]:
    return [
        LabelledClip(f"{place}.wav", b"", tuple(LABELS[i] for i in np.flatnonzero(row)), {"fold": str(place % 3)})
        for place, row in enumerate(truth)
    ]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
def test_labels_without_a_held_out_clip_count_in_no_mean() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 60)  # of eight labels that the model knows
    logits = rng.normal(size=(60, 8)).astype(np.float32)
    logits[np.arange(60), true] += 1
    truth = np.eye(8, dtype=np.float32)[true]
    metrics = compute_metrics(logits, truth, LABELS, held_out(truth), FinetuneOptions(validation={"fold": ["1"]}))
    best = logits.argmax(axis=1)
    assert set(best) - set(true)
    assert metrics["labels"] == 3
    assert metrics["recall"] == pytest.approx(balanced_accuracy_score(true, best))
    assert metrics["precision"] == pytest.approx(precision_score(true, best, labels=[0, 1, 2], average="macro"))
    assert metrics["f1"] == pytest.approx(f1_score(true, best, labels=[0, 1, 2], average="macro"))
    evaluated = score_single_label(
        [LABELS[i] for i in true], [LABELS[i] for i in best], list(softmax(logits, axis=1).max(axis=1))
    )
    assert {key: metrics[key] for key in evaluated} == {
        key: pytest.approx(value) if isinstance(value, float) else value for key, value in evaluated.items()
    }
    assert metrics["accuracy_fold_1"] == pytest.approx((best == true)[1::3].mean())
    assert metrics["clips_fold_1"] == 20


def test_with_several_labels_a_clip() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((40, 8)) < 0.3).astype(np.float32)
    truth[:, 5:] = 0  # of no clip
    logits = (2 * truth - 1 + rng.normal(size=truth.shape)).astype(np.float32)
    metrics = compute_metrics(logits, truth, LABELS, held_out(truth), FinetuneOptions())
    there, chosen = truth[:, :5].astype(int), (logits[:, :5] > 0).astype(int)
    assert metrics["labels"] == 5
    assert metrics["map"] == pytest.approx(average_precision_score(there, logits[:, :5], average="macro"))
    assert metrics["f1"] == pytest.approx(f1_score(there, chosen, average="macro"))
    assert metrics["accuracy"] == pytest.approx(((logits > 0) == (truth > 0)).all(axis=1).mean())
    evaluated = score_multi_label(truth.astype(int), expit(logits.astype(float)), LABELS)
    assert {key: metrics[key] for key in evaluated} == evaluated
