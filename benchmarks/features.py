"""The log-mel spectrograms of a batch: this program beside `ASTFeatureExtractor`, from the same samples."""

from __future__ import annotations

import numpy as np
from transformers import ASTFeatureExtractor

from ast_demo.audio import SAMPLE_RATE
from ast_demo.features import InputSettings, compute_spectrograms
from benchmarks.measure import ratios, read_arguments, report, spread, take_turns
from benchmarks.subjects import base_folder, sample_clips


def main() -> None:
    arguments = read_arguments(__doc__ or "", rounds=15, batch=8)
    extractor = ASTFeatureExtractor.from_pretrained(base_folder())
    rows: list[dict[str, object]] = []
    for size in dict.fromkeys((1, arguments.batch)):
        clips = sample_clips(size)
        samples = [clip.samples for clip in clips]
        routes = {
            "ASTFeatureExtractor": lambda samples=samples: (
                extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np").input_values
            ),
            "this program": lambda clips=clips: np.stack(
                [spectrogram.values for spectrogram in compute_spectrograms(clips, InputSettings())]
            ),
        }
        error = float(np.abs(routes["ASTFeatureExtractor"]() - routes["this program"]()).max())
        seconds = take_turns(routes, arguments.rounds)
        rows += [
            {
                "route": name,
                "batch": size,
                "ms a clip": spread([1000 * one / size for one in own]),
                "× faster": ratios(own, seconds["ASTFeatureExtractor"]),
                "largest difference": error,
            }
            for name, own in seconds.items()
        ]
    report("features", rows, arguments.output)


if __name__ == "__main__":
    main()
