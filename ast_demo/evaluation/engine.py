"""What turns labelled clips into parts of a table: on this machine here, on many machines in `ray_engine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ast_demo.data import LabelledClip
from ast_demo.evaluation.parts import write_part
from ast_demo.evaluation.rows import Heard, Question, answer, hear
from ast_demo.models import Checkpoint
from ast_demo.runtime import read_ahead


@dataclass(frozen=True)
class Work:
    """What an engine is to do: evaluate each part, and `write_part` its rows into the folder.

    Attributes:
        parts: Number and clips of each part that is missing.
    """

    parts: tuple[tuple[int, tuple[LabelledClip, ...]], ...]
    question: Question
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
    heard_parts = ((number, [hear(clip, work.question) for clip in clips]) for number, clips in work.parts)
    with closing(read_ahead(heard_parts, 1)) as ahead, ThreadPoolExecutor(1) as pool:
        writing: Future[int] | None = None
        for number, heard in ahead:
            drawn: list[Future[None]] = []
            steps = max(1, len(work.question.references) * sum(one.waveform is not None for one in heard))
            with closing(answer(heard, work.question, load, pool)) as answers:
                for future in answers:
                    drawn.append(future)
                    done, writing = done + (writing.result() if writing else 0), None
                    tell(done + min(len(drawn) * len(heard) // steps, len(heard) - 1))
            done += writing.result() if writing else 0
            writing = pool.submit(_finish_part, heard, drawn, work.folder, number)
        tell(done + (writing.result() if writing else 0))


def _finish_part(heard: Sequence[Heard], drawn: Sequence[Future[None]], folder: Path, number: int) -> int:
    for future in drawn:
        future.result()  # what has failed is raised here
    write_part([one.row for one in heard], folder, number)
    return len(heard)
