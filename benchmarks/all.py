"""All benchmarks one after the other, each in a process of its own; then the table and picture of them in `docs/speed.md`.

Takes some minutes, and nothing else should run meanwhile.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from benchmarks.measure import read_arguments
from benchmarks.summary import write_summary

NAMES = ("explain", "features", "start", "spotlight", "gpu", "evaluate")


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    for name in NAMES:
        if importlib.util.find_spec(f"benchmarks.{name}"):
            command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", "--output", str(arguments.output)]
            subprocess.run(command, check=True)
    write_summary(arguments.output)


if __name__ == "__main__":
    main()
