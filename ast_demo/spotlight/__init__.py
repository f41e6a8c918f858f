"""Evaluations in Renumics Spotlight: what is shown of them, the processes that show it, the way to them."""
