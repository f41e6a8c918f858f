"""What the benchmarks run: an AST of the published size with seeded random weights, and clips of its full length."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.data import list_samples
from ast_demo.models import Checkpoint, load_checkpoint

GFLOP_PER_FORWARD = 261.0  # of AST-base at 1024 frames: 1214 tokens through 12 layers


def base_folder(parent: Path | None = None) -> Path:
    """A checkpoint folder of AST-base as 🤗 Transformers saves it: `ASTConfig()`, 527 labels, weights from seed 0.

    It is made once (350 MB) and found again by later benchmarks.

    Args:
        parent: Where; by default the system's folder for temporary files.
    """
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    folder = (parent or Path(tempfile.gettempdir())) / "ast-demo-benchmarks" / "ast-base"
    if not (folder / "preprocessor_config.json").is_file():
        torch.manual_seed(0)
        labels = dict(enumerate(["Speech", *(f"label {i}" for i in range(1, 527))]))
        config = ASTConfig(id2label=labels, label2id={label: i for i, label in labels.items()})
        ASTForAudioClassification(config).save_pretrained(folder)
        ASTFeatureExtractor().save_pretrained(folder)  # last: it says that all is there
    return folder


@cache
def base_checkpoint() -> Checkpoint:
    """AST-base as this program loads it."""
    return load_checkpoint(base_folder())


def sample_clips(number: int, seconds: float = 10.255) -> list[Waveform]:
    """So many clips of this length (by default all that 1024 frames hold), made from the shipped samples, repeated until they are long enough."""
    paths = [sample.path for sample in list_samples()]
    clips = []
    for place in range(number):
        sample = read_audio(paths[place % len(paths)])
        # Where clips come back, they begin elsewhere: no two are equal.
        samples = np.roll(np.resize(sample.samples, round(seconds * SAMPLE_RATE)), 997 * (place // len(paths)))
        clips.append(Waveform(samples, f"{sample.name} {place}", SAMPLE_RATE, 1))
    return clips
