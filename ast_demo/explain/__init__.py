"""Where a score rests, and how far to trust that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ast_demo.explain.methods import (
    METHODS,
    QUICK_PARAMETERS,
    Method,
    Request,
    cautions,
    default_method,
    explain,
    method_of,
)
from ast_demo.faces import load_later

if TYPE_CHECKING:
    from ast_demo.explain.attention_gradient import relevance_maps
    from ast_demo.explain.clip_report import ClipReport, ReportOptions, report_clip
    from ast_demo.explain.deletion import STEPS
    from ast_demo.explain.faithfulness import STAGES, Curves, TrustCard, measure_trust
    from ast_demo.explain.listening import DEFAULT_KEEP, Halves, split_clip, tell_halves
    from ast_demo.explain.maps import RelevanceMap, energy_map, padding_share, random_map, rollout_map
    from ast_demo.explain.mistakes import MapFacts, Mistake, explain_mistake
    from ast_demo.explain.perturbation import Perturbations, perturb, perturbation_map

__all__ = [
    "DEFAULT_KEEP",
    "METHODS",
    "QUICK_PARAMETERS",
    "STAGES",
    "STEPS",
    "ClipReport",
    "Curves",
    "Halves",
    "MapFacts",
    "Method",
    "Mistake",
    "Perturbations",
    "RelevanceMap",
    "ReportOptions",
    "Request",
    "TrustCard",
    "cautions",
    "default_method",
    "energy_map",
    "explain",
    "explain_mistake",
    "measure_trust",
    "method_of",
    "padding_share",
    "perturb",
    "perturbation_map",
    "random_map",
    "relevance_maps",
    "report_clip",
    "rollout_map",
    "split_clip",
    "tell_halves",
]
# What needs PyTorch is loaded when it is asked for: the names of the methods alone cost nothing.
_HEAVY = (
    "maps",
    "attention_gradient",
    "perturbation",
    "deletion",
    "faithfulness",
    "listening",
    "mistakes",
    "clip_report",
)
__getattr__ = load_later(__name__, __all__, _HEAVY)
