"""Which clip is drawn when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class ClipSampler:
    """Which clip is drawn when: a function of the seed and the number of the batch alone.

    Args:
        targets: (n_clips, n_labels), above 0 where a label holds.
        extra: (n_clips,), whether a clip is an extra one.
        batch_sizes: Clips in each batch of the run.
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
        batch_sizes: Sequence[int],
        *,
        balanced: bool,
        label_power: float,
        extra_share: float,
        seed: int,
    ) -> None:
        self._n_clips, self._sizes, self._seed = len(targets), list(batch_sizes), seed
        self._balanced, self._extra_share = balanced, extra_share
        self._starts = np.cumsum([0, *self._sizes])
        pools = [(np.flatnonzero(on & ~extra), np.flatnonzero(on & extra)) for on in (targets > 0).T]
        self._pools = [(own, others) for own, others in pools if len(own) or len(others)]
        weights = np.array([max(len(own), 1) ** label_power for own, _ in self._pools])
        self._until = np.cumsum(weights) / weights.sum()

    def __len__(self) -> int:
        return len(self._sizes)

    def draw(self, index: int) -> tuple[list[int], np.random.Generator]:
        """Clips of batch number `index`, and the generator for whatever else is drawn for it."""
        rng = np.random.default_rng((self._seed, 2, index))
        first = int(self._starts[index])
        return [self._draw_one(first + i, rng) for i in range(self._sizes[index])], rng

    def draw_partner(self, rng: np.random.Generator) -> int:
        """Any clip, to mix with."""
        own, extra = self._pools[min(int(np.searchsorted(self._until, rng.random())), len(self._pools) - 1)]
        pool = extra if len(extra) and (not len(own) or rng.random() < self._extra_share) else own
        return int(pool[rng.integers(len(pool))])

    def _draw_one(self, position: int, rng: np.random.Generator) -> int:
        if self._balanced:
            return self.draw_partner(rng)
        epoch, place = divmod(position, self._n_clips)
        return int(np.random.default_rng((self._seed, 3, epoch)).permutation(self._n_clips)[place])
