"""An evaluation on many machines: the functions of `rows`, run by Ray Data.

Parts are decoded by tasks, wherever a processor is free, and shown to the checkpoints by workers that keep the models
in memory. A worker writes the rows of its part itself, into a folder that all machines
see, so that a run that ends too early goes on with the parts that are missing. When a worker is lost, Ray gives its
part to another.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ast_demo.data import LabelledClip
from ast_demo.errors import AstDemoError, SettingsError
from ast_demo.evaluation.engine import Engine, Load, Work
from ast_demo.evaluation.parts import write_part
from ast_demo.evaluation.rows import DecodedClip, EvaluationConfig, decode_clip, make_rows, show_clips
from ast_demo.extras import need
from ast_demo.models import CheckpointCache
from ast_demo.settings import Settings

_READING_CPUS = 0.2  # decoding takes a fraction of the time that a model takes


def ray_engine(settings: Settings, *, address: str = "", workers: int = 0) -> Engine:
    """What `evaluate` takes as its engine.

    Args:
        settings: Of the checkpoints that workers load.
        address: Of a cluster that runs (`auto` for the one of this machine); without, a cluster of this machine's
            processors is started for the run, that other machines cannot reach, and ends with it.
        workers: How many hold the models; by default one for every two processors.

    Raises:
        SettingsError: Ray is not installed. Later, from the engine: there is no cluster at the address.
    """
    need("ray")

    def run(work: Work, load: Load, tell: Callable[[int], None]) -> None:
        with _cluster(address, workers) as resources:
            _evaluate_parts(work, settings, resources, workers, tell)

    return run


class Worker:
    """Shows parts to the checkpoints. It lives in a process of its own, as long as the run."""

    def __init__(self, work: Work, settings: Settings, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._work = work
        self._load = CheckpointCache(settings).load

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        decoded: list[DecodedClip] = pickle.loads(row["decoded"])
        with ThreadPoolExecutor(1) as pool:
            rows = make_rows(decoded, list(show_clips(decoded, self._work.config, self._load, pool)))
        write_part(rows, self._work.folder, row["number"])
        return {"clips": len(decoded)}


def decode_part(row: dict[str, Any], config: EvaluationConfig) -> dict[str, Any]:
    """Decode the clips of a part."""
    decoded = [decode_clip(clip, config) for clip in pickle.loads(row["clips"])]
    return {"number": row["number"], "decoded": pickle.dumps(decoded, protocol=5)}


def _evaluate_parts(
    work: Work, settings: Settings, resources: dict[str, float], workers: int, tell: Callable[[int], None]
) -> None:
    import ray.data

    if not work.parts:
        return
    cpus = max(1, int(resources.get("CPU", 1)))
    workers = min(workers or max(1, cpus // 2), len(work.parts))
    threads = max(1, cpus // workers)
    config = replace(
        work.config,
        references=tuple(_anywhere(one) for one in work.config.references),
        precisions={_anywhere(one): precision for one, precision in work.config.precisions.items()},
    )
    without_parts = Work((), config, work.folder.absolute())
    rows = [
        {"number": number, "clips": pickle.dumps([_found_anywhere(clip) for clip in clips])}
        for number, clips in work.parts
    ]
    done = 0
    parts: Any = ray.data.from_items(rows, override_num_blocks=len(rows))
    results = parts.map(
        decode_part,
        fn_kwargs={"config": config},
        num_cpus=_READING_CPUS,
        concurrency=workers,
    ).map(
        Worker,
        fn_constructor_args=(without_parts, settings, threads),
        num_cpus=max(1 - _READING_CPUS, threads - 1),
        concurrency=workers,
    )
    try:
        for row in results.iter_rows():
            done += row["clips"]
            tell(done)
    except Exception as error:
        raise _told_by_a_worker(error) or error from None


def _found_anywhere(clip: LabelledClip) -> LabelledClip:
    return replace(clip, source=clip.source.absolute()) if isinstance(clip.source, Path) else clip


def _anywhere(reference: str) -> str:
    """A reference that means the same in every folder."""
    return str(Path(reference).absolute()) if Path(reference).is_dir() else reference


def _told_by_a_worker(error: BaseException) -> AstDemoError | None:
    """The sentence for a user that a worker has ended with, which Ray wraps."""
    seen: BaseException | None = error
    while seen is not None:
        for one in (getattr(seen, "cause", None), seen):
            if isinstance(one, AstDemoError):
                return one
        seen = seen.__cause__ or seen.__context__
    return None


def _check_address(address: str) -> None:
    """Refuse a host and port at which nobody listens: Ray would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise SettingsError(f"There is no Ray cluster at {address!r}: {error}.") from None


@contextmanager
def _cluster(address: str, workers: int) -> Iterator[dict[str, float]]:
    """Connected to a cluster; gives what it has, such as its number of CPU."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters to a user comes as an exception
    import ray
    import ray.data

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": False}
    here: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    if address:
        _check_address(address)
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SettingsError(f"There is no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from None
    else:
        os.environ.setdefault("RAY_worker_niceness", "0")  # nothing else of the cluster is on this machine
        services: Any = ray._private.services
        resolve = services.resolve_ip_for_localhost
        services.resolve_ip_for_localhost = (
            str  # Ray would put the machine's address for the loopback, and listen there
        )
        try:
            for last in (False, False, True):
                try:
                    ray.init(address="local", num_cpus=max(workers, os.cpu_count() or 1), **here, **quiet)
                    break
                except Exception:  # of no kind of its own: a busy machine takes longer than the 30 s that Ray waits
                    ray.shutdown()
                    if last:
                        raise
        finally:
            services.resolve_ip_for_localhost = resolve
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()
