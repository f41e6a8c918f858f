"""Metrics, held to scikit-learn called as a user would, and to cases that are solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from ast_demo.metrics import calibration_error, compare_correctness, score_multi_label, score_single_label

LABELS = ("dog", "rain", "seven")


def draw(n: int, seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(LABELS, n)
    predicted = np.where(rng.random(n) < 0.6, truth, rng.choice(LABELS, n))
    return list(truth), list(predicted), rng.uniform(0.3, 1, n)


def test_single_label_metrics_are_those_of_scikit_learn() -> None:
    truth, predicted, confidence = draw(101)
    scored = score_single_label(truth, predicted, confidence)
    assert scored["clips"] == 101
    assert scored["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(truth, predicted, strict=True)]))
    for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert scored[name] == pytest.approx(function(truth, predicted, average="macro"))
        for label in LABELS:
            expected = function(truth, predicted, labels=[label], average="macro")
            assert scored["per_label"][label][name] == pytest.approx(expected)
    assert {label: truth.count(label) for label in LABELS} == {
        label: scored["per_label"][label]["clips"] for label in LABELS
    }


def test_a_label_that_is_only_predicted_counts_as_a_label_never_right() -> None:
    scored = score_single_label(["dog", "dog", "rain"], ["dog", "cat", "rain"], [0.9, 0.8, 0.7])
    # dog: precision 1, recall 1/2, f1 2/3; rain: 1; cat: 0.
    assert scored["f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scored["per_label"]["cat"] == {"precision": 0, "recall": 0, "f1": 0, "clips": 0}


def test_multi_label_metrics_are_those_of_scikit_learn_over_the_labels_that_occur() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((53, 4)) < 0.3).astype(int)
    truth[:, 2] = 0  # of no clip
    scores = np.clip(0.5 * truth + rng.uniform(0, 0.6, truth.shape), 0, 1)
    scored = score_multi_label(truth, scores, ("a", "b", "c", "d"))
    columns = [0, 1, 3]
    assert scored["map"] == pytest.approx(
        average_precision_score(truth[:, columns], scores[:, columns], average="macro")
    )
    assert scored["f1"] == pytest.approx(f1_score(truth[:, columns], scores[:, columns] >= 0.5, average="macro"))
    assert set(scored["per_label"]) == {"a", "b", "d"}
    assert scored["per_label"]["d"]["average_precision"] == pytest.approx(
        average_precision_score(truth[:, 3], scores[:, 3])
    )


def test_average_precision_of_a_case_solved_by_hand() -> None:
    # Ranked 1, 0, 1: precision 1 at the first hit, 2/3 at the second.
    scored = score_multi_label(np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.7]]), ("dog",))
    assert scored["map"] == pytest.approx((1 + 2 / 3) / 2)


def test_calibration_error_equals_a_literal_sum_over_bins() -> None:
    truth, predicted, confidence = draw(211, seed=2)
    right = np.array([a == b for a, b in zip(truth, predicted, strict=True)])
    expected = 0.0
    for k in range(15):
        inside = [i for i in range(211) if k / 15 <= confidence[i] < (k + 1) / 15 or (k == 14 and confidence[i] == 1)]
        if inside:
            expected += len(inside) / 211 * abs(np.mean(right[inside]) - np.mean(confidence[inside]))
    assert calibration_error(right, confidence) == pytest.approx(expected)
    assert calibration_error(np.array([True, False]), np.array([1.0, 1.0])) == pytest.approx(0.5)


def test_mcnemar_is_the_exact_two_sided_sign_test_of_the_clips_on_which_only_one_is_right() -> None:
    # Only the second is right on 9 clips, only the first on 2; both are on 20, none on 5.
    first = np.array([False] * 9 + [True] * 2 + [True] * 20 + [False] * 5)
    second = np.array([True] * 9 + [False] * 2 + [True] * 20 + [False] * 5)
    compared = compare_correctness(first, second, ("A", "B"))
    assert compared["difference"] == pytest.approx(7 / 36)
    assert compared["p"] == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert 0 < compared["low"] < 7 / 36 < compared["high"]
    assert compared["sentence"].startswith("B is better than A by 19.4 points (95 % interval ")
    swapped = compare_correctness(second, first, ("B", "A"))
    assert swapped["difference"] == -compared["difference"]
    assert swapped["sentence"].startswith("B is better than A by 19.4 points (95 % interval ")


def test_the_interval_is_about_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(2000) < 0.80, rng.random(2000) < 0.84
    compared = compare_correctness(first, second, ("A", "B"))
    gain = second.astype(float) - first
    half = 1.96 * gain.std(ddof=1) / np.sqrt(2000)
    # 5,000 resamples place an end of the interval to about 2 % of its half width.
    assert compared["low"] == pytest.approx(gain.mean() - half, abs=0.1 * half)
    assert compared["high"] == pytest.approx(gain.mean() + half, abs=0.1 * half)


def test_a_difference_that_may_be_chance_is_said_to_be_so() -> None:
    first, second = np.array([True, False, False, True] * 3), np.array([True, True, False, True] * 2 + [False] * 4)
    sentence = compare_correctness(first, second, ("A", "B"))["sentence"]
    assert sentence.endswith("that may be chance.") or "equally often" in sentence
    equal = np.array([True, False, True])
    assert compare_correctness(equal, equal, ("A", "B"))["sentence"] == "A and B are right equally often."
    assert compare_correctness(equal, equal, ("A", "B"))["p"] == 1
