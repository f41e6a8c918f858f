"""Checkpoints on the Hugging Face Hub: whether one is on this machine, and fetching it."""

from __future__ import annotations

import re
from pathlib import Path

from ast_demo.errors import CheckpointError
from ast_demo.settings import Settings, is_allowed

CHECKPOINT_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def is_hub_id(text: str) -> bool:
    """Whether a text has the shape of a model's id, owner/name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return _HUB_ID.fullmatch(text) is not None


def check_allowed(hub_id: str, settings: Settings) -> None:
    """Refuse a model that is not on the list of those that may be loaded here.

    Raises:
        CheckpointError: It is not.
    """
    if not is_allowed(hub_id, settings.hub_checkpoints):
        allowed = ", ".join(settings.hub_checkpoints) or "none"
        raise CheckpointError(f"{hub_id!r} is not loaded here. Of the Hugging Face Hub's models, these are: {allowed}.")


def find_downloaded(hub_id: str) -> Path | None:
    """The folder of a checkpoint that was downloaded earlier, if all of its files were."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=list(CHECKPOINT_FILES), local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if all((folder / file).is_file() for file in CHECKPOINT_FILES) else None


def download(hub_id: str, settings: Settings) -> Path:
    """Fetch the three files of a checkpoint, after a look at their size.

    Raises:
        CheckpointError: There is no such model, it lacks a file or is too large, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

    try:
        files = {
            f.rfilename: f.size or 0 for f in HfApi().model_info(hub_id, files_metadata=True, timeout=10).siblings or []
        }
        missing = [file for file in CHECKPOINT_FILES if file not in files]
        if missing:
            raise CheckpointError(f"{hub_id!r} on the Hugging Face Hub has no {' and no '.join(missing)}.")
        check_size(files["model.safetensors"], hub_id, settings)
        return Path(snapshot_download(hub_id, allow_patterns=list(CHECKPOINT_FILES)))
    except GatedRepoError:
        raise CheckpointError(
            f"{hub_id!r} is gated: accept its terms on the Hugging Face Hub and log in first."
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"There is no public model {hub_id!r} on the Hugging Face Hub. Check the spelling."
        ) from None
    except (OSError, HTTPError):
        raise CheckpointError(
            f"{hub_id!r} is not on this machine yet, and the Hugging Face Hub cannot be reached. "
            "Connect to the network, or use a shipped checkpoint."
        ) from None


def hub_is_reachable(hub_id: str) -> bool:
    """Whether the Hub answers at once when asked for a model."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # the client's own; it also stands for a missing network

    try:
        HfApi().model_info(hub_id, timeout=3)
    except (OSError, HTTPError):
        return False
    return True


def check_size(n_bytes: int, name: str, settings: Settings) -> None:
    """Refuse weights that are too large.

    Raises:
        CheckpointError: They are.
    """
    if n_bytes > settings.max_checkpoint_mb * 1e6:
        raise CheckpointError(
            f"The weights of {name!r} take {n_bytes / 1e6:.0f} MB; at most {settings.max_checkpoint_mb:g} MB are loaded here."
        )
