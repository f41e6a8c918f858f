"""On a GPU, in half precision: eager attention with its weights, the fused forward pass alone, and with rollout.

Beside them, the milliseconds that AST's documentation gives for an A100, eager and fused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import ASTForAudioClassification

from ast_demo.inference import explain_batch, to_device
from benchmarks.measure import read_arguments, report, spread, take_turns
from benchmarks.subjects import base_folder

_A100_MS = {1: (27, 6), 2: (12, 6), 4: (21, 8), 8: (40, 14)}


def finished(run: Callable[[], object]) -> Callable[[], None]:
    """A route that ends when the GPU has."""

    def timed() -> None:
        run()
        torch.cuda.synchronize()

    return timed


def textbook(model: Any, inputs: Tensor) -> Tensor:
    """Rollout by full products of the weights that eager attention returns, (batch, tokens)."""
    identity = torch.eye(1214, device=inputs.device)
    product = identity
    for attention in model(inputs, output_attentions=True).attentions:
        product = (attention.float().mean(dim=1) + identity) / 2 @ product
    return product[:, :2].mean(dim=1)


def main() -> None:
    arguments = read_arguments(__doc__ or "", rounds=20)
    if not torch.cuda.is_available():
        print("This machine has no GPU that torch can use: nothing was measured.")
        return
    eager, fused = (
        ASTForAudioClassification.from_pretrained(base_folder(), attn_implementation=kind).eval()
        for kind in ("eager", "sdpa")
    )
    slow, plain, ours = (to_device(model, "cuda", torch.bfloat16) for model in (eager, fused, fused))
    rows: list[dict[str, object]] = []
    for batch, (a100_eager, a100_fused) in _A100_MS.items():
        inputs = torch.randn(batch, 1024, 128, device="cuda", dtype=torch.bfloat16)
        with torch.inference_mode():
            routes = {
                "eager with rollout": finished(partial(textbook, slow, inputs)),
                "fused alone": finished(partial(plain, inputs)),
                "this program, with rollout": finished(partial(explain_batch, ours, inputs)),
            }
            seconds = take_turns(routes, arguments.rounds)
        told = {name: spread([1000 * one for one in own]) for name, own in seconds.items()}
        rows.append({"batch": batch, **{f"{name}, ms": own for name, own in told.items()}})
        rows[-1] |= {"A100 eager, ms": a100_eager, "A100 fused, ms": a100_fused}
    report("gpu", rows, arguments.output, gpu=torch.cuda.get_device_name())


if __name__ == "__main__":
    main()
