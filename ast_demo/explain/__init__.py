"""Where a score rests, and how far to trust that."""
