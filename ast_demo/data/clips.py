"""Clips and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ast_demo.data.labels import LABEL_SEPARATOR, sort_labels
from ast_demo.data.remote_files import RemoteFile
from ast_demo.errors import DataError

_MAX_ARCHIVE_MB = 4000.0
_MAX_ARCHIVE_FILES = 100_000


@dataclass(frozen=True)
class LabelledClip:
    """A clip and what it is.

    Attributes:
        name: File name within the data, for people; unique there.
        source: Path of the file, its bytes, or where it is.
        labels: What is heard in it: one label, or several where the data are multi-label.
        columns: What else the data say of it (fold, speaker, split ...).
    """

    name: str
    source: Path | bytes | RemoteFile
    labels: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The label of a clip that has one; several are joined."""
        return LABEL_SEPARATOR.join(self.labels)

    @property
    def content(self) -> Path | bytes:
        """What `read_audio` takes. Raises AudioError where a file in a bucket cannot be read."""
        return self.source.read() if isinstance(self.source, RemoteFile) else self.source


@dataclass(frozen=True)
class LabelledClips:
    """Clips in the order of the data, and where they come from."""

    source: str
    clips: tuple[LabelledClip, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, each once: numbers in their order, words in theirs."""
        return sort_labels({label for clip in self.clips for label in clip.labels})

    @property
    def multi_label(self) -> bool:
        """Whether some clip has several labels, or none."""
        return any(len(clip.labels) != 1 for clip in self.clips)


@dataclass(frozen=True)
class ReadingOptions:
    """What a source of clips does not say by itself.

    Attributes:
        file_column, label_column: Columns of a table or of a data set; the usual names are found without.
        multi_label: A cell may hold several labels, separated by semicolons.
        local_paths: Whether a folder or file of this machine may be named.
        hub_datasets: Ids of the Hub's data sets that may be named; `*` stands for any text.
        root: Where given, no file outside of this folder is taken, whatever a table says: for tables by strangers.
        buckets: Addresses of buckets are read, with the credentials of this machine: not for what strangers type.
        max_archive_mb: Largest content of an archive, unpacked, in megabytes.
        max_archive_files: Most files in an archive, whatever they are.
    """

    file_column: str = ""
    label_column: str = ""
    multi_label: bool = False
    local_paths: bool = True
    hub_datasets: tuple[str, ...] = ("*",)
    root: Path | None = None
    buckets: bool = False
    max_archive_mb: float = _MAX_ARCHIVE_MB
    max_archive_files: int = _MAX_ARCHIVE_FILES


def join_clips(sources: Sequence[LabelledClips]) -> LabelledClips:
    """Several sources as one. Names that occur twice get the name of their source in front.

    Raises:
        DataError: There are no sources, or one source is given twice.
    """
    if not sources:
        raise DataError("Expected at least one source of labelled clips.")
    seen: dict[str, int] = {}
    for source in sources:
        for clip in source.clips:
            seen[clip.name] = seen.get(clip.name, 0) + 1
    joined = [
        clip if seen[clip.name] == 1 else replace(clip, name=f"{Path(source.source).name}/{clip.name}")
        for source in sources
        for clip in source.clips
    ]
    if len({clip.name for clip in joined}) < len(joined):
        raise DataError("The same clips were given twice. Expected sources with different clips.")
    return LabelledClips(" + ".join(source.source for source in sources), tuple(joined))
