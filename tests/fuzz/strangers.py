"""What strangers send who want to break a public page, drawn from a seed: work, memory and disk without a bound, and ways
round what stands in front. Each kind once worked."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.clips import encode, melody
from tests.fuzz.inputs import Input, pack
from tests.public.visitors import CHECKPOINT
from tests.tiny import save_tiny

# Text that is awkward as a label, a name, a cell: digits that are none, what is drawn over others, what turns the line round.
_TEXTS = (
    "²", "①", "٣", "9" * 5000, "e" + "\u0301" * 3000, "\u202e" * 500, "\ufdfa" * 2000, "\u200b" * 5000, "🏳️‍🌈" * 500, "\0", "\ufffe", "İ" * 3000,
    "<img src=x onerror=alert(1)>", "=cmd|'/C calc'!A0", "../" * 500, "a\nb", "NaN", "1e999", "__proto__", "%00" * 100, "x" * 200_000,
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the attack takes place.

    Attributes:
        folder: For checkpoint folders on the server's machine.
        listener: Host and port of somebody who must not be called.
        marker: A file that hostile code would make.
        events: Numbers of the page's events, by their names.
    """

    folder: Path
    listener: str
    marker: Path
    events: dict[str, int]


def _sound() -> bytes:
    return encode(melody(0.5), 16_000, "ogg", "VORBIS")


def _direct(dice: random.Random, place: Place) -> Input:
    """Past the queue."""
    name = dice.choice(("inspect", "compare", "evaluate"))
    body = {
        "data": [None, CHECKPOINT if name == "inspect" else [CHECKPOINT]],
        "session_hash": f"d{dice.randrange(10**9)}",
    }
    if dice.random() < 0.3:
        body["fn_index"] = place.events.get(name)
    route = f"{dice.choice(('run', 'api'))}/{dice.choice((name, 'predict'))}{dice.choice(('', '/'))}"
    return Input("direct", route=route, body=json.dumps(body).encode(), fails=True)


def _address(dice: random.Random, place: Place) -> Input:
    """An address inside of addresses, quoted some times."""
    text = f"http://{place.listener}/a.wav"
    for _ in range(dice.randrange(4)):
        text = text.replace("%", "%25").replace(":", "%3A").replace("/", "%2F") if dice.random() < 0.5 else text
        text = f"http://{dice.choice(('x', place.listener, 'localhost', 'name.invalid'))}/gradio_api/file={text}"
    text = dice.choice(("", " ", "\t")) + dice.choice((text, text.upper(), text.replace("http", "https")))
    name, second = dice.choice((("inspect", CHECKPOINT), ("evaluate", [CHECKPOINT])))
    if dice.random() < 0.3:
        call = {"name": name, "arguments": {"clip" if name == "inspect" else "archive": text}}
        return _mcp("address", "tools/call", call)
    body = json.dumps({"data": [{"path": text, "meta": {"_type": "gradio.FileData"}}, second]})
    return Input("address", route=f"call/{name}", body=body.encode(), fails=True)


def _table_input(kind: str, table: bytes, name: str = "metadata.csv") -> Input:
    return Input(kind, "evaluate", [pack({name: table, "dog/a.ogg": _sound()}), [CHECKPOINT]], "clips.zip")


def _rows(dice: random.Random, place: Place) -> Input:
    """Rows without an end."""
    line = dice.choice((b",\n", b"\n", b'"",""\n', b"dog/a.ogg,7\n", b"dog/a.ogg,\n"))
    number = dice.choice((10_000, 500_000, 5_000_000))
    if dice.random() < 0.3:
        return _table_input("rows", b'{"file_name":"dog/a.ogg","label":"7"}\n' * (number // 10), "metadata.jsonl")
    return _table_input("rows", b"file_name,label\n" + line * number)


def _columns(dice: random.Random, place: Place) -> Input:
    number = dice.choice((300, 10_000, 100_000, 1_000_000))
    head = b"file_name,label," + b",".join(b"c%d" % i for i in range(number))
    row = b"dog/a.ogg,7," + b",".join([b"x"] * number)
    if dice.random() < 0.2:
        content = json.dumps({"file_name": "dog/a.ogg", "label": "7"} | {f"c{i}": "x" for i in range(number)})
        return _table_input("columns", content.encode(), "metadata.jsonl")
    return _table_input("columns", head + b"\n" + row + b"\n")


def _cells(dice: random.Random, place: Place) -> Input:
    """Labels and names that are long, deep or strange."""
    text = dice.choice((*_TEXTS, "x" * 10_000_000))
    how = dice.choice(("label", "name", "column", "depth", "folder"))
    if how == "depth":
        return _table_input("cells depth", b'{"file_name":' + b"[" * 5000 + b"]" * 5000 + b"}\n", "metadata.jsonl")
    if how == "folder":
        name = text.replace("\0", "").replace("/", "-")[:200] or "x"
        return Input("cells folder", "evaluate", [pack({f"{name}/a.ogg": _sound()}), [CHECKPOINT]], "clips.zip")
    row = {"file_name": "dog/a.ogg", "label": "7"}
    row |= {"label": {"label": text}, "name": {"file_name": text}, "column": {text: text}}[how]
    return _table_input(f"cells {how}", json.dumps(row).encode() + b"\n", "metadata.jsonl")


def _tree(dice: random.Random, place: Place) -> Input:
    """Small as text, large as a tree."""
    number = dice.choice((6_000, 33_000, 600_000))
    inner = dice.choice((b"{}", b"[]", b'""', b"0", b'{"a":{}}'))
    body = b'{"data":[[' + (inner + b",") * number + inner + b'],null],"session_hash":"t"}'
    route = dice.choice(("call/inspect", "queue/join", "call/evaluate", "cancel", "mcp/"))
    return Input("tree", route=route, body=body, fails=True)


def _held(dice: random.Random, place: Place) -> Input:
    """A request that never ends."""
    path = dice.choice(("mcp/", "queue/join", "upload", "call/inspect", "cancel"))
    kind = "multipart/form-data; boundary=b" if path == "upload" else "application/json"
    head = f"POST /gradio_api/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {dice.choice((900, 90_000, 1_400_000))}\r\n\r\n"
    whole = head.encode() + dice.choice((b"{", b'{"data":["' + b"x" * 80_000, b"x" * 500_000))
    return Input("held", held=dice.choice((whole, whole[: dice.randrange(len(head))], b"")))


def _mcp(kind: str, method: str, params: object) -> Input:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return Input(kind, route="mcp/", body=body)


def _tool(dice: random.Random, place: Place) -> Input:
    name = dice.choice(("x", "a\nERROR forged", "x" * 500_000, "inspect", "evaluate", *_TEXTS[:4]))
    method = dice.choice(("prompts/get", "resources/read", "tools/call", "tools/call", "completion/complete", name))
    arguments = dice.choice(
        ({}, {"clip": "data:audio/wav;base64,AAAA"}, {"archive": "x"}, [], {"clip": ["x"]}, {name: name})
    )
    return _mcp("mcp", method, {"name": name, "arguments": arguments})


def _disk(dice: random.Random, place: Place) -> Input:
    """As much as may be uploaded, of which nothing is used."""
    return Input("disk", "inspect", [dice.randbytes(4_000_000), CHECKPOINT], f"{dice.randrange(10**9)}.wav")


def _session(dice: random.Random, place: Place) -> Input:
    """One more session, and something in it."""
    name = dice.choice(("_add_clip", "close", "stop", "look_at", "start_4"))
    body = {
        "fn_index": place.events.get(name, 0),
        "data": [None] * dice.choice((1, 3, 12)),
        "session_hash": f"s{dice.randrange(10**9)}",
    }
    return Input("session", route="queue/join", body=json.dumps(body).encode())


def _label_map(dice: random.Random, place: Place) -> Input:
    """With the page's own event: data of the visitor's, and a label map."""
    text = dice.choice((
        ",\n" * 500_000, "a,b\nb,a\n", "7,7\n" * 200_000, "".join(f"{i},{i + 1}\n" for i in range(100_000)),
        "dog,7\ndog,8\n", "x" * 3_000_000, '"', "a,b,c\n", *(f"{one},7\n" for one in _TEXTS),
    ))  # fmt: skip
    archive = pack({"dog/a.ogg": _sound(), "b/b.ogg": _sound()})
    data = [
        [CHECKPOINT],
        False,
        None,
        "A ZIP of mine",
        archive,
        "",
        None,
        "",
        "",
        False,
        ("labels.csv", text.encode("utf-8", "replace")),
        False,
    ]
    return Input("label map", event=place.events.get("start_4"), data=data, name="clips.zip")


def _element(number: int, content: bytes) -> bytes:
    """An element of EBML (RFC 8794), with its length in eight bytes."""
    identity = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return identity + struct.pack(">Q", len(content) | 1 << 56) + content


def matroska(blocks: int, block_bytes: int, rate: float = 8000.0) -> bytes:
    """Silence as PCM in Matroska (RFC 9559), each block compressed by zlib: a thousandth of what it becomes."""
    compression = _element(0x5034, _element(0x4254, b"\0"))
    encoding = _element(
        0x6D80,
        _element(0x6240, _element(0x5031, b"\0") + _element(0x5032, b"\1") + _element(0x5033, b"\0") + compression),
    )
    sound = _element(0xE1, _element(0xB5, struct.pack(">d", rate)) + _element(0x9F, b"\1") + _element(0x6264, b"\x10"))
    track = b"".join(
        _element(number, content)
        for number, content in ((0xD7, b"\1"), (0x73C5, b"\1"), (0x83, b"\2"), (0x86, b"A_PCM/INT/LIT"))
    )
    packed = zlib.compress(bytes(block_bytes), 9)
    clusters = b"".join(
        _element(0x1F43B675, _element(0xE7, struct.pack(">Q", place * 1000)) + _element(0xA3, b"\x81\0\0\x80" + packed))
        for place in range(blocks)
    )
    head = _element(0x1A45DFA3, _element(0x4286, b"\1") + _element(0x4282, b"matroska") + _element(0x4287, b"\4"))
    info = _element(0x1549A966, _element(0x2AD7B1, struct.pack(">Q", 1_000_000)))
    tracks = _element(0x1654AE6B, _element(0xAE, track + sound + encoding))
    return head + _element(0x18538067, info + tracks + clusters)


def _bomb(dice: random.Random, place: Place) -> Input:
    blocks, block_bytes = dice.choice(((1, 16_000), (300, 9_000_000), (20, 9_000_000), (3000, 900_000)))
    rate = dice.choice((8000.0, 768_000.0, 1.0, 1e9))
    return Input(f"bomb of {blocks} blocks", "inspect", [matroska(blocks, block_bytes, rate), CHECKPOINT], "clip.mka")


class _Pickled:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self._marker), "w"))


def _code(dice: random.Random, place: Place) -> Input:
    """A checkpoint folder that would run code, or that lies; or files of one where clips are expected."""
    import pickle

    folder = place.folder / f"code-{dice.randrange(10**9)}"
    save_tiny(folder, labels=("0", "1", "7", "rain"))
    pickled = pickle.dumps(_Pickled(place.marker))
    how = dice.choice(("bin", "auto_map", "renamed", "archive", "clip", "index"))
    config = json.loads((folder / "config.json").read_text())
    if how in ("bin", "renamed"):
        (folder / "model.safetensors").unlink()
        (folder / ("pytorch_model.bin" if how == "bin" else "model.safetensors")).write_bytes(pickled)
    elif how == "index":
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text('{"weight_map":{"a":"../../../etc/passwd"}}')
    elif how == "auto_map":
        config |= {
            "auto_map": {"AutoConfig": "evil.C", "AutoModelForAudioClassification": "evil.M"},
            "trust_remote_code": True,
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "evil.py").write_text(f"open({str(place.marker)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    elif how == "archive":
        files = {"7/model.safetensors": pickled, "7/a.wav": pickled, "metadata.pkl": pickled, "config.json": b"{}"}
        return Input("code archive", "evaluate", [pack(files), [str(folder)]], "clips.zip")
    if how == "clip":
        return Input(
            "code clip", "inspect", [pickled, CHECKPOINT], dice.choice(("a.pkl", "a.npy", "a.safetensors", "a.wav"))
        )
    return Input(f"code {how}", "inspect", [_sound(), str(folder)])


def _guess(dice: random.Random, place: Place) -> Input:
    """Names of what belongs to others."""
    name = dice.choice(("0" * 32, "mine", "%2e%2e", "x" * 64, str(dice.randrange(10**11))))
    route = dice.choice(
        (
            f"queue/data?session_hash={name}",
            f"call/inspect/{name}",
            f"call/v2/evaluate/{name}",
            f"upload_progress?upload_id={name}",
        )
    )
    return Input("guess", route=route, get=True)


def _form(dice: random.Random, place: Place) -> Input:
    """Uploads that are no upload."""
    boundary = dice.choice(("b", "x" * 70))
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="files"'
    file = f'{part}; filename="a.wav"\r\n\r\nRIFF\r\n'
    body = dice.choice(
        (
            file * 500,
            f"{part}\r\n\r\n{'x' * 1_000_000}\r\n",
            file,
            "",
            part * 1000,
            f"{part}\r\n{'A: b' * 5000}\r\n\r\n",
        )
    )
    return Input(
        "form",
        route="upload",
        body=f"{body}--{boundary}--\r\n".encode(),
        form=f"multipart/form-data; boundary={boundary}",
    )


# Each kind of attack, by its name.
KINDS: dict[str, Callable[[random.Random, Place], Input]] = {
    "past the queue": _direct, "addresses": _address, "rows": _rows, "columns": _columns, "cells": _cells, "trees": _tree,
    "held open": _held, "MCP": _tool, "disk": _disk, "sessions": _session, "label maps": _label_map, "bombs": _bomb,
    "code": _code, "guesses": _guess, "forms": _form,
}  # fmt: skip


def strangers(seed: int, place: Place) -> Iterator[Input]:
    """Endless, each kind in turn."""
    dice = random.Random(seed)
    while True:
        for kind in KINDS.values():
            yield kind(dice, place)
