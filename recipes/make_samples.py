"""Make the labelled sample clips in ``assets/samples``: spoken digits and everyday sounds, none of them recorded.

    python recipes/make_samples.py

The digits are spoken by espeak-ng; the sounds are computed by ``synthesise_sounds.py``. Every random number comes from
a seed named after the clip, so the same versions of the libraries give the same files.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy import signal
from synthesise_sounds import (
    Samples,
    add,
    baby_cry,
    chainsaw,
    clock_tick,
    curve,
    dog_bark,
    fire_crackling,
    helicopter,
    noise,
    person_sneeze,
    rain,
    rooster,
    sea_waves,
)

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "samples"

# ---------------------------------------------------------------- where it is recorded


@dataclass(frozen=True)
class Scene:
    """How a sound comes onto the clip: where in it, how loud, in which room, over what background."""

    seconds: float = 5.0
    start: float = 0.0
    peak: float = -1.0  # decibels below full scale, of the sound itself
    background: float = -66.0  # decibels, effective level of the room noise; -inf is digital silence
    echo: float = 0.0  # seconds the room takes to fall silent
    band: tuple[float, float] | None = None  # hertz, all that the recorder lets through
    rate: int = 22_050
    channels: int = 1


def stage(rng: np.random.Generator, sound: Samples, scene: Scene) -> Samples:
    """Put a sound into its scene; what is louder than full scale is clipped as a recorder would."""
    count, rate = int(scene.seconds * scene.rate), scene.rate
    if scene.echo:
        tail = noise(rng, int(scene.echo * rate), rate, curve((100, -6), (600, 0), (3000, -4), (9000, -14)))
        tail *= 10 ** (-3 * np.arange(len(tail)) / len(tail))
        wet = signal.fftconvolve(sound, tail)
        dry = np.pad(sound, (0, len(wet) - len(sound)))
        sound = dry + wet * 0.35 * np.abs(sound).max() / np.abs(wet).max()
    sound = sound * 10 ** (scene.peak / 20) / np.abs(sound).max()
    channels = []
    for channel in range(scene.channels):
        hush = noise(rng, count, rate, curve((30, 6), (80, 3), (300, -8), (1000, -20), (8000, -36)))
        track = hush * 10 ** (scene.background / 20)
        add(track, sound * 0.8**channel, int(scene.start * rate) + 9 * channel)  # the right ear hears it later, softer
        channels.append(track)
    clip = np.stack(channels, axis=1)
    if scene.band:
        clip = signal.sosfilt(signal.butter(4, scene.band, "bandpass", fs=rate, output="sos"), clip, axis=0)
    return np.clip(clip, -0.98, 0.98)


# ---------------------------------------------------------------- which sounds there are


@dataclass(frozen=True)
class Sound:
    """One computed clip: which function makes it, with what, where it is heard."""

    make: Callable[..., Samples]
    name: str
    description: str
    scene: Scene
    settings: dict[str, Any] = field(default_factory=dict)


ROOF = curve((60, 4), (300, -2), (900, -4), (2500, 0), (5000, -8), (10000, -18))
STREET = curve((60, 3), (300, 3), (1000, 0), (3000, -6), (10000, -16))
LEAVES = curve((60, -8), (300, -10), (1500, -4), (4000, 0), (10000, -6))
GUTTER = curve((60, 0), (200, -3), (700, -8), (2500, -12), (9000, -20))

SOUNDS = (
    Sound(dog_bark, "one-bark", "A middle-sized dog barks once.", Scene(2.5, 0.8, echo=0.15),
          {"pitch": 480, "barks": (0,)}),
    Sound(dog_bark, "big-dog-twice", "A big dog barks twice in a yard.", Scene(3, 0.4, -1, echo=0.5),
          {"pitch": 300, "barks": (0, 0.6)}),
    Sound(dog_bark, "small-dog-yapping", "A small dog yaps on and on.", Scene(4.5, 0.1, -1, -58, 0.15),
          {"pitch": 800, "barks": (0, 0.35, 0.7, 1.5, 1.85, 2.6, 2.95, 3.3)}),
    Sound(dog_bark, "stereo-three-barks", "Three barks, recorded in stereo.",
          Scene(1.6, 0.1, -1, -80, 0.15, rate=44_100, channels=2), {"pitch": 430, "barks": (0, 0.4, 0.95)}),
    Sound(dog_bark, "clipped-close", "A dog right at the microphone, far too loud for it.",
          Scene(3.5, 0.2, 14, -52, 0.15), {"pitch": 400, "barks": (0, 0.45, 1.3, 2.2, 2.65)}),
    Sound(dog_bark, "far-over-street", "A dog far away, street noise nearly as loud.",
          Scene(5, 0.7, -22, -38, 1.2), {"pitch": 450, "barks": (0, 0.5, 1.9, 2.4)}),

    Sound(rooster, "crow", "A rooster crows.", Scene(3, 0.3, -1, -58, 0.3),
          {"pitch": 840, "hold": 1.1, "rasp": 0.3}),
    Sound(rooster, "young-and-high", "A young rooster with a high voice.", Scene(2.4, 0.1, echo=0.15),
          {"pitch": 950, "hold": 0.9, "rasp": 0.5}),
    Sound(rooster, "old-and-hoarse", "An old rooster, hoarse and long.", Scene(4, 0.5, -1, -50, 0.15),
          {"pitch": 660, "hold": 1.8, "rasp": 0.9}),
    Sound(rooster, "in-the-barn", "A rooster crows inside a barn.", Scene(4.5, 1.2, -6, -60, 0.9),
          {"pitch": 760, "hold": 1.3, "rasp": 0.2}),
    Sound(rooster, "farm-far-off", "A rooster on a farm far off, wind in the microphone.",
          Scene(5, 1.5, -20, -36, 1.0), {"pitch": 880, "hold": 1.2, "rasp": 0.4}),
    Sound(rooster, "over-the-telephone", "A rooster heard over the telephone.",
          Scene(3, 0.4, -4, -54, band=(300, 3400), rate=16_000), {"pitch": 720, "hold": 1.2, "rasp": 0.5}),

    Sound(baby_cry, "newborn", "A newborn cries, short of breath.", Scene(4.5, 0.1, -4, -60, 0.2),
          {"pitch": 480, "cries": (0.8, 0.7, 0.9, 0.6)}),
    Sound(baby_cry, "long-wails", "Two long wails.", Scene(5, 0.3, -2, -60, 0.15), {"pitch": 410, "cries": (1.7, 1.6)}),
    Sound(baby_cry, "begins-late", "Quiet, then a baby starts to cry.", Scene(5, 1.9, -3, -56, 0.3),
          {"pitch": 450, "cries": (0.9, 1.2)}),
    Sound(baby_cry, "next-room", "A baby cries in the next room.", Scene(5, 0, -24, -48, 0.5, (80, 2200)),
          {"pitch": 440, "cries": (1.0, 1.2, 0.9)}),
    Sound(baby_cry, "one-sob", "A single sob.", Scene(1.5, 0.2, -5, echo=0.15), {"pitch": 520, "cries": (0.9,)}),
    Sound(baby_cry, "longer-than-the-window", "Crying for seven seconds: longer than a window of 5.12 s.",
          Scene(7, 0.1, -3, -58, 0.2, rate=16_000), {"pitch": 430, "cries": (1.1, 1.2, 0.8, 1.3, 0.9)}),

    Sound(person_sneeze, "ah-tchoo", "A drawn breath and a sneeze.", Scene(2.5, 0.4, echo=0.15),
          {"pitch": 210, "intake": 0.4}),
    Sound(person_sneeze, "stereo-without-warning", "A sneeze at once, recorded in stereo.",
          Scene(1.5, 0.1, -2, -84, 0.15, rate=48_000, channels=2), {"pitch": 250, "intake": 0.0}),
    Sound(person_sneeze, "man-in-hall", "A man sneezes in a hall.", Scene(3.5, 0.6, -1, -62, 0.8),
          {"pitch": 130, "intake": 0.5}),
    Sound(person_sneeze, "late", "A long wait, then a sneeze.", Scene(4.5, 3, -3, -60, 0.2),
          {"pitch": 230, "intake": 0.3}),
    Sound(person_sneeze, "clipped", "A sneeze into the microphone.", Scene(2, 0.2, 12, -54, 0.15),
          {"pitch": 190, "intake": 0.35}),
    Sound(person_sneeze, "behind-the-wall", "A sneeze behind a wall, dull and faint.",
          Scene(3, 0.9, -22, -50, 0.4, (60, 1500), 16_000), {"pitch": 170, "intake": 0.4}),

    Sound(clock_tick, "wall-clock", "A wall clock ticks every second.", Scene(5, 0, -10, -60, 0.15),
          {"every": 1.0, "body": 1100, "alike": True}),
    Sound(clock_tick, "tick-tock", "A mantel clock: tick, tock.", Scene(5, 0, -12, -58, 0.25),
          {"every": 0.5, "body": 750, "alike": False}),
    Sound(clock_tick, "wrist-watch", "A wrist watch close to the microphone.", Scene(3.5, 0, -16, -68, 0.15),
          {"every": 0.2, "body": 2600, "alike": False}),
    Sound(clock_tick, "grandfather-clock", "A grandfather clock in a hall.", Scene(6, 0, -8, -56, 0.7),
          {"every": 1.0, "body": 420, "alike": False}),
    Sound(clock_tick, "alarm-clock", "A cheap alarm clock, fast and thin.", Scene(4, 0, -10, -52, 0.15),
          {"every": 0.25, "body": 1600, "alike": False}),
    Sound(clock_tick, "barely-heard", "A clock that drowns in the noise of the room.",
          Scene(5, 0, -26, -40, echo=0.15, rate=16_000), {"every": 0.75, "body": 1300, "alike": True}),

    Sound(helicopter, "hovering", "A helicopter hovers.", Scene(5), {"blades": 17.0, "whine": 1250, "far": 4}),
    Sound(helicopter, "heavy-and-slow", "A heavy helicopter with slow blades.", Scene(5, 0, -1),
          {"blades": 11.0, "whine": 900, "far": 6}),
    Sound(helicopter, "light-and-fast", "A light helicopter, fast blades, close.", Scene(3, 0, -2),
          {"blades": 26.0, "whine": 2200, "far": 0}),
    Sound(helicopter, "far-away", "A helicopter far away: only the low part arrives.", Scene(5, 0, -14, -56),
          {"blades": 14.0, "whine": 1100, "far": 22}),
    Sound(helicopter, "through-the-window", "A helicopter heard through a window.",
          Scene(4, 0, -8, -60, band=(40, 1800), rate=16_000), {"blades": 19.0, "whine": 1500, "far": 8}),
    Sound(helicopter, "in-the-wind", "A helicopter, wind over the microphone.", Scene(5, 0, -10, -20),
          {"blades": 15.0, "whine": 1300, "far": 10}),

    Sound(chainsaw, "revving", "A chainsaw revs up twice.", Scene(5, 0, -1, -60),
          {"throttle": ((0, 45), (0.1, 48), (0.25, 140), (0.4, 135), (0.5, 55), (0.62, 52), (0.75, 150), (1, 140))}),
    Sound(chainsaw, "cutting", "A chainsaw bites into wood and slows.", Scene(5, 0, -1, -60),
          {"throttle": ((0, 150), (0.2, 145), (0.35, 105), (0.6, 95), (0.8, 100), (1, 140))}),
    Sound(chainsaw, "short-burst", "A short burst of throttle.", Scene(2.5, 0.2, -2, -56),
          {"throttle": ((0, 50), (0.3, 130), (0.6, 145), (1, 60))}),
    Sound(chainsaw, "clipped", "A chainsaw that overdrives the recorder.", Scene(4, 0, 9, -50),
          {"throttle": ((0, 120), (0.3, 160), (0.7, 150), (1, 110))}),
    Sound(chainsaw, "in-the-forest", "A chainsaw in the forest, far off.", Scene(5, 0, -18, -50, 1.2, (60, 3500)),
          {"throttle": ((0, 110), (0.3, 118), (0.5, 90), (0.7, 120), (1, 112))}),
    Sound(chainsaw, "idling", "A chainsaw idles, one touch of throttle.", Scene(4.5, 0, -6, -52),
          {"throttle": ((0, 42), (0.55, 44), (0.7, 110), (0.8, 50), (1, 43))}),

    Sound(rain, "on-a-roof", "Rain on a roof.", Scene(5, 0, -3), {"hiss": ROOF, "drops": 60, "weight": 0.8}),
    Sound(rain, "on-the-street", "Steady rain on a street.", Scene(5, 0, -2),
          {"hiss": STREET, "drops": 120, "weight": 0.5}),
    Sound(rain, "in-leaves", "Rain in leaves, bright and dense.", Scene(3, 0, -5),
          {"hiss": LEAVES, "drops": 200, "weight": 0.6}),
    Sound(rain, "from-the-gutter", "Single heavy drops from a gutter.", Scene(5, 0, -4),
          {"hiss": GUTTER, "drops": 14, "weight": 2.5}),
    Sound(rain, "drizzle", "A drizzle, hardly there.", Scene(4.5, 0, -30, -64),
          {"hiss": LEAVES, "drops": 40, "weight": 0.8}),
    Sound(rain, "longer-than-the-window", "Six seconds of rain: longer than a window of 5.12 s.",
          Scene(6, 0, -3, rate=16_000), {"hiss": STREET, "drops": 80, "weight": 0.8}),

    Sound(sea_waves, "one-wave", "A wave comes, breaks and runs out.", Scene(5, 0, -4),
          {"swell": ((0, 0.1), (0.25, 0.25), (0.45, 1.0), (0.6, 0.7), (1, 0.15))}),
    Sound(sea_waves, "two-waves", "Two waves, the second one bigger.", Scene(6, 0, -3),
          {"swell": ((0, 0.2), (0.2, 0.7), (0.4, 0.25), (0.5, 0.2), (0.68, 1.0), (1, 0.3))}),
    Sound(sea_waves, "wide-beach", "Surf on a wide beach, never quiet.", Scene(5, 0, -4),
          {"swell": ((0, 0.35), (0.3, 0.8), (0.6, 0.4), (1, 0.95))}),
    Sound(sea_waves, "breaks-at-once", "A wave breaks all at once.", Scene(4, 0, -2),
          {"swell": ((0, 0.08), (0.18, 0.1), (0.22, 1), (0.45, 0.5), (1, 0.08))}),
    Sound(sea_waves, "from-the-dunes", "The sea from behind the dunes, soft and dull.",
          Scene(5, 0, -22, -58, band=(40, 1500), rate=16_000), {"swell": ((0, 0.3), (0.5, 0.9), (1, 0.3))}),
    Sound(sea_waves, "running-out", "The end of a wave runs back over the sand.", Scene(3, 0, -6),
          {"swell": ((0, 1.0), (0.3, 0.7), (1, 0.2))}),

    Sound(fire_crackling, "campfire", "A campfire.", Scene(5, 0, -3, -62), {"cracks": 9, "roar": 0.1}),
    Sound(fire_crackling, "dry-twigs", "Dry twigs: crack upon crack.", Scene(4.5, 0, -4, -64),
          {"cracks": 25, "roar": 0.05}),
    Sound(fire_crackling, "stove", "A stove roars, few cracks.", Scene(5, 0, -4, -60), {"cracks": 5, "roar": 0.4}),
    Sound(fire_crackling, "embers", "Embers, almost out.", Scene(5, 0, -8, -70), {"cracks": 2.5, "roar": 0.02}),
    Sound(fire_crackling, "in-the-wind", "A fire outside, wind in the microphone.", Scene(5, 0, -8, -32),
          {"cracks": 8, "roar": 0.15}),
    Sound(fire_crackling, "short", "A second and a half of fire.", Scene(1.5, 0, -3, -62),
          {"cracks": 14, "roar": 0.12}),
)  # fmt: skip

# ---------------------------------------------------------------- who says the digits, and where

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SPEAKERS = {  # espeak-ng's voice, pitch 0..99, and the words for it
    "british-female": ("en-gb+f3", 55, "a British woman"),
    "british-male": ("en-gb-x-rp+m3", 45, "a British man"),
    "american-male": ("en-us+m1", 40, "an American man"),
    "american-female": ("en-us+f2", 60, "an American woman"),
    "new-york-male": ("en-us-nyc+m7", 50, "a man from New York"),
    "scottish-male": ("en-gb-scotland+m2", 40, "a Scottish man"),
    "scottish-female": ("en-gb-scotland+f4", 55, "a Scottish woman"),
    "caribbean-male": ("en-029+m5", 50, "a Caribbean man"),
    "caribbean-female": ("en-029+f1", 55, "a Caribbean woman"),
    "lancaster-male": ("en-gb-x-gbclan+m4", 45, "a man from Lancaster"),
    "midlands-female": ("en-gb-x-gbcwmd+f5", 50, "a woman from the West Midlands"),
    "child": ("en-us+f4", 95, "a high voice, like a child's"),
    "deep": ("en+m6", 10, "a very deep voice"),
    "whispering": ("en-gb+whisper", 50, "a whisper"),
    "croaking": ("en+croak", 30, "a croaking voice"),
}

MANNERS = {  # words a minute, how the clip is set up, and the words for it
    "clear": (140, Scene(1.8, 0.3, rate=16_000), "close and clear"),
    "short": (160, Scene(1.0, 0.1, rate=16_000), "cut close to the word"),
    "late": (140, Scene(3.5, 2.0, -6, -60, rate=16_000), "two seconds after the recording began"),
    "quiet": (135, Scene(2.2, 0.6, -26, -68, rate=16_000), "very quietly"),
    "slow": (85, Scene(2.6, 0.5, rate=16_000), "slowly"),
    "fast": (230, Scene(1.4, 0.3, rate=16_000), "fast"),
    "in-hall": (140, Scene(2.8, 0.5, -4, -62, 0.9, rate=16_000), "in a hall"),
    "telephone": (145, Scene(2.0, 0.5, -5, -52, 0.0, (300, 3400), 8_000), "over the telephone"),
    "room-noise": (140, Scene(2.5, 0.8, -12, -44, 0.25, rate=16_000), "in a noisy room"),
    "in-traffic": (140, Scene(3.0, 1.0, -14, -26, rate=16_000), "in noise nearly as loud as the voice"),
    "clipped": (140, Scene(1.8, 0.3, 14, -50, rate=16_000), "too loud for the recorder"),
    "long-wait": (140, Scene(5.0, 1.4, -6, -64, 0.2, rate=22_050), "and then says nothing for seconds"),
    "studio": (140, Scene(1.2, 0.25, -4, -84, rate=44_100, channels=2), "in a studio, in stereo"),
}

DIGITS = (
    "british-female-clear american-male-late scottish-male-quiet caribbean-female-fast deep-in-hall child-in-traffic",
    "american-female-clear british-male-late deep-slow midlands-female-telephone new-york-male-clipped croaking-quiet",
    "scottish-female-clear lancaster-male-late american-male-short british-female-room-noise child-fast whispering-slow",
    "british-male-clear caribbean-male-late american-female-quiet midlands-female-in-hall deep-studio scottish-male-in-traffic",
    "american-male-clear british-female-late new-york-male-slow scottish-female-telephone caribbean-male-clipped child-quiet",
    "midlands-female-clear scottish-male-late british-male-fast american-female-long-wait lancaster-male-room-noise "
    "whispering-short",
    "caribbean-male-clear american-female-late child-short british-male-in-hall american-male-telephone croaking-in-traffic",
    "british-female-quiet new-york-male-clear scottish-female-late american-male-long-wait deep-fast midlands-female-clipped",
    "lancaster-male-clear caribbean-female-late british-female-slow american-male-room-noise scottish-male-short "
    "whispering-quiet",
    "american-female-studio british-male-quiet scottish-male-clear caribbean-male-fast child-late new-york-male-in-traffic",
)


@dataclass(frozen=True)
class Clip:
    """A finished clip: where it goes, what it is, its samples (frames, channels)."""

    file_name: str
    label: str
    description: str
    samples: Samples
    rate: int


def file_name(label: str, name: str, scene: Scene) -> str:
    """Ogg Vorbis, but stereo clips as lossless files, so that readers meet more than one kind."""
    return f"{label}/{name}.{'ogg' if scene.channels == 1 else 'wav' if scene.rate == 48_000 else 'flac'}"


def generator(name: str) -> np.random.Generator:
    """The random numbers of one clip, from its name: adding a clip changes no other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def sounds() -> Iterator[Clip]:
    """The clips of the ten sounds."""
    for sound in SOUNDS:
        label, scene = sound.make.__name__, sound.scene
        rng = generator(f"{label}/{sound.name}")
        samples = stage(rng, sound.make(rng, scene.rate, scene.seconds - scene.start, **sound.settings), scene)
        yield Clip(file_name(label, sound.name, scene), label, sound.description, samples, scene.rate)


def speak(word: str, voice: str, speed: int, pitch: int, rate: int) -> Samples:
    """One word from espeak-ng, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path), word]
        subprocess.run(command, check=True)
        samples, spoken_rate = soundfile.read(path)
    heard = np.flatnonzero(np.abs(samples) > 0.002 * np.abs(samples).max())
    return signal.resample_poly(samples[heard[0] : heard[-1] + 1], rate, spoken_rate)


def digits() -> Iterator[Clip]:
    """The clips of the ten spoken digits."""
    for digit, names in enumerate(DIGITS):
        for name in names.split():
            speaker = next(speaker for speaker in SPEAKERS if name.startswith(speaker + "-"))
            voice, pitch, who = SPEAKERS[speaker]
            speed, scene, how = MANNERS[name.removeprefix(speaker + "-")]
            rng = generator(f"{digit}/{name}")
            speed, pitch = int(speed * rng.uniform(0.92, 1.08)), int(np.clip(pitch + rng.integers(-6, 7), 0, 99))
            samples = stage(rng, speak(WORDS[digit], voice, speed, pitch, scene.rate), scene)
            description = f'"{WORDS[digit]}", {who}, {how}.'
            yield Clip(file_name(str(digit), name, scene), str(digit), description, samples, scene.rate)


# ---------------------------------------------------------------- writing


def ogg_with_serial(data: bytes, serial: int) -> bytes:
    """The same Ogg stream under a fixed serial number: libsndfile draws one from the time of day."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    pages = bytearray(data)
    start = 0
    while start < len(pages):
        segments = pages[start + 26]
        end = start + 27 + segments + sum(pages[start + 27 : start + 27 + segments])
        pages[start + 14 : start + 18] = serial.to_bytes(4, "little")
        pages[start + 22 : start + 26] = bytes(4)  # the checksum counts itself as zero
        checksum = 0
        for byte in pages[start:end]:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24 ^ byte]
        pages[start + 22 : start + 26] = checksum.to_bytes(4, "little")
        start = end
    return bytes(pages)


def write(clip: Clip) -> None:
    """Write one clip."""
    path = FOLDER / clip.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, clip.samples, clip.rate)
    if path.suffix == ".ogg":
        path.write_bytes(ogg_with_serial(path.read_bytes(), zlib.crc32(clip.file_name.encode())))


def main() -> None:
    """Make all clips and the table that names them."""
    if shutil.which("espeak-ng") is None:
        sys.exit("The digits are spoken by espeak-ng, which is not installed (Debian: apt install espeak-ng).")
    rows = []
    for clip in (*digits(), *sounds()):
        write(clip)
        rows.append((clip.file_name, clip.label, clip.description))
    with (FOLDER / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file_name", "label", "description"))
        table.writerows(sorted(rows))
    print(f"{len(rows)} clips in {FOLDER}")


if __name__ == "__main__":
    main()
