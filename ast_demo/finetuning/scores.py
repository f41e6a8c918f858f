"""How good a model is on held-out clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ast_demo.data import LabelledClip
from ast_demo.finetuning.batches import Batch
from ast_demo.finetuning.options import FinetuneOptions


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
    logits: np.ndarray, targets: np.ndarray, clips: Sequence[LabelledClip], options: FinetuneOptions
) -> dict[str, float]:
    """How good the logits are; `clips` say which group each row belongs to.

    One label for each clip: accuracy; precision, recall and F1, averaged over the labels; accuracy of each held-out
    group. Several: the same for a threshold of 0.5, where accuracy means that all labels are right, and `map`, the
    mean average precision.
    """
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    loss = soft_loss(torch.from_numpy(logits), torch.from_numpy(targets), 0.0, bool((targets.sum(axis=1) != 1).any()))
    metrics = {"loss": float(loss)}
    if (targets.sum(axis=1) != 1).any():
        chosen, truth = (logits > 0).astype(int), targets.astype(int)
        right = (chosen == truth).all(axis=1)
        with_positives = truth.any(axis=0)
        metrics["map"] = average_precision_score(truth[:, with_positives], logits[:, with_positives], average="macro")
    else:
        chosen, truth = logits.argmax(axis=1), targets.argmax(axis=1)
        right = chosen == truth
    precision, recall, f1, _ = precision_recall_fscore_support(truth, chosen, average="macro", zero_division=0)
    metrics |= {"accuracy": right.mean(), "precision": precision, "recall": recall, "f1": f1}
    for column, values in options.validation.items():
        for value in values:
            of_group = np.array([clip.columns.get(column) == value for clip in clips])
            if of_group.any():
                metrics[f"accuracy_{column}_{value}"] = right[of_group].mean()
                metrics[f"clips_{column}_{value}"] = of_group.sum()
    return {"clips": float(len(clips)), **{key: float(value) for key, value in metrics.items()}}
