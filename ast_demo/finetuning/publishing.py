"""Uploading a checkpoint folder to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from ast_demo.errors import DataError


def push_to_hub(folder: str | Path, repository: str) -> str:
    """Upload a checkpoint folder with its card, as the user who is logged in; the address of the model's page.

    Raises:
        DataError: The Hub did not take it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api = HfApi()
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=["training/*"])
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DataError(
            f"The Hugging Face Hub did not take {repository!r}: {reason}. Are you logged in (`hf auth login`)?"
        ) from error
    return str(address)
