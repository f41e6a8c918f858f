"""Data that are learnt in a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.clips import noise, tone


def make_data(folder: Path, labels: dict[str, float], n: int = 8, seconds: float = 0.5) -> Path:
    """A folder per label of tones near a frequency, over a little noise."""
    rng = np.random.default_rng(0)
    for label, hz in labels.items():
        (folder / label).mkdir(parents=True)
        for i in range(n):
            sound = tone(hz * rng.uniform(0.9, 1.1), seconds, level=rng.uniform(0.1, 0.6))
            sound = sound + noise(seconds, seed=i, level=0.003)
            soundfile.write(folder / label / f"{label}{i}.wav", sound, 16_000)
    return folder
