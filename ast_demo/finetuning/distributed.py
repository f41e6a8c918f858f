"""Several processes that train one model together, as torchrun and accelerate start them."""

from __future__ import annotations

import os


def count_processes() -> int:
    """How many processes share the batches of this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the one that writes files and speaks to people."""
    return os.environ.get("RANK", "0") == "0"
