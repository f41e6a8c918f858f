"""Labelled clips, from wherever they lie."""
