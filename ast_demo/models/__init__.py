"""A name, a folder or a Hub id to a Checkpoint."""
