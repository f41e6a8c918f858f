"""Labelled clips from a ZIP archive. Nothing is written to the disk."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ast_demo.data.clips import LabelledClips, ReadingOptions
from ast_demo.data.files import Files, is_audio, is_of_the_system
from ast_demo.data.layouts import read_files
from ast_demo.data.table_clips import METADATA
from ast_demo.data.tables import TABLE_SUFFIXES, TableLimits
from ast_demo.errors import DataError

_LONGEST_END = 65_535 + 22 + 20  # bytes at an archive's end that its last records can take, with a comment
_LONGEST_ENTRY = 1000  # bytes of a file's entry in an archive's directory, on average, that still are no attack
# Others unpack without a bound on what comes out, whatever size the archive states.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TEXTS = (*TABLE_SUFFIXES, ".txt", ".lst", ".json")


def read_archive(path: Path, options: ReadingOptions) -> LabelledClips:
    """An archive's clips, as bytes: nothing is written to the disk, so no name in it can do harm.

    Raises:
        DataError: It is no archive that can be unpacked, exceeds a limit, or holds no clips.
    """
    try:
        _check_directory(path, options.max_archive_files)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = {_name_inside(info.filename, path.name): info for info in infos if not info.is_dir()}
            names = {name: info for name, info in names.items() if not is_of_the_system(name)}
            wanted = {
                name: info
                for name, info in names.items()
                if is_audio(name) or (name.casefold().endswith(_TEXTS) and _is_short(info, options.table_limits))
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
    only = _folder_around(sorted(contents))
    contents = {name[len(only) :]: content for name, content in contents.items()}
    inside = tuple(sorted(name[len(only) :] for name in names if name.startswith(only)))
    return read_files(Files(inside, contents.__getitem__), path.name, options)


def _is_short(info: zipfile.ZipInfo, limits: TableLimits) -> bool:
    """Whether a text is unpacked. A table that is too large is an error, as something would be missing without a word."""
    if info.file_size <= limits.mb * 1e6:
        return True
    if info.filename.casefold().endswith(TABLE_SUFFIXES):
        raise DataError(
            f"{info.filename} has {info.file_size / 1e6:.1f} MB; tables of at most {limits.mb:g} MB are read."
        )
    return False


def _folder_around(names: list[str]) -> str:
    """The folder that an archive of a folder holds, with a slash; "" where the names begin with what they mean."""
    roots = {PurePosixPath(name).parts[0] for name in names}
    if len(roots) != 1 or not all("/" in name for name in names):
        return ""
    inside = any(
        len(PurePosixPath(name).parts) > 2 or PurePosixPath(name).name.casefold() in METADATA for name in names
    )
    return roots.pop() + "/" if inside else ""


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
