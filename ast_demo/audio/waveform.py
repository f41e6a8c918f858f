"""The one form of sound that everything else starts from: mono float32 at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000  # Hz, of every AST checkpoint
FRAME_LENGTH = 400  # samples: the 25 ms window of one spectrogram frame, and so the shortest clip there is
HOP_LENGTH = 160  # samples: 10 ms from one frame to the next


@dataclass(frozen=True)
class Waveform:
    """A clip, decoded.

    Attributes:
        samples: (n,) float32 in [-1, 1], mono, 16 kHz.
        name: File name, for people.
        original_rate: Sampling rate of the recording in hertz.
        channels: Channels of the recording; `samples` is their mean, or one of them where they cancel each other out.
        notes: What was changed on the way that a listener might miss, and what speaks against the recording, a
            sentence each.
        start_s: Where it begins in the recording that it was cut from, in seconds.
        flaws: What speaks against the recording, each in a word or two of `flaws.py`, to filter by.
    """

    samples: np.ndarray
    name: str
    original_rate: int
    channels: int
    notes: tuple[str, ...] = ()
    start_s: float = 0.0
    flaws: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE
