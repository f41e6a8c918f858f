"""How well checkpoints did on labelled clips, and whether one did better than another. The counting is
scikit-learn's and SciPy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_BINS = 15  # of the calibration error, as is usual


def score_single_label(truth: Sequence[str], predicted: Sequence[str], confidence: Sequence[float]) -> dict[str, Any]:
    """Metrics of one checkpoint where each clip has one label.

    Returns:
        clips, accuracy; precision, recall, f1 (macro over the labels that occur in the truth or in the predictions);
        per_label with precision, recall, f1, clips of each; calibration_error (see there).
    """
    from sklearn.metrics import accuracy_score, classification_report

    report = classification_report(truth, predicted, output_dict=True, zero_division=0)
    labels = sorted({*truth, *predicted})
    right = np.array([a == b for a, b in zip(truth, predicted, strict=True)])
    return {
        "clips": len(truth),
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(report["macro avg"]["precision"]),
        "recall": float(report["macro avg"]["recall"]),
        "f1": float(report["macro avg"]["f1-score"]),
        "calibration_error": calibration_error(right, np.asarray(confidence)),
        "per_label": {
            label: {
                "precision": float(report[label]["precision"]),
                "recall": float(report[label]["recall"]),
                "f1": float(report[label]["f1-score"]),
                "clips": int(report[label]["support"]),
            }
            for label in labels
        },
    }


def score_multi_label(truth: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Metrics of one checkpoint where each clip has any number of labels.

    Args:
        truth: (clips, labels) of 0 and 1.
        scores: (clips, labels), 0 to 1.

    Returns:
        clips; map, the mean over labels of the average precision, as the AST paper reports it; per_label with
        average_precision and clips; precision, recall and f1 (macro) and accuracy (all labels right) with labels
        predicted from a score of 0.5. Labels of no clip have no average precision and do not count in map.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_fscore_support

    predicted = scores >= 0.5
    occurs = np.asarray(truth.any(axis=0))
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth[:, occurs], predicted[:, occurs], average="macro", zero_division=0
    )
    average = {
        label: float(average_precision_score(truth[:, i], scores[:, i])) for i, label in enumerate(labels) if occurs[i]
    }
    return {
        "clips": len(truth),
        "map": float(np.mean(list(average.values()))),
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "per_label": {
            label: {"average_precision": average[label], "clips": int(truth[:, i].sum())}
            for i, label in enumerate(labels)
            if occurs[i]
        },
    }


def calibration_error(right: np.ndarray, confidence: np.ndarray) -> float:
    """Expected calibration error: how far confidence is from accuracy, over 15 equal bins, weighted by their clips.

    Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    gaps = np.abs(np.bincount(bins, right, _BINS) - np.bincount(bins, confidence, _BINS))
    return float(gaps.sum() / counts.sum())


def compare_correctness(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> dict[str, Any]:
    """Whether the second checkpoint is right more often than the first, on the same clips.

    Args:
        first, second: (clips,) whether each was right.

    Returns:
        difference (second less first, in accuracy), low and high (95 % bootstrap interval, percentile method, 5,000
        resamples of the clips, seeded), p (McNemar's exact test: of the clips on which only one is right, is it each
        as often?), and a sentence.
    """
    from scipy.stats import binomtest, bootstrap

    gain = second.astype(float) - first.astype(float)
    better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    low = high = float(gain.mean())
    if gain.any() and len(gain) > 1:
        interval = bootstrap(
            (gain,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    difference = float(gain.mean())
    sentence = _in_words(difference, low, high, p, names)
    return {
        "checkpoints": list(names),
        "difference": difference,
        "low": low,
        "high": high,
        "p": p,
        "sentence": sentence,
    }


def _in_words(difference: float, low: float, high: float, p: float, names: tuple[str, str]) -> str:
    if difference == 0:
        return f"{names[0]} and {names[1]} are right equally often."
    winner, loser = (names[1], names[0]) if difference > 0 else (names[0], names[1])
    low, high = (low, high) if difference > 0 else (-high, -low)
    points = (
        f"{abs(difference) * 100:.1f} points (95 % interval {low * 100:.1f} to {high * 100:.1f}, McNemar p = {p:.2g})"
    )
    if low > 0:
        return f"{winner} is better than {loser} by {points}."
    return f"{winner} is ahead of {loser} by {points}; that may be chance."
