"""Logits to scores, and what a checkpoint says about a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ast_demo.errors import CheckpointError
from ast_demo.models.checkpoint import Activation, CheckpointFacts

_LEAST = 1e-12  # the lowest score that still has a logarithm


@dataclass(frozen=True)
class Prediction:
    """What a checkpoint says about a clip.

    Attributes:
        labels: In the order of the scores.
        scores: (n_labels,) after the activation, 0 to 1.
        logits: (n_labels,) before it.
        embedding: (hidden_size,) what the classifier reads: the mean of the special tokens after the last layer norm.
    """

    labels: tuple[str, ...]
    scores: np.ndarray
    logits: np.ndarray
    embedding: np.ndarray

    def top(self, k: int | None = None) -> list[tuple[str, float]]:
        """The k best (label, score), best first; all of them without k."""
        best = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.labels[i], float(self.scores[i])) for i in best]


def to_scores(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Logits (…, n_labels) to scores: softmax over the labels, or a sigmoid for each."""
    if activation == "sigmoid":
        with np.errstate(over="ignore"):  # 1 / infinity is the right answer
            return 1 / (1 + np.exp(-logits.astype(np.float64)))
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def pool(predictions: Sequence[Prediction], checkpoint: CheckpointFacts) -> Prediction:
    """One prediction of several: the mean of their scores; of one alone, itself.

    The logits are those that the activation turns into these scores; the embedding is the mean.
    """
    if len(predictions) == 1:
        return predictions[0]
    scores = np.mean([prediction.scores for prediction in predictions], axis=0)
    logits = np.log(np.maximum(scores, _LEAST))
    if checkpoint.activation == "sigmoid":
        logits -= np.log(np.maximum(1 - scores, _LEAST))
    embedding = np.mean([prediction.embedding for prediction in predictions], axis=0)
    return Prediction(checkpoint.labels, scores, logits, embedding)


def log_odds(logits: Tensor, index: int, activation: Activation) -> Tensor:
    """log(p / (1 - p)) of one label's score p, which is what maps of a label explain: (…, n_labels) to (…).

    Under a sigmoid that is the logit itself; under a softmax it is the logit against those of all other labels, so
    that what speaks for every label alike counts for none.
    """
    if activation == "sigmoid":
        return logits[..., index]
    others = torch.cat((logits[..., :index], logits[..., index + 1 :]), dim=-1)
    return logits[..., index] - others.logsumexp(dim=-1)


def label_index(facts: CheckpointFacts, label: str) -> int:
    """Place of a label among the scores.

    Raises:
        CheckpointError: The checkpoint has no such label.
    """
    if label not in facts.labels:
        raise CheckpointError(
            f"{facts.name!r} has no label {label!r}. Expected one of {', '.join(facts.labels[:30])}"
            f"{' ...' if len(facts.labels) > 30 else ''}."
        )
    return facts.labels.index(label)
