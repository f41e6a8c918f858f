"""Archives by strangers: each gets a sentence or a listed skip, in no time, and nothing is written anywhere."""

from __future__ import annotations

import os
import re
import stat
import struct
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ast_demo.data.clips import ReadingOptions
from ast_demo.data.reading import read_labelled_clips, read_labelled_clips_of_visitor
from ast_demo.errors import DataError
from ast_demo.evaluation import evaluate
from ast_demo.models.loading import load_checkpoint
from ast_demo.settings import PUBLIC, Settings
from tests.clips import encode, tone
from tests.tiny import save_tiny

CLIP = encode(tone(400, 0.2), 16_000, "wav", "PCM_16")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to read an archive from: neither there nor above it nor among the temporary files is one written."""
    inner = tmp_path / "a" / "b" / "house"
    inner.mkdir(parents=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(inner)
    yield inner
    found = {path.name for path in tmp_path.rglob("*") if path.is_file() and "allowed" not in path.parts}
    assert found <= {"clips.zip"}


def pack(house: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    archive = house / "clips.zip"
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive


def refusal(archive: Path, **options: float) -> str:
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        read_labelled_clips(archive, ReadingOptions(**options))
    assert time.monotonic() - began < 10
    return str(caught.value)


@contextmanager
def at_most(n_bytes: int) -> Iterator[None]:
    """Fail where Python takes more memory meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < n_bytes
    finally:
        tracemalloc.stop()


def test_ten_thousand_clips_are_read(house: Path) -> None:
    archive = pack(house, {f"dog/{number}.wav": CLIP[:60] for number in range(10_000)}, zipfile.ZIP_STORED)
    began = time.monotonic()
    assert len(read_labelled_clips(archive).clips) == 10_000
    assert time.monotonic() - began < 20


def test_more_files_than_the_limit_are_refused(house: Path) -> None:
    archive = pack(house, {f"dog/{number}.txt": b"" for number in range(1_001)})
    assert refusal(archive, max_archive_files=1_000) == (
        "'clips.zip' holds 1,001 files; at most 1,000 are read from an archive."
    )


@pytest.mark.parametrize("declared", [None, 1, 0xFFFF])
def test_a_million_entries_are_refused_before_any_is_read(house: Path, declared: int | None) -> None:
    """Also where the last record states another number of them."""
    archive = pack(house, {"a" * 60: b""})
    content = archive.read_bytes()
    start = content.index(b"PK\1\2")
    entry, end = content[start : content.index(b"PK\5\6")], bytearray(content[content.index(b"PK\5\6") :])
    many = 30_000
    struct.pack_into("<HHLL", end, 8, *[many if declared is None else declared] * 2, many * len(entry), start)
    large = b""
    if declared == 0xFFFF:  # as archives of more than 65,535 files end
        place = start + many * len(entry)
        large = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, many, many, many * len(entry), start)
        large += struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    archive.write_bytes(content[:start] + entry * many + large + end)
    with at_most(500_000):
        sentence = refusal(archive, max_archive_files=1000)
    assert re.fullmatch(r"'clips.zip' holds [\d,]+ files; at most 1,000 are read from an archive\.", sentence)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.wav",
        "dog/../../evil.wav",
        "dog/../../../../../evil.wav",
        "/etc/dog/evil.wav",
        "//host/share/evil.wav",
        "..\\evil.wav",
        "dog\\..\\..\\evil.wav",
        "C:\\dog\\evil.wav",
        "\\dog\\evil.wav",
        "../notes.txt",
    ],
)
def test_a_path_that_climbs_out_is_refused(house: Path, name: str) -> None:
    archive = pack(house, {"dog/good.wav": CLIP, name: CLIP})
    assert refusal(archive) == f"'clips.zip' names the file {name!r}, which is outside of the archive."


def test_a_table_that_climbs_out_is_refused(house: Path) -> None:
    (house.parent / "allowed").mkdir()
    (house.parent / "allowed" / "secret.wav").write_bytes(CLIP)
    files = {"good.wav": CLIP, "metadata.csv": b"file_name,label\n../allowed/secret.wav,dog\n"}
    assert "names the file '../allowed/secret.wav', which is not there" in refusal(pack(house, files))


def test_folders_may_be_separated_by_backslashes(house: Path) -> None:
    (clip,) = read_labelled_clips(pack(house, {"dog\\one.wav": CLIP})).clips
    assert (clip.name, clip.labels, clip.source) == ("dog/one.wav", ("dog",), CLIP)


def test_a_bomb_is_refused_before_it_is_unpacked(house: Path) -> None:
    archive = house / "clips.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file, file.open("dog/long.wav", "w") as entry:
        for _ in range(200):
            entry.write(bytes(1_000_000))
    assert archive.stat().st_size < 1_000_000
    with at_most(5_000_000):
        sentence = refusal(archive, max_archive_mb=100)
    assert sentence == "'clips.zip' holds 200 MB of clips; at most 100 MB are read from an archive."


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_that_states_a_small_size_is_not_unpacked(house: Path, compression: int) -> None:
    size = 50_000_000
    archive = pack(house, {"dog/long.wav": bytes(size)}, compression)
    content = archive.read_bytes()
    assert content.count(struct.pack("<L", size)) == 2
    archive.write_bytes(content.replace(struct.pack("<L", size), struct.pack("<L", 1000)))
    with at_most(5_000_000):
        sentence = refusal(archive)
    assert sentence.startswith("'clips.zip' cannot be unpacked: ")


def test_archives_within_the_archive_are_not_opened(house: Path) -> None:
    inner = pack(house, {"dog/inner.wav": CLIP}).read_bytes()
    middle = pack(house, {"dog/inner.zip": inner}).read_bytes()
    assert "holds no labelled clips" in refusal(pack(house, {"dog/middle.zip": middle}))
    both = read_labelled_clips(pack(house, {"dog/middle.zip": middle, "dog/good.wav": CLIP}))
    assert [clip.name for clip in both.clips] == ["dog/good.wav"]


@pytest.mark.parametrize("files", [{}, {"readme.txt": b"hello", "dog/notes.md": b"-"}, {"loose.wav": CLIP}])
def test_an_archive_without_labelled_clips_is_refused(house: Path, files: dict[str, bytes]) -> None:
    assert "'clips.zip' holds no labelled clips. Expected a folder for each label" in refusal(pack(house, files))


def test_what_is_no_whole_archive_is_refused(house: Path) -> None:
    archive = pack(house, {"dog/good.wav": os.urandom(20_000)})
    whole = archive.read_bytes()
    for broken in (b"", b"PK", whole[:10_000], whole[-1000:], whole[:5000] + bytes(500) + whole[5500:]):
        archive.write_bytes(broken)
        assert refusal(archive).startswith("'clips.zip' cannot be unpacked: ")


def test_an_archive_with_a_password_is_refused(house: Path) -> None:
    archive = pack(house, {"dog/good.wav": CLIP})
    content = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + flags] |= 1  # the bit that says: encrypted
    archive.write_bytes(content)
    assert "password required" in refusal(archive)


def test_what_cannot_be_read_among_good_clips_is_listed(house: Path, tmp_path: Path) -> None:
    """A text, nothing at all, and a link to a file of the machine, which is not followed."""
    (tmp_path / "allowed").mkdir()
    secret = tmp_path / "allowed" / "secret.wav"
    secret.write_bytes(CLIP)
    archive = pack(house, {"dog/good.wav": CLIP, "dog/text.wav": b"no sound", "rain/empty.wav": b""})
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("rain/link.wav")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, str(secret))
    model = save_tiny(tmp_path / "allowed" / "model")
    result = evaluate(read_labelled_clips(archive), [str(model)], load_checkpoint, tmp_path / "allowed" / "out")
    assert list(result.table["clip"]) == ["dog/good.wav"]
    assert set(result.unreadable) == {"dog/text.wav", "rain/empty.wav", "rain/link.wav"}
    assert all(reason.startswith(repr(name)) for name, reason in result.unreadable.items())


def test_labels_that_do_not_match_are_named_before_anything_runs(house: Path, tmp_path: Path) -> None:
    clips = read_labelled_clips(pack(house, {"sandstorm/a.wav": CLIP, "dog/b.wav": CLIP}))
    model = save_tiny(tmp_path / "allowed" / "model")
    with pytest.raises(DataError, match="does not know these labels of the data: sandstorm"):
        evaluate(clips, [str(model)], load_checkpoint, tmp_path / "allowed" / "out")
    assert not (tmp_path / "allowed" / "out").exists()


@pytest.mark.parametrize("local_paths", [True, False])
def test_only_an_archive_is_taken_from_a_visitor(house: Path, local_paths: bool) -> None:
    """A table could name any file of the machine, and a folder may be that of all uploads."""
    settings = Settings(local_paths=local_paths, max_archive_mb=1, max_archive_files=3)
    archive = pack(house, {"dog/one.wav": CLIP})
    assert [clip.name for clip in read_labelled_clips_of_visitor("", str(archive), settings).clips] == ["dog/one.wav"]
    (house.parent / "allowed" / "dog").mkdir(parents=True)
    (house.parent / "allowed" / "dog" / "one.wav").write_bytes(CLIP)
    table = house.parent / "allowed" / "clips.csv"
    table.write_text("file_name,label\ndog/one.wav,dog\n")
    for upload in (table, table.parent, house / "nothing.zip"):
        with pytest.raises(DataError, match=f"'{upload.name}' is no ZIP archive"):
            read_labelled_clips_of_visitor("", str(upload), settings)
    pack(house, {f"dog/{number}.wav": CLIP for number in range(4)})
    with pytest.raises(DataError, match="holds 4 files; at most 3"):
        read_labelled_clips_of_visitor("", str(archive), settings)
    pack(house, {"dog/long.wav": bytes(2_000_000)})
    with pytest.raises(DataError, match="at most 1 MB"):
        read_labelled_clips_of_visitor("", str(archive), settings)


def test_towards_strangers_nothing_of_the_machine_is_named(house: Path) -> None:
    for named in (str(house), "~", ".", "..", "/etc/passwd", str(pack(house, {"dog/a.wav": CLIP})), "a\0b", "/" * 5000):
        with pytest.raises(DataError, match=r"\AThere is nothing at ") as caught:
            read_labelled_clips_of_visitor(named, None, PUBLIC)
        assert len(str(caught.value)) < 400
    with pytest.raises(DataError, match=r"'ashraq/esc50' is not evaluated on here\. .* these are: none\."):
        read_labelled_clips_of_visitor("ashraq/esc50@train", None, PUBLIC)
    assert len(read_labelled_clips_of_visitor("samples", None, PUBLIC).clips) == 120
