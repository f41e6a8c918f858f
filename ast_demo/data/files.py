"""The files of a source of clips, and which of them a cell of a table means."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from ast_demo.audio import AUDIO_SUFFIXES
from ast_demo.data.remote_files import RemoteFile
from ast_demo.errors import DataError

_OF_THE_SYSTEM = frozenset(
    ("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found")
)
_FILES_OF_THE_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"))
_YOUTUBE_ID = 11  # characters


@dataclass(frozen=True)
class Files:
    """Files by their names relative to where the data lie, with slashes.

    Attributes:
        names: In order, without those of the operating system.
        open: Gives a file's path, its bytes, or where it is.
        notes: What was passed over on the way, a sentence each.
        root: Folder of this machine that they lie in, if it is one and absolute paths may be named.
    """

    names: tuple[str, ...]
    open: Callable[[str], Path | bytes | RemoteFile]
    notes: tuple[str, ...] = ()
    root: Path | None = None


class TooManyFilesError(DataError):
    """A folder holds more files than are listed."""


def is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.casefold() in AUDIO_SUFFIXES


def is_of_the_system(name: str) -> bool:
    """Whether a file was left by an operating system or is hidden: `.DS_Store`, `@eaDir/…`, `Thumbs.db`, `._a.wav`."""
    parts = [part.casefold() for part in PurePosixPath(name).parts]
    return any(part.startswith(".") or part in _OF_THE_SYSTEM for part in parts) or parts[-1] in _FILES_OF_THE_SYSTEM


def files_of_folder(folder: Path, *, follow_links: bool, most: int) -> Files:
    """All files below a folder of this machine.

    Args:
        follow_links: Whether links to folders are followed. A folder is read once, however many links lead to it.
        most: Files that are listed at most.

    Raises:
        DataError: There are more.
    """
    names: list[str] = []
    notes: list[str] = []
    for name in _walk(folder, follow_links, notes):
        names.append(name)
        if len(names) > most:
            raise TooManyFilesError(f"{folder.name!r} holds more than {most:,} files. Name a folder with fewer.")
    names.sort()
    return Files(tuple(names), lambda name: folder / name, tuple(notes), folder)


def _walk(folder: Path, follow_links: bool, notes: list[str]) -> Iterator[str]:
    """Names of the files, those behind links to folders last, so that a folder is found under its own name first."""
    waiting, links, seen = [""], [""], {os.path.realpath(folder)}
    links.clear()
    while waiting or links:
        if waiting:
            inside = waiting.pop()
        else:
            inside = links.pop(0)
            real = os.path.realpath(folder / inside)
            if real in seen:
                notes.append(f"The link {inside!r} leads to a folder that is read already, and is not followed.")
                continue
            seen.add(real)
        try:
            entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"The folder {inside or '.'!r} cannot be opened: {error.strerror or error}.")
            continue
        for entry in entries:
            name = posixpath.join(inside, entry.name)
            if is_of_the_system(name):
                continue
            if entry.is_dir(follow_symlinks=False):
                seen.add(os.path.realpath(folder / name))
                waiting.append(name)
            elif entry.is_symlink() and entry.is_dir():
                if follow_links:
                    links.append(name)
                else:
                    notes.append(f"The link {name!r} leads to a folder, and is not followed here.")
            elif entry.is_file():
                yield name
            elif entry.is_symlink():
                notes.append(f"The link {name!r} leads nowhere.")


def normal(name: str) -> str:
    """A name as it is compared: composed characters, whichever way the system writes them."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Finder:
    """Finds the recording that a cell of a table means.

    Attributes:
        files: Where to look.
        audio_folder: Where the recordings lie, if that was said; "" otherwise.
        outside: Whether files of this machine outside of the data may be named by absolute paths.
    """

    files: Files
    audio_folder: str = ""
    outside: bool = False
    audio: tuple[str, ...] = field(default=())

    @cached_property
    def _exact(self) -> dict[str, str]:
        return {normal(name): name for name in self.audio}

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        return _group(self.audio, lambda name: normal(name).casefold())

    @cached_property
    def _by_last(self) -> dict[str, list[str]]:
        return _group(self.audio, lambda name: normal(PurePosixPath(name).name).casefold())

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _group(self.audio, lambda name: normal(PurePosixPath(name).stem).casefold())

    @cached_property
    def _by_video(self) -> dict[str, list[str]]:
        """By the id of a video: files of AudioSet are called `ID.wav`, `YID.wav` or `ID_30000_40000.flac`."""
        found: dict[str, list[str]] = {}
        for name in self.audio:
            stem = PurePosixPath(name).stem
            for start in (0, 1) if stem.startswith("Y") else (0,):
                rest = stem[start + _YOUTUBE_ID :]
                if len(stem) >= start + _YOUTUBE_ID and (not rest or rest[0] in "_-. "):
                    found.setdefault(stem[start : start + _YOUTUBE_ID], []).append(name)
        return found

    def find(self, written: str, folder: str, row: Mapping[str, object]) -> str | Path | None:
        """The file that is meant: its name among the files, or its path outside of them; None where there is none.

        Args:
            written: What the cell says: relative to the table, to the data or to the folder of the recordings; a name
                alone, with or without its suffix; a path of Windows; an absolute path, also that of another machine.
            folder: Where the table lies among the files.
            row: The other cells: a fold, a split or a label tells which of several files of one name is meant.

        Raises:
            DataError: Several files are meant.
        """
        path = normal(written)
        bases = dict.fromkeys((folder, "", self.audio_folder))
        for spelled in dict.fromkeys((path, path.replace("\\", "/"))):
            for base in bases:
                inside = posixpath.normpath(posixpath.join(base, spelled))
                found = self._exact.get(inside) or _only(self._folded.get(inside.casefold(), ()))
                if found is not None:
                    return found
        if self.outside and (there := _outside(written)) is not None:
            return there
        return self._by_its_end(path.replace("\\", "/"), bases, row, written)

    def _by_its_end(self, path: str, bases: Iterable[str], row: Mapping[str, object], written: str) -> str | None:
        windows, posix = PureWindowsPath(written), PurePosixPath(path)
        absolute = bool(windows.anchor) or path.startswith("~")
        parts = [part for part in posix.parts if part not in ("/", ".")]
        if ".." in parts or not parts:
            parts = [part for part in parts if part != ".."] if self.audio_folder else []
        if not parts:
            return None
        if absolute or self.audio_folder:
            for start in range(1, len(parts)):
                for base in (self.audio_folder,) if self.audio_folder else bases:
                    inside = posixpath.normpath(posixpath.join(base, *parts[start:]))
                    if inside in self._exact:
                        return self._exact[inside]
        if absolute:
            return None
        end = "/" + "/".join(parts).casefold()
        candidates = [
            name
            for name in self._by_last.get(parts[-1].casefold(), ())
            if ("/" + normal(name)).casefold().endswith(end)
        ]
        if not candidates and not is_audio(path):
            candidates = [
                name
                for name in self._by_stem.get(parts[-1].casefold(), ())
                if ("/" + normal(str(PurePosixPath(name).with_suffix("")))).casefold().endswith(end)
            ]
            if not candidates and len(path) == _YOUTUBE_ID:
                candidates = _at_the_time(self._by_video.get(path, []), row)
        if self.audio_folder:
            inside_it = [name for name in candidates if name.startswith(self.audio_folder.rstrip("/") + "/")]
            candidates = inside_it or candidates
        return _choose(candidates, row, written)


class RecordingFinder(Protocol):
    """What finds the recording that a cell of a table means: `Finder`, or `DirectFinder`."""

    @property
    def files(self) -> Files: ...

    @property
    def audio(self) -> tuple[str, ...]: ...

    def find(self, written: str, folder: str, row: Mapping[str, object]) -> str | Path | None: ...


@dataclass(frozen=True)
class DirectFinder:
    """Finds recordings by their paths alone, without a look into any folder.

    Attributes:
        files: Those beside the table.
        folder: What relative paths start from.
        root: Where given, outside of what nothing may be named.
    """

    files: Files
    folder: Path
    root: Path | None = None
    audio: tuple[str, ...] = ()

    def find(self, written: str, folder: str, row: Mapping[str, object]) -> Path | None:
        """The file of this path, if there is one.

        Raises:
            DataError: It is outside of the root.
        """
        try:
            path = self.folder / Path(written).expanduser()
            if self.root is not None and not path.resolve().is_relative_to(self.root.resolve()):
                raise DataError(f"names the file {written!r}, which is outside of the data's folder.")
            return path if path.is_file() else None
        except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a zero byte
            return None


def make_finder(files: Files, *, audio_folder: str = "", outside: bool = False) -> Finder:
    """A finder of recordings among the files.

    Args:
        audio_folder: Where they lie: a folder among the files, or, where `outside` is allowed, one of this machine.

    Raises:
        DataError: There is no such folder.
    """
    audio = tuple(name for name in files.names if is_audio(name))
    if not audio_folder:
        return Finder(files, "", outside, audio)
    inside = normal(posixpath.normpath(audio_folder.replace("\\", "/")))
    if inside == "." or any(normal(name).startswith(inside + "/") for name in files.names):
        return Finder(files, "" if inside == "." else inside, outside, audio)
    if outside:
        for folder in (Path(audio_folder).expanduser(), *([files.root / audio_folder] if files.root else [])):
            if folder.is_dir():
                both = _with_folder(files, folder)
                return Finder(both, folder.name, outside, tuple(name for name in both.names if is_audio(name)))
    raise DataError(f"There is no folder {audio_folder!r} with recordings in the data. Name it relative to them.")


def _with_folder(files: Files, folder: Path) -> Files:
    """The files and those of another folder, under its name."""
    more = files_of_folder(folder, follow_links=True, most=10**7)
    paths = {posixpath.join(folder.name, name): folder / name for name in more.names}
    names = (*files.names, *(name for name in paths if name not in set(files.names)))
    return replace(files, names=names, open=lambda name: paths[name] if name in paths else files.open(name))


def _outside(written: str) -> Path | None:
    try:
        path = Path(written).expanduser()
        return path if path.is_absolute() and path.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _group(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return found


def _only(names: Iterable[str]) -> str | None:
    found = list(names)
    return found[0] if len(found) == 1 else None


def _at_the_time(names: list[str], row: Mapping[str, object]) -> list[str]:
    """Of several pieces of a video, the one that begins when the row says, by a number in its name."""
    if len(names) < 2:
        return names
    starts = [float(str(value)) for value in row.values() if re.fullmatch(r"\d+(\.\d+)?", str(value))]
    told = {number for start in starts for number in (str(int(start)), str(int(start * 1000)))}
    first = {name: re.findall(r"\d+", PurePosixPath(name).stem.lstrip("Y")[_YOUTUBE_ID:])[:1] for name in names}
    return [name for name in names if set(first[name]) & told] or names


def _choose(names: list[str], row: Mapping[str, object], written: str) -> str | None:
    """Of several files of one name, the one that lies in a folder that the row names: `fold3`, `train`, a label."""
    if len(names) > 1:
        cells = {str(value).casefold() for value in row.values() if isinstance(value, str) and value}
        told = cells | {f"{key}{value}".casefold() for key, value in row.items() if isinstance(value, str)}
        fitting = [name for name in names if {part.casefold() for part in PurePosixPath(name).parts[:-1]} & told]
        names = fitting if len(fitting) == 1 else names
    if len(names) > 1:
        raise DataError(
            f"{written!r} may be any of {len(names)} files, such as {names[0]} and {names[1]}. "
            "Write the folder, too, or name the folder of the recordings."
        )
    return names[0] if names else None
