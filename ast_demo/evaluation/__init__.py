"""Labelled clips and Checkpoints to an Evaluation."""

from __future__ import annotations

from ast_demo.evaluation.engine import Engine, Work, evaluate_here
from ast_demo.evaluation.parts import CLIPS_A_PART, make_folder
from ast_demo.evaluation.ray_engine import ray_engine
from ast_demo.evaluation.rows import PICTURES_OF_A_MISTAKE, Question
from ast_demo.evaluation.run import Evaluation, column, evaluate, read_evaluation, read_row

__all__ = [
    "CLIPS_A_PART",
    "PICTURES_OF_A_MISTAKE",
    "Engine",
    "Evaluation",
    "Question",
    "Work",
    "column",
    "evaluate",
    "evaluate_here",
    "make_folder",
    "ray_engine",
    "read_evaluation",
    "read_row",
]
