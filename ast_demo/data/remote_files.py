"""Files in a bucket of a cloud, or on any other store that Arrow can read: listed once, read where they are needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ast_demo.errors import AudioError, DataError

_URI = re.compile(r"(s3|gs|gcs|abfss?|hdfs|viewfs|file)://.+")


@dataclass(frozen=True)
class RemoteFile:
    """A file by its address, such as `s3://bucket/folder/clip.wav`; it can be sent to another machine."""

    uri: str

    def read(self) -> bytes:
        """Its content.

        Raises:
            AudioError: It cannot be read.
        """
        try:
            store, path = _open(self.uri)
            with store.open_input_stream(path) as stream:
                return stream.read()
        except (OSError, ValueError) as error:
            raise AudioError(f"{self.uri!r} cannot be opened: {_reason(error)}.") from None


def is_bucket(text: str) -> bool:
    """Whether this is an address of a bucket, or a folder in one."""
    return _URI.fullmatch(text) is not None


def list_files(uri: str) -> dict[str, RemoteFile]:
    """All files below a folder, by their names relative to it.

    Raises:
        DataError: It cannot be listed.
    """
    from pyarrow.fs import FileSelector, FileType

    try:
        store, folder = _open(uri)
        infos = store.get_file_info(FileSelector(folder, recursive=True))
    except (OSError, ValueError) as error:
        raise DataError(f"{uri!r} cannot be listed: {_reason(error)}.") from None
    names = [info.path[len(folder) :].lstrip("/") for info in infos if info.type == FileType.File]
    return {name: RemoteFile(f"{uri.rstrip('/')}/{quote(name)}") for name in sorted(names)}


def _open(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(uri)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
