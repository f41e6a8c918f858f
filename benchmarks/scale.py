"""What an evaluation on Ray costs beside one on this machine alone: `python -m benchmarks.scale`.

Both evaluate the same clips with the same shipped checkpoint on the same processors, Ray with two workers. The start
of Ray counts; what both do once at the end of an evaluation is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from ast_demo.evaluation import CLIPS_A_PART, Engine, EvaluationConfig, Work, evaluate_here, make_folder, ray_engine
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings
from benchmarks.evaluate import scratch, write_clips
from benchmarks.measure import ratios, read_arguments, report, spread
from benchmarks.subjects import sample_clips

_CHECKPOINT = "sounds-and-digits-16-16"


def main() -> None:
    asked = read_arguments(__doc__.splitlines()[0], clips=2000, workers=2, rounds=1)
    settings = Settings()
    with scratch() as folder:
        some = write_clips(folder / "clips", sample_clips(100, seconds=5.0))
        clips = [some[number % len(some)] for number in range(asked.clips)]
        starts = range(0, len(clips), CLIPS_A_PART)
        parts = tuple((number, tuple(clips[start : start + CLIPS_A_PART])) for number, start in enumerate(starts))
        routes = {
            "this machine": route(parts, evaluate_here, settings, folder / "local"),
            "Ray": route(parts, ray_engine(settings, workers=asked.workers), settings, folder / "ray"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in routes}
        for _ in range(asked.rounds):
            for name, run in routes.items():
                began = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - began)
        rows = [
            {
                "engine": name,
                "seconds a clip": spread([one / len(clips) for one in taken]),
                "times as long": ratios(seconds["this machine"], taken),
            }
            for name, taken in seconds.items()
        ]
    report("scale", rows, asked.output, clips=len(clips), workers=asked.workers, checkpoint=_CHECKPOINT)


def route(parts: tuple, engine: Engine, settings: Settings, folder: Path) -> Callable[[], object]:
    """One run over all parts, into a folder of its own."""
    numbers = count()
    load = CheckpointCache(settings).load

    def run() -> None:
        output = folder / str(next(numbers))
        make_folder(output)
        config = EvaluationConfig((_CHECKPOINT,), label_map={"Speech": "7"})
        engine(Work(parts, config, output), load, lambda done: None)

    return run


if __name__ == "__main__":
    main()
