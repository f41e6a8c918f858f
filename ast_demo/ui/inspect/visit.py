"""What a visitor asked the Inspect tab for, what it shows of that, and what each result hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_demo.explain import DEFAULT_KEEP, RelevanceMap, TrustCard
from ast_demo.features import samples_to_time
from ast_demo.figures import Look
from ast_demo.inspection import Inspection, PatchInspection, Timeline
from ast_demo.ui.latest import Latest


@dataclass(frozen=True, eq=False)
class Shown:
    """An inspection whose pictures are on the page.

    Attributes:
        turn: When it was asked for; see `Page`.
        folder: The files behind the pictures and downloads.
    """

    turn: int
    look: Look
    inspection: Inspection
    folder: Path


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording longer than the input. Its samples are not kept: they are read again when they are needed.

    Attributes:
        starts: First sample of each window.
        timeline: As far as it is known.
        outline: The waveform for the picture; see `envelope`.
    """

    starts: tuple[int, ...]
    timeline: Timeline
    outline: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def is_complete(self) -> bool:
        return len(self.timeline.windows) == len(self.starts)

    def seconds_of(self, window: int) -> tuple[float, float]:
        """Start and end of a window, by its place."""
        start_s = samples_to_time(self.starts[window])
        return start_s, start_s + self.timeline.windows[0].end_s


@dataclass(frozen=True, eq=False)
class Explained:
    """A map that is on the page.

    Attributes:
        asked: What it is of: method, label, and the label it is set against.
        prepared: By method, what its maps of all labels share.
    """

    inspection: Inspection
    asked: tuple[str, str, str]
    relevance: RelevanceMap
    prepared: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """One visitor's tab.

    Attributes:
        turn: How many times another clip, checkpoint or window was asked for.
        clip, checkpoint, window, look: What to inspect, and how to draw it: the path of a recording, what a checkpoint
            is asked for by, the place of a window.
        depth: Layers of the rollout; 0 for all.
        patch: Its row and column, where one was chosen.
        method, label, against: What map to make; without a method or label the default one and the best.
        listening, testing, hearing: Whether the windows, the trust card, the halves are wanted.
        keep: Share of the clip in the kept half, in percent.
        shown, recording, explained, card, patch_seen: What there is of it.
        map_look: How the map is drawn.
        listener: Who listens to the windows now: the one who began last.
    """

    turn: int = 0
    clip: str | None = None
    checkpoint: str = ""
    window: int = 0
    look: Look = Look()
    depth: int = 0
    patch: tuple[int, int] | None = None
    method: str | None = None
    label: str | None = None
    against: str = ""
    listening: bool = True
    testing: bool = False
    hearing: bool = False
    keep: float = 100 * DEFAULT_KEEP
    shown: Shown | None = None
    recording: Recording | None = None
    explained: Explained | None = None
    map_look: Look | None = None
    card: TrustCard | None = None
    patch_seen: PatchInspection | None = None
    listener: object = None

    @property
    def ready(self) -> Shown | None:
        """What is shown, if it is what was asked for; how it is drawn apart."""
        return self.shown if self.shown is not None and self.shown.turn == self.turn else None

    @property
    def map(self) -> Explained | None:
        """The map that is shown, if it is one of what is shown."""
        one = self.explained
        return one if one is not None and self.ready is not None and one.inspection is self.ready.inspection else None


Visit = Latest[Page]

# What a result hangs on: it is shown only while these are what they were when its work began.
WINDOW = ("turn", "clip", "checkpoint", "window")
PICTURES = (*WINDOW, "look")
ROLLOUT = (*PICTURES, "depth")
PATCH = (*PICTURES, "patch")
WINDOWS = (*PICTURES, "listening", "listener")
MAP = (*PICTURES, "method", "label", "against")
CARD = (*WINDOW, "method", "label", "against", "explained", "testing")
HALVES = (*MAP, "explained", "hearing", "keep")
