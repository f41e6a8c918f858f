"""Labelled clips and Checkpoints to an Evaluation."""

from __future__ import annotations

from ast_demo.evaluation.columns import OF_EACH_MAP, PICTURES_OF_A_MISTAKE, column, describe_trust
from ast_demo.evaluation.engine import Engine, Work, evaluate_here
from ast_demo.evaluation.parts import CLIPS_A_PART, make_folder
from ast_demo.evaluation.ray_engine import ray_engine
from ast_demo.evaluation.results import Evaluation, is_multi_label, read_evaluation, read_row
from ast_demo.evaluation.rows import EvaluationConfig
from ast_demo.evaluation.run import evaluate

__all__ = [
    "CLIPS_A_PART",
    "OF_EACH_MAP",
    "PICTURES_OF_A_MISTAKE",
    "Engine",
    "Evaluation",
    "EvaluationConfig",
    "Work",
    "column",
    "describe_trust",
    "evaluate",
    "evaluate_here",
    "is_multi_label",
    "make_folder",
    "ray_engine",
    "read_evaluation",
    "read_row",
]
