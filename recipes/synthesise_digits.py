"""Speak the ten digits in many synthetic voices: extra training material for the shipped checkpoints.

    python recipes/synthesise_digits.py OUTPUT [--clips 12000] [--varied] [--seed 0] [--processes 2]

`OUTPUT` becomes a folder per label with a `metadata.csv`, which `python -m ast_demo finetune` reads. Five recorded
voices are too few to learn from: a model that has heard only them fails on the sixth. eSpeak NG
(https://github.com/espeak-ng/espeak-ng, the `espeak-ng` command must be installed) speaks with every pair of an
English accent and a voice variant, and, for a fifth of the clips, with a voice of another language that reads the
English word as a learner of English might say it. Each clip is resampled by 0.85 to 1.18 (pitch and vocal tract
together); 60 % are stored at 8 kHz, the bandwidth of a telephone; 40 % get the tail of a small room. With `--varied`,
a third of the clips are spoken by Flite (https://github.com/festvox/flite, the `flite` command), whose four voices
were made from recorded speech, and a fifth by eSpeak NG from phonemes, as people say a word without care: a "two" that
is half a "choo". The same arguments give the same clips.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import tempfile
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile
import soxr

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-us-nyc", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
# The English words as a reader of another language would have to spell them to come close to their sound.
RESPELLED = {
    "de": ("siero", "wann", "tuh", "srie", "foor", "faif", "ßix", "sewwen", "eht", "nain"),
    "fr": ("ziro", "ouane", "tou", "sri", "for", "faïve", "siks", "sévène", "eïte", "naïne"),
    "es": ("sirou", "uan", "tu", "zri", "for", "faiv", "siks", "seven", "eit", "nain"),
    "it": ("zirou", "uan", "tu", "tri", "for", "faiv", "sics", "seven", "eit", "nain"),
    "nl": ("ziero", "wan", "toe", "srie", "foor", "faaiv", "siks", "sevven", "eet", "nain"),
    "pl": ("ziro", "łan", "tu", "tri", "for", "fajw", "siks", "sewen", "ejt", "najn"),
}
# Other ways to say the words, in eSpeak NG's phonemes: affricates for stops, fronted and single vowels, lost endings.
PHONEMES = (
    ("z'i@roU", "s'iroU", "z'I@rou"),
    ("w'An", "v'An", "w'Vn@"),
    ("tS'u:", "ts'u:", "tj'u:", "tS'iu"),
    ("tr'i:", "fr'i:", "sr'i:"),
    ("f'o:", "f'oU@", "f'u@"),
    ("f'aIf", "f'a:v", "f'aIv@"),
    ("s'iks", "s'Eks", "z'Iks"),
    ("s'Eb@n", "z'Ev@n", "s'Ef@n"),
    ("'e:t", "'eIts", "h'eIt"),
    ("n'a:n", "n'aIn@", "n'aI"),
)
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
# Variants that no person sounds like: robots, croaks and whispers without a voice.
UNLIKELY = ("robo", "Robo", "croak", "whisper", "Demonic", "announcer")


def list_variants() -> list[str]:
    """Names of eSpeak NG's voice variants that could be people, in a fixed order."""
    listing = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    names = {line.split("!v/")[1].split()[0] for line in listing.splitlines() if "!v/" in line}
    return sorted(name for name in names if not any(part in name for part in UNLIKELY))


def speak_espeak(text: str, voice: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """What eSpeak NG says, at any speed and pitch: samples (n,) float32 and their rate in hertz."""
    speed, pitch = int(rng.integers(110, 230)), int(rng.integers(15, 85))
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    spoken = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(spoken), dtype="float32")
    return samples, rate


def speak_flite(text: str, voice: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """What Flite says, at any speed and pitch: samples (n,) float32 and their rate in hertz."""
    settings = (f"duration_stretch={rng.uniform(0.8, 1.9):.2f}", f"f0_shift={rng.uniform(0.75, 1.4):.2f}")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        changes = [word for setting in settings for word in ("--setf", setting)]
        subprocess.run(["flite", "-voice", voice, *changes, "-t", text, "-o", file.name], check=True)
        samples, rate = soundfile.read(file.name, dtype="float32")
    return samples, rate


def trim(samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Cut the silence around the word, leaving 0 to 60 ms of it on either side."""
    loud = np.flatnonzero(np.abs(samples) > 0.03 * np.abs(samples).max())
    first, last = loud[0] - int(rng.uniform(0, 0.06) * rate), loud[-1] + int(rng.uniform(0, 0.06) * rate)
    return samples[max(0, first) : last + 1]


def add_room(samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Convolve with a direct sound and a noise tail that falls by 60 dB in 0.1 to 0.5 s."""
    tail_s = rng.uniform(0.1, 0.5)
    time = np.arange(int(tail_s * rate)) / rate
    response = rng.standard_normal(len(time)) * 10 ** (-3 * time / tail_s)
    response *= rng.uniform(0.05, 0.5) / np.sqrt((response**2).sum())
    response[0] = 1.0
    return np.convolve(samples, response)[: len(samples) + int(0.1 * rate)]


def choose_kind(rng: np.random.Generator, varied: bool) -> str:
    """Who speaks: "flite", or eSpeak NG, from "words", from "phonemes", or as a "learner" of English."""
    if varied:
        return str(rng.choice(("flite", "words", "phonemes", "learner"), p=(0.3, 0.4, 0.18, 0.12)))
    return "learner" if rng.random() < 0.2 else "words"


def make_clip(index: int, seed: int, output: Path, variants: list[str], varied: bool) -> dict[str, object]:
    """Write clip number `index`; its row of `metadata.csv`."""
    rng = np.random.default_rng((seed, index))
    digit = index % 10
    kind = choose_kind(rng, varied)
    if kind == "flite":
        voice = str(rng.choice(FLITE_VOICES))
        samples, rate = speak_flite(WORDS[digit] + str(rng.choice(("", ".", "?", "!"))), voice, rng)
    else:
        accent = str(rng.choice(sorted(RESPELLED) if kind == "learner" else ACCENTS))
        text = RESPELLED[accent][digit] if kind == "learner" else WORDS[digit]
        if varied:
            phonemes = str(rng.choice(PHONEMES[digit]))
            text = f"[[{phonemes}]]" if kind == "phonemes" else text
        voice = f"{accent}+{rng.choice(variants)}"
        samples, rate = speak_espeak(text, voice, rng)
    samples = trim(samples, rate, rng)
    if rng.random() < 0.4:
        samples = add_room(samples, rate, rng)
    stored_rate = 8_000 if rng.random() < 0.6 else 16_000
    change = rng.uniform(0.8, 1.25) if kind == "flite" else rng.uniform(0.85, 1.18)
    samples = soxr.resample(samples, rate * change, stored_rate)
    samples *= 10 ** rng.uniform(-1.5, -0.1) / np.abs(samples).max()
    name = f"{digit}/{index:05d}.wav"
    soundfile.write(output / name, samples, stored_rate, subtype="PCM_16")
    return {"file_name": name, "label": str(digit), "voice": voice}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak the ten digits in many synthetic voices.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--clips", type=int, default=12_000)
    parser.add_argument("--varied", action="store_true", help="Flite's voices and careless phonemes as well.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    for digit in range(10):
        (arguments.output / str(digit)).mkdir(parents=True, exist_ok=True)
    work = partial(
        make_clip,
        seed=arguments.seed,
        output=arguments.output,
        variants=list_variants(),
        varied=arguments.varied,
    )
    with Pool(arguments.processes) as pool:
        rows = pool.map(work, range(arguments.clips), chunksize=100)
    with (arguments.output / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=("file_name", "label", "voice"))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
