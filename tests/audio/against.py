"""What this program, ffmpeg and sox hear in the same recordings: `python -m tests.audio.against` shows all differences."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.waveform import HOP_LENGTH
from tests.audio.made import (
    RATE,
    RECIPES,
    Difference,
    Recipe,
    compare,
    has_programs,
    heard_by_ffmpeg,
    heard_by_sox,
    make,
)

MOST_LAG = HOP_LENGTH  # samples at 16 kHz: one frame of the spectrogram
MOST_DB, LEAST_CORRELATION = 0.1, 0.999

# Where the other program is not followed, by the beginning and the end of a recording's name.
NOT_FFMPEG = {("sox", "rifx.wav"): "ffmpeg 5 takes big-endian samples in RIFX for little-endian ones"}
NOT_SOX = {
    ("pcm_f32be", ".caf"): "sox scales the floats of CAF by their own peak",
    ("pcm_f32le", ".w64"): "sox takes floats in W64 for integers",
    ("", ".aac"): "sox reads no AAC",
}
# An MPEG frame that sox loses at the end, and what it plays at the beginning: the frame that holds the Xing header, and
# the encoder's and the decoder's delay, which that header tells.
_MPEG_FRAME, _DELAY = {True: 1152, False: 576}, 1105


def differences(recipe: Recipe, folder: Path) -> Iterator[tuple[str, Difference]]:
    """Between what is heard here and by each of the other programs that read such a recording."""
    path = make(recipe, folder)
    samples = read_audio(path).samples
    if not _excepted(recipe, NOT_FFMPEG):
        yield "ffmpeg", compare(samples, heard_by_ffmpeg(path, recipe.channels))
    if not _excepted(recipe, NOT_SOX) and path.suffix in _SOX_READS:
        skip, missing = 0, 0
        if path.suffix in (".mp3", ".mp2"):
            missing = _MPEG_FRAME[recipe.rate >= 32_000 or path.suffix == ".mp2"]
            has_header = path.suffix == ".mp3" and "-write_xing 0" not in recipe.arguments
            skip = missing + _DELAY if has_header else 0
        other = heard_by_sox(path, recipe.channels, skip)
        if other is not None:
            found = compare(samples, other)
            longest = round(missing / recipe.rate * RATE)
            yield "sox", Difference(found.lag, _shorten(found.samples, 2 * longest), found.level_db, found.correlation)


_SOX_READS = {
    ".wav",
    ".aiff",
    ".aifc",
    ".au",
    ".caf",
    ".w64",
    ".flac",
    ".mp3",
    ".mp2",
    ".ogg",
    ".voc",
    ".sf",
    ".sph",
    ".avr",
}


def _excepted(recipe: Recipe, reasons: dict[tuple[str, str], str]) -> bool:
    return any(recipe.name.startswith(start) and recipe.name.endswith(end) for start, end in reasons)


def _shorten(difference: int, allowed: int) -> int:
    """A difference less what has a reason."""
    return max(0, abs(difference) - allowed)


def is_alike(difference: Difference) -> bool:
    return (
        abs(difference.lag) <= MOST_LAG
        and abs(difference.samples) <= MOST_LAG
        and abs(difference.level_db) <= MOST_DB
        and difference.correlation > LEAST_CORRELATION
    )


def main() -> None:
    if not has_programs():
        sys.exit("ffmpeg and sox are needed.")
    n_wrong = 0
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            for program, found in differences(recipe, Path(folder)):
                n_wrong += not is_alike(found)
                print(f"{'' if is_alike(found) else 'DIFFERS '}{recipe.name} {program}: {found}", flush=True)
    print(f"{len(RECIPES)} recordings, {n_wrong} differences")
    sys.exit(n_wrong > 0)


if __name__ == "__main__":
    main()
