"""Send hostile inputs to the app, as many as asked for: `python -m tests.fuzz --inputs 1000 --strangers 500 --seed 1`.

Says at last whether it passed. Exit code 1 where an answer is no sentence, the server ends, there is a traceback in its log,
its memory grows after the warm-up, or its temporary files do not go; where it asks for an address or looks up a name; and
where the strangers' inputs, which want work and memory without a bound, take half as much again as an honest evaluation.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import attack, percentile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--strangers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = attack(
            arguments.inputs,
            arguments.seed,
            Path(folder),
            lambda line: print(line, file=sys.stderr),
            of_strangers=arguments.strangers,
        )
    for kind, count in sorted(collections.Counter(report.outcomes).items()):
        print(f"{count:6}  {kind}")
    started, warm, after = report.memory_mb
    print(f"memory {started:.0f} MB at the start, {warm:.0f} MB after the warm-up, {after:.0f} MB at the end")
    print(f"temporary files {report.files[0]} before, {report.files[1]} after")
    if arguments.strangers:
        honest, theirs, rest, after = report.peaks_mb
        print(
            f"peak {honest:.0f} MB in an honest evaluation, {theirs:.0f} MB under attack; {rest:.0f} MB before, {after:.0f} after"
        )
        for what, seconds in (("inspection", report.inspections_s), ("health check", report.health_s)):
            p50, p95, worst = (percentile(seconds, percent) for percent in (50, 95, 100))
            print(f"an honest {what} meanwhile: p50 {p50:.2f} s, p95 {p95:.2f} s, longest {worst:.2f} s")
    for problem in report.problems:
        print(problem)
    print(f"FAILED: {len(report.problems)} problems" if report.problems else "passed")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
