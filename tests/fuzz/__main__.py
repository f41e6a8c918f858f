"""Send hostile inputs to the app, as many as asked for: `python -m tests.fuzz --inputs 1000 --seed 1`.

Says at last whether it passed. Exit code 1 where an answer is no sentence, the server ends, there is a traceback in its log,
its memory grows after the warm-up, or its temporary files do not go.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import attack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = attack(arguments.inputs, arguments.seed, Path(folder), lambda line: print(line, file=sys.stderr))
    for kind, count in sorted(collections.Counter(report.outcomes).items()):
        print(f"{count:6}  {kind}")
    started, warm, after = report.memory_mb
    print(f"memory {started:.0f} MB at the start, {warm:.0f} MB after the warm-up, {after:.0f} MB at the end")
    print(f"temporary files {report.files[0]} before, {report.files[1]} after")
    for problem in report.problems:
        print(problem)
    print(f"FAILED: {len(report.problems)} problems" if report.problems else "passed")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
