"""A recipe to a run from scratch: what only making a small AST from little data needs, as parts of a fine-tuning."""

from __future__ import annotations

from ast_demo.from_scratch.options import ScratchOptions, Stage
from ast_demo.from_scratch.parts import FROM_SCRATCH
from ast_demo.from_scratch.recipe import Recipe, choose_recipe, read_recipe

__all__ = ["FROM_SCRATCH", "Recipe", "ScratchOptions", "Stage", "choose_recipe", "read_recipe"]
