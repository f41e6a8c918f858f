"""Inspections to files."""
