"""Many visitors at once: `python -m tests.load --visitors 16 --minutes 10`.

Starts the app as strangers meet it, on the loopback. First one visitor alone inspects clips, one after the other; then all of
them do, each a clip of their own, while one evaluation of 400 clips runs after another. Every answer has to be that of the
visitor's own clip. Prints the median and the 95th percentile of an inspection, alone and together, and at last whether it
passed. Exit code 1 where an answer was wrong or missing, other than that the program is busy, or no evaluation came to an end.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import sys
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from ast_demo.audio.decoding import read_audio
from ast_demo.data.samples import list_samples
from ast_demo.inspection.inspection import inspect
from ast_demo.models.loading import default_checkpoint, load_checkpoint
from tests.public.caller import DONE, FAILED, REFUSED, call, upload
from tests.served import App, start

_CLIPS = 400  # of each evaluation
_ALONE_S = 30
_CLOSE = 1e-4  # two runs of a model on one clip


@dataclass
class Seen:
    """What visitors met: seconds of each inspection; how often the program said that it was busy; what was wrong."""

    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    problems: list[str] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    samples = [sample.path for sample in list_samples()][:: max(1, 120 // arguments.visitors)][: arguments.visitors]
    model = load_checkpoint(default_checkpoint())
    expected = {path: dict(inspect(read_audio(path), model).prediction.top()) for path in samples}
    with tempfile.TemporaryDirectory() as folder:
        app = start(Path(folder), SPACE_ID="a/b", max_upload_mb="100")
        try:
            alone, together = Seen(), Seen()
            _visit(app, samples[0], expected[samples[0]], time.monotonic() + _ALONE_S, alone)
            until = time.monotonic() + 60 * arguments.minutes
            with ThreadPoolExecutor(arguments.visitors + 1) as people:
                jobs = [people.submit(_visit, app, path, expected[path], until, together) for path in samples]
                jobs.append(people.submit(_evaluate, app, until, together))
                peak_mb = _watch(app, until)
                for job in jobs:
                    try:
                        job.result()
                    except (AssertionError, httpx.HTTPError, LookupError) as error:  # no answer, or one of another form
                        together.problems.append(f"{type(error).__name__}: {str(error)[:200]}")
            if not together.seconds:
                together.problems.append("nobody got an answer")
            if not together.evaluations:
                together.problems.append("no evaluation came to an end")
        finally:
            app.stop()
    problems = alone.problems + together.problems
    print(
        json.dumps(
            {
                "visitors": arguments.visitors,
                "minutes": arguments.minutes,
                "alone_s": _percentiles(alone),
                "together_s": _percentiles(together),
                "busy": together.busy,
                "evaluations_of_400_clips_s": [round(seconds) for seconds in together.evaluations],
                "peak_memory_mb": round(peak_mb),
                "problems": problems,
            },
            indent=1,
        )
    )
    print(f"FAILED: {len(problems)} problems" if problems else "passed")
    sys.exit(1 if problems else 0)


def _visit(app: App, path: Path, expected: dict[str, float], until: float, seen: Seen) -> None:
    """Upload a clip and have it inspected, again and again; each answer has to be that of this clip."""
    with httpx.Client(base_url=app.url, timeout=600, trust_env=False) as client:
        while time.monotonic() < until:
            began = time.monotonic()
            sent = {"path": upload(client, path.name, path.read_bytes()), "meta": {"_type": "gradio.FileData"}}
            kind, answer = call(client, "inspect", [sent, default_checkpoint()])
            if kind == REFUSED and "full" in str(answer):
                seen.busy += 1
                time.sleep(1)
            elif kind != DONE:
                seen.problems.append(f"{path.name}: {kind} {str(answer)[:200]}")
            else:
                seen.seconds.append(time.monotonic() - began)
                scores = {one["label"]: one["score"] for one in answer[0]["predictions"]}
                if max(abs(scores[label] - score) for label, score in expected.items()) > _CLOSE:
                    seen.problems.append(f"{path.name} got the answer of another clip")


def _evaluate(app: App, until: float, seen: Seen) -> None:
    """Evaluations of 400 clips, one after the other; the last is waited for when the time is over."""
    files = itertools.islice(itertools.cycle(list_samples()), _CLIPS)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, sample in enumerate(files):
            archive.write(sample.path, f"{sample.label}/{number}-{sample.path.name}")
    with httpx.Client(base_url=app.url, timeout=3600, trust_env=False) as client:
        while time.monotonic() < until:
            began = time.monotonic()
            sent = {"path": upload(client, "clips.zip", content.getvalue()), "meta": {"_type": "gradio.FileData"}}
            kind, answer = call(client, "evaluate", [sent, [default_checkpoint()]])
            if kind in (FAILED, REFUSED):
                seen.problems.append(f"evaluation: {kind} {str(answer)[:200]}")
            elif answer[0]["checkpoints"][default_checkpoint()]["clips"] != _CLIPS:
                seen.problems.append("an evaluation lost clips")
            else:
                seen.evaluations.append(time.monotonic() - began)


def _watch(app: App, until: float) -> float:
    """Most memory of the program and its helpers, in megabytes."""
    peak, ended = 0.0, threading.Event()
    program = psutil.Process(app.process.pid)
    while time.monotonic() < until:
        sizes = []
        for one in (program, *program.children(recursive=True)):
            try:
                sizes.append(one.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, sum(sizes) / 1e6)
        ended.wait(2)
    return peak


def _percentiles(seen: Seen) -> dict[str, float]:
    p50, p95 = np.percentile(seen.seconds, [50, 95]) if seen.seconds else (float("nan"),) * 2
    return {"inspections": len(seen.seconds), "p50": round(float(p50), 2), "p95": round(float(p95), 2)}


if __name__ == "__main__":
    main()
