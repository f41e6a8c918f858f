"""Clips of an archive."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ast_demo.data.clips import LabelledClip, ReadingOptions
from ast_demo.data.tables import _TABLES, _Files, _is_audio, _is_hidden, _read_files
from ast_demo.errors import DataError

_LONGEST_END = 65_535 + 22 + 20  # bytes at an archive's end that its last records can take, with a comment
_LONGEST_ENTRY = 1000  # bytes of a file's entry in an archive's directory, on average, that still are no attack
# Others unpack without a bound on what comes out, whatever size the archive states.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


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
