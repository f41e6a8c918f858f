"""Files behind what a visitor sees: written for the page, and deleted with it."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

from ast_demo.figures import Figure, Look, to_png

_LONGEST_STEM = 40  # characters; systems count bytes, of which a character has up to four, and Gradio keeps 200


def write_picture(look: Look, name: str, figure: Figure) -> str:
    """Draw a picture that replaces one on the page."""
    return write_file(f"{name}.png", to_png(figure, look))


def write_file(name: str, content: bytes) -> str:
    """Write what the page shows for now among the uploads, which Gradio serves.

    Each has a folder of its own: a file that is written again while a browser reads it would arrive damaged.
    """
    path = new_folder() / name
    path.write_bytes(content)
    return str(path)


def name_after(clip: str, suffix: str) -> str:
    """What a file is called after a clip whose name may be anything: no system stumbles over it, and Gradio keeps it."""
    stem = re.sub(r"[^\w-]+", " ", Path(clip).stem)[:_LONGEST_STEM].strip() or "clip"
    return strip_invalid_filename_characters(stem + suffix)


def result_folder() -> Path:
    """An empty folder for a visitor's results, which are deleted by age; see `visitor_files`."""
    return Path(tempfile.mkdtemp(prefix="ast-demo-"))


def new_folder() -> Path:
    """An empty folder among the uploads, which Gradio serves, and which are deleted by age; see `visitor_files`."""
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache))


def files_in(folder: Path) -> list[str]:
    """The files of a folder by name; none of one that was deleted meanwhile."""
    return [str(path) for path in sorted(folder.glob("*")) if path.is_file()]


def forget(folder: Path | None) -> None:
    """Delete the files behind what a visitor no longer sees."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
