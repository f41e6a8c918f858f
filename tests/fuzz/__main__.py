"""Send hostile inputs to the app, as many as asked for: `python -m tests.fuzz --inputs 1000 --seed 1`.

Exit code 1 where an answer is no sentence, the server ends, or its memory or temporary files do not come back.
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
    print(f"memory {report.memory_mb[0]:.0f} MB before, {report.memory_mb[1]:.0f} MB after")
    print(f"temporary files {report.files[0]} before, {report.files[1]} after")
    for problem in report.problems:
        print(problem)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
