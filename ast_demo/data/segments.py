"""Clips that are parts of a longer recording: which columns of a table tell the times, and how a part is read.

Nothing is copied: such a clip is the recording and two times, and is cut out where it is read.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio, waveform_from_samples
from ast_demo.data.clips import LabelledClip
from ast_demo.data.tables import column_key
from ast_demo.errors import AudioError, DataError
from ast_demo.settings import Settings

# Keys of columns, see `column_key`; a key with `ms` at its end is in milliseconds.
START_KEYS = (
    "start", "starts", "starttime", "starttimes", "startseconds", "startsec", "startms", "begin", "begins",
    "begintime", "begintimes", "beginms", "onset", "onsets", "onsettime", "onsetms", "tstart", "tmin", "xmin",
    "segmentstart", "clipstart", "eventonset",
)  # fmt: skip
END_KEYS = (
    "end", "ends", "endtime", "endtimes", "endseconds", "endsec", "endms", "stop", "stoptime", "offset", "offsets",
    "offsettime", "offsetms", "tend", "tmax", "xmax", "segmentend", "clipend", "eventoffset",
)  # fmt: skip
DURATION_KEYS = (
    "duration", "durations", "durationseconds", "durationms", "dur", "segmentduration", "deltatimes",
)  # fmt: skip
_CUT_ALREADY_KEYS = ("slicefilename",)  # UrbanSound8K: its times are those of the recording that a slice was cut from
_AT_LEAST_LONGER_S = 0.25  # a file that is shorter than this before its row's end does not hold the segment
_NO_LONGER_S = 1.0  # a file that is longer than its row's part by this is no such part
_LATEST_S = 1e9  # of a time: some thirty years
_MARGIN_S = 0.05  # read around a segment, so that the resampler's edges lie outside of it
_SEEKABLE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")  # formats in which a place is found exactly
_MOST_VALUES_A_SECOND = 400_000  # of a recording whose part is read at once; others are read a piece at a time


@dataclass(frozen=True)
class TimeColumns:
    """Which columns of a table tell the part of a recording. `duration`: `end` is one, from `start` on."""

    start: str
    end: str
    duration: bool = False

    def read(self, row: Mapping[str, Any], number: int, table: str) -> tuple[float, float] | None:
        """Start and end in seconds; None where both cells are empty: the whole recording.

        Raises:
            DataError: They are no times, or the end is not after the start.
        """
        cells = [str(row.get(self.start, "") or ""), str(row.get(self.end, "") or "")]
        if not any(cells):
            return None
        try:
            start, end = (parse_seconds(cell, name) for cell, name in zip(cells, (self.start, self.end), strict=True))
        except ValueError:
            raise DataError(
                f"Row {number} of {table} says {self.start} = {cells[0][:40]!r} and {self.end} = {cells[1][:40]!r}. "
                "Expected two times, in seconds."
            ) from None
        end = start + end if self.duration else end
        if not 0 <= start < end:
            raise DataError(
                f"Row {number} of {table} is of {seconds_as_text(start)} to {seconds_as_text(end)} s. "
                "Expected an end after a start, neither before 0."
            )
        return start, end


def find_time_columns(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> TimeColumns | None:
    """The columns that tell a part of a recording, if one of the first rows has times in them."""
    by_key = {column_key(column): column for column in reversed(columns)}
    start = next((by_key[key] for key in START_KEYS if key in by_key), None)
    end = next((by_key[key] for key in END_KEYS if key in by_key), None)
    duration = next((by_key[key] for key in DURATION_KEYS if key in by_key), None)
    if start is None and duration is not None and "offset" in by_key:  # manifests of speech: an offset and a duration
        found = TimeColumns(by_key["offset"], duration, duration=True)
    elif start is not None and end is not None:
        found = TimeColumns(start, end)
    elif start is not None and duration is not None:
        found = TimeColumns(start, duration, duration=True)
    else:
        return None
    return found if any(_are_times(row, found) for row in sample) else None


def _are_times(row: Mapping[str, Any], columns: TimeColumns) -> bool:
    try:
        for column in (columns.start, columns.end):
            parse_seconds(str(row.get(column, "")), column)
    except ValueError:
        return False
    return True


def are_cut_already(clips: Sequence[LabelledClip], recordings: Sequence[str], file_column: str) -> bool:
    """Whether the times of a table are not those of its files, because each file is such a part already.

    As in AudioSet and UrbanSound8K: a file occurs once, and ends before the end that its row tells. The three rows
    that begin last are looked at.
    """
    if column_key(file_column) in _CUT_ALREADY_KEYS:
        return True
    timed = [clip for clip in clips if clip.end_s is not None]
    if not timed or len(set(recordings)) < len(recordings):
        return False
    latest = sorted(timed, key=lambda clip: -clip.start_s)[:3]
    lengths = [(clip, length) for clip in latest if (length := _length_s(clip)) is not None]
    return all(
        clip.end_s is not None and length < clip.end_s - clip.start_s + _NO_LONGER_S for clip, length in lengths
    ) and any(clip.end_s is not None and length < clip.end_s - _AT_LEAST_LONGER_S for clip, length in lengths)


def _length_s(clip: LabelledClip) -> float | None:
    try:
        content = clip.content
        try:
            info = soundfile.info(io.BytesIO(content) if isinstance(content, bytes) else str(content))
            return float(info.frames / info.samplerate)
        except (soundfile.LibsndfileError, OSError):
            return read_audio(content, name=clip.name).duration_s
    except AudioError:
        return None


def segment_name(name: str, start_s: float, end_s: float | None) -> str:
    """What the part of a recording is called."""
    return f"{name} {seconds_as_text(start_s)}-{'end' if end_s is None else seconds_as_text(end_s)} s"


def seconds_as_text(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def parse_seconds(cell: str, column: str = "") -> float:
    """Seconds from `1.5`, `1,5`, `0:01.5`. Raises ValueError."""
    cell = cell.strip()
    if "," in cell and "." not in cell:
        cell = cell.replace(",", ".")
    if not re.fullmatch(r"([\d]{1,9}:){0,2}[+-]?\d{0,12}(\.\d*)?(e[+-]?\d{1,2})?", cell, re.IGNORECASE):
        raise ValueError(cell)
    seconds = 0.0
    for part in cell.split(":"):
        seconds = 60 * seconds + float(part)
    if not seconds < _LATEST_S:
        raise ValueError(cell)
    return seconds / 1000 if column_key(column).endswith("ms") else seconds


def read_clip(clip: LabelledClip, *, max_s: float = Settings.max_clip_s) -> Waveform:
    """Decode a clip: the whole recording, or its part.

    Raises:
        AudioError: As `read_audio`; the part lies outside of the recording, or is longer than `max_s`.
    """
    content = clip.content
    if clip.end_s is None and clip.start_s <= 0:
        return read_audio(content, name=clip.name, max_s=max_s)
    if clip.end_s is not None and clip.end_s - clip.start_s > max_s:
        raise AudioError(
            f"{clip.name!r} is {clip.end_s - clip.start_s:.1f} s long, but at most {max_s:g} s are accepted here."
        )
    try:
        with soundfile.SoundFile(io.BytesIO(content) if isinstance(content, bytes) else str(content)) as file:
            usual = file.samplerate * file.channels <= _MOST_VALUES_A_SECOND
            if usual and file.format in _SEEKABLE and clip.end_s is not None and file.seekable():
                return _read_part(file, clip, clip.end_s)
    except (soundfile.LibsndfileError, OSError):
        pass  # read it whole, and say then what is wrong with it
    return _cut(read_audio(content, name=clip.name, max_s=max_s), clip, 0.0)


def _read_part(file: soundfile.SoundFile, clip: LabelledClip, end_s: float) -> Waveform:
    rate = file.samplerate
    first = max(0, round((clip.start_s - _MARGIN_S) * rate))
    last = min(file.frames, round((end_s + _MARGIN_S) * rate))
    if first >= last:
        raise _outside_of_it(clip, file.frames / rate)
    file.seek(first)
    samples = file.read(last - first, dtype="float32", always_2d=True)
    return _cut(waveform_from_samples(samples, rate, name=clip.name, max_s=math.inf), clip, first / rate)


def _cut(recording: Waveform, clip: LabelledClip, begins_s: float) -> Waveform:
    """The part of what was decoded of a recording from `begins_s` on."""
    ends_s = begins_s + recording.duration_s
    start = max(0, round((clip.start_s - begins_s) * SAMPLE_RATE))
    end = len(recording.samples) if clip.end_s is None else round((clip.end_s - begins_s) * SAMPLE_RATE)
    if start >= len(recording.samples):
        raise _outside_of_it(clip, ends_s)
    notes = recording.notes
    if clip.end_s is not None and clip.end_s > ends_s + _AT_LEAST_LONGER_S:
        notes = (*notes, f"The recording ends at {ends_s:.2f} s, before the clip does.")
    cut = np.ascontiguousarray(recording.samples[start:end])
    part = waveform_from_samples(cut, SAMPLE_RATE, name=clip.name, max_s=math.inf)  # refuses what is too short
    notes = tuple(dict.fromkeys((*notes, *part.notes)))
    flaws = tuple(dict.fromkeys((*recording.flaws, *part.flaws)))
    return replace(part, original_rate=recording.original_rate, channels=recording.channels, notes=notes, flaws=flaws)


def _outside_of_it(clip: LabelledClip, ends_s: float) -> AudioError:
    return AudioError(
        f"{clip.name!r} begins at {seconds_as_text(clip.start_s)} s, but the recording ends at {ends_s:.2f} s."
    )
