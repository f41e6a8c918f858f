"""How fast this program is beside what a user would run instead: `python -m benchmarks.NAME`."""
