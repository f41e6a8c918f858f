"""How good a model is on held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor, nn

from ast_demo.data import LabelledClip
from ast_demo.finetuning.batches import Batch
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.metrics import score_multi_label, score_single_label


def soft_loss(logits: Tensor, targets: Tensor, smoothing: float, multi_label: bool) -> Tensor:
    """Cross-entropy, or binary cross-entropy where several labels can hold; logits, targets (batch, n_labels)."""
    if multi_label:
        targets = targets * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), targets)
    targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
    return nn.functional.cross_entropy(logits.float(), targets)


@torch.no_grad()
def predict(model: nn.Module, batches: Sequence[Batch], *, bfloat16: bool = False) -> np.ndarray:
    """Logits (n_clips, n_labels) float32. The model's mode is put back as it was."""
    was_training = model.training
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            parts = [
                model(**{key: value.to(device) for key, value in batch.items()}).logits.float() for batch in batches
            ]
    finally:
        model.train(was_training)
    return torch.cat(parts).cpu().numpy()


def compute_metrics(
    logits: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    clips: Sequence[LabelledClip],
    options: FinetuneOptions,
) -> dict[str, Any]:
    """How good the logits are, as `metrics` scores an evaluation; `clips` say which group each row belongs to.

    One label for each clip: what `score_single_label` returns. Several: what `score_multi_label` returns. Beside it the
    loss, and the accuracy of each held-out group and how many clips it has.
    """
    multi_label = bool((targets.sum(axis=1) != 1).any())
    loss = soft_loss(torch.from_numpy(logits), torch.from_numpy(targets), 0.0, multi_label)
    if multi_label:
        metrics = score_multi_label(targets.astype(int), expit(logits.astype(np.float64)), labels)
        right = ((logits > 0) == (targets > 0)).all(axis=1)
    else:
        best, true = logits.argmax(axis=1), targets.argmax(axis=1)
        confidence = softmax(logits.astype(np.float64), axis=1).max(axis=1)
        metrics = score_single_label([labels[i] for i in true], [labels[i] for i in best], list(confidence))
        right = best == true
    metrics = {"loss": float(loss), **metrics}
    for column, values in options.validation.items():
        for value in values:
            of_group = np.array([clip.columns.get(column) == value for clip in clips])
            if of_group.any():
                metrics[f"accuracy_{column}_{value}"] = float(right[of_group].mean())
                metrics[f"clips_{column}_{value}"] = int(of_group.sum())
    return metrics
