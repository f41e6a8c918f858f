"""Which clip is drawn when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ast_demo.finetuning.options import Stage


class DrawingOrder:
    """Which clip is drawn when: a function of the seed and the number of the batch alone.

    Args:
        targets: (n_clips, n_labels), above 0 where a label holds.
        extra: (n_clips,), whether a clip is an extra one.
        stages: Parts of the run.
        balanced: Draw labels by their weight; otherwise each clip comes once in an epoch.
        label_power: Where balanced, a label's weight is the number of its clips, extra ones aside, to this power:
            0 draws each label equally often, 1 each clip.
        extra_share: Where balanced, the share of a label's draws that are extra clips, if it has both.
        seed: Of all draws.
    """

    def __init__(
        self,
        targets: np.ndarray,
        extra: np.ndarray,
        stages: Sequence[Stage],
        *,
        balanced: bool,
        label_power: float,
        extra_share: float,
        seed: int,
    ) -> None:
        self._n_clips, self._stages, self._seed = len(targets), list(stages), seed
        self._balanced, self._extra_share = balanced, extra_share
        self._ends = np.cumsum([stage.steps for stage in stages])
        self._starts = np.cumsum([0] + [stage.steps * stage.batch_size for stage in stages])
        pools = [(np.flatnonzero(on & ~extra), np.flatnonzero(on & extra)) for on in (targets > 0).T]
        self._pools = [(own, others) for own, others in pools if len(own) or len(others)]
        weights = np.array([max(len(own), 1) ** label_power for own, _ in self._pools])
        self._until = np.cumsum(weights) / weights.sum()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def begin(self, index: int) -> tuple[Stage, list[int], np.random.Generator]:
        """Stage and clips of batch number `index`, and the generator for whatever else is drawn for it."""
        which = int(np.searchsorted(self._ends, index, side="right"))
        stage = self._stages[which]
        into_stage = index - (int(self._ends[which - 1]) if which else 0)
        first = int(self._starts[which]) + into_stage * stage.batch_size
        rng = np.random.default_rng((self._seed, 2, index))
        return stage, [self._draw(first + i, rng) for i in range(stage.batch_size)], rng

    def draw_partner(self, rng: np.random.Generator) -> int:
        """Any clip, to mix with."""
        own, extra = self._pools[min(int(np.searchsorted(self._until, rng.random())), len(self._pools) - 1)]
        pool = extra if len(extra) and (not len(own) or rng.random() < self._extra_share) else own
        return int(pool[rng.integers(len(pool))])

    def _draw(self, position: int, rng: np.random.Generator) -> int:
        if self._balanced:
            return self.draw_partner(rng)
        epoch, place = divmod(position, self._n_clips)
        return int(np.random.default_rng((self._seed, 3, epoch)).permutation(self._n_clips)[place])
