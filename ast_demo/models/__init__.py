"""A name, a folder or a Hub id to a Checkpoint."""

from __future__ import annotations

from ast_demo.models.cache import CheckpointCache
from ast_demo.models.catalogue import allowed_on_hub, catalogue
from ast_demo.models.checkpoint import Activation, Checkpoint, CheckpointFacts
from ast_demo.models.loading import default_checkpoint, find_checkpoint, load_checkpoint, shipped_names
from ast_demo.models.prediction import Prediction, label_index, log_odds, pool, to_scores
from ast_demo.models.running import (
    attend_over_time,
    map_batches,
    memory_told,
    run_inputs,
    run_parts,
    run_spectrograms,
)
from ast_demo.models.sequence_models import longest_input_s, run_sequence_model

__all__ = [
    "Activation",
    "Checkpoint",
    "CheckpointCache",
    "CheckpointFacts",
    "Prediction",
    "allowed_on_hub",
    "attend_over_time",
    "catalogue",
    "default_checkpoint",
    "find_checkpoint",
    "label_index",
    "load_checkpoint",
    "log_odds",
    "longest_input_s",
    "map_batches",
    "memory_told",
    "pool",
    "run_inputs",
    "run_parts",
    "run_sequence_model",
    "run_spectrograms",
    "shipped_names",
    "to_scores",
]
