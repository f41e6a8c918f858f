"""What the benchmarks share: routes timed in turns, ratios with their spread, peak memory, the machine's own limit, tables.

Times of one machine say little of another, and a busy machine is slow for everybody. So routes take turns, round by
round, and what counts is the ratio of two times of the same round; its median and quartiles are told.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

RESULTS = Path("benchmarks") / "results"
_PAUSE_S = 0.2
_PRODUCTS = 10
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "i8mm", "sve")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g}–{self.high:.3g})"


def spread(values: Sequence[float]) -> Spread:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median, low, high)


def take_turns(routes: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each route in each round: one of each before anyone has the next turn, after one that does not count.

    Between turns there is a pause: threads of one library, which wait for work without sleeping, would otherwise take the
    processor from the next.
    """
    for run in routes.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    for number in range(rounds):
        names = list(routes)
        for name in names[number % len(names) :] + names[: number % len(names)]:  # nobody is always the first
            time.sleep(_PAUSE_S)
            began = time.perf_counter()
            routes[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(seconds: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times as long the others took, round by round."""
    return spread([other / own for own, other in zip(seconds, others, strict=True)])


def multiply(dtype: torch.dtype, size: int = 2048) -> Callable[[], object]:
    """A route for `take_turns` that multiplies two square matrices: what the machine's arithmetic can do.

    Several times, as the first product after a pause is slower.
    """
    one, other = torch.rand(size, size).to(dtype), torch.rand(size, size).to(dtype)
    result = torch.empty_like(one)

    def run() -> None:
        for _ in range(_PRODUCTS):
            torch.mm(one, other, out=result)

    return run


def flop_rates(seconds: Sequence[float], size: int = 2048) -> list[float]:
    """Floating-point operations a second of `multiply`, in each round."""
    return [2 * size**3 * _PRODUCTS / one for one in seconds]


def peak_memory_mb(prepare: Callable[..., Callable[[], object]], *arguments: object) -> float:
    """Megabytes that a route takes above what was there before it first ran, in a process of its own (Linux).

    Code that it is the first to use, which the system reads from the libraries' files, does not count.

    Args:
        prepare: Loads what the route needs, and returns the route; must be importable by name.
        arguments: For it.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell_peak, args=(theirs, prepare, arguments))
    process.start()
    theirs.close()
    try:
        return float(ours.recv())
    except EOFError:
        raise RuntimeError(f"The process that measures the memory of {prepare.__name__} has failed.") from None
    finally:
        process.join()


def _tell_peak(pipe: Connection, prepare: Callable[..., Callable[[], object]], arguments: Sequence[object]) -> None:
    run = prepare(*arguments)
    before, code = _memory_mb("VmRSS"), _memory_mb("RssFile")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is there now
    run()
    pipe.send(_memory_mb("VmHWM") - before - (_memory_mb("RssFile") - code))


def _memory_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"This system does not tell {field} in /proc/self/status.")


def describe_machine() -> dict[str, object]:
    """The processor's family and instruction sets, and how many threads are used: no more than a ratio's reader needs."""
    fields: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "processor": fields.get("model name", platform.machine()),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def read_arguments(description: str, **numbers: int) -> argparse.Namespace:
    """Command line of a benchmark: a number for each name, with its default, and `--output`."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"folder for the JSON, default {RESULTS}")
    return parser.parse_args()


def report(name: str, rows: Sequence[Mapping[str, object]], folder: Path = RESULTS, **facts: object) -> None:
    """Print a table, a line for each row, and write it with the machine and the facts to `folder`/`name`.json."""
    machine = describe_machine()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *[[_written(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    print(f"{name} on {machine['processor']}, {machine['threads']} threads")
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for fact, value in facts.items():
        print(f"{fact.replace('_', ' ')}: {_written(value)}")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": name, "machine": machine, **facts, "rows": list(rows)}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2, default=_plain, ensure_ascii=False) + "\n")


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def _plain(value: object) -> Any:
    if isinstance(value, Spread):
        return asdict(value)
    raise TypeError(f"Cannot write {type(value).__name__} as JSON.")
