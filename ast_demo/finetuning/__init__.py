"""Labelled clips and a base to a new checkpoint: what a run is fed, how it goes, what it leaves."""
