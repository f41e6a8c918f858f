"""Mutated and hostile inputs by strangers, drawn from a seed: the same seed gives the same inputs."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from tests.clips import encode, melody
from tests.data.layouts import LAYOUTS
from tests.tiny import save_tiny

_FORMATS = (
    ("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_U8"), ("aiff", "PCM_24"), ("flac", "PCM_16"), ("ogg", "VORBIS"),
    ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"), ("mp4", "aac"), ("webm", "libopus"), ("adts", "aac"), ("au", "PCM_16"),
    ("caf", "PCM_16"), ("w64", "PCM_16"), ("rf64", "PCM_16"),
)  # fmt: skip
_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
_NAMES = (
    "../../evil.wav", "/etc/passwd.wav", "C:\\evil.wav", "dog\\..\\..\\evil.wav", "dog/\0.wav", "dog/" + "n" * 300 + ".wav",
    "dog/‮gpj.wav", "<img src=x onerror=alert(1)>/a.wav", "dog/🐕.wav", "=cmd|'/C calc'!A0/a.wav", "dog/.wav", "//dog//a.wav",
    "dog/a.wav/", "metadata.csv/metadata.csv", "dog/a.wav/b.wav", ".hidden/a.wav", "__MACOSX/a.wav", "7/a.wav",
)  # fmt: skip
_REFERENCES = (
    "", " ", "/", "/etc", "~", "~root", ".", "..", "../assets", "a/b", "a/b/c", "a//b", "a/..", "MIT/ast-finetuned-" + "x" * 200,
    "MIT/ast-finetuned-../../x", "MIT/ast-finetuned-x\0", "http://127.0.0.1:9/x", "file:///etc", "-x", "a b/c d", "x" * 5000,
    "datasets/a/b", "sounds-and-digits-16-16/", "./assets/checkpoints/sounds-and-digits-16-16", "🤗/🤗", "a\nb", "%2e%2e", "\ud800",
    "${HOME}", "CON", "<script>", 7, -1, 0.5, True, None, [], ["a"], {}, {"path": "/etc/passwd"}, [[]], "null",
)  # fmt: skip
_TABLES = (
    "file_name,label\n../a.wav,dog\n", "file_name,label\n/etc/passwd,dog\n", "file_name,label\ndog/a.wav\n",
    "file_name\ndog/a.wav\n", "label\n7\n", "", "\0\0\0", "file_name,label\n\"dog/a.wav,7\n", "file_name,label\n" + "a," * 3000,
    "file_name,label\ndog/a.wav,7\ndog/a.wav,7\n", "file_name,label\ndog/a.wav," + "x" * 200_000 + "\n",
    "file_name,label\nhttp://127.0.0.1:9/a.wav,7\n", "file_name,label,label\ndog/a.wav,7,7\n", "\ufefffile_name,label\ndog/a.wav,7\n",
    "file_name,label\ndog/a.wav,=1+1\n", "file_name;label\ndog/a.wav;7\n",
)  # fmt: skip
_SCALARS = (
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    "\0",
    "7",
    [],
    {},
    [None],
    {"path": None},
    {"path": ""},
    {"path": 3},
    "x" * 10_000,
)


@dataclass(frozen=True)
class Input:
    """What a stranger sends.

    Attributes:
        kind: What sort of attack it is, and on what.
        endpoint: Called with `data`; in `data`, each `bytes` value is uploaded first, and its file's name is `name`.
        route: Instead of an endpoint: a route that gets `body` by POST, or is got.
        form: What the body is said to be, if not JSON.
        event: Instead of an endpoint: an event of the page, which is called with `data` in the same way.
        held: Instead of all these: bytes on a connection that is then left alone.
        fails: Whether it must be refused.
    """

    kind: str
    endpoint: str = ""
    data: list[Any] = field(default_factory=list)
    name: str = "clip.wav"
    route: str = ""
    body: bytes = b""
    form: str = "application/json"
    get: bool = False
    event: int | None = None
    held: bytes | None = None
    fails: bool = False


def inputs(seed: int, folder: Path) -> Iterator[Input]:
    """Endless, each kind in turn.

    Args:
        folder: For those that are folders of the server's machine: checkpoints.
    """
    dice = random.Random(seed)
    kinds: tuple[Callable[[random.Random, Path], Input], ...] = (
        _audio, _audio, _archive, _reference, _call, _checkpoint, _audio, _layout, _table, _request, _archive, _layout,
    )  # fmt: skip
    while True:
        for kind in kinds:
            yield kind(dice, folder)


@cache
def _recording(container: str, codec: str, channels: int) -> bytes:
    rate = 48_000 if codec in ("OPUS", "libopus", "aac") else 16_000
    samples = melody(0.5, rate)
    return encode(samples if channels == 1 else np.stack([samples] * channels, axis=1), rate, container, codec)


def _clip(dice: random.Random) -> tuple[str, bytes]:
    container, codec = dice.choice(_FORMATS)
    return f"{container} {codec}", _recording(container, codec, dice.choice((1, 2)))


def mutate(dice: random.Random, content: bytes) -> tuple[str, bytes]:
    """What was done to it, and the result."""
    how = dice.choice(
        ("cut", "flip", "header", "insert", "repeat", "zero", "splice", "shuffle", "tail", "join", "as it is")
    )
    data = bytearray(content)
    place = dice.randrange(max(1, len(data)))
    if how == "cut":
        data = data[:place]
    elif how == "tail":
        data = data[place:]
    elif how == "flip":
        for _ in range(dice.choice((1, 3, 30))):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif how == "header":  # a size, a rate, a number of channels that lies
        width, order = dice.choice("BHLQ"), dice.choice("<>")
        value = dice.choice(_EXTREMES) & ((1 << 8 * struct.calcsize(order + width)) - 1)
        struct.pack_into(order + width, data, dice.randrange(min(96, len(data) - 8)), value)
    elif how == "insert":
        data[place:place] = dice.randbytes(dice.choice((1, 100, 5000)))
    elif how == "repeat":
        data[place:place] = data * dice.choice((1, 20))
    elif how == "zero":
        data[place : place + 200] = bytes(len(data[place : place + 200]))
    elif how == "splice":
        data = data[:place] + bytearray(_clip(dice)[1][place:])
    elif how == "join":
        for _ in range(dice.choice((1, 3, 200))):
            data += _clip(dice)[1]
    elif how == "shuffle":
        blocks = [bytes(data[i : i + 64]) for i in range(0, len(data), 64)]
        dice.shuffle(blocks)
        data = bytearray(b"".join(blocks))
    return how, bytes(data)


def _audio(dice: random.Random, folder: Path) -> Input:
    what, content = _clip(dice)
    how, content = mutate(dice, content)
    name = dice.choice(
        ("clip.wav", "clip.mp3", "clip.webm", "clip", "clip.zip", "clip.svg", "cl\u202eip.html", "c" * 200 + ".wav")
    )
    endpoint = dice.choice(("inspect", "inspect", "compare"))
    second = _SHIPPED[0] if endpoint == "inspect" else list(_SHIPPED)
    return Input(f"audio {what} {how}", endpoint, [content, second], name)


_SHIPPED = ("sounds-and-digits-16-16", "sounds-and-digits-10-10")


def pack(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def _archive(dice: random.Random, folder: Path) -> Input:
    label = dice.choice(("7", "rain", "no such label", "<b>x</b>", "x" * 250))
    files = {f"{label}/{i}.wav": mutate(dice, _clip(dice)[1])[1] for i in range(dice.choice((1, 3)))}
    how = dice.choice(("name", "bomb", "mutated", "many", "nested", "lying", "method", "plain"))
    compression = zipfile.ZIP_DEFLATED
    if how == "name":
        files[dice.choice(_NAMES)] = _recording("wav", "PCM_16", 1)
    elif how == "bomb":
        files["7/bomb.wav"] = bytes(dice.choice((300_000_000, 30_000_000)))
    elif how == "many":
        files |= {f"7/{i}.wav": b"" for i in range(dice.choice((199, 3000)))}
    elif how == "nested":
        files = {"7/inner.zip": pack(files), "7/inner.wav": pack(files)}
    elif how == "method":
        compression = dice.choice((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED))
    content = pack(files, compression)
    if how == "lying":  # in its last record
        lying = bytearray(content)
        struct.pack_into(
            "<L", lying, len(lying) - 22 + dice.choice((4, 8, 12, 16)), dice.choice(_EXTREMES) & 0xFFFF_FFFF
        )
        content = bytes(lying)
    elif how == "mutated":
        how, content = mutate(dice, content)
    return Input(f"archive {how}", "evaluate", [content, [_SHIPPED[0]]], "clips.zip")


def _table(dice: random.Random, folder: Path) -> Input:
    table = dice.choice(_TABLES).encode()
    if dice.random() < 0.5:
        _, table = mutate(dice, table + b" " * 20)
    files = {dice.choice(("metadata.csv", "metadata.jsonl", "train/metadata.csv")): table, "dog/a.wav": _clip(dice)[1]}
    return Input("table", "evaluate", [pack(files), [_SHIPPED[0]]], "clips.zip")


_CELLS = (
    "", " ", "\0", "²", "1e308", "-1", "NaN", "[[[[", '"', "\t\t", "=1+1", "../../a.wav", "/etc/passwd", "{label}", "9" * 5000,
    "x" * 200_000, "a;b;c;a", "1:99:99", "inf", "-inf", "0x10", "\u202e", "\ud7ff", "file:///etc/passwd", "train", "TEST", "\n" * 9,
)  # fmt: skip


def _layout(dice: random.Random, folder: Path) -> Input:
    """A public data set, of which some of what is no recording is wrong."""
    name = dice.choice(list(LAYOUTS))
    files = dict(_files_of(name, folder))
    others = [one for one in files if not one.endswith((".wav", ".ogg"))]
    for one in dice.sample(others, min(len(others), dice.choice((1, 2)))):
        if dice.random() < 0.3:
            _, files[one] = mutate(dice, files[one] + b" " * 8)
            continue
        lines = files[one].decode().split("\n")
        for _ in range(dice.choice((1, 1, 5))):
            place, separator = dice.randrange(len(lines)), dice.choice((",", "\t", " "))
            cells = lines[place].split(separator)
            cells[dice.randrange(len(cells))] = dice.choice(_CELLS)
            lines[place] = separator.join(cells)
        files[one] = "\n".join(lines * dice.choice((1, 1, 1, 300))).encode()
    if dice.random() < 0.2:
        files.pop(dice.choice(list(files)))
    return Input(f"layout {name}", "evaluate", [pack(files), [_SHIPPED[0]]], "clips.zip")


@cache
def _files_of(layout: str, folder: Path) -> dict[str, bytes]:
    made = LAYOUTS[layout].make(folder / "layouts" / layout)
    files = (file for file in sorted(made.rglob("*")) if file.is_file())
    return {file.relative_to(made).as_posix(): file.read_bytes() for file in files}


def _reference(dice: random.Random, folder: Path) -> Input:
    reference = dice.choice(_REFERENCES)
    clip = _recording("ogg", "VORBIS", 1)
    if dice.random() < 0.5:
        return Input("reference", "inspect", [clip, reference])
    several = [reference, dice.choice(_REFERENCES)] if dice.random() < 0.7 else reference
    return Input("references", dice.choice(("compare", "evaluate")), [clip, several])


def _call(dice: random.Random, folder: Path) -> Input:
    data = [dice.choice(_SCALARS) for _ in range(dice.choice((0, 1, 2, 2, 2, 3, 40)))]
    return Input("call", dice.choice(("inspect", "compare", "evaluate", "nothing", "lambda", "show")), data)


def _request(dice: random.Random, folder: Path) -> Input:
    """What the page's own events get, with an event of any number, and what is no request at all."""
    body = {
        "fn_index": dice.choice((*range(30), -1, 10_000, "x", None)),
        "data": dice.choice(([], None, "x", [dice.choice(_SCALARS) for _ in range(dice.randrange(12))])),
        "session_hash": dice.choice(("fuzz", "", None, 3, "x" * 1000)),
        "event_data": dice.choice((None, {"index": [10**9, -1]}, "x", {"index": None})),
    }
    route = dice.choice(
        ("queue/join", "queue/join", "run/predict", "api/predict", "cancel", "reset", "call/v2/inspect", "mcp/")
    )
    content = json.dumps(body).encode()
    return Input(f"request {route}", route=route, body=content if dice.random() < 0.8 else mutate(dice, content)[1])


def _checkpoint(dice: random.Random, folder: Path) -> Input:
    """A checkpoint folder of the machine, as its owner may have downloaded it from anywhere."""
    place = folder / f"checkpoint-{dice.randrange(10**9)}"
    save_tiny(place, labels=_LABELS)
    file = place / dice.choice(("config.json", "config.json", "preprocessor_config.json", "model.safetensors"))
    how, content = mutate(dice, file.read_bytes())
    if file.suffix == ".json" and dice.random() < 0.7:
        config = json.loads(file.read_text())
        key = dice.choice(sorted(config))
        how = f"{key} changed"
        config[key] = dice.choice((*_SCALARS, *_EXTREMES, "wav2vec2", "os.system", 3, {"0": "a"}, {"a": 0}, -0.5))
        content = json.dumps(config).encode()
    elif file.suffix == ".safetensors" and dice.random() < 0.5:
        how, content = "lying shapes", _lying_weights(dice)
    file.write_bytes(content)
    return Input(f"checkpoint {file.name} {how}", "inspect", [_recording("ogg", "VORBIS", 1), str(place)])


_LABELS = ("0", "1", "7", "rain")


def _lying_weights(dice: random.Random) -> bytes:
    content = save({"classifier.dense.weight": torch.zeros(3, 5)})
    header = dice.choice(
        (b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}', b"{}", b"[" * 9999, b"")
    )
    length = dice.choice((len(header), 0, 2**63, 10**9))
    return struct.pack("<Q", length) + header + content[-60:]
