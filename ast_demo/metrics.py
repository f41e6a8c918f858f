"""How well checkpoints did on labelled clips, and whether one did better than another. The counting is
scikit-learn's and SciPy's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_BINS = 15  # of the calibration error, as is usual
_SIGNIFICANT = 0.05  # p below which a difference is not put down to chance, as is usual
# What people call the numbers of `metrics.json`, in the order in which they are shown.
TITLES = {
    "clips": "clips",
    "accuracy": "accuracy",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "map": "mAP",
    "calibration_error": "calibration error",
}

# The same of one label.
TITLES_OF_A_LABEL = {"precision": "precision", "recall": "recall", "f1": "F1", "average_precision": "average precision"}


def score_single_label(truth: Sequence[str], predicted: Sequence[str], confidence: Sequence[float]) -> dict[str, Any]:
    """Metrics of one checkpoint where each clip has one label.

    Labels that no clip has count in no mean: a checkpoint may know many more than the data have, and that it never
    recognises what is not there says nothing about it. Clips that are taken for such a label count all the same, as
    clips of their own label that were missed. The macro recall is what is also called balanced accuracy.

    Returns:
        clips; labels, how many the data have; accuracy; precision, recall, f1 (macro, over those labels); per_label
        with precision, recall, f1, clips and predicted (how often it was) of each; only_predicted, how often each
        label was predicted that no clip has; calibration_error (see there).
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    labels = sorted({*truth})
    times = Counter(predicted)
    precision, recall, f1, clips = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    right = np.array([a == b for a, b in zip(truth, predicted, strict=True)])
    return {
        "clips": len(truth),
        "labels": len(labels),
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
        "calibration_error": calibration_error(right, np.asarray(confidence)),
        "per_label": {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "clips": int(clips[i]),
                "predicted": times[label],
            }
            for i, label in enumerate(labels)
        },
        "only_predicted": {label: times[label] for label in sorted(set(times) - set(labels))},
    }


def score_multi_label(truth: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Metrics of one checkpoint where each clip has any number of labels.

    Args:
        truth: (clips, labels) of 0 and 1.
        scores: (clips, labels), 0 to 1.

    Returns:
        clips; labels, how many the data have; map, the mean over these labels of the average precision, as the AST
        paper reports it; precision, recall and f1 (macro, over the same labels) and accuracy (all labels right) with
        labels predicted from a score of 0.5; per_label with average_precision, precision, recall, f1, clips and
        predicted of each; only_predicted, how often each label was predicted that no clip has.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_fscore_support

    predicted = scores >= 0.5
    occurs = np.flatnonzero(truth.any(axis=0))
    precision, recall, f1, clips = precision_recall_fscore_support(
        truth, predicted, labels=occurs, average=None, zero_division=0
    )
    per_label = {
        labels[column]: {
            "average_precision": float(average_precision_score(truth[:, column], scores[:, column])),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "clips": int(clips[i]),
            "predicted": int(predicted[:, column].sum()),
        }
        for i, column in enumerate(occurs.tolist())
    }
    others = np.flatnonzero(predicted.any(axis=0) & ~truth.any(axis=0))
    return {
        "clips": len(truth),
        "labels": len(occurs),
        "map": float(np.mean([one["average_precision"] for one in per_label.values()])),
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
        "per_label": per_label,
        "only_predicted": {labels[column]: int(predicted[:, column].sum()) for column in others.tolist()},
    }


def list_numbers(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What a person calls each number of the metrics, and the number; what belongs to single labels is left out."""
    return [
        (TITLES.get(key, key.replace("_", " ")), value)
        for key, value in metrics.items()
        if isinstance(value, int | float)
    ]


def explain_macro(n_labels: int) -> str:
    """What the macro means of a table are means over, in a sentence."""
    over = "the one label" if n_labels == 1 else f"the {n_labels} labels"
    return (
        f"Macro: the mean over {over} that the clips have, each counting the same; macro recall is also called balanced "
        "accuracy."
    )


def share_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of which `right` of `n` were seen, by Wilson's method."""
    from scipy.stats import binomtest

    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


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
        as often?), and a sentence, which calls one better where p is below 0.05.
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
    if p < _SIGNIFICANT:
        return f"{winner} is better than {loser} by {points}."
    return f"{winner} is ahead of {loser} by {points}; that may be chance."
