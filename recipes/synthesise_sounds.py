"""The ten sounds of the sample clips, computed from noise, harmonics and resonances: a function for each.

Every function takes a generator of random numbers, a sampling rate, how many seconds to make, and what makes this take
differ from the next; it gives samples at any level. ``make_samples.py`` has the table of takes and puts them into clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import signal

Samples = np.ndarray
Gain = Callable[[np.ndarray], np.ndarray]  # frequencies in hertz -> linear gain


# ---------------------------------------------------------------- building blocks


def curve(*points: tuple[float, float]) -> Gain:
    """A gain through points of (hertz, decibels), straight on a logarithmic frequency axis."""
    hertz, decibels = np.log([p[0] for p in points]), [p[1] for p in points]
    return lambda f: 10 ** (np.interp(np.log(np.maximum(f, 1.0)), hertz, decibels) / 20)


def formants(tilt: float, *peaks: tuple[float, float, float]) -> Gain:
    """A voice: a source falling by ``tilt`` decibels an octave, times resonances of (hertz, width, gain).

    A small mouth lets nothing deep out: what lies an octave and more below the first resonance fades.
    """

    def gain(f: np.ndarray) -> np.ndarray:
        source = (np.maximum(f, 50.0) / 500) ** (-tilt / 6.02)
        mouth = 1 / (1 + (peaks[0][0] / np.maximum(f, 50.0) / 2) ** 4)
        return source * mouth * (0.01 + sum(g / (1 + ((f - hertz) / width) ** 2) for hertz, width, g in peaks))

    return gain


def noise(rng: np.random.Generator, count: int, rate: int, gain: Gain) -> Samples:
    """Noise whose spectrum follows ``gain``, at an effective level of one."""
    spectrum = np.fft.rfft(rng.standard_normal(count)) * gain(np.fft.rfftfreq(count, 1 / rate))
    spectrum[0] = 0
    samples = np.fft.irfft(spectrum, count)
    return samples / (np.sqrt(np.mean(samples**2)) + 1e-12)


def harmonics(pitch: Samples, rate: int, gain: Gain, limit: float = 10_000) -> Samples:
    """All harmonics of a moving pitch below ``limit``, each as loud as ``gain`` says, at an effective level of one."""
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    top = min(limit, 0.45 * rate)
    samples = np.zeros(len(pitch))
    for k in range(1, int(top / pitch.min()) + 1):
        samples += np.where(k * pitch < top, gain(k * pitch), 0) * np.sin(k * phase + 0.7 * k * k)
    return samples / (np.sqrt(np.mean(samples**2)) + 1e-12)


def spoken(pitch: Samples, rate: int, shut: Gain, wide: Gain, opening: Samples) -> Samples:
    """A voice whose mouth opens: from one set of resonances to another as ``opening`` goes from zero to one."""
    return (1 - opening) * harmonics(pitch, rate, shut) + opening * harmonics(pitch, rate, wide)


def wander(rng: np.random.Generator, count: int, rate: int, hertz: float) -> Samples:
    """A smooth random curve around zero that turns about ``hertz`` times a second."""
    knots = rng.standard_normal(int(count / rate * hertz) + 3)
    return np.interp(np.arange(count) * hertz / rate, np.arange(len(knots)), knots)


def shape(count: int, *points: tuple[float, float]) -> Samples:
    """A line through points of (share of the length, value)."""
    return np.interp(np.linspace(0, 1, count), [p[0] for p in points], [p[1] for p in points])


def add(track: Samples, samples: Samples, start: int) -> None:
    """Mix ``samples`` into ``track`` from ``start``; what sticks out at the end is cut."""
    room = len(track) - start
    if room > 0:
        track[start : start + len(samples)] += samples[:room]


def ring(rng: np.random.Generator, rate: int, tones: Sequence[tuple[float, float]], click: float) -> Samples:
    """Something small is struck: tones of (hertz, decay in seconds) and a click of a millisecond."""
    time = np.arange(int(0.12 * rate)) / rate
    struck = sum(np.exp(-time / decay) * np.sin(2 * np.pi * hertz * time) for hertz, decay in tones)
    return struck / max(len(tones), 1) + click * rng.standard_normal(len(time)) * np.exp(-time / 0.0012)


def events(rng: np.random.Generator, seconds: float, per_second: float) -> Iterator[float]:
    """Moments of a Poisson process."""
    now = rng.exponential(1 / per_second)
    while now < seconds:
        yield now
        now += rng.exponential(1 / per_second)


# ---------------------------------------------------------------- the ten sounds


def dog_bark(rng: np.random.Generator, rate: int, seconds: float, pitch: float, barks: Sequence[float]) -> Samples:
    """A throat that opens and shuts in a fifth of a second, "woof": the pitch arches up and falls, the rest is rasp."""
    track = np.zeros(int(seconds * rate))
    size = (450 / pitch) ** 0.5  # the bigger the dog, the lower its formants and the longer its bark
    shut = formants(8, (480 / size, 160, 1.0), (1000 / size, 250, 0.4), (2600 / size, 500, 0.1))
    wide = formants(9, (800 / size, 230, 1.0), (1450 / size, 300, 0.9), (2900 / size, 500, 0.15), (4700, 900, 0.1))
    for at in barks:
        count = int(rng.uniform(0.17, 0.24) * size * rate)
        opening = shape(count, (0, 0.1), (0.25, 1), (0.5, 0.9), (0.9, 0))
        pitch_line = pitch * rng.uniform(0.93, 1.07) * shape(count, (0, 0.7), (0.3, 1.15), (0.6, 1.0), (1, 0.5))
        voice = spoken(pitch_line * (1 + 0.025 * wander(rng, count, rate, 90)), rate, shut, wide, opening)
        rasp = noise(rng, count, rate, wide) * shape(count, (0, 1), (0.3, 0.5), (1, 0.6))
        loudness = shape(count, (0, 0), (0.08, 0.6), (0.3, 1), (0.5, 0.75), (0.75, 0.15), (1, 0))
        add(track, (voice + 0.55 * rasp) * loudness * rng.uniform(0.7, 1), int(at * rate))
    return track


def rooster(rng: np.random.Generator, rate: int, seconds: float, pitch: float, hold: float, rasp: float) -> Samples:
    """Cock-a-doodle-doo: short calls, then one held and sinking at its end, through a narrow, piercing throat."""
    track = np.zeros(int(seconds * rate))
    throat = formants(7, (1450, 330, 1.0), (2500, 350, 0.25), (4200, 700, 0.15))
    cock, a, doodle = (0.0, 0.18, 0.9, 0.95, 0.6), (0.3, 0.12, 0.95, 0.98, 0.5), (0.43, 0.32, 1.0, 1.05, 0.9)
    doo = (0.73, hold, 1.06, 0.95, 1.0)
    for at, length, first, last, loud in (cock, a, doodle, doo):
        count = int(length * rate)
        pitch_line = pitch * shape(count, (0, first * 0.85), (0.03 / length, first), (0.8, last), (1, last * 0.87))
        pitch_line *= 1 + 0.004 * wander(rng, count, rate, 40) + 0.012 * wander(rng, count, rate, 5)
        hoarse = rasp * (shape(count, (0, 1), (0.3, 0.2), (0.7, 0.3), (1, 1)) if length == hold else 1.5)
        voice = harmonics(pitch_line, rate, throat) * (1 + 0.7 * hoarse * wander(rng, count, rate, 70))
        loudness = loud * shape(count, (0, 0), (0.02 / length, 0.9), (0.3, 1), (0.8, 0.6), (1, 0))
        loudness *= 1 + 0.15 * wander(rng, count, rate, 8)
        add(track, loudness * (voice + 0.5 * hoarse * noise(rng, count, rate, throat)), int(at * rate))
    return track


def baby_cry(rng: np.random.Generator, rate: int, seconds: float, pitch: float, cries: Sequence[float]) -> Samples:
    """Cries of these lengths, "uwaah": pitch and mouth go up and down in an arc; a gasp for air after each."""
    track, at = np.zeros(int(seconds * rate)), 0.0
    shut = formants(4, (700, 250, 1.0), (1900, 400, 0.3), (3600, 700, 0.25))
    wide = formants(2, (1250, 350, 1.0), (2300, 450, 0.6), (3900, 700, 0.5), (5600, 900, 0.4))
    for length in cries:
        count = int(length * rate)
        opening = shape(count, (0, 0), (rng.uniform(0.15, 0.35), 1), (0.8, rng.uniform(0.5, 1)), (1, 0))
        top = rng.uniform(0.35, 0.6), rng.uniform(1.0, 1.15)
        arc = shape(count, (0, 0.75), (0.15, 1.0), top, (0.8, 0.97), (1, 0.7))
        vibrato = 1 + 0.012 * np.sin(2 * np.pi * 6.5 * np.arange(count) / rate) + 0.012 * wander(rng, count, rate, 25)
        pitch_line = pitch * rng.uniform(0.94, 1.06) * arc * vibrato
        strain = shape(count, (0, 0.05), (0.5, rng.uniform(0.1, 0.5)), (1, 0.05))
        voice = spoken(pitch_line, rate, shut, wide, opening) + strain * noise(rng, count, rate, wide)
        sobbing = np.clip(1 - 0.3 * np.abs(wander(rng, count, rate, 9)), 0.2, 1)
        loudness = shape(count, (0, 0), (0.1, 0.6), (0.4, 1), (0.75, 0.9), (1, 0)) * sobbing
        add(track, voice * loudness * rng.uniform(0.7, 1), int(at * rate))
        short = int(rng.uniform(0.12, 0.2) * rate)
        gasp = harmonics(pitch * shape(short, (0, 1.1), (1, 1.7)), rate, wide) + noise(rng, short, rate, wide)
        add(track, 0.12 * gasp * shape(short, (0, 0), (0.6, 1), (1, 0)), int((at + length + 0.12) * rate))
        at += length + rng.uniform(0.34, 0.5)
    return track


def person_sneeze(rng: np.random.Generator, rate: int, seconds: float, pitch: float, intake: float) -> Samples:
    """A breath drawn in, with a little voice ("ah"), then everything at once: a burst of voice and air ("tchoo")."""
    track = np.zeros(int(seconds * rate))
    ah = formants(5, (800, 200, 1.0), (1250, 250, 0.6), (2700, 500, 0.3))
    oo = formants(7, (400, 150, 1.0), (1000, 250, 0.4), (2400, 500, 0.2))
    count = int(intake * rate)
    if count:
        pitch_line = pitch * shape(count, (0, 0.9), (1, 1.3)) * (1 + 0.01 * wander(rng, count, rate, 30))
        breath = noise(rng, count, rate, curve((100, -40), (900, 0), (1800, -4), (8000, -18)))
        sound = 0.22 * harmonics(pitch_line, rate, ah) + 0.12 * breath
        add(track, sound * shape(count, (0, 0), (0.7, 1), (0.9, 0.8), (1, 0)), 0)
    at, count = int((intake + 0.06) * rate), int(rng.uniform(0.4, 0.55) * rate)
    hiss = noise(rng, count, rate, curve((80, -24), (500, -6), (1500, 0), (3500, -1), (6000, -8), (10000, -16)))
    blow = noise(rng, count, rate, curve((60, -10), (250, -2), (500, 0), (1300, -3), (3000, -14), (8000, -26)))
    pitch_line = pitch * 1.7 * shape(count, (0, 1.1), (0.15, 1.2), (1, 0.4)) * (1 + 0.02 * wander(rng, count, rate, 60))
    voice = spoken(pitch_line, rate, oo, ah, shape(count, (0, 1), (0.2, 0.9), (0.6, 0)))
    burst = hiss * shape(count, (0, 0), (0.03, 1), (0.15, 0.7), (0.35, 0.2), (0.6, 0.05), (1, 0))
    burst += blow * shape(count, (0, 0), (0.05, 0.8), (0.3, 0.4), (0.6, 0.1), (1, 0))
    burst += voice * shape(count, (0, 0), (0.04, 1), (0.2, 0.7), (0.45, 0.3), (0.8, 0.06), (1, 0))
    add(track, burst, at)
    return track


def clock_tick(rng: np.random.Generator, rate: int, seconds: float, every: float, body: float, alike: bool) -> Samples:
    """An escapement: two or three taps within hundredths of a second, ringing in a case; tick and tock differ."""
    track = np.zeros(int(seconds * rate))
    parts = ((1.0, 0.012), (1.73, 0.008), (2.61, 0.006), (3.9, 0.004))
    taps = ((0.0, 0.5), (0.011, 1.0), (0.024, 0.35))
    at, tock = rng.uniform(0.05, 0.9) * every, False
    while at < seconds:
        pitch = body * (0.8 if tock else 1.0)
        for delay, loudness in taps:
            tones = [(pitch * ratio * rng.uniform(0.99, 1.01), decay) for ratio, decay in parts]
            add(track, ring(rng, rate, tones, 0.35) * loudness * (0.75 if tock else 1), int((at + delay) * rate))
        at, tock = at + every * rng.normal(1, 0.003), not tock and not alike
    return track


def helicopter(rng: np.random.Generator, rate: int, seconds: float, blades: float, whine: float, far: float) -> Samples:
    """Blades chop the air ``blades`` times a second, a thump and a swish each time; roar of the exhaust, a turbine's whine."""
    count = int(seconds * rate)
    turn = np.cumsum(blades * (1 + 0.01 * wander(rng, count, rate, 1))) / rate % 1
    chop = np.exp(-turn * 5) * (1 - np.exp(-turn * 40))
    thump = harmonics(np.full(count, blades), rate, curve((15, -20), (50, 0), (150, -2), (400, -18), (1000, -45)), 800)
    air = curve((40, -3), (90, 2), (250, 0), (600, -7), (1200, -12), (2500, -15 - far), (8000, -28 - 2 * far))
    roar = noise(rng, count, rate, air)
    swish = noise(rng, count, rate, curve((100, -6), (300, 0), (900, -3), (2000, -9 - far), (9000, -28 - 2 * far)))
    spin = 2 * np.pi * np.cumsum(whine * (1 + 0.002 * wander(rng, count, rate, 2))) / rate
    turbine = np.sin(spin) + np.sin(1.87 * spin) + np.sin(2.4 * spin)
    swell = np.clip(1 + 0.15 * wander(rng, count, rate, 0.8), 0.5, 1.5)
    sound = (0.7 * thump + roar * (0.8 + 0.6 * chop) + 0.6 * swish * chop + 0.02 * turbine) * swell
    behind = np.arange(count) - rate * (0.002 + 0.0004 * wander(rng, count, rate, 0.5))
    return sound + 0.3 * np.interp(behind, np.arange(count), sound)  # the ground reflects it: slow stripes


def chainsaw(rng: np.random.Generator, rate: int, seconds: float, throttle: Sequence[tuple[float, float]]) -> Samples:
    """A small two-stroke: harmonics of its firing rate follow the throttle (share of the length, hertz); rough, loud."""
    count = int(seconds * rate)
    hann = signal.windows.hann(int(0.15 * rate))  # a flywheel turns no corners
    firing = np.pad(shape(count, *throttle), len(hann), mode="edge")
    firing = signal.fftconvolve(firing, hann / hann.sum(), "same")[len(hann) : len(hann) + count]
    firing *= 1 + 0.005 * wander(rng, count, rate, 15) + 0.025 * wander(rng, count, rate, 2)
    muffler = formants(3, (220, 120, 1.0), (560, 150, 0.9), (1150, 300, 0.8), (2400, 700, 0.5), (4500, 1500, 0.3))
    strokes = 1 + 0.15 * np.sin(np.pi * np.cumsum(firing) / rate) + 0.2 * wander(rng, count, rate, 60)
    load = np.clip(firing / 130, 0.2, 1.3)
    engine = harmonics(firing, rate, muffler) * strokes * load**1.5
    teeth = formants(-3, (900, 300, 0.5), (2100, 400, 0.5), (3600, 900, 0.5), (5500, 1500, 0.2))
    chain = noise(rng, count, rate, teeth)
    exhaust = noise(rng, count, rate, curve((60, -6), (200, 0), (900, -2), (2500, -12), (8000, -24)))
    return engine + (0.25 * chain * load**2 + 0.3 * exhaust * load) * (0.7 + 0.3 * strokes)


def rain(rng: np.random.Generator, rate: int, seconds: float, hiss: Gain, drops: float, weight: float) -> Samples:
    """Thousands of far drops are a steady hiss; ``drops`` near ones a second stand out, some with a bubble's chirp."""
    count = int(seconds * rate)
    track = noise(rng, count, rate, hiss) * (1 + 0.06 * wander(rng, count, rate, 1.5))
    for at in events(rng, seconds, drops):
        length = int(rng.uniform(0.004, 0.02) * rate)
        time = np.arange(length) / rate
        splash = noise(rng, length, rate, hiss) * np.exp(-time / rng.uniform(0.001, 0.004))
        bubble = np.sin(2 * np.pi * rng.uniform(800, 4500) * (1 + 6 * time) * time) * np.exp(-time / 0.004)
        add(track, weight * rng.lognormal(0, 0.45) * (splash + rng.choice([0, 0, 0.8]) * bubble), int(at * rate))
    return track


def sea_waves(rng: np.random.Generator, rate: int, seconds: float, swell: Sequence[tuple[float, float]]) -> Samples:
    """Surf: the deep part rolls on, the break follows the swell (share of the length, height), foam hisses after it."""
    count = int(seconds * rate)
    seething = 1 + 0.1 * wander(rng, count, rate, 2) + 0.15 * wander(rng, count, rate, 20)
    height = np.clip(shape(count, *swell) * seething, 0.01, None)
    late = np.roll(height, int(0.25 * rate))
    late[: int(0.25 * rate)] = height[0]
    deep = noise(rng, count, rate, curve((40, -8), (120, 0), (400, -3), (900, -12), (3000, -30)))
    breaking = noise(rng, count, rate, curve((50, -10), (200, -1), (600, 0), (1200, -4), (3000, -13), (8000, -26)))
    foam = noise(rng, count, rate, curve((300, -24), (1000, -6), (2500, 0), (5000, -5), (9000, -14)))
    return 0.3 * deep + breaking * height + 0.14 * foam * late**1.6


def fire_crackling(rng: np.random.Generator, rate: int, seconds: float, cracks: float, roar: float) -> Samples:
    """Wood splits: sharp cracks at random, few of them loud, often several in a run, over flames that flutter low."""
    count = int(seconds * rate)
    flames = noise(rng, count, rate, curve((30, 0), (120, 0), (300, -14), (1000, -32), (4000, -38), (10000, -46)))
    track = roar * flames * (1 + 0.25 * wander(rng, count, rate, 12))
    moments = [(at, 0.025) for at in events(rng, seconds, 6 * cracks)]  # a bed of sparks under the cracks
    for first in events(rng, seconds, cracks):
        run = np.cumsum(rng.exponential(0.02, rng.choice([1, 1, 1, 2, 5])))
        moments += [(first + later, 0.25) for later in run]
    for at, loudness in moments:
        time = np.arange(int(0.03 * rate)) / rate
        low = rng.uniform(150, 2000)
        split = noise(rng, len(time), rate, curve((low / 8, -40), (low, 0), (9000, rng.uniform(-12, 0))))
        split *= np.exp(-time / rng.uniform(0.0005, 0.003))
        add(track, min(loudness * rng.lognormal(0, 0.8), 2) * split, int(at * rate))
    return track
