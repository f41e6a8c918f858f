"""Any map of any label by name, and what has to be said beside it."""

from __future__ import annotations

from ast_demo.errors import CheckpointError
from ast_demo.explain.attention_gradient import relevance_maps
from ast_demo.explain.maps import Method, RelevanceMap, energy_map, label_index, padding_share, random_map, rollout_map
from ast_demo.explain.perturbation import Perturbations, perturb, perturbation_map
from ast_demo.inspection import Inspection
from ast_demo.models import Checkpoint, CheckpointFacts
from ast_demo.runtime import Tell

METHODS: tuple[Method, ...] = ("perturbation", "relevance", "rollout", "energy", "random")
OF_A_LABEL: tuple[Method, ...] = ("perturbation", "relevance")
QUICK_PARAMETERS = 20_000_000  # up to here a perturbation map takes a few seconds on two cores
_MUCH_PADDING, _MUCH_SPECIAL, _UNLIKELY = 0.2, 0.5, 0.05

_CAUTIONS: dict[Method, str] = {
    "perturbation": "Windows of half a second and more are taken away, so the map is blurred by as much, and what two "
    "sounds do only together is not told apart.",
    "relevance": "Class relevance follows attention and its gradient, a straight line where the model is curved: in "
    "the benchmark with two events it misses that of its label about one time in four.",
    "rollout": "Rollout shows where information flowed, not why a label won: it is the same for every label. In the "
    "benchmark with two events it points at the one that won in 60 % of clips; loudness, without any model, in 54 %.",
    "energy": "Loudness alone: this map does not look at the model. It is here to compare others with.",
    "random": "Chance alone: this map looks at neither the sound nor the model. It is here to compare others with.",
}


def default_method(facts: CheckpointFacts) -> Method:
    """The map that points best in the benchmark; for large models, which would take a minute for it, the next best."""
    return "perturbation" if facts.n_parameters <= QUICK_PARAMETERS else "relevance"


def explain(
    inspection: Inspection,
    checkpoint: Checkpoint,
    method: str,
    label: str | None = None,
    against: str | None = None,
    *,
    perturbations: Perturbations | None = None,
    progress: Tell | None = None,
) -> RelevanceMap:
    """The map of one clip by one method.

    Args:
        method: One of `METHODS`.
        label: What to explain, the best label by default. Methods that are the same for every label leave it out.
        against: Explain why the label and not this one: the difference of the two.
        perturbations: What `perturb` gave for this clip and checkpoint, so that another label costs nothing.
        progress: Told of the work of a perturbation map.

    Raises:
        CheckpointError: There is no such method or label, or this model does not let it be computed.
    """
    label = label or inspection.prediction.top(1)[0][0]
    for asked in (label, against):
        if asked is not None:
            label_index(checkpoint.facts, asked)
    if method == "perturbation":
        tried = perturbations or perturb(inspection, checkpoint, progress)
        return perturbation_map(tried, checkpoint.facts, label, against)
    if method == "relevance":
        one, *others = relevance_maps(inspection, checkpoint, [label, *([against] if against else [])])
        if against is None:
            return one
        return RelevanceMap(one.values - others[0].values, "relevance", label, against, one.special_share)
    if method == "rollout":
        return rollout_map(inspection)
    if method == "energy":
        return energy_map(inspection)
    if method == "random":
        return random_map(inspection, seed=0)
    raise CheckpointError(f"There is no map {method!r}. Expected one of {', '.join(METHODS)}.")


def cautions(relevance: RelevanceMap, inspection: Inspection) -> list[str]:
    """What may mislead in this map of this clip, a sentence each."""
    told = [_CAUTIONS[relevance.method]]
    on_padding = padding_share(relevance, inspection)
    if on_padding > _MUCH_PADDING:
        told.append(f"{on_padding:.0%} of it rests on padding, where there is no sound.")
    if relevance.special_share > _MUCH_SPECIAL:
        told.append(
            f"{relevance.special_share:.0%} rests on the special tokens, which have no place in the sound: the map "
            "shows only what is left."
        )
    if relevance.label is not None:
        score = float(inspection.prediction.scores[label_index(inspection.checkpoint, relevance.label)])
        if score < _UNLIKELY:
            told.append(
                f"The checkpoint gives {relevance.label!r} a score of {score:.1%}: the map shows what speaks for it most, "
                "which need not be much."
            )
    return told
