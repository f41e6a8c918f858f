"""The pictures of the guide, from the shipped samples and one checkpoint: `python recipes/make_guide_pictures.py`."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.data import SAMPLES_FOLDER, list_samples
from ast_demo.explain import METHODS, explain, measure_trust, rollout_map, split_clip
from ast_demo.figures import (
    Look,
    envelope,
    map_figure,
    rollout_figure,
    spectrogram_figure,
    timeline_figure,
    to_png,
    trust_figure,
)
from ast_demo.inspection import inspect, look_through
from ast_demo.models import load_checkpoint

FOLDER = SAMPLES_FOLDER.parent / "guide"
LOOK = Look(width_px=736, scale=1.5)
SPLIT = "dog_bark/small-dog-yapping.ogg"
CHECKPOINT = "sounds-and-digits-16-16"  # the one that the numbers of the guide were measured with
EXPLAINED = "rooster/farm-far-off.ogg"


def main() -> None:
    """Draw all pictures again, but that of the benchmark, which draws its own."""
    FOLDER.mkdir(exist_ok=True)
    checkpoint = load_checkpoint(CHECKPOINT)

    clips = [read_audio(sample.path).samples for sample in list_samples()[4::9]]
    walk = Waveform(np.concatenate(clips)[: 60 * SAMPLE_RATE], "walk", SAMPLE_RATE, 1)
    timeline = look_through(walk, checkpoint)
    chosen = max(timeline.windows, key=lambda window: float(window.prediction.scores.max()))
    outline = envelope(walk.samples, LOOK, 0, walk.duration_s)
    save("timeline", [to_png(timeline_figure(timeline, outline, LOOK, (chosen.start_s, chosen.end_s)), LOOK)])

    inspection = inspect(read_audio(SAMPLES_FOLDER / SPLIT), checkpoint)
    halves = split_clip(inspection, rollout_map(inspection), checkpoint)
    figures = [rollout_figure(inspection, LOOK)]
    figures += [
        spectrogram_figure(half, LOOK, title) for half, title in ((halves.kept, "Kept"), (halves.removed, "Removed"))
    ]
    save("halves", [to_png(figure, LOOK) for figure in figures])

    inspection = inspect(read_audio(SAMPLES_FOLDER / EXPLAINED), checkpoint)
    look = replace(LOOK, zoom=True)
    maps = [explain(inspection, checkpoint, method) for method in METHODS if method != "random"]
    save("maps", [to_png(map_figure(inspection, one, look), look) for one in maps])
    save("trust", [to_png(trust_figure(measure_trust(maps[0], inspection, checkpoint), look), look)])


def save(name: str, pictures: list[bytes]) -> None:
    """Pictures below one another, as one with few colours."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    whole = Image.new("RGB", (images[0].width, sum(image.height for image in images)))
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    whole.quantize(128).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
