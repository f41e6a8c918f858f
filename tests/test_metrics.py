"""Metrics, held to scikit-learn called as a user would, and to cases that are solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)

from ast_demo.metrics import (
    calibration_error,
    compare_correctness,
    explain_macro,
    score_multi_label,
    score_single_label,
    share_interval,
)

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


def test_a_label_of_no_clip_counts_in_no_mean_and_its_clips_as_missed() -> None:
    scored = score_single_label(["dog", "dog", "rain"], ["dog", "cat", "rain"], [0.9, 0.8, 0.7])
    # dog: precision 1, recall 1/2, f1 2/3; rain: 1, 1, 1. There is no cat.
    assert scored["labels"] == 2
    assert scored["precision"] == 1
    assert scored["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert scored["f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scored["per_label"]["dog"] == {
        "precision": 1,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "clips": 2,
        "predicted": 1,
    }
    assert set(scored["per_label"]) == {"dog", "rain"}
    assert scored["only_predicted"] == {"cat": 1}


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
@pytest.mark.parametrize("n_labels", [1, 2, 5])
def test_a_checkpoint_that_knows_more_labels_than_the_data_have(n_labels: int) -> None:
    """Labels of the data are few, those that are predicted twenty: recall is scikit-learn's balanced accuracy."""
    rng = np.random.default_rng(n_labels)
    truth = rng.choice([f"label {i}" for i in range(n_labels)], 200)
    predicted = np.where(rng.random(200) < 0.7, truth, rng.choice([f"label {i}" for i in range(20)], 200))
    scored = score_single_label(list(truth), list(predicted), rng.uniform(0.3, 1, 200))
    assert scored["labels"] == n_labels
    assert scored["recall"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    labels = sorted(set(truth))
    for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert scored[name] == pytest.approx(function(truth, predicted, labels=labels, average="macro"))
    assert len(scored["only_predicted"]) == len({*predicted} - {*truth}) > 10
    assert sum(one["predicted"] for one in scored["per_label"].values()) + sum(scored["only_predicted"].values()) == 200


def test_multi_label_metrics_are_those_of_scikit_learn_over_the_labels_that_occur() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random((53, 4)) < 0.3).astype(int)
    truth[:, 2] = 0  # of no clip
    scores = np.clip(0.5 * truth + rng.uniform(0, 0.6, truth.shape), 0, 1)
    scored = score_multi_label(truth, scores, ("a", "b", "c", "d"))
    columns = [0, 1, 3]
    assert scored["labels"] == 3
    assert scored["map"] == pytest.approx(
        average_precision_score(truth[:, columns], scores[:, columns], average="macro")
    )
    for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        expected = function(truth[:, columns], scores[:, columns] >= 0.5, average=None)
        assert scored[name] == pytest.approx(expected.mean())
        assert [one[name] for one in scored["per_label"].values()] == pytest.approx(expected)
    assert scored["only_predicted"] == {"c": int((scores[:, 2] >= 0.5).sum())} != {"c": 0}
    assert set(scored["per_label"]) == {"a", "b", "d"}
    assert scored["per_label"]["d"]["average_precision"] == pytest.approx(
        average_precision_score(truth[:, 3], scores[:, 3])
    )
    assert {label: one["clips"] for label, one in scored["per_label"].items()} == {
        label: truth[:, i].sum() for i, label in enumerate("abcd") if i != 2
    }


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
    # 0.065: the words say what McNemar's test says, though the interval leaves 0 out.
    assert compared["sentence"].startswith("B is ahead of A by 19.4 points (95 % interval ")
    assert compared["sentence"].endswith("McNemar p = 0.065); that may be chance.")
    swapped = compare_correctness(second, first, ("B", "A"))
    assert swapped["difference"] == -compared["difference"]
    assert swapped["sentence"].startswith("B is ahead of A by 19.4 points (95 % interval ")


@pytest.mark.parametrize(("gains", "losses"), [(9, 2), (10, 2), (5, 0), (6, 0), (40, 25), (42, 23)])
def test_one_is_called_better_where_p_is_below_a_twentieth(gains: int, losses: int) -> None:
    first, second = outcomes((gains, False, True), (losses, True, False), (30, True, True))
    compared = compare_correctness(first, second, ("A", "B"))
    assert (" is better than " in compared["sentence"]) == (compared["p"] < 0.05)
    assert ("may be chance" in compared["sentence"]) == (compared["p"] >= 0.05)


def test_the_interval_is_about_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(2000) < 0.80, rng.random(2000) < 0.84
    compared = compare_correctness(first, second, ("A", "B"))
    gain = second.astype(float) - first
    half = 1.96 * gain.std(ddof=1) / np.sqrt(2000)
    # 5,000 resamples place an end of the interval to about 2 % of its half width.
    assert compared["low"] == pytest.approx(gain.mean() - half, abs=0.1 * half)
    assert compared["high"] == pytest.approx(gain.mean() + half, abs=0.1 * half)


def outcomes(*runs: tuple[int, bool, bool]) -> tuple[np.ndarray, np.ndarray]:
    """So many clips that the first and the second checkpoint have right or not."""
    first = [first for n, first, _ in runs for _ in range(n)]
    second = [second for n, _, second in runs for _ in range(n)]
    return np.array(first), np.array(second)


@pytest.mark.parametrize("swap", [False, True])
def test_a_difference_that_may_be_chance_is_said_to_be_so(swap: bool) -> None:
    """Only the one is right on four clips, only the other on three: nobody would bet on that."""
    first, second = outcomes((4, False, True), (3, True, False), (9, True, True), (4, False, False))
    sides, names = ((second, first), ("B", "A")) if swap else ((first, second), ("A", "B"))
    compared = compare_correctness(*sides, names)
    assert compared["p"] == pytest.approx(1)  # the two-sided sign test of 4 in 7
    assert compared["low"] < 0 < compared["high"]
    assert compared["sentence"].startswith("B is ahead of A by 5.0 points (95 % interval -")
    assert compared["sentence"].endswith(", McNemar p = 1); that may be chance.")


def test_checkpoints_that_are_right_equally_often() -> None:
    same = np.array([True, False, True])
    for first, second in ((same, same), outcomes((3, False, True), (3, True, False), (2, True, True))):
        compared = compare_correctness(first, second, ("A", "B"))
        assert compared["sentence"] == "A and B are right equally often."
        assert (compared["difference"], compared["p"]) == (0, 1)


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert share_interval(72, 80) == pytest.approx((0.8149, 0.9485), abs=1e-3)  # Wilson (1927), by a calculator
    assert share_interval(0, 10)[0] == 0
    assert share_interval(10, 10)[1] == pytest.approx(1)
    z, n, share = 1.959964, 30, 0.4  # the formula as it is printed
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    expected = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    assert share_interval(12, 30) == pytest.approx(expected, rel=1e-6)


def test_what_the_macro_means_are_over_is_said() -> None:
    assert explain_macro(5).startswith("Macro: the mean over the 5 labels that the clips have")
    assert explain_macro(1).startswith("Macro: the mean over the one label that the clips have")
