"""Where a score rests, and how far to trust that."""

from __future__ import annotations

from ast_demo.explain.attention_gradient import relevance_maps
from ast_demo.explain.clip_report import ClipReport, ReportOptions, report_clip
from ast_demo.explain.faithfulness import STAGES, STEPS, Curves, TrustCard, measure_trust
from ast_demo.explain.listening import DEFAULT_KEEP, Halves, split_clip, tell_halves
from ast_demo.explain.maps import Method, RelevanceMap, energy_map, padding_share, random_map, rollout_map
from ast_demo.explain.methods import METHODS, OF_A_LABEL, QUICK_PARAMETERS, cautions, default_method, explain
from ast_demo.explain.mistakes import MapFacts, Mistake, explain_mistake
from ast_demo.explain.perturbation import Perturbations, perturb, perturbation_map

__all__ = [
    "DEFAULT_KEEP",
    "METHODS",
    "OF_A_LABEL",
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
    "TrustCard",
    "cautions",
    "default_method",
    "energy_map",
    "explain",
    "explain_mistake",
    "measure_trust",
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
