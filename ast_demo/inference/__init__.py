"""AST's forward pass, with the attention that rollout needs."""

from __future__ import annotations

from ast_demo.inference.forward import (
    Answer,
    FastAST,
    Precision,
    choose_precision,
    make_fast,
    precision_note,
    run,
    run_elsewhere,
    run_tokens,
)
from ast_demo.inference.gpu import explain_batch, to_device

__all__ = [
    "Answer",
    "FastAST",
    "Precision",
    "choose_precision",
    "explain_batch",
    "make_fast",
    "precision_note",
    "run",
    "run_elsewhere",
    "run_tokens",
    "to_device",
]
