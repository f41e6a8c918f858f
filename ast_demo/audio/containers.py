"""What a container says of its sizes, and what is there: the first is mended by the second, before a decoder believes it.

Recorders lose power, write to pipes, and count wrongly. libsndfile takes their word; what it is given here says how many
bytes there are.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

# Programs that write to a pipe cannot know a size, and leave one that is huge (sox's AIFF has the smallest).
_PLACEHOLDER = 0x7F00_0000
_SMALL_JUNK = 4096  # bytes after the sound that a container's outer size leaves out: padding or a tag, not sound
# What follows the sound in files, without being a chunk: tags, and the beginning of another recording.
_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS")
_TRAILING = (
    b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"fact", b"JUNK", b"junk", b"PAD ", b"FLLR", b"iXML", b"afsp",
    b"PEAK", b"cart", b"inst", b"DISP", b"plst", b"_PMX", b"axml", b"chna", b"umid", b"strc", b"NAME", b"AUTH", b"ANNO",
    b"(c) ", b"MARK", b"INST", b"COMT", b"APPL", b"info", b"free", b"uuid", b"strg", b"mark", b"regn", b"midi", b"peak",
    b"COMM", b"FVER", b"pakt", b"kuki", b"chan", b"edct",
)  # fmt: skip


@dataclass(frozen=True)
class Mended:
    """A recording whose container tells how many bytes there are.

    Attributes:
        promised: How many times as long as it is its header said that the sound would be; 1 where it told nothing.
    """

    content: bytes
    promised: float = 1.0


@dataclass(frozen=True)
class _Layout:
    """How a container of chunks is laid out: an identifier, a size, a body.

    Attributes:
        head: Bytes before the first chunk.
        size: `struct`'s code of a chunk's size.
        counts_itself: Whether a size counts the identifier and itself.
        align: Chunks begin at multiples of this.
        data: Identifier of the chunk that holds the samples.
        before: Bytes in its body before the first sample.
    """

    start: bytes
    head: int
    size: str
    data: bytes
    align: int = 2
    before: int = 0
    counts_itself: bool = False

    @property
    def header(self) -> int:
        return len(self.data) + struct.calcsize(self.size)

    def size_at(self, content: bytes, place: int) -> int:
        """Size of the body of the chunk at a place."""
        size = int(struct.unpack_from(self.size, content, place + len(self.data))[0])
        return size - self.header if self.counts_itself else size

    def after(self, place: int) -> int:
        """The place where the next chunk begins."""
        return -(-place // self.align) * self.align


_LAYOUTS = (
    _Layout(rb"(RIFF|RF64|BW64)....WAVE", 12, "<I", b"data"),
    _Layout(rb"RIFX....WAVE", 12, ">I", b"data"),
    _Layout(rb"FORM....AIF[FC]", 12, ">I", b"SSND", before=8),
    _Layout(rb"caff", 8, ">q", b"data", align=1, before=4),
    _Layout(
        rb"riff\x2e\x91\xcf\x11",
        40,
        "<Q",
        b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",
        align=8,
        counts_itself=True,
    ),
)


def mend_sizes(content: bytes) -> Mended:
    """A recording whose container says how many bytes of sound there are; as it is, where it says so already, or is of
    another kind."""
    if content.startswith((b".snd", b"dns.")):
        return _mend_au(content)
    if content.startswith(b"ID3"):
        return Mended(_mend_tag(content))
    content = _mend_riff_of_extensible(content)
    layout = next((one for one in _LAYOUTS if re.match(one.start, content, re.DOTALL)), None)
    if layout is None:
        return Mended(content)
    content = _with_padding(content, layout)
    if (place := _find_sound(content, layout)) is None:
        return Mended(content)
    body = place + layout.header
    there, told = len(content) - body, _told_size(content, layout, place)
    if told <= there and _is_end_of_sound(content, layout, body + told):
        return Mended(content)
    stop = _without_trailing(content, layout, body)
    if stop <= body + layout.before:
        return Mended(content)
    return Mended(_with_size(content, layout, place, stop), _promise(told, stop - body, len(content)))


def _mend_riff_of_extensible(content: bytes) -> bytes:
    """libsndfile reads big-endian WAV, but not where its kind of samples is told in the longer form, as sox writes it."""
    place = content.find(b"fmt ", 12, 4096) if content[:4] == b"RIFX" else -1
    if place < 0 or content[place + 8 : place + 10] != b"\xff\xfe" or len(content) < place + 48:
        return content
    return content[: place + 8] + content[place + 32 : place + 34] + content[place + 10 :]


def _with_padding(content: bytes, layout: _Layout) -> bytes:
    """With the byte that belongs behind each chunk of an odd size, where a program has left it out before the sound."""
    if layout.align != 2:
        return content
    place, missing = layout.head, [0]
    while place + layout.header <= len(content) and not content.startswith(layout.data, place):
        size = layout.size_at(content, place)
        place += layout.header + size
        if size < 0:
            break
        if size % 2 and _is_known(content, place) and not _is_known(content, place + 1):
            missing.append(place)
        else:
            place += size % 2
    pieces = zip(missing, [*missing[1:], len(content)], strict=True)
    return b"\0".join(content[start:stop] for start, stop in pieces) if len(missing) > 1 else content


def _is_known(content: bytes, place: int) -> bool:
    """Whether a well known chunk begins there."""
    return content.startswith((*_TRAILING, b"fmt ", b"data", b"SSND"), place)


def _find_sound(content: bytes, layout: _Layout) -> int | None:
    """Place of the chunk that holds the samples."""
    place = layout.head
    while place + layout.header <= len(content):
        if content.startswith(layout.data, place):
            return place
        size = layout.size_at(content, place)
        if size < 0:
            return None
        place = layout.after(place + layout.header + size)
    return None


def _told_size(content: bytes, layout: _Layout, place: int) -> int:
    """Bytes of the body of the chunk that holds the samples, as the container says."""
    told = layout.size_at(content, place)
    if content[:4] in (b"RF64", b"BW64") and told == 0xFFFF_FFFF and content[12:16] == b"ds64":
        told = int.from_bytes(content[28:36], "little")  # EBU Tech 3306, section 3.5
    return told if told >= 0 else 1 << 62  # CAF's -1: up to the end


def _is_end_of_sound(content: bytes, layout: _Layout, end: int) -> bool:
    """Whether what follows says that the sound ends there: nothing, chunks up to the end of the file, a tag, or a little
    that the container's outer size leaves out."""
    if len(content) - end < layout.header:
        return True
    if content.startswith(_TAGS, end):
        return True
    if _are_chunks(content, layout, layout.after(end)) or _are_chunks(content, layout, end):
        return True
    outer = 8 + struct.unpack_from(layout.size[0] + "I", content, 4)[0] if len(layout.data) == 4 else 0
    is_told_twice = outer in (end, layout.after(end))
    return is_told_twice and end > layout.head + layout.header and len(content) - end <= _SMALL_JUNK


def _are_chunks(content: bytes, layout: _Layout, place: int) -> bool:
    """Whether there are chunks from a place up to the end of the file; the last one may be cut off if it is well known."""
    id_bytes = len(layout.data)
    while len(content) - place >= layout.header:
        name = content[place : place + 4]
        size = layout.size_at(content, place)
        if not all(32 <= byte < 127 for byte in name) or size < 0:
            return False
        stop = place + layout.header + size
        if stop > layout.after(len(content)):
            return name in _TRAILING and id_bytes == 4
        place = layout.after(stop)
    return True


def _without_trailing(content: bytes, layout: _Layout, body: int) -> int:
    """Where the sound ends if it goes on up to the chunks at the end of the file."""
    stop = len(content)
    if len(layout.data) != 4:
        return stop
    found = True
    while found:
        found = False
        for name in _TRAILING:
            place = content.rfind(name, max(body, stop - (1 << 20)), stop)
            if place < 0 or place + layout.header > stop:
                continue
            end = place + layout.header + layout.size_at(content, place)
            if end in (stop, stop - 1) or layout.after(end) == stop:
                stop, found = place, True
    return stop


def _with_size(content: bytes, layout: _Layout, place: int, stop: int) -> bytes:
    """The recording up to the end of its sound, with sizes that say so; of AIFF and CAF with the chunks that follow, as
    some are needed."""
    body = place + layout.header
    size = stop - body + (layout.header if layout.counts_itself else 0)
    mended = bytearray(content if content[:4] in (b"FORM", b"caff") else content[:stop])
    struct.pack_into(
        layout.size, mended, place + len(layout.data), min(size, 2 ** (8 * struct.calcsize(layout.size) - 1))
    )
    if content[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        if mended[:4] in (b"RF64", b"BW64"):
            mended[:4] = b"RIFF"
        struct.pack_into(layout.size, mended, 4, min(stop - 8, 0xFFFF_FFFF))
    elif mended[:4] == b"FORM":
        struct.pack_into(">I", mended, 4, min(len(mended) - 8, 0xFFFF_FFFF))
        _mend_frames_of_aiff(mended, layout, place, stop)
    elif layout.counts_itself:
        struct.pack_into("<Q", mended, 16, stop)
    return bytes(mended)


def _mend_frames_of_aiff(mended: bytearray, layout: _Layout, place: int, stop: int) -> None:
    """AIFF tells the number of frames once more, in a chunk of its own."""
    common = max(mended.find(b"COMM", layout.head, place), mended.find(b"COMM", stop))
    if not 0 < common < len(mended) - 26:
        return
    channels, _, bits = struct.unpack_from(">hIh", mended, common + 8)
    frame = channels * -(-bits // 8)
    if channels > 0 and bits > 0:
        struct.pack_into(">I", mended, common + 10, (stop - place - layout.header - layout.before) // frame)


def _mend_tag(content: bytes) -> bytes:
    """A recording behind an ID3v2 tag that calls itself longer than it is, without that tag: decoders would skip sound.

    A tag is frames and then zeros up to its end (id3.org, version 2.4.0, sections 3 and 4).
    """
    version, flags = content[3], content[5]
    told = 10 + _without_high_bits(content[6:10])
    place, name, head = 10, 3 if version == 2 else 4, 6 if version == 2 else 10  # bytes of a frame's name and header
    if flags & 0xC0 or version not in (2, 3, 4):  # its bytes are changed, or something stands before the frames
        return content
    while place + head <= min(told, len(content)) and re.match(rb"[A-Z][A-Z0-9]{2,3}", content[place : place + 4]):
        size = content[place + name : place + 2 * name]
        place += head + (_without_high_bits(size) if version == 4 else int.from_bytes(size))
    is_sound = re.match(rb"\xff[\xe2-\xff]|fLaC|ID3", content[place : place + 4]) is not None
    if told > len(content) or (place < told and is_sound):
        return content[place if is_sound else 10 :]
    return content


def _without_high_bits(size: bytes) -> int:
    """A size of which each byte tells seven bits."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(size)))


def _mend_au(content: bytes) -> Mended:
    """Sun's AU: one size, which may be unknown."""
    if len(content) < 24:
        return Mended(content)
    order = ">" if content.startswith(b".snd") else "<"
    start, told = struct.unpack_from(order + "II", content, 4)
    there = len(content) - start
    if there <= 0 or told == there:
        return Mended(content)
    mended = content[:8] + struct.pack(order + "I", there) + content[12:]
    return Mended(mended, _promise(told, there, len(content)))


def _promise(told: int, there: int, file_bytes: int) -> float:
    """What a header told, relative to the bytes that are there. A size that counts the header too is but a slip."""
    is_slip = there <= told <= file_bytes
    return told / there if 0 < told < _PLACEHOLDER and not is_slip else 1.0
