"""Which columns of an evaluation Spotlight shows, in which order, as what; and each row in words."""

from __future__ import annotations

from typing import Any

from ast_demo.evaluation import OF_EACH_MAP, PICTURES_OF_A_MISTAKE, Evaluation, column, describe_trust

CLIPPED_SHARE = 0.001
SILENT_SHARE = 0.5
SUMMARY = "summary"
PICTURES = ("rollout", *PICTURES_OF_A_MISTAKE)
# In the order of the columns; what is not named here comes after.
_OF_EACH_CHECKPOINT = ("prediction", "correct", "confidence", "margin", "loss", "entropy_bits", "rollout_on_padding")
_MORE_OF_EACH_CHECKPOINT = ("padding_share", "truncated_s", "window_start_s", "x", "y")
_OF_THE_CLIP = ("flaws", "notes", "duration_s", "loudness_db", "clipped_share", "silent_share", "snr_db")


def safe_name(name: str) -> str:
    """A column's name in the viewer: its server cannot find a column with a slash in its name, as Hub ids have."""
    return name.replace("/", "∕")  # the division slash


def summarise_rows(evaluation: Evaluation) -> list[str]:
    """Each row in a sentence or two. The first word is ours, so that no summary is a URL or a file's name."""
    sentences = []
    for _, row in evaluation.table.iterrows():
        right = [name for name in evaluation.checkpoints if row[column("correct", name)]]
        verdict = "Right" if len(right) == len(evaluation.checkpoints) else f"Right by {' and '.join(right)} only"
        parts = [f"{verdict if right else 'Wrong'}: it is {row['label'] or 'nothing of all'}."]
        for name in evaluation.checkpoints:
            parts += [f"{name} heard {row[column('top_3', name)]}.", describe_trust(row, name)]
        cut_off = max(row[column("truncated_s", name)] for name in evaluation.checkpoints)
        if cut_off > 0:
            parts.append(f"{cut_off:.1f} s are cut off.")
        if row["clipped_share"] > CLIPPED_SHARE:
            parts.append(f"{row['clipped_share']:.1%} of the samples are at full scale.")
        if row["silent_share"] >= SILENT_SHARE:
            parts.append(f"{row['silent_share']:.0%} of the clip is silent.")
        if isinstance(notes := row.get("notes"), str):
            parts.append(notes)
        sentences.append(" ".join(" ".join(parts).split()))
    return sentences


def order_columns(evaluation: Evaluation) -> list[str]:
    """Columns to show, in their order. Scores and embeddings are left out: x and y say it in two numbers."""
    names = evaluation.checkpoints
    order = ["clip", "label", *(column(field, name) for name in names for field in _OF_EACH_CHECKPOINT), SUMMARY]
    order += ["audio", "spectrogram", *(column(field, name) for name in names for field in PICTURES)]
    order += [column(field, name) for name in names for field in OF_EACH_MAP]
    order += [*_OF_THE_CLIP, *(column(field, name) for name in names for field in _MORE_OF_EACH_CHECKPOINT)]
    hidden = {column(field, name) for name in names for field in ("scores", "embedding", "top_3")}
    table = evaluation.table
    there = [name for name in order if name == SUMMARY or (name in table and table[name].notna().any())]
    others = [name for name in table.columns if name not in {*order, *hidden} and table[name].notna().any()]
    return there + others


def type_of_column(name: str, values: Any, evaluation: Evaluation) -> str:
    """Spotlight's type of a column of the table."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_integer_dtype(values):
        return "int"
    if pd.api.types.is_float_dtype(values):
        return "float"
    if name == "audio":
        return "audio"
    if name == "spectrogram" or name in {column(field, one) for one in evaluation.checkpoints for field in PICTURES}:
        return "image"
    return "category"
