"""What can be loaded now: the shipped checkpoints, and MIT's eight on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ast_demo.errors import CheckpointError
from ast_demo.models import loading as checkpoints
from ast_demo.models.checkpoint import CheckpointFacts
from ast_demo.models.config import read_facts
from ast_demo.models.hub import check_size, find_downloaded, hub_is_reachable
from ast_demo.models.loading import shipped_names
from ast_demo.settings import Settings, is_allowed

MIT_CHECKPOINTS = tuple(
    f"MIT/ast-finetuned-{name}"
    for name in (
        "audioset-10-10-0.4593",
        "audioset-10-10-0.450",
        "audioset-10-10-0.448",
        "audioset-10-10-0.448-v2",
        "audioset-12-12-0.447",
        "audioset-14-14-0.443",
        "audioset-16-16-0.442",
        "speech-commands-v2",
    )
)
_MIT_BYTES = 350_000_000  # about, of each


@dataclass(frozen=True)
class CatalogueEntry:
    """A checkpoint that can be named. `note` says what it is, or why it is not available now."""

    name: str
    source: Literal["shipped", "hub"]
    available: bool
    note: str


def allowed_on_hub(settings: Settings) -> list[str]:
    """Those of MIT's checkpoints that may be loaded here."""
    return [name for name in MIT_CHECKPOINTS if is_allowed(name, settings.hub_checkpoints)]


def catalogue(settings: Settings, *, reachable: Callable[[], bool] | None = None) -> list[CatalogueEntry]:
    """What can be loaded now: the shipped checkpoints, and those of MIT's eight from the Hub that the settings allow.

    Args:
        reachable: Asked once, and only if some checkpoint is not on this machine yet.
    """
    shipped = {name: checkpoints.SHIPPED_FOLDER / name for name in shipped_names()}
    entries = [_on_this_machine(name, "shipped", folder, settings) for name, folder in shipped.items()]
    cached = {name: find_downloaded(name) for name in allowed_on_hub(settings)}
    available = None not in cached.values() or (reachable or partial(hub_is_reachable, MIT_CHECKPOINTS[0]))()
    for name, folder in cached.items():
        if folder is not None:
            entries.append(_on_this_machine(name, "hub", folder, settings))
        elif refusal := _refusal(name, _MIT_BYTES, settings):
            entries.append(CatalogueEntry(name, "hub", False, refusal))
        elif available:
            note = f"downloaded from the Hugging Face Hub on first use (about {_MIT_BYTES / 1e6:.0f} MB)"
            entries.append(CatalogueEntry(name, "hub", True, note))
        else:
            note = "not available now: not downloaded yet, and the Hugging Face Hub cannot be reached"
            entries.append(CatalogueEntry(name, "hub", False, note))
    return entries


def _on_this_machine(name: str, source: Literal["shipped", "hub"], folder: Path, settings: Settings) -> CatalogueEntry:
    weights = folder / "model.safetensors"
    refusal = _refusal(name, weights.stat().st_size if weights.is_file() else 0, settings)
    note = _describe(read_facts(folder)) if source == "shipped" else "already downloaded"
    return CatalogueEntry(name, source, not refusal, refusal or note)


def _refusal(name: str, n_bytes: int, settings: Settings) -> str:
    """Why the settings refuse it, or nothing."""
    try:
        check_size(n_bytes, name, settings)
    except CheckpointError as error:
        return f"not available here: {error}"
    return ""


def _describe(facts: CheckpointFacts) -> str:
    parts = [f"{len(facts.labels)} labels"]
    if facts.input and facts.grid:
        parts += [f"{facts.input.duration_s:.2f} s", f"{facts.grid.n_frequency} × {facts.grid.n_time} patches"]
    return ", ".join([*parts, f"{facts.n_parameters / 1e6:.1f} M parameters"])
