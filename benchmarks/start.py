"""From nothing to a served page, beside importing gradio, torch and transformers alone; and drawing a clip's pictures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from ast_demo.export import draw
from ast_demo.inspection import inspect
from ast_demo.models import default_checkpoint, load_checkpoint
from benchmarks.measure import ratios, read_arguments, report, spread, take_turns
from benchmarks.subjects import sample_clips

_PATIENCE_S = 300


def serve() -> None:
    """Start the page in a process of its own, wait until it answers, and end it."""
    port = _free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, "app.py"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _answers(f"http://127.0.0.1:{port}/"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The page was not served.")
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def import_libraries() -> None:
    """What any Gradio app with a model of 🤗 Transformers has to import."""
    code = "import gradio, torch; from transformers import ASTFeatureExtractor, ASTForAudioClassification"
    subprocess.run([sys.executable, "-c", code], check=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def main() -> None:
    arguments = read_arguments(__doc__ or "", rounds=3)
    seconds = take_turns({"imports alone": import_libraries, "page served": serve}, arguments.rounds)
    rows: list[dict[str, object]] = [
        {"route": name, "seconds": spread(own), "× imports alone": ratios(seconds["imports alone"], own)}
        for name, own in seconds.items()
    ]
    inspection = inspect(sample_clips(1)[0], load_checkpoint(default_checkpoint()))
    drawn = take_turns({"four pictures drawn": lambda: draw(inspection)}, 3 * arguments.rounds)
    rows += [{"route": name, "seconds": spread(own)} for name, own in drawn.items()]
    kilobytes = sum(len(picture) for picture in draw(inspection).values()) / 1000
    report("start", rows, arguments.output, kilobytes_of_pictures_to_send=kilobytes)


if __name__ == "__main__":
    main()
