"""Labelled clips from a folder, an archive, a manifest or a Hub data set. Nothing is decoded here.

What is accepted (docs/data.md has all of it):

- a folder per label, perhaps inside a folder per split (`train`, `validation`, `test`), or the other way round;
- a folder with a `metadata.csv` or `metadata.jsonl`, or with the tables of a public data set, one row for each clip;
- such a table alone, with paths relative to where it lies;
- recordings with label tracks (Audacity) or selection tables (Raven) beside them;
- a `.zip` of any of these;
- the id of a data set on the Hugging Face Hub: `name[:config][@split]`;
- where it is allowed, the address of such a folder in a bucket (`s3://`, `gs://` ...);
- `samples`: the clips that come with this program.

What was understood is said in `LabelledClips.understanding`: see `describe_clips`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ast_demo.data.archives import read_archive
from ast_demo.data.clips import LabelledClips, ReadingOptions
from ast_demo.data.files import Files, files_of_folder, is_of_the_system
from ast_demo.data.hub_datasets import HUB_ID, read_hub
from ast_demo.data.layouts import read_files, read_manifest
from ast_demo.data.remote_files import is_bucket, list_files
from ast_demo.data.samples import SAMPLES_FOLDER
from ast_demo.data.tables import TABLE_SUFFIXES
from ast_demo.errors import DataError
from ast_demo.settings import Settings


def read_labelled_clips(data: str | Path, options: ReadingOptions | None = None) -> LabelledClips:
    """Find labelled clips: a folder, a table, an archive, a Hub data set, or `samples` (see this file's head).

    Raises:
        DataError: There is no such thing; it holds no clips; its table lacks a column, a file or a label.
    """
    options = options or ReadingOptions()
    text = str(data).strip()
    if text == "samples":
        samples = files_of_folder(SAMPLES_FOLDER, follow_links=False, most=options.max_folder_files)
        clips = read_files(
            samples, SAMPLES_FOLDER.name, replace(options, label_from="", label_column="", file_column="")
        )
    elif options.buckets and is_bucket(text):
        remote = list_files(text)
        names = tuple(name for name in remote if not is_of_the_system(name))
        clips = read_files(Files(names, remote.__getitem__), text, options)
    elif options.local_paths and (path := _existing(text)):
        clips = _read_path(path, options)
    elif not HUB_ID.fullmatch(text) or text.lower().endswith((".zip", *TABLE_SUFFIXES)):
        files = "a folder, a .csv, .tsv or .jsonl table, a .zip archive, " if options.local_paths else ""
        raise DataError(
            f"There is nothing at {text[:200]!r}. Expected {files}"
            "the id of a Hub data set (name[:config][@split]), or 'samples'."
        )
    else:
        clips = read_hub(text, options)
    return replace(clips, source=text)


def read_labelled_clips_of_visitor(
    named: str, upload: str | None, settings: Settings, options: ReadingOptions | None = None
) -> LabelledClips:
    """Labelled clips that a visitor of the page has uploaded, or else named.

    Args:
        upload: Path of the uploaded file. Only an archive is taken: a table could name any file of this machine.
        options: Columns and labels; the limits are those of the settings.

    Raises:
        DataError: As `read_labelled_clips`; what was named is not allowed here; the upload is no ZIP archive.
    """
    options = replace(options or ReadingOptions(), buckets=False).within(settings)
    if upload is None:
        return read_labelled_clips(named, options)
    path = Path(upload)
    if path.suffix.lower() != ".zip" or not path.is_file():
        raise DataError(f"{path.name!r} is no ZIP archive. Expected one with a folder for each label.")
    return read_archive(path, options)


def _existing(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user, a zero byte
        return None


def _read_path(path: Path, options: ReadingOptions) -> LabelledClips:
    suffix = path.suffix.lower()
    if path.is_dir():
        files = files_of_folder(path, follow_links=options.outside, most=options.max_folder_files)
        return read_files(files, path.name, options)
    if suffix == ".zip":
        return read_archive(path, options)
    if suffix in TABLE_SUFFIXES:
        return read_manifest(path, options)
    raise DataError(f"{str(path)!r} is neither a folder, nor a .csv or .jsonl table, nor a .zip archive.")
