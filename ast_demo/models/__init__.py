"""A name, a folder or a Hub id to a Checkpoint."""

from __future__ import annotations

from ast_demo.models.cache import CheckpointCache
from ast_demo.models.catalogue import allowed_on_hub, catalogue
from ast_demo.models.loading import (
    Activation,
    Checkpoint,
    CheckpointFacts,
    default_checkpoint,
    find_checkpoint,
    load_checkpoint,
    shipped_names,
)
from ast_demo.models.sequence_models import longest_input_s, model_here, read_sequence, run_sequence_model

__all__ = [
    "Activation",
    "Checkpoint",
    "CheckpointCache",
    "CheckpointFacts",
    "allowed_on_hub",
    "catalogue",
    "default_checkpoint",
    "find_checkpoint",
    "load_checkpoint",
    "longest_input_s",
    "model_here",
    "read_sequence",
    "run_sequence_model",
    "shipped_names",
]
