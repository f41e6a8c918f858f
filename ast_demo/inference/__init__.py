"""AST's forward pass, with the attention that rollout needs."""

from __future__ import annotations

from ast_demo.inference.forward import (
    Answer,
    FastAST,
    ModelOutput,
    Precision,
    choose_precision,
    embed,
    explain,
    make_fast,
    precision_note,
    run,
    run_elsewhere,
    run_tokens,
)
from ast_demo.inference.layer import run_layer
from ast_demo.inference.rollout import roll_out

__all__ = [
    "Answer",
    "FastAST",
    "ModelOutput",
    "Precision",
    "choose_precision",
    "embed",
    "explain",
    "make_fast",
    "precision_note",
    "roll_out",
    "run",
    "run_elsewhere",
    "run_layer",
    "run_tokens",
]
