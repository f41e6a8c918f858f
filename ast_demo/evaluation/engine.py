"""What turns labelled clips into parts of a table: on this machine here, on many machines in `ray_engine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ast_demo.data import LabelledClip
from ast_demo.evaluation.parts import write_part
from ast_demo.evaluation.rows import Answer, DecodedClip, EvaluationConfig, decode_clip, make_rows, show_clips
from ast_demo.models import Checkpoint
from ast_demo.runtime import read_ahead


@dataclass(frozen=True)
class Work:
    """What an engine is to do: evaluate each part, and `write_part` its rows into the folder.

    Attributes:
        parts: Number and clips of each part that is missing.
    """

    parts: tuple[tuple[int, tuple[LabelledClip, ...]], ...]
    config: EvaluationConfig
    folder: Path


Load = Callable[[str], Checkpoint]
Engine = Callable[[Work, Load, Callable[[int], None]], None]


def evaluate_here(work: Work, load: Load, tell: Callable[[int], None]) -> None:
    """Evaluate on this machine. While the model runs, the next clips are decoded, and the last ones' pictures drawn.

    Args:
        load: Gives the checkpoint of a reference.
        tell: Told how many clips are done. The last clip of a part counts once the part is written. What it raises
            ends the run.
    """
    done = 0
    parts = ((number, [decode_clip(clip, work.config) for clip in clips]) for number, clips in work.parts)
    with closing(read_ahead(parts, 1)) as ahead, ThreadPoolExecutor(1) as pool:
        writing: Future[int] | None = None
        for number, decoded in ahead:
            answers: list[Answer] = []
            steps = max(1, len(work.config.references) * sum(one.waveform is not None for one in decoded))
            with closing(show_clips(decoded, work.config, load, pool)) as answered:
                for answer in answered:
                    answers.append(answer)
                    done, writing = done + (writing.result() if writing else 0), None
                    tell(done + min(len(answers) * len(decoded) // steps, len(decoded) - 1))
            done += writing.result() if writing else 0
            writing = pool.submit(_finish_part, decoded, answers, work.folder, number)
        tell(done + (writing.result() if writing else 0))


def _finish_part(decoded: Sequence[DecodedClip], answers: Sequence[Answer], folder: Path, number: int) -> int:
    write_part(make_rows(decoded, answers), folder, number)
    return len(decoded)
