"""Where the recordings of a file begin and end: several that stand one after the other, and one that ends in the middle.

Radio streams are saved as chains, people join files with `cat`, and recorders lose power.
"""

from __future__ import annotations

import re
import struct
import zlib

_MOST_LINKS = 1000
# What a recording begins with, of kinds that tell where they end, so that decoders stop there. Long enough that no sound
# has it by chance, and looked for only in files that begin with the same one.
_BEGINNINGS = (
    rb"(?:RIFF|RIFX|RF64|BW64)....WAVE(?:fmt |ds64|JUNK|junk|bext|LIST|fact)",
    rb"FORM....AIF[FC](?:COMM|FVER|SSND|NAME|ANNO|MARK|INST|COMT)",
    rb"fLaC\x00\x00\x00\x22",
    rb"\.snd\x00\x00[\x00-\x0f].{5}\x00\x00\x00[\x01-\x1b]\x00[\x00-\x0b]..\x00\x00\x00[\x01-\x08]",
    rb"caff\x00\x01\x00\x00desc",
    rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    rb"\x00\x00\x00[\x10-\x60]ftyp(?:isom|iso[2-9]|mp4[12]|M4[ABVP] |qt  |3g[p2]\w|dash|avc1)",
)
_EBML, _SEGMENT, _CLUSTER = b"\x1aE\xdf\xa3", 0x18538067, 0x1F43B675


def split_joined(content: bytes) -> list[bytes]:
    """The recordings of a file into which several of one kind were joined, as by `cat`; a file of one is that one.

    At most 1000; what comes after is part of the last one. MPEG, AAC, Ogg and Matroska are none of this: whoever
    reads their packets reads all of them.
    """
    beginning = next((one for one in _BEGINNINGS if re.match(one, content, re.DOTALL)), None)
    if beginning is None:
        return [content]
    return _split(content, [found.start() for found in re.finditer(beginning, content, re.DOTALL)][:_MOST_LINKS])


def _split(content: bytes, starts: list[int]) -> list[bytes]:
    if len(starts) < 2:
        return [content]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]


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
    return _split(content, starts[:_MOST_LINKS])


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


def ends_in_mid_box(content: bytes) -> bool:
    """Whether an MP4's last box, or a Matroska's last element, is longer than what is left of the file."""
    if content.startswith(_EBML):
        return _ends_in_mid_element(content)
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4])
        if size == 1:  # told in eight bytes, after the type (ISO/IEC 14496-12, section 4.2)
            size = int.from_bytes(content[place + 8 : place + 16])
        if size < 8:  # 0: up to the end
            return False
        place += size
    return place > len(content)


def _ends_in_mid_element(content: bytes) -> bool:
    """By the sizes of its elements, down to the blocks of sound (RFC 8794, sections 4 to 6)."""
    place = 0
    while place < len(content):
        id_bytes = 9 - content[place].bit_length()
        if id_bytes > 4 or place + id_bytes >= len(content):
            return id_bytes <= 4  # what begins with no identifier was written behind it
        name = int.from_bytes(content[place : place + id_bytes])
        place += id_bytes
        size_bytes = 9 - content[place].bit_length()
        if size_bytes > 8 or place + size_bytes > len(content):
            return size_bytes <= 8
        size = int.from_bytes(content[place : place + size_bytes]) & ((1 << 7 * size_bytes) - 1)
        is_unknown = size == (1 << 7 * size_bytes) - 1
        place += size_bytes + (0 if is_unknown or name in (_SEGMENT, _CLUSTER) else size)
    return place > len(content)
