"""How fast this program is beside what a user would run instead: `python -m benchmarks.NAME`."""

import ast_demo  # noqa: F401 - sets up how PyTorch waits, before a benchmark loads it
