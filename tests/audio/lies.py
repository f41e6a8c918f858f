"""Recordings whose headers, tags and containers say what is not so, each beside the sound that is in it.

Written with libsndfile and FFmpeg's libraries, then changed byte by byte: no program is needed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.audio.made import as_bytes, source, to_16_khz
from tests.clips import encode

RATE = 16_000


@dataclass(frozen=True)
class Lie:
    """A recording that lies.

    Attributes:
        name: What is wrong with it.
        content: The file.
        sound: (n,) what is in it, at 16 kHz.
        slack_s: By which what is decoded may be longer or shorter: an encoder's padding, a frame that is cut through.
        is_noted: Whether a note has to say that something is missing.
        is_lossy: Whether the codec is.
    """

    name: str
    content: bytes
    sound: np.ndarray
    slack_s: float = 0.001
    is_noted: bool = False
    is_lossy: bool = False


def mono(seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return source(rate, 1, seconds)[:, 0]


def heard(seconds: float, rate: int) -> np.ndarray:
    """What `mono` is at 16 kHz."""
    return to_16_khz(mono(seconds, rate), rate)


def all_lies() -> Iterator[Lie]:
    yield from _wav()
    yield from _other_chunks()
    yield from _flac()
    yield from _mp3()
    yield from _aac()
    yield from _ogg()
    yield from _mp4_and_matroska()
    yield from _joined()


def put(content: bytes, place: int, code: str, value: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(code.upper(), changed, place, value & (1 << 8 * struct.calcsize(code)) - 1)
    return bytes(changed)


_LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0"


def _wav() -> Iterator[Lie]:
    sound = mono()
    plain = as_bytes(sound, RATE, "WAV")
    size = len(plain) - 44
    assert plain[36:40] == b"data"
    for told in (0, size + 44, 2 * size, size - 1, size + 1, size // 2, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 44):
        for riff in (len(plain) - 8, told + 36, 0):
            lying = put(put(plain, 40, "<I", told), 4, "<I", riff)
            # Where both sizes agree that the sound is shorter, and nothing says that there is more, many bytes still are.
            yield Lie(f"wav data {told} riff {riff}", lying, sound, is_noted=told == 2 * size)
    yield Lie("wav junk after", plain + b"\0" * 7, sound)
    yield Lie("wav tag after", plain + b"TAG" + bytes(125), sound)
    yield Lie("wav chunks after", plain + _LIST + b"id3 " + struct.pack("<I", 10) + bytes(10), sound)
    yield Lie("wav size 0, chunk after", put(plain, 40, "<I", 0) + _LIST, sound)
    yield Lie("wav pipe size, chunk after", put(plain, 40, "<I", 0xFFFF_FFFF) + _LIST, sound)
    yield Lie("wav cut in mid-sample", plain[: 44 + size // 2 + 1], sound[: len(sound) // 2], is_noted=True)
    yield Lie("wav odd chunk before", plain[:36] + b"junk\3\0\0\0abc\0" + put(plain, 40, "<I", 0)[36:], sound)
    unpadded = b"LIST\x0f\0\0\0INFOISFT\3\0\0\0abc"
    yield Lie("wav odd chunks without padding before", plain[:36] + 3 * unpadded + plain[36:], sound)
    rifx = _rifx(sound)
    for told in (0, size + 44, 0xFFFF_FFFF):
        yield Lie(f"rifx data {told}", put(rifx, 40, ">I", told), sound)
    for subtype in ("PCM_24", "FLOAT", "ULAW"):
        other = as_bytes(sound, RATE, "WAV", subtype)
        yield Lie(f"wav {subtype} data 0", put(other, other.index(b"data") + 4, "<I", 0), sound)
    stereo = as_bytes(np.stack([sound, sound], axis=1), RATE, "WAV")
    yield Lie("wav stereo cut in mid-frame", stereo[: 44 + size + 2], sound[: len(sound) // 2], is_noted=True)


def _rifx(sound: np.ndarray) -> bytes:
    body = np.round(sound * 32768).clip(-32768, 32767).astype(">i2").tobytes()
    header = (
        b"RIFX"
        + struct.pack(">I", 36 + len(body))
        + b"WAVEfmt "
        + struct.pack(">IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    )
    return header + b"data" + struct.pack(">I", len(body)) + body


def _other_chunks() -> Iterator[Lie]:
    sound = mono()
    for container, mark, offset, code in (
        ("RF64", b"ds64", 16, "<Q"), ("W64", b"data\xf3\xac", 16, "<Q"), ("CAF", b"data", 4, ">q"), ("AIFF", b"SSND", 4, ">I"),
        ("AU", b".snd", 8, ">I"),
    ):  # fmt: skip
        content = as_bytes(sound, RATE, container)
        place = content.index(mark) + offset
        size = struct.unpack_from(code, content, place)[0]
        for told in (0, -1, size + 44, 2 * size, 0x7FFF_F000, size // 2):
            yield Lie(f"{container} {told}", put(content, place, code, told), sound, 0.002, is_noted=told == 2 * size)
        if container == "RF64":
            yield Lie("RF64 all zero", put(put(content, place, code, 0), content.index(b"data") + 4, "<I", 0), sound)
            yield Lie("RF64 no ds64 size, 4 bytes", put(content, content.index(b"data") + 4, "<I", 0), sound)
        cut = content[: len(content) - len(sound)]
        yield Lie(f"{container} cut", cut, sound[: len(sound) // 2], 0.002, is_noted=True)
        if container == "AIFF":
            frames = content.index(b"COMM") + 10
            for told in (0, 0xFFFF_FFFF, len(sound) // 2, 2 * len(sound)):
                yield Lie(f"AIFF frames {told}", put(content, frames, ">I", told), sound, 0.002)
            yield Lie(
                "AIFF all placeholders", put(put(put(content, frames, ">I", 0), place, ">I", 0), 4, ">I", 0), sound
            )
    body = np.round(sound * 32768).clip(-32768, 32767).astype(">i2").tobytes()
    rate = b"\x40\x0c\xfa" + bytes(7)  # 16,000 as an 80-bit float
    common = b"COMM" + struct.pack(">IhIh", 18, 1, len(sound), 16) + rate
    for told in (len(body) + 8, 0):
        chunks = b"AIFFSSND" + struct.pack(">I", told) + bytes(8) + body + common
        aiff = b"FORM" + struct.pack(">I", len(chunks)) + chunks
        yield Lie(f"AIFF {told}, what it is follows the sound", aiff, sound, 0.002)
    alac = encode(sound, RATE, "caf", "alac")  # by FFmpeg: the sizes of its packets follow the sound
    for told in (-1, 0):
        yield Lie(f"CAF alac {told}", put(alac, alac.index(b"data", 60) + 4, ">q", told), sound, 0.1)
    for container, subtype in (
        ("AIFF", "PCM_24"),
        ("AIFF", "FLOAT"),
        ("CAF", "ALAC_16"),
        ("AU", "ULAW"),
        ("CAF", "PCM_24"),
    ):
        content = as_bytes(sound, RATE, container, subtype)
        mark, offset, code = {"AIFF": (b"SSND", 4, ">I"), "CAF": (b"data", 4, ">q"), "AU": (b".snd", 8, ">I")}[
            container
        ]
        for told in (0, -1) if subtype != "ALAC_16" else (-1,):
            yield Lie(
                f"{container} {subtype} {told}",
                put(content, content.index(mark) + offset, code, told),
                sound,
                0.3 if "ALAC" in subtype else 0.002,
            )


def _flac() -> Iterator[Lie]:
    sound = mono()
    plain = as_bytes(sound, RATE, "FLAC")
    high, low = plain[21], struct.unpack_from(">I", plain, 22)[0]
    assert low == len(sound)

    def told(n: int) -> bytes:
        return put(put(plain, 22, ">I", n), 21, "B", (high & 0xF0) | (n >> 32) & 0xF)

    yield Lie("flac 0 samples", told(0), sound)
    yield Lie("flac half the samples", told(len(sound) // 2), sound)
    yield Lie("flac all the samples there can be", told(2**36 - 1), sound)
    yield Lie("flac twice the samples", told(2 * len(sound)), sound, is_noted=True)
    yield Lie("flac after a tag", b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + plain, sound)
    yield Lie("flac and a tag", plain + b"TAG" + bytes(125), sound)
    cut = plain[: len(plain) // 2]
    yield Lie("flac cut", cut, sound[: len(sound) // 2], 0.4, is_noted=True)
    yield Lie("flac cut, 0 samples", told(0)[: len(plain) // 2], sound[: len(sound) // 2], 0.4, is_noted=True)
    yield Lie("flac wrong sum", put(plain, 26, ">Q", 12345), sound)


def _mp3() -> Iterator[Lie]:
    sound, other = mono(3.0), mono(2.0)
    plain = as_bytes(sound, RATE, "MP3", "MPEG_LAYER_III")
    xing = without_xing(plain)
    second = as_bytes(other, RATE, "MP3", "MPEG_LAYER_III")
    slack = 0.2  # the encoder's delay and padding, which nothing tells
    yield Lie("mp3 without xing", xing, sound, slack, is_lossy=True)
    yield Lie("mp3 joined", plain + second, np.concatenate([sound, other]), 2 * slack, is_lossy=True)
    yield Lie(
        "mp3 joined without xing", xing + without_xing(second), np.concatenate([sound, other]), 2 * slack, is_lossy=True
    )
    for name, front, back in (
        ("cover", _id3(b"APIC", b"\0image/jpeg\0\3\0\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(60_000)), b""),
        ("title in Latin-1 called UTF-8", _id3(b"TIT2", b"\3Gr\xfc\xdfe"), b""),
        ("id3v1", b"", b"TAG" + b"\xff" * 125),
        ("ape", b"", b"APETAGEX" + struct.pack("<IIIIQ", 2000, 32, 0, 0x8000_0000, 0) + bytes(32)),
        ("garbage", np.random.default_rng(2).bytes(3000), b""),
        ("zeros", bytes(5000), b""),
        ("text after", b"", b"<html>not found</html>" * 20),
        ("two tags", _id3(b"TIT2", b"\3a") + _id3(b"TIT2", b"\3b"), b""),
    ):
        yield Lie(f"mp3 {name}", front + xing + back, sound, slack, is_lossy=True)
        yield Lie(f"mp3 with xing, {name}", front + plain + back, sound, slack, is_lossy=True)
    for name, behind in (("mp3", xing), ("mp3 with xing", plain), ("aac", encode(sound, RATE, "adts", "aac"))):
        for more in (1, 500, 5000, 10_000_000):
            for version in (2, 3, 4):
                tag = _id3_that_lies(version, more)
                yield Lie(f"{name} tag {version} longer by {more}", tag + behind, sound, slack, is_lossy=True)
    flac = as_bytes(sound, RATE, "FLAC")
    for more in (1, 500, 5000, 10_000_000):
        yield Lie(f"flac tag longer by {more}", _id3_that_lies(3, more) + flac, sound)
    yield Lie("mp3 cut", plain[: len(plain) // 2], sound[: len(sound) // 2], 0.3, is_noted=True, is_lossy=True)
    yield Lie("mp3 cut without xing", xing[: len(xing) // 2 + 7], sound[: len(sound) // 2], 0.3, is_lossy=True)
    at = plain.find(b"Info") if b"Info" in plain else plain.find(b"Xing")
    for frames in (1, 10**6):
        yield Lie(
            f"mp3 xing says {frames}",
            put(plain, at + 8, ">I", frames),
            sound,
            slack,
            is_noted=frames > 1000,
            is_lossy=True,
        )


def without_xing(mp3: bytes) -> bytes:
    """From the second frame on: the first one, which holds the header, tells a length."""
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    first = mp3.rfind(b"\xff", 0, at)
    while not (mp3[first] == 0xFF and mp3[first + 1] & 0xE0 == 0xE0):
        first = mp3.rfind(b"\xff", 0, first)
    second = mp3.find(mp3[first : first + 2], at)
    return mp3[second:]


def _id3(frame: bytes, body: bytes) -> bytes:
    content = frame + struct.pack(">I", len(body)) + b"\0\0" + body
    n = len(content)
    return b"ID3\3\0\0" + bytes((n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127)) + content


def _id3_that_lies(version: int, more: int) -> bytes:
    """A tag with a title, that calls itself so many bytes longer than it is."""
    title = b"TT2\0\0\5\0abcd" if version == 2 else b"TIT2\0\0\0\5\0\0\0abcd"
    n = len(title) + more
    return b"ID3" + bytes((version, 0, 0, n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127)) + title


def _aac() -> Iterator[Lie]:
    sound = mono(3.0, 44_100)
    sound_16 = heard(3.0, 44_100)
    # Quiet, then loud: the bit rate of the beginning says nothing of the length.
    uneven = np.concatenate([np.zeros(44_100), sound])
    adts, second = encode(sound, 44_100, "adts", "aac"), encode(mono(2.0, 44_100), 44_100, "adts", "aac")
    yield Lie("aac", adts, sound_16, 0.12, is_lossy=True)
    yield Lie(
        "aac uneven",
        encode(uneven, 44_100, "adts", "aac"),
        np.concatenate([np.zeros(RATE), sound_16]),
        0.12,
        is_lossy=True,
    )
    yield Lie("aac joined", adts + second, np.concatenate([sound_16, heard(2.0, 44_100)]), 0.25, is_lossy=True)
    yield Lie("aac cut", adts[: len(adts) // 2], sound_16[: len(sound_16) // 2], 0.25, is_lossy=True)
    yield Lie("aac after garbage", bytes(700) + adts, sound_16, 0.12, is_lossy=True)
    yield Lie("aac after a tag", _id3(b"TIT2", b"\3a") + adts, sound_16, 0.12, is_lossy=True)


def _ogg() -> Iterator[Lie]:
    for name, container, codec, rate in (
        ("vorbis", "OGG", "VORBIS", RATE), ("opus", "ogg", "libopus", 48_000), ("flac", "ogg", "flac", RATE),
    ):  # fmt: skip
        lossy = name != "flac"

        def link(sound: np.ndarray, container: str = container, codec: str = codec, rate: int = rate) -> bytes:
            return encode(sound, rate, container, codec)

        def at(seconds: float, channels: int = 1, rate: int = rate) -> np.ndarray:
            return (
                np.repeat(source(rate, 1, seconds), channels, axis=1)
                if channels > 1
                else source(rate, 1, seconds)[:, 0]
            )

        one, two = heard(2, rate), heard(3, rate)
        both = np.concatenate([one, two])
        yield Lie(f"{name} chained", link(at(2)) + link(at(3)), both, 0.05, is_lossy=lossy)
        yield Lie(f"{name} chained, other channels", link(at(2)) + link(at(3, 2)), both, 0.05, is_lossy=lossy)
        many = heard(20, rate)
        yield Lie(
            f"{name} chained, long", link(at(2)) + link(at(20)), np.concatenate([one, many]), 0.05, is_lossy=lossy
        )
        if name != "opus":
            other = encode(source(44_100, 2, 3.0), 44_100, container, codec)
            wide = 0.75 * heard(3, 44_100)
            yield Lie(
                f"{name} chained, other rate", link(at(2)) + other, np.concatenate([one, wide]), 0.05, is_lossy=lossy
            )
        content = link(at(3))
        yield Lie(f"{name} cut", content[: len(content) * 2 // 3], two[: 2 * RATE], 1.1, is_noted=True, is_lossy=lossy)
        page = content.rfind(b"OggS")
        yield Lie(f"{name} last page says -1", resum(put(content, page + 6, "<Q", -1), page), two, 0.1, is_lossy=lossy)
        yield Lie(f"{name} after garbage", b"HTTP/1.0 200 OK\r\n\r\n" + content, two, 0.05, is_lossy=lossy)
    mixed = encode(mono(2.0), RATE, "OGG", "VORBIS") + encode(mono(3.0, 48_000), 48_000, "ogg", "libopus")
    yield Lie("vorbis, then opus", mixed, np.concatenate([mono(2.0), heard(3, 48_000)]), 0.05, is_lossy=True)


def resum(content: bytes, page: int) -> bytes:
    """With the page's checksum set right (RFC 3533, section 6: polynomial 04c11db7, nothing inverted)."""
    lengths = content[page + 27 : page + 27 + content[page + 26]]
    end = page + 27 + len(lengths) + sum(lengths)
    body = put(content, page + 22, "<I", 0)[page:end]
    total = 0
    for byte in body:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1) ^ 0x04C1_1DB7 if total & 0x8000_0000 else total << 1
            total &= 0xFFFF_FFFF
    return put(content, page + 22, "<I", total)


def _mp4_and_matroska() -> Iterator[Lie]:
    sound, right = mono(2.0, 48_000), heard(2.0, 48_000)
    for container, codec, slack in (
        ("mp4", "aac", 0.05),
        ("matroska", "flac", 0.01),
        ("webm", "libopus", 0.05),
        ("matroska", "aac", 0.05),
    ):
        lossy = codec != "flac"
        plain = encode(sound, 48_000, container, codec)
        for picture_s, start_s in ((4.0, 0.0), (1.0, 0.0), (2.0, -1.0), (2.0, 1.0)):
            film = with_pictures(sound, 48_000, container, codec, picture_s, start_s)
            yield Lie(
                f"{container} {codec} pictures of {picture_s} s from {start_s} s", film, right, slack, is_lossy=lossy
            )
        if container == "mp4":
            for mark, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
                place = plain.index(mark) + offset
                for told in (0, 10 * struct.unpack_from(">I", plain, place)[0]):
                    yield Lie(f"mp4 {mark.decode()} {told}", put(plain, place, ">I", told), right, slack, is_lossy=True)
        else:
            # The segment's duration: an eight-byte float after its id and length.
            place = plain.index(b"\x44\x89\x88") + 3
            for told in (0.0, 1e9, 500.0):
                lying = plain[:place] + struct.pack(">d", told) + plain[place + 8 :]
                yield Lie(f"{container} {codec} duration {told}", lying, right, slack, is_lossy=lossy)
            yield Lie(
                f"{container} {codec} cut",
                plain[: len(plain) * 2 // 3],
                right[: 2 * len(right) // 3],
                0.8,
                is_lossy=lossy,
            )


def with_pictures(sound: np.ndarray, rate: int, container: str, codec: str, picture_s: float, start_s: float) -> bytes:
    """A film whose sound begins at `start_s`, and whose pictures last so long."""
    import av

    file = io.BytesIO()
    video = {"webm": "libvpx", "mp4": "mpeg4", "matroska": "mpeg4"}[container]
    with av.open(file, "w", format=container) as output:
        pictures = output.add_stream(video, rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 48, "yuv420p"
        track = output.add_stream(codec, rate=rate, layout="mono")
        for place in range(round(picture_s * 10)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 32, 3), place, np.uint8), format="rgb24")
            frame.pts = place + max(0, round(-start_s * 10))
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, round(max(0.0, start_s) * rate)
        resampler = av.AudioResampler(track.codec_context.format, "mono", rate, frame_size=track.frame_size or None)
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(track.encode(block))
        output.mux(track.encode(None))
    return file.getvalue()


def _joined() -> Iterator[Lie]:
    """Files of one kind behind each other, as by `cat`: also where the first calls itself endless, as from a pipe."""
    one, two, wide = mono(2.0), mono(3.0), 0.75 * heard(3.0, 44_100)
    for container in ("WAV", "RF64", "AIFF", "FLAC", "AU", "CAF", "W64"):
        first = as_bytes(one, RATE, container)
        other = as_bytes(source(44_100, 2, 3.0), 44_100, container)
        both, uneven = np.concatenate([one, two]), np.concatenate([one, wide])
        yield Lie(f"{container} joined", first + as_bytes(two, RATE, container), both, 0.002)
        yield Lie(f"{container} joined, other rate and channels", first + other, uneven, 0.002)
    endless = put(as_bytes(one, RATE, "WAV"), 40, "<I", 0xFFFF_FFFF)
    yield Lie("wav joined, the first from a pipe", endless + endless, np.concatenate([one, one]))
    chunk = as_bytes(one, RATE, "WAV") + _LIST
    yield Lie("wav joined, chunks between", chunk + chunk, np.concatenate([one, one]))
    m4a = encode(mono(2.0, 48_000), 48_000, "mp4", "aac")
    yield Lie("mp4 joined", m4a + m4a, np.concatenate([heard(2.0, 48_000)] * 2), 0.1, is_lossy=True)


MAKERS: tuple[Callable[[], Iterator[Lie]], ...] = (
    _wav,
    _other_chunks,
    _flac,
    _mp3,
    _aac,
    _ogg,
    _mp4_and_matroska,
    _joined,
)
