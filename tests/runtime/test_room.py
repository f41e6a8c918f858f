"""What uploads may take on the disk."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ast_demo.runtime import UPLOADS, NoRoomError, Room
from ast_demo.settings import Settings

SETTINGS = replace(Settings(), kept_mb=10.0, kept_s=600.0)
MB = 1_000_000


def room_in(folder: Path, settings: Settings = SETTINGS) -> Room:
    (folder / UPLOADS).mkdir(exist_ok=True)
    return Room(folder, settings)


def put(folder: Path, name: str, megabytes: int, age_s: float = 0.0) -> Path:
    path = folder / UPLOADS / name / "a.wav"
    path.parent.mkdir()
    path.write_bytes(bytes(megabytes * MB))
    for one in (path, path.parent):
        os.utime(one, (time.time() - age_s,) * 2)
    return path


def come(room: Room, folder: Path, address: str, name: str, megabytes: int) -> Path:
    room.claim(address, megabytes * MB)
    path = put(folder, name, megabytes)
    room.settle(address, megabytes * MB, megabytes * MB)
    return path


def test_nobody_takes_more_than_half(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    come(room, tmp_path, "6.6.6.6", "a", 3)
    come(room, tmp_path, "6.6.6.6", "b", 2)
    with pytest.raises(
        NoRoomError, match=r"no room for 1\.0 MB more: your uploads take 5\.0 of the 5 MB .* after 10 min"
    ):
        room.claim("6.6.6.6", MB)
    room.claim("1.1.1.1", 4 * MB)


def test_what_comes_at_once_is_counted_at_once(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    for number in range(2):
        room.claim(f"1.1.1.{number}", 5 * MB)
    with pytest.raises(NoRoomError, match="Try again in a minute"):
        room.claim("1.1.1.9", MB)
    room.settle("1.1.1.0", 5 * MB, 0)  # it has been broken off
    room.claim("1.1.1.9", MB)
    room.claim("1.1.1.0", MB)  # and does not count for whoever sent it


def test_the_oldest_goes_to_make_room(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    old, new = put(tmp_path, "old", 4, age_s=100), put(tmp_path, "new", 4, age_s=10)
    room.claim("1.1.1.1", 5 * MB)
    assert not old.exists()
    assert new.exists()


def test_what_is_deleted_by_age_does_not_count_any_more(tmp_path: Path) -> None:
    room = room_in(tmp_path, replace(SETTINGS, kept_s=0.2))
    come(room, tmp_path, "6.6.6.6", "a", 5)
    with pytest.raises(NoRoomError):
        room.claim("6.6.6.6", MB)
    time.sleep(0.3)
    room.claim("6.6.6.6", 5 * MB)
