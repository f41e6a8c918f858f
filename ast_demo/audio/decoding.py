"""Any recording to the one waveform that everything else starts from: mono float32 at 16 kHz.

soundfile (libsndfile) reads WAV, AIFF, FLAC, Ogg and MP3; PyAV (FFmpeg's libraries) reads what is left, which is
what browsers record: WebM/Opus and MP4/AAC. All channels are averaged. soxr resamples.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ast_demo.errors import AudioError

SAMPLE_RATE = 16_000  # Hz, of every AST checkpoint
FRAME_LENGTH = 400  # samples: the 25 ms window of one spectrogram frame, and so the shortest clip there is
HOP_LENGTH = 160  # samples: 10 ms from one frame to the next
DEFAULT_MAX_S = 600.0

_READABLE = "WAV, FLAC, MP3, Ogg, Opus, M4A, WebM or AIFF"
# The only ones that FFmpeg may take a file for: others, such as playlists, make it open further files and addresses.
_PYAV_FORMATS = "aac,aiff,flac,matroska,mov,mp3,ogg,wav"
_LOWEST_RATE, _HIGHEST_RATE = 4_000, 768_000  # Hz; beyond these a header is damaged rather than unusual
_LOUDEST = 4.0  # floats may overshoot full scale (an MP3 does); beyond this they are on another scale
_BLOCK = 1 << 18  # samples decoded at a time, so that many channels never lie in memory together


@dataclass(frozen=True)
class Waveform:
    """A clip, decoded.

    Attributes:
        samples: (n,) float32 in [-1, 1], mono, 16 kHz.
        name: File name, for people.
        original_rate: Sampling rate of the recording in hertz.
        channels: Channels of the recording; `samples` is their mean.
        notes: What was changed on the way that a listener might miss, a sentence each.
        start_s: Where it begins in the recording that it was cut from, in seconds.
    """

    samples: np.ndarray
    name: str
    original_rate: int
    channels: int
    notes: tuple[str, ...] = ()
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def read_audio(source: str | Path | bytes, *, name: str | None = None, max_s: float = DEFAULT_MAX_S) -> Waveform:
    """Decode a recording.

    Args:
        source: Path of a file, or the bytes of one.
        name: What to call it in messages; the file's name by default.
        max_s: Longest recording that is accepted, in seconds.

    Raises:
        AudioError: No such file; not audio; empty; shorter than one frame (0.025 s); longer than `max_s`; cut off
            in the middle; samples that are not numbers, or not on the scale from -1 to 1.
    """
    if isinstance(source, bytes):
        content, name = source, name or "recording"
    else:
        path = Path(source)
        name = name or path.name
        try:
            content = path.read_bytes()
        except (FileNotFoundError, ValueError):  # the latter for what cannot be a path, such as a zero byte
            raise AudioError(f"There is no file {str(path)!r}. Check the path.") from None
        except OSError as error:
            raise AudioError(f"{str(path)!r} cannot be opened: {error.strerror or error}.") from None
    if not content:
        raise AudioError(f"{name!r} is empty (0 bytes). Record again or choose another file.")
    if _is_cut_off(content):
        raise AudioError(_cut_off(name))
    try:
        file = soundfile.SoundFile(io.BytesIO(content))
    except soundfile.LibsndfileError:
        decoded = _read_with_pyav(content, name, max_s)
    else:
        with file:
            decoded = _read_with_soundfile(file, name, max_s)
    return _to_waveform(decoded, name, max_s)


def waveform_from_samples(
    samples: np.ndarray, rate: int, *, name: str = "recording", max_s: float = DEFAULT_MAX_S
) -> Waveform:
    """A waveform from decoded samples.

    Args:
        samples: (n,) or (n, channels): floats in [-1, 1], or integers, which are divided by their type's range.
        rate: Sampling rate in hertz.

    Raises:
        AudioError: As `read_audio`.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] == 0):
        raise AudioError(f"Expected samples of shape (n,) or (n, channels); {name!r} has shape {samples.shape}.")
    if samples.dtype.kind not in "iuf":
        raise AudioError(f"Expected samples that are integers or floats; {name!r} has {samples.dtype}.")
    if samples.dtype.kind in "iu":
        limits = np.iinfo(samples.dtype)
        middle = (int(limits.max) + int(limits.min) + 1) // 2  # 0, or 128 where 8-bit samples are unsigned
        samples = (samples.astype(np.float64) - middle) / (int(limits.max) + 1 - middle)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and that is refused below
        samples = samples.astype(np.float32)
    return _to_waveform(
        _Decoded(_mix([samples if samples.ndim == 2 else samples[:, None]]), rate, channels), name, max_s
    )


@dataclass(frozen=True)
class _Decoded:
    mono: np.ndarray  # (n,) float32, mean of the channels, at the recording's own rate
    rate: int
    channels: int


def _to_waveform(decoded: _Decoded, name: str, max_s: float) -> Waveform:
    """Check what was decoded, and bring it to 16 kHz."""
    mono, rate = decoded.mono, decoded.rate
    _check_rate(rate, name)
    if len(mono) == 0:
        raise AudioError(f"{name!r} holds no sound at all (0 samples). Record again or choose another file.")
    _check_longest(len(mono) / rate, name, max_s)
    not_numbers = len(mono) - int(np.isfinite(mono).sum())
    if not_numbers:
        how_many = "only" if not_numbers == len(mono) else f"{not_numbers} of {len(mono)}"
        raise AudioError(f"{name!r} holds {how_many} samples that are not numbers (NaN or infinite). Export it again.")
    peak = float(np.abs(mono).max())
    if peak > _LOUDEST:
        raise AudioError(
            f"{name!r} has samples up to {peak:.0f}, but samples must lie between -1 and 1. "
            "If they are 16-bit integers saved as floats, divide them by 32768."
        )
    notes: tuple[str, ...] = ()
    if peak > 1:
        share = float(np.mean(np.abs(mono) > 1))
        notes = (f"{share:.2%} of the samples were beyond full scale (up to {peak:.2f}) and were limited to it.",)
        mono = mono.clip(-1, 1)
    if rate != SAMPLE_RATE:
        # The low-pass filter of the resampler overshoots at steps: what leaves the range by that is cut back.
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ").clip(-1, 1)
    if len(mono) < FRAME_LENGTH:
        raise AudioError(
            f"{name!r} is {len(mono) / SAMPLE_RATE:.3f} s long, but at least {FRAME_LENGTH / SAMPLE_RATE:.3f} s "
            "(one frame of the spectrogram) are needed. Record again, a little longer."
        )
    return Waveform(np.ascontiguousarray(mono, dtype=np.float32), name, int(rate), decoded.channels, notes)


def _read_with_soundfile(file: soundfile.SoundFile, name: str, max_s: float) -> _Decoded:
    rate, declared = file.samplerate, file.frames
    _check_rate(rate, name)
    _check_longest(declared / rate, name, max_s)
    try:
        # Not `file.blocks`, which fills up with zeros what a damaged file does not hold.
        n_frames = max(1, _BLOCK // file.channels)
        mono = _mix(file.read(n_frames, dtype="float32", always_2d=True) for _ in itertools.count())
    except soundfile.LibsndfileError:
        raise AudioError(_cut_off(name)) from None
    # An MP3 decoder drops its own delay and padding: up to three blocks of 1152 samples are no damage.
    if len(mono) + 3 * 1152 < declared:
        raise AudioError(_cut_off(name, len(mono) / rate, declared / rate))
    return _Decoded(mono, rate, file.channels)


def _read_with_pyav(content: bytes, name: str, max_s: float) -> _Decoded:
    import av

    try:
        with av.open(io.BytesIO(content), mode="r", options={"format_whitelist": _PYAV_FORMATS}) as container:
            if not container.streams.audio:
                raise AudioError(f"{name!r} holds no sound. Expected a recording ({_READABLE}).")
            declared_s = (container.duration or 0) / av.time_base
            _check_longest(declared_s, name, max_s)
            frames = container.decode(container.streams.audio[0])
            first = next(frames, None)
            if first is None:
                return _Decoded(np.zeros(0, np.float32), SAMPLE_RATE, 1)
            # The first frame knows better than the header, which for HE-AAC tells half of the rate.
            rate, channels = first.sample_rate, first.layout.nb_channels
            _check_rate(rate, name)
            to_floats = av.AudioResampler(format="fltp")
            blocks: list[np.ndarray] = []
            n_samples = 0
            for frame in itertools.chain([first], frames):
                for block in to_floats.resample(frame):
                    blocks.append(_mix([block.to_ndarray().T]))
                    n_samples += block.samples
                _check_longest(n_samples / rate, name, max_s)
    except av.error.FFmpegError:
        if _starts_like_audio(content):
            raise AudioError(_cut_off(name)) from None
        raise AudioError(f"{name!r} is not a recording that can be read. Expected {_READABLE}.") from None
    mono = np.concatenate(blocks)
    if len(mono) / rate < declared_s - 0.25:  # containers round and encoders pad: a quarter of a second is no damage
        raise AudioError(_cut_off(name, len(mono) / rate, declared_s))
    return _Decoded(mono, rate, channels)


def _mix(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over the channels of blocks of shape (n, channels), up to the first that is empty."""
    # Infinite samples of both signs, or sums beyond what a float holds: what is not a number is refused later.
    with np.errstate(invalid="ignore", over="ignore"):
        mixed = [block.mean(axis=1, dtype=np.float32) for block in itertools.takewhile(len, blocks)]
    return np.concatenate(mixed) if mixed else np.zeros(0, np.float32)


def _check_rate(rate: int, name: str) -> None:
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(
            f"{name!r} says that it was sampled at {rate} Hz. Expected {_LOWEST_RATE} to {_HIGHEST_RATE} Hz: "
            "the file is probably damaged."
        )


def _check_longest(duration_s: float, name: str, max_s: float) -> None:
    if duration_s > max_s:
        raise AudioError(
            f"{name!r} is {duration_s:.1f} s long, but at most {max_s:g} s are accepted here. Cut out the part of interest."
        )


def _cut_off(name: str, got_s: float | None = None, declared_s: float | None = None) -> str:
    where = "" if got_s is None else f": it promises {declared_s:.2f} s, but ends after {got_s:.2f} s"
    return f"{name!r} is cut off or damaged{where}. Export or upload it again."


def _is_cut_off(content: bytes) -> bool:
    """Whether a container's own sizes promise more bytes than there are; libsndfile would read on without a word."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        position = 12
        while position + 8 <= len(content):
            size = int.from_bytes(content[position + 4 : position + 8], "little")
            if content[position : position + 4] == b"data":
                # Programs that write to a pipe cannot know the size and leave a huge one.
                return len(content) < position + 8 + size < 0x7FFF0000
            position += 8 + size + size % 2
        return False
    if content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        return 8 + int.from_bytes(content[4:8], "big") > len(content)
    if content[:4] == b"OggS":
        page = content.rfind(b"OggS")
        lengths = content[page + 27 : page + 27 + content[page + 26]] if page + 26 < len(content) else b""
        complete = len(lengths) > 0 and len(lengths) == content[page + 26]
        return not complete or page + 27 + len(lengths) + sum(lengths) > len(content)
    return False


def _starts_like_audio(content: bytes) -> bool:
    """Whether a file that no decoder takes began as one of the formats that we read."""
    magic = (b"RIFF", b"FORM", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1")
    return content.startswith(magic) or content[4:8] == b"ftyp"
