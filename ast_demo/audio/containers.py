"""What a container says of its sizes, and what is there: the first is mended by the second, before a decoder believes it.

Recorders lose power, write to pipes, and count wrongly. libsndfile takes their word; what it is given here says how many
bytes there are.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

# Programs that write to a pipe cannot know a size, and leave one that is huge (sox's AIFF has the smallest).
_PLACEHOLDER = 0x7F00_0000
_MOST_LINKS = 1000
_SMALL_JUNK = 4096  # bytes after the sound that a container's outer size leaves out: padding or a tag, not sound
# What follows the sound in files, without being a chunk: tags, and the beginning of another recording.
_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS")
_TRAILING = (
    b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"fact", b"JUNK", b"junk", b"PAD ", b"FLLR", b"iXML", b"afsp",
    b"PEAK", b"cart", b"inst", b"DISP", b"plst", b"_PMX", b"axml", b"chna", b"umid", b"strc", b"NAME", b"AUTH", b"ANNO",
    b"(c) ", b"MARK", b"INST", b"COMT", b"APPL", b"info", b"free", b"uuid", b"strg", b"mark", b"regn", b"midi", b"peak",
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
    content = _mend_riff_of_extensible(content)
    layout = next((one for one in _LAYOUTS if re.match(one.start, content, re.DOTALL)), None)
    if layout is None or (place := _find_sound(content, layout)) is None:
        return Mended(content)
    body = place + layout.header
    there, told = len(content) - body, _told_size(content, layout, place)
    if told <= there and _is_end_of_sound(content, layout, body + told):
        return Mended(content)
    stop = _without_trailing(content, layout, body)
    if stop <= body + layout.before:
        return Mended(content)
    return Mended(_with_size(content, layout, place, stop), _promise(told, stop - body, len(content)))


def split_links(content: bytes) -> list[bytes]:
    """The links of a chained Ogg, each a recording of its own with a rate and channels of its own (RFC 3533, section 4).

    Radio streams are saved like that. At most 1000; what comes after is part of the last one, which decoders refuse or
    play. An Ogg that is not chained is one link.
    """
    starts: list[int] = []
    group_end = -1
    # Pages that begin a stream. Several in a row begin streams that run side by side, as sound and pictures do.
    for page in re.finditer(rb"OggS\x00[\x02\x03\x06\x07]", content):
        if page.start() != group_end:
            starts.append(page.start())
        group_end = _end_of_page(content, page.start())
    starts = starts[:_MOST_LINKS]
    if len(starts) < 2:
        return [content]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]


def ends_in_mid_page(content: bytes) -> bool:
    """Whether an Ogg's last page is longer than what is left of the file."""
    page = content.rfind(b"OggS")
    return page >= 0 and _end_of_page(content, page) > len(content)


def mend_last_page(content: bytes) -> bytes:
    """An Ogg that ends in mid-page, with the packets of that page that are whole in a page of their own.

    A page holds up to some seconds of sound, and decoders drop one that is cut through.
    """
    page = content.rfind(b"OggS")
    lengths = content[page + 27 : page + 27 + content[page + 26]] if 0 <= page < len(content) - 27 else b""
    if not lengths or len(lengths) < content[page + 26] or not ends_in_mid_page(content):
        return content
    body, there, n_whole, n_bytes = page + 27 + len(lengths), 0, 0, 0
    for place, length in enumerate(lengths, start=1):
        there += length
        if body + there > len(content):
            break
        if length < 255:  # a packet ends here
            n_whole, n_bytes = place, there
    if not n_whole:
        return content[:page]
    head = bytearray(content[page : page + 27])
    head[6:14] = b"\xff" * 8  # where its last packet would have ended, nobody knows
    head[22:26], head[26] = bytes(4), n_whole
    mended = bytes(head) + lengths[:n_whole] + content[body : body + n_bytes]
    return content[:page] + mended[:22] + struct.pack("<I", _checksum(mended)) + mended[26:]


def _checksum(page: bytes) -> int:
    """Ogg's: the polynomial of CRC-32, but bits from the highest on, and nothing inverted (RFC 3533, section 6)."""
    mirror = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    mirrored = zlib.crc32(page.translate(mirror), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _end_of_page(content: bytes, page: int) -> int:
    """Where an Ogg's page ends by its own header; beyond the file where that is cut off (RFC 3533, section 6)."""
    if page + 26 >= len(content):
        return len(content) + 1
    lengths = content[page + 27 : page + 27 + content[page + 26]]
    is_whole = 0 < len(lengths) == content[page + 26]
    return page + 27 + len(lengths) + sum(lengths) if is_whole else len(content) + 1


def _mend_riff_of_extensible(content: bytes) -> bytes:
    """libsndfile reads big-endian WAV, but not where its kind of samples is told in the longer form, as sox writes it."""
    place = content.find(b"fmt ", 12, 4096) if content[:4] == b"RIFX" else -1
    if place < 0 or content[place + 8 : place + 10] != b"\xff\xfe" or len(content) < place + 48:
        return content
    return content[: place + 8] + content[place + 32 : place + 34] + content[place + 10 :]


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
    """The recording up to the end of its sound, with sizes that say so."""
    body = place + layout.header
    size = stop - body + (layout.header if layout.counts_itself else 0)
    mended = bytearray(content[:stop])
    struct.pack_into(
        layout.size, mended, place + len(layout.data), min(size, 2 ** (8 * struct.calcsize(layout.size) - 1))
    )
    if content[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        if mended[:4] in (b"RF64", b"BW64"):
            mended[:4] = b"RIFF"
        struct.pack_into(layout.size, mended, 4, min(stop - 8, 0xFFFF_FFFF))
    elif mended[:4] == b"FORM":
        struct.pack_into(">I", mended, 4, min(stop - 8, 0xFFFF_FFFF))
        _mend_frames_of_aiff(mended, layout, place, stop)
    elif layout.counts_itself:
        struct.pack_into("<Q", mended, 16, stop)
    return bytes(mended)


def _mend_frames_of_aiff(mended: bytearray, layout: _Layout, place: int, stop: int) -> None:
    """AIFF tells the number of frames once more, in a chunk of its own."""
    common = bytes(mended).find(b"COMM", layout.head, place)
    if common < 0:
        return
    channels, _, bits = struct.unpack_from(">hIh", mended, common + 8)
    frame = channels * -(-bits // 8)
    if channels > 0 and bits > 0:
        struct.pack_into(">I", mended, common + 10, (stop - place - layout.header - layout.before) // frame)


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
