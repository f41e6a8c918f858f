"""The methods of explanation, a row for each; any map of any label by the name of its method.

All that the page, the command line, the figures, the trust card and the benchmarks know of a method is in its row: a new
one is a file that makes its map, and a row here. What makes the maps is imported by the rows when it is needed, so that
the names alone cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ast_demo.errors import CheckpointError

if TYPE_CHECKING:  # what they need takes seconds to import
    from ast_demo.explain.maps import RelevanceMap
    from ast_demo.inspection import Inspection
    from ast_demo.models import Checkpoint, CheckpointFacts
    from ast_demo.runtime import Tell

QUICK_PARAMETERS = 20_000_000  # up to here a map that runs the model a hundred times takes a few seconds on two cores
_FEW_RUNS = 10
_MUCH_PADDING, _MUCH_SPECIAL, _UNLIKELY = 0.2, 0.5, 0.05


@dataclass(frozen=True)
class Request:
    """What a map is asked of.

    Attributes:
        label: What to explain; methods that are the same for every label leave it out.
        against: Explain why the label and not this one: the difference of the two.
        prepared: What the method's `prepare` gave for this clip and checkpoint, if that was called before.
        progress: Told how much of the work is done; what it raises ends it.
        seed: Of methods that draw at random.
    """

    inspection: Inspection
    checkpoint: Checkpoint
    label: str
    against: str | None = None
    prepared: Any = None
    progress: Tell | None = None
    seed: int = 0


@dataclass(frozen=True)
class Method:
    """A way to make a map.

    Attributes:
        key: What it is called by the command line, in files and in code.
        title: What it is called on the page and in pictures.
        caution: What always has to be said beside it.
        needs_label: Whether another label gives another map.
        cost: Runs of the model, about; 0 if it does not look at the model at all.
        make: The map.
        prepare: The work that the maps of all labels share, if there is any.
        make_again: The map of a model with other weights, where `make` would take too long or reads what the model of the
            inspection said: the same map, or a shorter one like it.
    """

    key: str
    title: str
    caution: str
    needs_label: bool
    cost: int
    make: Callable[[Request], RelevanceMap]
    prepare: Callable[[Inspection, Checkpoint, Tell | None], Any] | None = None
    make_again: Callable[[Request], RelevanceMap] | None = None

    @property
    def choice(self) -> str:
        """The title, and whether it is a control."""
        return self.title if self.cost else f"{self.title} (no model)"

    def is_quick(self, facts: CheckpointFacts) -> bool:
        """Whether a map takes seconds at most with this checkpoint, and so can be made without being asked for."""
        return self.cost <= _FEW_RUNS or facts.n_parameters <= QUICK_PARAMETERS


def _perturb(inspection: Inspection, checkpoint: Checkpoint, progress: Tell | None) -> Any:
    from ast_demo.explain.perturbation import perturb

    return perturb(inspection, checkpoint, progress)


def _perturbation(asked: Request) -> RelevanceMap:
    from ast_demo.explain.perturbation import perturbation_map

    tried = asked.prepared or _perturb(asked.inspection, asked.checkpoint, asked.progress)
    return perturbation_map(tried, asked.checkpoint.facts, asked.label, asked.against)


def _perturbation_by_windows(asked: Request) -> RelevanceMap:
    from ast_demo.explain.perturbation import perturb, perturbation_map

    tried = perturb(asked.inspection, asked.checkpoint, asked.progress, only_windows=True)
    return perturbation_map(tried, asked.checkpoint.facts, asked.label, asked.against)


def _relevance(asked: Request) -> RelevanceMap:
    from ast_demo.explain.attention_gradient import relevance_map

    return relevance_map(asked.inspection, asked.checkpoint, asked.label, asked.against)


def _rollout(asked: Request) -> RelevanceMap:
    from ast_demo.explain.maps import rollout_map

    return rollout_map(asked.inspection)


def _rollout_again(asked: Request) -> RelevanceMap:
    from ast_demo.explain.maps import rollout_map
    from ast_demo.inspection import inspect

    return rollout_map(inspect(asked.inspection.waveform, asked.checkpoint))


def _energy(asked: Request) -> RelevanceMap:
    from ast_demo.explain.maps import energy_map

    return energy_map(asked.inspection)


def _random(asked: Request) -> RelevanceMap:
    from ast_demo.explain.maps import random_map

    return random_map(asked.inspection, asked.seed)


# By how well they point in the benchmark, the best first.
_ROWS = (
    Method(
        "perturbation",
        "Perturbation",
        "Windows of half a second and more are taken away, so the map is blurred by as much, and what two sounds do only "
        "together is not told apart.",
        needs_label=True,
        cost=100,
        make=_perturbation,
        prepare=_perturb,
        make_again=_perturbation_by_windows,
    ),
    Method(
        "relevance",
        "Class relevance",
        "Class relevance follows attention and its gradient, a straight line where the model is curved: in the benchmark "
        "with two events it misses that of its label about one time in four.",
        needs_label=True,
        cost=2,
        make=_relevance,
    ),
    Method(
        "rollout",
        "Attention rollout",
        "Rollout shows where information flowed, not why a label won: it is the same for every label. In the benchmark "
        "with two events it points at the one that won in 60 % of clips; loudness, without any model, in 54 %.",
        needs_label=False,
        cost=1,
        make=_rollout,
        make_again=_rollout_again,
    ),
    Method(
        "energy",
        "Energy",
        "Loudness alone: this map does not look at the model. It is here to compare others with.",
        needs_label=False,
        cost=0,
        make=_energy,
    ),
    Method(
        "random",
        "Random",
        "Chance alone: this map looks at neither the sound nor the model. It is here to compare others with.",
        needs_label=False,
        cost=0,
        make=_random,
    ),
)
METHODS: Mapping[str, Method] = {row.key: row for row in _ROWS}


def method_of(key: str) -> Method:
    """The row of a method.

    Raises:
        CheckpointError: There is none of that name.
    """
    if key not in METHODS:
        raise CheckpointError(f"There is no map {key!r}. Expected one of {', '.join(METHODS)}.")
    return METHODS[key]


def default_method(facts: CheckpointFacts) -> str:
    """The map that points best in the benchmark, of those that take seconds at most with this checkpoint."""
    return next(row.key for row in METHODS.values() if row.is_quick(facts))


def explain(
    inspection: Inspection,
    checkpoint: Checkpoint,
    method: str,
    label: str | None = None,
    against: str | None = None,
    *,
    prepared: Any = None,
    progress: Tell | None = None,
    seed: int = 0,
) -> RelevanceMap:
    """The map of one clip by one method.

    Args:
        method: A key of `METHODS`.
        label: What to explain, the best label by default.
        against, prepared, progress, seed: As in `Request`.

    Raises:
        CheckpointError: There is no such method or label, or this model does not let it be computed.
    """
    from ast_demo.models import label_index

    row = method_of(method)
    label = label or inspection.prediction.top(1)[0][0]
    for asked in (label, against):
        if asked is not None:
            label_index(checkpoint.facts, asked)
    return row.make(Request(inspection, checkpoint, label, against, prepared, progress, seed))


def cautions(relevance: RelevanceMap, inspection: Inspection) -> list[str]:
    """What may mislead in this map of this clip, a sentence each."""
    from ast_demo.explain.maps import padding_share
    from ast_demo.models import label_index

    told = [METHODS[relevance.method].caution]
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
