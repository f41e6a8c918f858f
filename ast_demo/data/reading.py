"""Labelled clips from a folder, an archive, a manifest or a Hub data set. Nothing is decoded here.

What is accepted, as 🤗 Datasets' `audiofolder` has it:

- a folder per label, perhaps inside a folder per split (`train`, `validation`, `test`);
- a folder with a `metadata.csv` or `metadata.jsonl`, one row for each file;
- such a table alone, with paths relative to where it lies;
- a `.zip` of any of these;
- the id of a data set on the Hugging Face Hub: `name[:config][@split]`;
- where it is allowed, the address of such a folder in a bucket (`s3://`, `gs://` ...);
- `samples`: the clips that come with this program.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ast_demo.data.remote_files import RemoteFile, is_bucket, list_files
from ast_demo.data.samples import SAMPLES_FOLDER
from ast_demo.errors import DataError
from ast_demo.settings import Settings, is_allowed

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".aif", ".aiff", ".aifc")
)
SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "test", "eval")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "audio")
LABEL_COLUMNS = ("label", "labels", "category", "class", "target", "word")
LABEL_SEPARATOR = ";"  # between the labels of one clip, in a cell of a table
_TABLES = ("metadata.csv", "metadata.jsonl")
_HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(:(?P<config>[\w.+-]+))?(@(?P<split>[\w.+-]+))?")
_MAX_ARCHIVE_MB = 4000.0
_MAX_ARCHIVE_FILES = 100_000
_LONGEST_END = 65_535 + 22 + 20  # bytes at an archive's end that its last records can take, with a comment
_LONGEST_ENTRY = 1000  # bytes of a file's entry in an archive's directory, on average, that still are no attack
# Others unpack without a bound on what comes out, whatever size the archive states.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


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


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order that a person expects: 2 before 10, and words by the alphabet."""
    return tuple(
        sorted(
            set(labels), key=lambda label: [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in _parts(label)]
        )
    )


def _parts(label: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", label) if part]


def read_labelled_clips(data: str | Path, options: ReadingOptions | None = None) -> LabelledClips:
    """Find labelled clips: a folder, a table, an archive, a Hub data set, or `samples` (see this file's head).

    Raises:
        DataError: There is no such thing; it holds no clips; its table lacks a column, a file or a label.
    """
    options = options or ReadingOptions()
    text = str(data).strip()
    if text == "samples":
        clips = _read_files(_files_of_folder(SAMPLES_FOLDER), SAMPLES_FOLDER.name, options)
    elif options.buckets and is_bucket(text):
        remote = list_files(text)
        names = tuple(name for name in remote if not _is_hidden(name))
        clips = _read_files(_Files(names, remote.__getitem__), text, options)
    elif options.local_paths and (path := _existing(text)):
        clips = _read_path(path, options)
    elif not _HUB_ID.fullmatch(text) or text.lower().endswith((".zip", ".csv", ".jsonl")):
        files = "a folder, a .csv or .jsonl table, a .zip archive, " if options.local_paths else ""
        raise DataError(
            f"There is nothing at {text[:200]!r}. Expected {files}"
            "the id of a Hub data set (name[:config][@split]), or 'samples'."
        )
    else:
        clips = _read_hub(text, options)
    return LabelledClips(text, tuple(clips))


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
    options = replace(
        options or ReadingOptions(),
        buckets=False,
        local_paths=settings.local_paths,
        hub_datasets=settings.hub_datasets,
        max_archive_mb=settings.max_archive_mb,
        max_archive_files=settings.max_archive_files,
    )
    if upload is None:
        return read_labelled_clips(named, options)
    path = Path(upload)
    if path.suffix.lower() != ".zip" or not path.is_file():
        raise DataError(f"{path.name!r} is no ZIP archive. Expected one with a folder for each label.")
    return LabelledClips(path.name, tuple(_read_archive(path, options)))


def _existing(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user, a zero byte
        return None


def _read_path(path: Path, options: ReadingOptions) -> list[LabelledClip]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_files(_files_of_folder(path), path.name, options)
    if suffix == ".zip":
        return _read_archive(path, options)
    if suffix in (".csv", ".jsonl"):
        return _read_manifest(path, options)
    raise DataError(f"{str(path)!r} is neither a folder, nor a .csv or .jsonl table, nor a .zip archive.")


def read_label_map(path: str | Path) -> dict[str, str]:
    """A CSV of two columns without a header: a label of the data, and what the checkpoints call it.

    Raises:
        DataError: It cannot be read, or a row has not two cells.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The label map {str(path)!r} cannot be read: {error}.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise DataError(f"Row {number} of the label map {str(path)!r} has {len(row)} cells. Expected two.")
    return {name.strip(): other.strip() for name, other in rows}


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


# A source of files is a list of relative names and a function that gives a file's path, its bytes, or where it is.
_Opener = Callable[[str], Path | bytes | RemoteFile]


@dataclass(frozen=True)
class _Files:
    names: tuple[str, ...]
    open: _Opener


def _files_of_folder(folder: Path) -> _Files:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return _Files(tuple(name for name in names if not _is_hidden(name)), lambda name: folder / name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _read_archive(path: Path, options: ReadingOptions) -> list[LabelledClip]:
    """An archive's clips, as bytes: nothing is written to the disk, so no name in it can do harm."""
    try:
        _check_directory(path, options.max_archive_files)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = {_name_inside(info.filename, path.name): info for info in infos if not info.is_dir()}
            wanted = {
                name: info
                for name, info in names.items()
                if not _is_hidden(name) and (_is_audio(name) or PurePosixPath(name).name in _TABLES)
            }
            total_mb = sum(info.file_size for info in wanted.values()) / 1e6
            if total_mb > options.max_archive_mb:
                raise DataError(
                    f"{path.name!r} holds {total_mb:.0f} MB of clips; at most {options.max_archive_mb:g} MB are read from an archive."
                )
            contents = {name: _unpack(archive, info) for name, info in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).rstrip(".") or "it ends too early"
        raise DataError(f"{path.name!r} cannot be unpacked: {reason}.") from None
    # An archive of a folder holds that folder: look inside.
    roots = {PurePosixPath(name).parts[0] for name in contents if len(PurePosixPath(name).parts) > 1}
    only = roots.pop() if len(roots) == 1 and all("/" in name for name in contents) else ""
    if only and any(len(PurePosixPath(name).parts) > 2 or PurePosixPath(name).name in _TABLES for name in contents):
        contents = {name[len(only) + 1 :]: content for name, content in contents.items()}
    return _read_files(_Files(tuple(sorted(contents)), contents.__getitem__), path.name, options)


def _check_directory(path: Path, most: int) -> None:
    """Refuse an archive with too many files before its directory is read: each entry takes memory, if it is empty too.

    Both numbers come from the archive's last record (PKWARE's APPNOTE, 4.3.14 to 4.3.16), and may lie; but as many
    bytes are read as it tells, and no entry takes fewer than 46.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_END))
        end = file.read()
        place = end.rfind(b"PK\5\6")
        if place < 0 or place + 22 > len(end):
            raise zipfile.BadZipFile("it is no ZIP archive, or its end is missing")
        n_files, n_bytes = struct.unpack("<HL", end[place + 10 : place + 16])
        if n_files == 0xFFFF or n_bytes == 0xFFFFFFFF:  # told in a larger record, whose place a smaller one tells
            if end[place - 20 : place - 16] != b"PK\6\7":
                raise zipfile.BadZipFile("its end is damaged")
            file.seek(int.from_bytes(end[place - 12 : place - 4], "little") % (size + 1))
            record = file.read(56)
            if len(record) < 56 or record[:4] != b"PK\6\6":
                raise zipfile.BadZipFile("its end is damaged")
            n_files, n_bytes = struct.unpack("<QQ", record[32:48])
    if n_files > most or n_bytes > most * _LONGEST_ENTRY:
        raise DataError(
            f"{path.name!r} holds {max(n_files, n_bytes // _LONGEST_ENTRY):,} files; "
            f"at most {most:,} are read from an archive."
        )


def _name_inside(name: str, archive: str) -> str:
    """A name in an archive, with slashes, however the program that wrote it separates folders."""
    path = PureWindowsPath(name)  # knows both separators, and drives
    if path.anchor or ".." in path.parts:
        raise DataError(f"{archive!r} names the file {name!r}, which is outside of the archive.")
    return path.as_posix()


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A file of an archive. No more is unpacked than the size that the archive states for it."""
    if info.compress_type not in _COMPRESSIONS:
        raise NotImplementedError(f"{info.filename!r} is compressed in another way than by 'deflate'")
    with archive.open(info) as file:
        content = file.read(info.file_size)
    if len(content) < info.file_size:
        raise EOFError
    return content


def _read_files(files: _Files, where: str, options: ReadingOptions) -> list[LabelledClip]:
    tables = [name for name in files.names if PurePosixPath(name).name in _TABLES]
    top = [name for name in tables if "/" not in name]
    tables = top or [name for name in tables if PurePosixPath(name).parent.as_posix() in SPLIT_NAMES]
    if tables:
        return [clip for table in tables for clip in _read_table(files, table, where, options)]
    clips = []
    for name in files.names:
        parts = PurePosixPath(name).parts
        if not _is_audio(name) or len(parts) < 2:
            continue
        columns = {"split": parts[0]} if len(parts) > 2 and parts[0] in SPLIT_NAMES else {}
        clips.append(LabelledClip(name, files.open(name), (parts[-2],), columns))
    if not clips:
        raise DataError(
            f"{where!r} holds no labelled clips. Expected a folder for each label with recordings in it, "
            f"or a {' or '.join(_TABLES)} with the columns 'file_name' and 'label'."
        )
    return clips


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _read_table(files: _Files, table: str, where: str, options: ReadingOptions) -> list[LabelledClip]:
    content = files.open(table)
    if not isinstance(content, bytes):
        content = content.read_bytes() if isinstance(content, Path) else content.read()
    folder = PurePosixPath(table).parent
    known = set(files.names)
    clips = []
    for number, row in _rows(content, table):
        name, labels, columns = _read_row(row, number, table, options)
        full = (folder / name).as_posix()
        if full not in known:
            raise DataError(f"Row {number} of {where}/{table} names the file {name!r}, which is not there.")
        if folder.as_posix() in SPLIT_NAMES:
            columns.setdefault("split", folder.as_posix())
        clips.append(LabelledClip(full, files.open(full), labels, columns))
    return _checked(clips, f"{where}/{table}")


def _read_manifest(path: Path, options: ReadingOptions) -> list[LabelledClip]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from None
    clips = []
    for number, row in _rows(content, path.name):
        name, labels, columns = _read_row(row, number, path.name, options)
        file = path.parent / Path(name).expanduser()
        if options.root is not None and not file.resolve().is_relative_to(options.root.resolve()):
            raise DataError(
                f"Row {number} of {path.name} names the file {name!r}, which is outside of the data's folder."
            )
        if not file.is_file():
            raise DataError(f"Row {number} of {path.name} names the file {name!r}, which is not there.")
        clips.append(LabelledClip(name, file, labels, columns))
    return _checked(clips, path.name)


def _checked(clips: list[LabelledClip], where: str) -> list[LabelledClip]:
    if not clips:
        raise DataError(f"{where} has no rows. Expected one for each clip.")
    seen: set[str] = set()
    for clip in clips:
        if clip.name in seen:
            raise DataError(f"{where} names the file {clip.name!r} twice.")
        seen.add(clip.name)
    return clips


def _rows(content: bytes, table: str) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a CSV or JSON lines table, with their line numbers."""
    try:
        text = content.decode("utf-8-sig")
        if table.endswith(".jsonl"):
            rows = [(i, json.loads(line)) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
            if not all(isinstance(row, dict) for _, row in rows):
                raise ValueError("a line is no JSON object")
            return rows
        return list(enumerate(csv.DictReader(io.StringIO(text), strict=True), start=2))
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as a UTF-8 table: {error}.") from None


def _read_row(
    row: dict[str, Any], number: int, table: str, options: ReadingOptions
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """File, labels and the other columns of a row."""
    file_column = _find_column(row, options.file_column, FILE_COLUMNS, "the file", table)
    label_column = _find_column(row, options.label_column, LABEL_COLUMNS, "the label", table)
    name = str(row[file_column] or "").strip()
    if not name:
        raise DataError(f"Row {number} of {table} names no file.")
    labels = _read_labels(row[label_column], options)
    if not labels and not options.multi_label:
        raise DataError(f"Row {number} of {table} ({name!r}) has no label.")
    if len(labels) > 1 and not options.multi_label:
        raise DataError(
            f"Row {number} of {table} ({name!r}) has {len(labels)} labels, but one is expected. Say that the data are multi-label."
        )
    others = {str(k): str(v) for k, v in row.items() if k not in (None, file_column, label_column) and v is not None}
    return name, labels, others


def _find_column(row: Mapping[str, Any], asked: str, usual: Sequence[str], what: str, table: str) -> str:
    for column in (asked,) if asked else usual:
        if column in row:
            return column
    expected = repr(asked) if asked else "one of " + ", ".join(usual)
    found = ", ".join(str(column) for column in row if column is not None) or "none"
    raise DataError(f"{table} has no column for {what}: expected {expected}; the columns are {found}.")


def _read_labels(cell: Any, options: ReadingOptions) -> tuple[str, ...]:
    if isinstance(cell, list | tuple):
        parts = [str(part).strip() for part in cell]
    elif options.multi_label:
        parts = [part.strip() for part in str("" if cell is None else cell).split(LABEL_SEPARATOR)]
    else:
        parts = [str("" if cell is None else cell).strip()]
    return tuple(dict.fromkeys(part for part in parts if part))


def _read_hub(text: str, options: ReadingOptions) -> list[LabelledClip]:
    """Clips of a Hub data set, undecoded: its audio column gives bytes or paths."""
    import datasets

    parts = _HUB_ID.fullmatch(text)
    assert parts is not None  # the caller has looked
    name, config, split = parts["name"], parts["config"], parts["split"]
    if not is_allowed(name, options.hub_datasets):
        allowed = ", ".join(options.hub_datasets) or "none"
        raise DataError(
            f"{name[:100]!r} is not evaluated on here. Of the Hugging Face Hub's data sets, these are: {allowed}."
        )
    try:
        loaded = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the library and the network raise many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"The data set {text!r} cannot be loaded: {reason.rstrip('.')}.") from error
    parts_by_split = {split: loaded} if split else dict(loaded)
    return [clip for key, part in parts_by_split.items() for clip in clips_of_dataset(part, key, text, options)]


def clips_of_dataset(dataset: Any, split: str | None, where: str, options: ReadingOptions) -> list[LabelledClip]:
    """Clips of a loaded 🤗 `Dataset`.

    Raises:
        DataError: It has no column of audio or of labels.
    """
    import datasets

    features = dataset.features
    audio = [name for name, feature in features.items() if isinstance(feature, datasets.Audio)]
    usual_audio = [name for name in FILE_COLUMNS if name in audio] or audio
    file_column = _find_column(
        dict.fromkeys(audio), options.file_column, usual_audio or FILE_COLUMNS, "the audio", where
    )
    label_column = _find_column(features, options.label_column, LABEL_COLUMNS, "the label", where)
    feature = features[label_column]
    inner = getattr(feature, "feature", feature)
    names = inner.names if isinstance(inner, datasets.ClassLabel) else None
    dataset = dataset.cast_column(file_column, datasets.Audio(decode=False))
    clips = []
    for i, row in enumerate(dataset):
        cell = row[label_column]
        if names is not None:
            cell = [names[k] for k in cell] if isinstance(cell, list) else names[cell]
        labels = _read_labels(cell, options)
        if len(labels) != 1 and not options.multi_label:
            raise DataError(
                f"Row {i} of {where} has {len(labels)} labels, but one is expected. Say that the data are multi-label."
            )
        sound = row[file_column]
        name = (
            f"{split or 'all'}/{i:06d}-{Path(sound['path']).name}" if sound.get("path") else f"{split or 'all'}/{i:06d}"
        )
        source = sound["bytes"] if sound.get("bytes") else Path(sound["path"])
        columns = {
            k: str(v)
            for k, v in row.items()
            if k not in (file_column, label_column) and isinstance(v, str | int | bool)
        }
        if split:
            columns.setdefault("split", split)
        clips.append(LabelledClip(name, source, labels, columns))
    return clips
