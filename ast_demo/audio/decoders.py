"""A recording's bytes to its samples, a piece at a time, by libsndfile or by FFmpeg's libraries.

A piece is what was decoded, never what a header promised; a promise that was not kept becomes a note.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ast_demo.audio.containers import Mended, mend_sizes
from ast_demo.audio.endings import ends_in_mid_box, ends_in_mid_page, mend_last_page, split_joined, split_links
from ast_demo.audio.formats import DEMUXERS, Format, find_format, list_names, skip_to_start
from ast_demo.errors import AudioError

if TYPE_CHECKING:
    from av.container import InputContainer

_BLOCK = 1 << 18  # samples decoded at a time, so that many channels never lie in memory together
_TOLERANCE_S = 0.25  # containers round and encoders pad: so much less than was promised is no damage
_LONGEST_PROMISE_S = 1e5  # beyond this a header is damaged, or does not know
_FULL_SCALE = {"u8": 128.0, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}  # of FFmpeg's integer formats


@dataclass(frozen=True)
class Piece:
    """A part of a recording.

    Attributes:
        samples: (n, channels) float32, as decoded; n is 0 where the piece only brings a note.
        rate: Sampling rate in hertz, which may change from piece to piece.
        promised_s: Length of the recording by its header, where it tells one: a hint.
        header_rate: What an Opus header calls the rate of the original; Opus itself has none (RFC 7845, section 5.1).
        note: What a listener should know of the decoding, a sentence.
    """

    samples: np.ndarray
    rate: int
    promised_s: float | None = None
    header_rate: int | None = None
    note: str = ""


_Reader = Callable[[Mended], Iterator[Piece]]


def decode(content: bytes) -> Iterator[Piece]:
    """Decode a recording, as far as it can be decoded; of several that were joined into one file, each.

    Raises:
        AudioError: No decoder takes it, or it holds no sound; the message lacks the recording's name.
        Exception: Whatever else a decoder raises of a file; `read_audio` makes a sentence of it.
    """
    kind = find_format(content)
    parts = split_joined(content if kind else skip_to_start(content))
    if len(parts) == 1:
        yield from _decode_one(parts[0], kind)
        return
    rate = 0
    for piece in _in_a_row(parts, lambda part: _decode_one(part, kind)):
        rate = piece.rate
        yield piece
    yield _note(rate, f"The file holds {len(parts)} recordings, one after the other: they were read as one.")


def _decode_one(content: bytes, kind: Format | None) -> Iterator[Piece]:
    mended = mend_sizes(content)
    readers: tuple[_Reader, ...] = (_read_with_soundfile, _read_with_pyav)
    begins = find_format(content)
    if begins is not None and begins.decoder == "pyav":
        readers = (_read_links if begins.demuxer == "ogg" else _read_with_pyav, _read_with_soundfile)
    for reader in readers:
        pieces = reader(mended)
        try:
            first = next(pieces, None)
        except AudioError:
            raise
        except Exception:  # what this one cannot open, for whatever reason, is for the other one
            continue
        if first is not None:
            yield first
            yield from pieces
        return
    raise AudioError(_describe_failure(kind))


def _describe_failure(kind: Format | None) -> str:
    if kind is None:
        return f"is not a recording that can be read. Expected {list_names()}."
    return "is cut off or damaged. Export or upload it again."


def _read_with_soundfile(mended: Mended) -> Iterator[Piece]:
    import soundfile

    with soundfile.SoundFile(_Content(mended.content)) as file:
        rate, n_read = file.samplerate, 0
        promised_s = _believable(file.frames / rate * mended.promised) if rate > 0 else None
        # Not `file.blocks`, which fills up with zeros what a damaged file does not hold.
        n_frames = max(1, _BLOCK // file.channels)
        while True:
            try:
                block = file.read(n_frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                if not n_read:
                    raise
                break
            if not len(block):
                break
            n_read += len(block)
            yield Piece(block, rate, promised_s)
        if rate > 0 and (note := _broken_promise(n_read / rate, promised_s, tolerance_s=0.01)):
            yield _note(rate, note)


class _Content(io.BytesIO):
    """Bytes for libsndfile, which asks for a place before the first one where a header is damaged.

    An error of Python's cannot pass through it, and would be printed. That nothing moves, it takes for one of the file.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def _read_links(mended: Mended) -> Iterator[Piece]:
    """An Ogg, link by link: what one decoder makes of several in a row depends on its version."""
    links = split_links(mend_last_page(mended.content))
    rate = 0
    for piece in _in_a_row(links, lambda link: _read_with_pyav(Mended(link))):
        rate = piece.rate or rate
        yield piece
    if rate and ends_in_mid_page(mended.content):
        yield _note(rate, _cut_off())


def _in_a_row(parts: list[bytes], read: Callable[[bytes], Iterator[Piece]]) -> Iterator[Piece]:
    """The pieces of several recordings. One that cannot be decoded is left out if another one can."""
    n_heard, rate, failure = 0, 0, None
    for part in parts:
        try:
            for piece in read(part):
                n_heard, rate = n_heard + bool(len(piece.samples)), piece.rate
                # One part's length is not that of the recording.
                yield piece if len(parts) == 1 else replace(piece, promised_s=None)
        except Exception as error:  # the others may be sound
            failure = error
    if failure is not None:
        if not n_heard:
            raise failure
        yield _note(rate, "A part of the recording could not be decoded and was left out.")


def _read_with_pyav(mended: Mended) -> Iterator[Piece]:
    import av

    options = {"format_whitelist": ",".join(sorted(DEMUXERS))}
    # Titles are nobody's business here, in whatever encoding.
    with av.open(io.BytesIO(mended.content), mode="r", metadata_errors="replace", options=options) as container:
        if not container.streams.audio:
            raise AudioError(f"holds no sound. Expected a recording ({list_names()}).")
        stream = container.streams.audio[0]
        promised_s, header_rate = _promise(container, mended), _rate_of_opus(stream.codec_context.extradata)
        waiting: list[np.ndarray] = []
        rate, n_waiting, read_s, lost, is_last_lost = 0, 0, 0.0, 0, False
        for frames in _frames(container, stream):
            if frames is None or frames:
                is_last_lost = frames is None
                lost += is_last_lost
            for frame in frames or ():
                samples = _to_floats(frame)
                # The frame knows better than the header, which for HE-AAC tells half of the rate.
                is_other = (frame.sample_rate, samples.shape[1]) != (rate, waiting[0].shape[1] if waiting else -1)
                if waiting and (is_other or n_waiting * samples.shape[1] >= _BLOCK):
                    yield Piece(np.concatenate(waiting), rate, promised_s, header_rate)
                    waiting, n_waiting = [], 0
                rate = frame.sample_rate
                waiting.append(samples)
                n_waiting += len(samples)
                read_s += len(samples) / rate
        if waiting:
            yield Piece(np.concatenate(waiting), rate, promised_s, header_rate)
        elif lost:
            raise ValueError("no packet can be decoded")
        n_tracks = len(container.streams.audio)
    if lost > is_last_lost:
        yield _note(rate, f"Packets of the recording that could not be decoded and were left out: {lost}.")
    if note := _broken_promise(read_s, promised_s):
        yield _note(rate, note)
    elif container.format.name.startswith(("mov", "matroska")) and ends_in_mid_box(mended.content):
        yield _note(rate, _cut_off())
    elif is_last_lost and promised_s is None:  # else it is something that was written behind the recording
        yield _note(rate, "The end of the recording cannot be decoded: it is cut off, or something else follows it.")
    if n_tracks > 1:
        yield _note(rate, f"The recording has {n_tracks} sound tracks; the first one was read.")


def _frames(container: InputContainer, stream: Any) -> Iterator[list[Any] | None]:
    """The frames of each packet; None for one that cannot be decoded."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):  # the container is damaged from here on
            return
        try:
            yield packet.decode()
        except av.error.FFmpegError:
            yield None


def _to_floats(frame: Any) -> np.ndarray:
    """(n, channels) float32 of a decoded frame, in whatever format its codec leaves."""
    values = frame.to_ndarray()
    n_channels, kind = frame.layout.nb_channels, frame.format.name.removesuffix("p")
    samples = values.T if frame.format.is_planar else values.reshape(-1, n_channels)
    if kind in _FULL_SCALE:
        scale = _FULL_SCALE[kind]
        wide = samples.astype(np.float32 if kind in ("u8", "s16") else np.float64)
        return ((wide - (scale if kind == "u8" else 0)) / scale).astype(np.float32)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and that is refused later
        return samples.astype(np.float32)


def _promise(container: InputContainer, mended: Mended) -> float | None:
    """What a header says of the length, where one is written and means the sound; not what FFmpeg infers."""
    import av

    stream, name = container.streams.audio[0], container.format.name
    if name == "aac" or (
        name == "mp3" and not any(mark in mended.content[: 1 << 20] for mark in (b"Xing", b"Info", b"VBRI"))
    ):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return _believable(float(stream.duration * stream.time_base) * mended.promised)
    if container.duration is not None and len(container.streams) == 1:
        return _believable(container.duration / av.time_base)
    return None


def _believable(seconds: float) -> float | None:
    return seconds if 0 < seconds < _LONGEST_PROMISE_S else None


def _rate_of_opus(extradata: bytes | None) -> int | None:
    if not extradata or not extradata.startswith(b"OpusHead") or len(extradata) < 16:
        return None
    return int.from_bytes(extradata[12:16], "little") or None


def _note(rate: int, note: str) -> Piece:
    return Piece(np.zeros((0, 1), np.float32), rate, note=note)


def _broken_promise(read_s: float, promised_s: float | None, tolerance_s: float = _TOLERANCE_S) -> str:
    if promised_s is None:
        return ""
    if read_s > 1.1 * promised_s + _TOLERANCE_S:
        return f"The header speaks of {promised_s:.2f} s, but there are {read_s:.2f} s: all of it was read."
    if read_s >= promised_s - tolerance_s:
        return ""
    return _cut_off(f": it promises {promised_s:.2f} s, but ends after {read_s:.2f} s")


def _cut_off(how: str = "") -> str:
    return f"The recording is cut off or damaged{how}. What there is was read."
