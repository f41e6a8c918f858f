"""The one folder for what visitors upload and get: things in it are deleted by age, and all of it in the end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ast_demo.settings import Settings

_PREFIX, _LOCK = "ast-demo-run-", "in-use.lock"
UPLOADS = "uploads"  # in the folder: what visitors send, a folder each
_LOOKED_S = 2.0  # seconds for which the size of everything is believed
_SHARE = 0.5  # of all that is kept that one visitor's uploads may take
VIEWERS = "ast-demo-viewer-"  # how the folders of viewers begin, which delete theirs themselves


@contextlib.contextmanager
def visitors_folder(settings: Settings) -> Iterator[Path]:
    """A new folder that Python's `tempfile` uses meanwhile; deleted at the end, whatever ended it but SIGKILL.

    What a program that was killed has left behind is deleted first. While the folder is there, what is in it goes
    once it is older than `settings.kept_s`, and the oldest first where all takes more than `settings.kept_mb`.
    """
    import filelock

    delete_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = filelock.FileLock(folder / _LOCK)
    lock.acquire()  # let go by the system when the program ends, however it ends
    (folder / UPLOADS).mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    ended = threading.Event()
    threading.Thread(target=_watch, args=[folder, settings, ended], daemon=True).start()
    try:
        yield folder
    finally:
        ended.set()
        tempfile.tempdir = before
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def delete_left_behind() -> None:
    """Delete the folders of programs of this user that have ended without doing so."""
    import filelock

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = filelock.FileLock(folder / _LOCK)
        try:
            if not (folder / _LOCK).is_file():  # it is being made just now, or is not ours
                continue
            lock.acquire(timeout=0)
        except (filelock.Timeout, OSError):
            continue
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def delete_old(folder: Path, kept_s: float, kept_mb: float) -> None:
    """Delete what has not changed for longer than this, then the oldest until the rest takes no more than that."""
    found = sorted((_newest_and_size(path), path) for path in _things_in(folder))
    total = sum(size for (_, size), _ in found)
    for (newest, size), path in found:
        if time.time() - newest <= kept_s and total <= kept_mb * 1e6:
            return
        _delete(path)
        total -= size


class NoRoomError(Exception):
    """There is no room for an upload. Its text is the sentence for whoever sent it."""


class Room:
    """What uploads may take on the disk, counted when they come. Safe to use from several threads.

    The oldest things go to make room, as in `delete_old`; but nobody, by address, gets more than a half of all.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._coming = 0  # bytes of uploads on their way
        self._there = 0.0  # bytes in the folder when it was last looked at, and of uploads that have come since
        self._looked = -_LOOKED_S
        self._of: dict[str, deque[tuple[float, int]]] = {}  # by address: when, and how many bytes
        self._lock = threading.Lock()

    def claim(self, address: str, n_bytes: int) -> None:
        """Make room for an upload of up to so many bytes; `settle` it when it has come or not.

        Raises:
            NoRoomError: There is none, or this address has had its share.
        """
        most = self._settings.kept_mb * 1e6
        with self._lock:
            taken = self._taken_by(address)
            if taken + n_bytes > most * _SHARE:
                raise NoRoomError(
                    f"There is no room for {n_bytes / 1e6:.1f} MB more: your uploads take {taken / 1e6:.1f} of the "
                    f"{most * _SHARE / 1e6:g} MB that one visitor may keep here. They are deleted after "
                    f"{self._settings.kept_s / 60:g} minutes."
                )
            now = time.monotonic()
            if self._there + self._coming + n_bytes > most or now - self._looked > _LOOKED_S:
                delete_old(self._folder, self._settings.kept_s, (most - self._coming - n_bytes) / 1e6)
                self._there = sum(size for _, size in map(_newest_and_size, _things_in(self._folder)))
                self._looked = now
            if self._there + self._coming + n_bytes > most:
                raise NoRoomError(f"There is no room for {n_bytes / 1e6:.1f} MB now. Try again in a minute.")
            self._coming += n_bytes
            self._of.setdefault(address, deque()).append((now, n_bytes))

    def settle(self, address: str, claimed: int, n_bytes: int) -> None:
        """An upload that was claimed has come, with so many bytes, or has been broken off."""
        with self._lock:
            self._coming -= claimed
            self._there += n_bytes
            entries = self._of.get(address, deque())
            for place, (when, claim) in enumerate(entries):
                if claim == claimed:
                    entries[place] = (when, n_bytes)
                    return

    def _taken_by(self, address: str) -> int:
        """Bytes that somebody has uploaded and that are not yet old."""
        until = time.monotonic() - self._settings.kept_s
        for name in list(self._of):
            while self._of[name] and self._of[name][0][0] < until:
                self._of[name].popleft()
            if not self._of[name]:
                del self._of[name]
        return sum(n_bytes for _, n_bytes in self._of.get(address, ()))


def _things_in(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name == UPLOADS:
            yield from path.iterdir()
        elif path.name != _LOCK and not path.name.startswith(VIEWERS):
            yield path


def _newest_and_size(path: Path) -> tuple[float, int]:
    """Time of the last change of anything in a folder, and the bytes in it."""
    newest, size = 0.0, 0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):  # deleted meanwhile
            status = one.lstat()
            newest, size = max(newest, status.st_mtime), size + status.st_size
    return newest, size


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _watch(folder: Path, settings: Settings, ended: threading.Event) -> None:
    while not ended.wait(min(30.0, settings.kept_s / 4)):
        with contextlib.suppress(OSError):  # something went while it was looked at: next time
            delete_old(folder, settings.kept_s, settings.kept_mb)
