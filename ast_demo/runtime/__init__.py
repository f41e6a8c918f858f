"""What runs the work, and nothing of what it is about."""
