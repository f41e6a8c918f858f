"""Labelled clips and Checkpoints to an Evaluation."""
