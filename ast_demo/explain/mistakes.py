"""Why was it wrong? What can be said of every mistake of an evaluation, however many there are.

Of each: class relevance for the label that was predicted and for the one that is true, and how far the first can be
trusted. A perturbation map is better and a trust card tells more, but each runs the model a hundred times; this takes
about as long as six runs of it for both maps (the second shares the way there with the first) and five for the test.
So the test is a part of the card's: one step of its deletion, beside loudness and one random map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.explain.attention_gradient import relevance_maps
from ast_demo.explain.deletion import delete
from ast_demo.explain.faithfulness import rank_correlation
from ast_demo.explain.maps import RelevanceMap, energy_map, padding_share, random_map, silence_share
from ast_demo.inspection import Inspection
from ast_demo.models import Checkpoint, label_index

TAKEN_AWAY = 0.1  # of the bins of the clip


@dataclass(frozen=True)
class MapFacts:
    """How far the map of a prediction can be trusted. None of these stands alone.

    Attributes:
        map_on_padding: Share of the map that rests on padding, 0 to 1; an even map has the padding's share of the input.
        map_on_silence: Share that rests on silence within the clip.
        silence_share: The same of an even map.
        map_on_special_tokens: Share that rests on the special tokens.
        map_like_loudness: Rank correlation of the map with loudness over the patches that see the clip, -1 to 1: near
            1, the map tells nothing that loudness does not.
        fall_by_map: By how much the score of the predicted label falls when a tenth of the clip's bins is taken away,
            those that are highest on the map; below 0, it rises.
        fall_by_loudness, fall_by_chance: The same with the loudest bins, and with those of a random map.
    """

    map_on_padding: float
    map_on_silence: float
    silence_share: float
    map_on_special_tokens: float
    map_like_loudness: float
    fall_by_map: float
    fall_by_loudness: float
    fall_by_chance: float


@dataclass(frozen=True)
class Mistake:
    """What speaks for the label that was predicted, and for the one that is true if there is one."""

    predicted: RelevanceMap
    true: RelevanceMap | None
    facts: MapFacts


def explain_mistake(inspection: Inspection, checkpoint: Checkpoint, predicted: str, true: str | None) -> Mistake:
    """Explain a wrong prediction.

    Args:
        predicted, true: Labels, as the checkpoint spells them.

    Raises:
        CheckpointError: The checkpoint has no such label, or no patch grid.
    """
    spectrogram, grid = inspection.fed
    of_predicted, *of_true = relevance_maps(inspection, checkpoint, [predicted, *([true] if true else [])])
    energy, random = energy_map(inspection), random_map(inspection, seed=0)
    orders = [one.values for one in (of_predicted, energy, random)]
    index = label_index(checkpoint.facts, predicted)
    left = delete(inspection, checkpoint, orders, index, steps=(0.0, TAKEN_AWAY, 1.0))
    falls = [float(fall) for fall in left[:, 0] - left[:, 1]]
    heard = np.arange(grid.n_time) * grid.time_stride < spectrogram.clip_frames
    facts = MapFacts(
        padding_share(of_predicted, inspection),
        silence_share(of_predicted, inspection),
        silence_share(RelevanceMap(np.ones_like(energy.values), "random"), inspection),
        of_predicted.special_share,
        rank_correlation(of_predicted.values[:, heard], energy.values[:, heard]),
        *falls,
    )
    return Mistake(of_predicted, of_true[0] if of_true else None, facts)
