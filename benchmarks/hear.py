"""Does the half of a clip that a map keeps hold what the label rests on? `python -m benchmarks.hear`.

Each shipped sample is split by each map; counted is how often the kept and the removed half still get the clip's own
best label from the same checkpoint. A good map has the first near 1 and the second near 0; random maps show what
splitting by itself does, energy what follows from loudness alone.
"""

from __future__ import annotations

import numpy as np

from ast_demo.audio import read_audio
from ast_demo.data import list_samples
from ast_demo.explain import DEFAULT_KEEP, METHODS, explain, split_clip
from ast_demo.inspection import Inspection, cut_window, inspect
from ast_demo.models import Checkpoint, load_checkpoint, shipped_names
from benchmarks.measure import read_arguments, report

KEEPS = (0.5, DEFAULT_KEEP)


def count(checkpoint: Checkpoint, every: int) -> list[dict[str, object]]:
    """A row for each map and share to keep: means over every so many-th sample."""
    seen: dict[tuple[str, float], list[tuple[bool, bool, float]]] = {}
    for sample in list_samples()[::every]:
        inspection = inspect(cut_window(read_audio(sample.path), checkpoint, 0), checkpoint)
        label = _best(inspection)
        for method in METHODS:
            relevance = explain(inspection, checkpoint, method)
            for keep in KEEPS:
                halves = split_clip(inspection, relevance, checkpoint, keep)
                fate = _best(halves.kept) == label, _best(halves.removed) == label, halves.energy_share
                seen.setdefault((method, keep), []).append(fate)
    rows: list[dict[str, object]] = []
    for (name, keep), fates in seen.items():
        kept, removed, energy = np.mean(fates, axis=0)
        row = {"checkpoint": checkpoint.facts.name, "map": name, "keep": keep, "clips": len(fates)}
        shares = {"kept has the label": kept, "removed has the label": removed, "energy kept": energy}
        rows.append(row | {column: float(value) for column, value in shares.items()})
    return rows


def _best(inspection: Inspection) -> str:
    return inspection.prediction.top(1)[0][0]


def main() -> None:
    arguments = read_arguments(__doc__ or "", every=1)
    report(
        "hear",
        [row for name in shipped_names() for row in count(load_checkpoint(name), arguments.every)],
        arguments.output,
    )


if __name__ == "__main__":
    main()
