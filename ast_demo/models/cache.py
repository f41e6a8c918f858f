"""Loaded checkpoints, kept in memory up to a limit and shared by all who use them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.config import read_facts
from ast_demo.models.loading import find_checkpoint, load_checkpoint
from ast_demo.models.placing import find_place
from ast_demo.settings import Settings

_FLOAT32_BYTES, _BFLOAT16_BYTES = 4, 2


class CheckpointCache:
    """Loaded checkpoints, up to a limit of memory; the least recently used goes first.

    One for a running program; threads share it. One checkpoint is loaded at a time, and those that are in memory
    can be had meanwhile. A checkpoint that is larger than the limit by itself is loaded all the same and is the only
    one that is kept. A folder whose weights have changed is loaded again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[tuple[Path, int], Checkpoint] = OrderedDict()
        self._lock = threading.Lock()  # over what is kept; held for a moment only
        self._loading = threading.Lock()  # 🤗 Transformers changes global state while it loads

    def load(self, reference: str | Path) -> Checkpoint:
        """The checkpoint, from memory or loaded now.

        Raises:
            CheckpointError: As `load_checkpoint`.
        """
        folder, _ = find_checkpoint(reference, self._settings)
        weights = folder / "model.safetensors"
        key = (folder.resolve(), weights.stat().st_mtime_ns if weights.is_file() else 0)
        if kept := self._find(key):
            return kept
        with self._loading:
            if kept := self._find(key):  # loaded by another thread while this one waited
                return kept
            facts = read_facts(folder)
            # In memory, whatever the file holds: single precision, on a GPU once more, and what is made of it to run in
            # another.
            device, precision = find_place(facts, self._settings)
            n_copies = 2 if device.is_gpu else 1
            of_each = n_copies * _FLOAT32_BYTES + (_BFLOAT16_BYTES if precision == "bfloat16" else 0)
            n_bytes = facts.n_parameters * of_each
            with self._lock:
                for outdated in [other for other in self._kept if other[0] == key[0]]:
                    del self._kept[outdated]
                self._make_room(n_bytes)
            loaded = load_checkpoint(reference, self._settings)
            with self._lock:
                self._kept[key] = loaded
                self._make_room()
            return loaded

    def _find(self, key: tuple[Path, int]) -> Checkpoint | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                self._make_room()  # since it was loaded, it may have been made ready for another precision
            return self._kept.get(key)

    def _make_room(self, n_bytes: int = 0) -> None:
        """Let the least recently used go, until so many more bytes fit; of what is loaded, one stays at least."""
        limit = self._settings.checkpoint_cache_mb * 1e6
        while len(self._kept) > (0 if n_bytes else 1):
            if sum(checkpoint.n_bytes for checkpoint in self._kept.values()) + n_bytes <= limit:
                return
            self._kept.popitem(last=False)
