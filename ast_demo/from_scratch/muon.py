"""Muon for the matrices inside the layers, AdamW for all else, as one optimiser that the 🤗 `Trainer` can save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class MuonWithAdamW(torch.optim.AdamW):
    """The update of `torch.optim.Muon` for matrices inside the layers, and AdamW for the other parameters.

    Muon (Jordan et al. 2024): Nesterov momentum, brought to the nearest orthogonal matrix, with decoupled weight
    decay. Matrices of one shape go through that together, which on a processor takes half the time.

    Args:
        model: Its parameters named `….layers.…` or `….layer.…` that are matrices are Muon's.
        muon_learning_rate, learning_rate: Of Muon, and of AdamW.
        weight_decay: Of both.
    """

    def __init__(self, model: nn.Module, muon_learning_rate: float, learning_rate: float, weight_decay: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inside = ".layers." in name or ".layer." in name
            (matrices if inside and parameter.ndim == 2 else others).append(parameter)
        groups = [{"params": others, "muon": False}]
        if matrices:
            groups.append({"params": matrices, "muon": True, "lr": muon_learning_rate})
        super().__init__(groups, lr=learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        all_groups = self.param_groups
        self.param_groups = [group for group in all_groups if not group["muon"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = all_groups
        for group in all_groups:
            if group["muon"]:
                self._step_muon(group)
        return loss

    def _step_muon(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape.setdefault(parameter.shape, []).append(parameter)
        for (rows, columns), parameters in by_shape.items():
            directions = orthogonalise(torch.stack([self._advance_momentum(p) for p in parameters]))
            scale = group["lr"] * max(1, rows / columns) ** 0.5
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(direction.to(parameter.dtype), alpha=-scale)

    def _advance_momentum(self, parameter: nn.Parameter) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for it when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["step"] += 1
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices (n, rows, columns) with their singular values brought near 1 (0.7 to 1.2), in bfloat16.

    Five steps of a quintic Newton-Schulz iteration with the coefficients of Jordan et al. (2024).
    """
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16()
    turned = x.shape[1] > x.shape[2]
    if turned:
        x = x.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x
