"""Clips and their labels, and how the data that they come from were understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ast_demo.data.labels import (
    LABEL_SEPARATOR,
    apply_map,
    list_some,
    match_key,
    merge_spellings,
    sort_labels,
)
from ast_demo.data.remote_files import RemoteFile
from ast_demo.data.splits import known_split
from ast_demo.data.tables import TableLimits, table_limits
from ast_demo.errors import DataError
from ast_demo.settings import Settings

_MAX_FOLDER_FILES = 5_000_000
_MOST_LABELS_SHOWN = 20


@dataclass(frozen=True)
class LabelledClip:
    """A clip and what it is.

    Attributes:
        name: File name within the data, for people; unique there.
        source: Path of the file, its bytes, or where it is.
        labels: What is heard in it: one label, or several where the data are multi-label.
        columns: What else the data say of it (fold, speaker, split ...).
        start_s, end_s: The part of the recording that is the clip, in seconds; None: to its end.
    """

    name: str
    source: Path | bytes | RemoteFile
    labels: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def label(self) -> str:
        """The label of a clip that has one; several are joined."""
        return LABEL_SEPARATOR.join(self.labels)

    @property
    def content(self) -> Path | bytes:
        """The whole recording, as `read_audio` takes it. Raises AudioError where a file in a bucket cannot be read."""
        return self.source.read() if isinstance(self.source, RemoteFile) else self.source


@dataclass(frozen=True)
class Understanding:
    """How a source of clips was understood, for people to check before anything is computed.

    Attributes:
        labels_from: Which folder, column or part of the names the labels come from; a phrase.
        splits_from: The same of the splits; empty where the data have none.
        left_out: What is not used, and why, a sentence each.
        notes: What else was decided on the way, a sentence each.
        choices: What `ReadingOptions.label_from` may be here instead: `folder`, or a column.
    """

    labels_from: str = ""
    splits_from: str = ""
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledClips:
    """Clips in the order of the data, where they come from, and how that was understood."""

    source: str
    clips: tuple[LabelledClip, ...]
    understanding: Understanding = field(default_factory=Understanding)

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
        audio_folder: Where the recordings of a table lie, if they are not found without.
        label_from: What the label is: `folder`, the name of a column, or a pattern on the file's name such as
            `{label}_{speaker}_{index}`, where `*` stands for any text. Empty: told from the data.
        table_limits: How large a table may be.
        max_folder_files: Most files in a folder.
    """

    file_column: str = ""
    label_column: str = ""
    multi_label: bool = False
    local_paths: bool = True
    hub_datasets: tuple[str, ...] = ("*",)
    root: Path | None = None
    buckets: bool = False
    max_archive_mb: float = Settings.max_archive_mb
    max_archive_files: int = Settings.max_archive_files
    audio_folder: str = ""
    label_from: str = ""
    table_limits: TableLimits = field(default_factory=TableLimits)
    max_folder_files: int = _MAX_FOLDER_FILES

    @property
    def outside(self) -> bool:
        """Whether a table may name files of this machine by absolute paths, and links to folders are followed."""
        return self.local_paths and self.root is None

    def within(self, settings: Settings) -> ReadingOptions:
        """The same, bounded by what a running program allows."""
        return replace(
            self,
            local_paths=settings.local_paths,
            hub_datasets=settings.hub_datasets,
            max_archive_mb=settings.max_archive_mb,
            max_archive_files=settings.max_archive_files,
            table_limits=table_limits(settings),
        )


def describe_clips(clips: LabelledClips) -> list[str]:
    """How the data were understood, in sentences, before anything is computed: how many clips of which labels, where
    the labels and the splits come from, what was left out and why."""
    known = clips.understanding
    counts = Counter(label for clip in clips.clips for label in clip.labels)
    n_clips, labels = len(clips.clips), clips.labels
    listed = [f"{label} {counts[label]:,}" for label in labels]
    sentences = [
        f"{clips.source}: {n_clips:,} {'clip' if n_clips == 1 else 'clips'} of {len(labels):,} "
        f"{'label' if len(labels) == 1 else 'labels'}: {_first(listed, _MOST_LABELS_SHOWN)}."
    ]
    if known.labels_from:
        several = ", several to a clip" if clips.multi_label else ""
        sentences.append(f"Labels come from {known.labels_from}{several}.")
    splits = Counter(_split_of(clip) for clip in clips.clips if "split" in clip.columns)
    if splits:
        listed = [f"{name} {count:,}" for name, count in splits.items()]
        origin = f", from {known.splits_from}" if known.splits_from else ""
        sentences.append(f"Splits{origin}: {_first(listed, _MOST_LABELS_SHOWN)}.")
    else:
        sentences.append("Splits: none.")
    columns = dict.fromkeys(name for clip in clips.clips for name in clip.columns if name != "split")
    if columns:
        sentences.append(f"Kept beside them: {_first(list(columns), 10)}.")
    return [
        *sentences,
        *(f"Left out: {sentence}" for sentence in known.left_out),
        *(f"Note: {sentence}" for sentence in known.notes),
    ]


def _first(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _split_of(clip: LabelledClip) -> str:
    name = clip.columns["split"]
    return known_split(name) or f"{name!r}, which is no known split:"


def map_labels(clips: LabelledClips, label_map: Mapping[str, str]) -> LabelledClips:
    """Clips with their labels as a map calls them; clips whose labels are all dropped are left out.

    Args:
        label_map: As `read_label_map` gives it: the name of a label, or "" to drop it.

    Raises:
        DataError: No clip is left.
    """
    if not label_map:
        return clips
    by_key = {match_key(name): other for name, other in label_map.items()}
    kept, dropped = [], Counter[str]()
    for clip in clips.clips:
        labels = apply_map(clip.labels, by_key)
        if clip.labels and not labels:
            dropped.update(clip.labels)
        else:
            kept.append(replace(clip, labels=labels))
    if not kept:
        raise DataError("The label map drops every clip. Expected a map that leaves some labels.")
    have = {match_key(label) for clip in clips.clips for label in clip.labels}
    unused = [name for name in label_map if match_key(name) not in have]
    notes = (f"The data do not have these labels of the label map: {list_some(unused)}.",) if unused else ()
    left_out = tuple(
        f"{count:,} clips of {label!r}, which the label map drops." for label, count in sorted(dropped.items())
    )
    known = clips.understanding
    return one_spelling(
        LabelledClips(
            clips.source,
            tuple(kept),
            replace(known, left_out=(*known.left_out, *left_out), notes=(*known.notes, *notes)),
        )
    )


def spell_labels(clips: LabelledClips, names: Sequence[str]) -> LabelledClips:
    """Clips with each label that matches one of the names spelled as that name; others stay as they are."""
    by_key = {match_key(name): name for name in reversed(names)}
    known = set(names)  # of two names that match each other, the one that is written is meant
    respelled = tuple(
        replace(clip, labels=tuple(dict.fromkeys(_spell(label, known, by_key) for label in clip.labels)))
        for clip in clips.clips
    )
    return replace(clips, clips=respelled)


def _spell(label: str, known: set[str], by_key: Mapping[str, str]) -> str:
    return label if label in known else by_key.get(match_key(label), label)


def one_spelling(clips: LabelledClips) -> LabelledClips:
    """Clips whose labels are spelled in one way each, and a note of those that were not."""
    spelled, notes = merge_spellings(label for clip in clips.clips for label in clip.labels)
    if not notes:
        return clips
    merged = tuple(
        replace(clip, labels=tuple(dict.fromkeys(spelled[label] for label in clip.labels))) for clip in clips.clips
    )
    known = clips.understanding
    return LabelledClips(clips.source, merged, replace(known, notes=(*known.notes, *notes)))


def join_clips(sources: Sequence[LabelledClips]) -> LabelledClips:
    """Several sources as one. Names that occur twice get the name of their source in front.

    Raises:
        DataError: There are no sources, or one source is given twice.
    """
    if not sources:
        raise DataError("Expected at least one source of labelled clips.")
    if len(sources) == 1:
        return sources[0]
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
    every = [source.understanding for source in sources]
    together = Understanding(
        labels_from=", and ".join(dict.fromkeys(one.labels_from for one in every if one.labels_from)),
        splits_from=", and ".join(dict.fromkeys(one.splits_from for one in every if one.splits_from)),
        left_out=tuple(sentence for one in every for sentence in one.left_out),
        notes=tuple(sentence for one in every for sentence in one.notes),
    )
    return one_spelling(LabelledClips(" + ".join(source.source for source in sources), tuple(joined), together))
