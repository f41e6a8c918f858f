"""Inspections and comparisons to files: pictures, arrays and JSON, the same for the page's downloads and the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ast_demo.audio import to_wav
from ast_demo.errors import cannot_write
from ast_demo.explain import ClipReport, Halves, RelevanceMap, TrustCard
from ast_demo.export.summaries import describe_clip, summarise_comparison, summarise_map
from ast_demo.figures import (
    Look,
    difference_figure,
    map_figure,
    patch_grid_figure,
    rollout_figure,
    shared_look,
    spectrogram_figure,
    to_png,
    trust_figure,
    waveform_figure,
)
from ast_demo.inspection import Comparison, Inspection, Timeline

_FIGURES = {
    "waveform": waveform_figure,
    "spectrogram": spectrogram_figure,
    "patch_grid": patch_grid_figure,
    "rollout": rollout_figure,
}
_NEED_A_GRID = {"spectrogram", "patch_grid"}


def draw(inspection: Inspection, look: Look = Look()) -> dict[str, bytes]:
    """The pictures of an inspection as PNG: waveform, spectrogram, patch_grid, rollout; those that its model has."""
    names = [name for name in _FIGURES if inspection.checkpoint.grid or name not in _NEED_A_GRID]
    return {name: to_png(_FIGURES[name](inspection, look), look) for name in names}


def arrays(inspection: Inspection, timeline: Timeline | None = None, halves: Halves | None = None) -> bytes:
    """The arrays of an inspection as a compressed NPZ.

    samples (n,), spectrogram (frames, mel bins) as fed (none without a patch grid), rollout (frequency, time) through
    all layers, rollout_by_depth (layers, frequency, time), logits, scores (labels,), embedding (hidden size,), labels.
    With a timeline: window_start_s (windows,), window_scores (windows, labels). With halves: mask (frames of the clip,
    mel bins), what was kept of the amplitude.
    """
    prediction = inspection.prediction
    contents: dict[str, Any] = {
        "samples": inspection.waveform.samples,
        "rollout": inspection.rollout.final,
        "rollout_by_depth": inspection.rollout.maps,
        "logits": prediction.logits,
        "scores": prediction.scores,
        "embedding": prediction.embedding,
        "labels": np.array(prediction.labels),
    }
    if inspection.spectrogram is not None:
        contents["spectrogram"] = inspection.spectrogram.values
    if timeline is not None:
        contents["window_start_s"] = np.array([window.start_s for window in timeline.windows])
        contents["window_scores"] = np.stack([window.prediction.scores for window in timeline.windows])
    if halves is not None:
        contents["mask"] = halves.mask.T.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **contents)
    return buffer.getvalue()


def draw_comparison(comparison: Comparison, look: Look = Look()) -> list[dict[str, bytes]]:
    """The pictures of each inspection as PNG, as `draw` names them, on one time axis and one colour scale of rollout.

    From the second one on with `difference`: its rollout less that of the first.
    """
    if not comparison.inspections:
        return []
    look = shared_look(comparison, look)
    first = comparison.inspections[0]
    pictures = [draw(one, look) for one in comparison.inspections]
    for one, others in zip(comparison.inspections[1:], pictures[1:], strict=True):
        others["difference"] = to_png(difference_figure(first, one, look), look)
    return pictures


def write_comparison(
    comparison: Comparison, folder: Path, pictures: list[dict[str, bytes]] | None = None
) -> list[Path]:
    """Write comparison.json, and a folder for each inspection, 1-NAME, 2-NAME …, as `write_inspection` does.

    Raises:
        DataError: The folder cannot be written to.
    """
    pictures = pictures or draw_comparison(comparison)
    written = []
    for number, (one, its_pictures) in enumerate(zip(comparison.inspections, pictures, strict=True), start=1):
        written += write_inspection(one, folder_of(comparison, number, folder), its_pictures)
    summary = json.dumps(summarise_comparison(comparison), indent=2, ensure_ascii=False) + "\n"
    return [*written, *_write_files(folder, {"comparison.json": summary.encode()})]


def folder_of(comparison: Comparison, number: int, folder: Path) -> Path:
    """Where `write_comparison` puts an inspection, by its number from 1."""
    return folder / f"{number}-{comparison.inspections[number - 1].checkpoint.name.replace('/', '--')}"


def write_map(
    relevance: RelevanceMap, inspection: Inspection, folder: Path, card: TrustCard | None = None, look: Look = Look()
) -> list[Path]:
    """Write map.png, map.npz with the values (frequency, time) and map.json; with a trust card also trust.png.

    Raises:
        DataError: The folder cannot be written to.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, values=relevance.values, shares=relevance.shares)
    summary = json.dumps(summarise_map(relevance, inspection, card), indent=2, ensure_ascii=False) + "\n"
    contents = {
        "map.png": to_png(map_figure(inspection, relevance, look), look),
        "map.npz": buffer.getvalue(),
        "map.json": summary.encode(),
    }
    if card is not None:
        contents["trust.png"] = to_png(trust_figure(card, look), look)
    return _write_files(folder, contents)


def write_report(report: ClipReport, folder: Path) -> list[Path]:
    """Write all that was asked of a recording: what `write_map` writes, where there is a map, and what `write_inspection` does.

    Raises:
        DataError: The folder cannot be written to.
    """
    inspection = report.inspection
    of_map = [] if report.relevance is None else write_map(report.relevance, inspection, folder, report.card)
    return of_map + write_inspection(inspection, folder, timeline=report.timeline, halves=report.halves)


def write_inspection(
    inspection: Inspection,
    folder: Path,
    pictures: dict[str, bytes] | None = None,
    *,
    timeline: Timeline | None = None,
    halves: Halves | None = None,
) -> list[Path]:
    """Write pictures, inspection.json and inspection.npz into a folder, which is made if need be.

    Args:
        pictures: As `draw` gives them; drawn now by default.
        timeline: Of the recording that the clip is a window of; told in the JSON and the NPZ.
        halves: The halves of the clip, written as kept.wav and removed.wav, and told in the JSON and the NPZ.

    Returns:
        The files, pictures first.

    Raises:
        DataError: The folder cannot be written to.
    """
    pictures = pictures or draw(inspection)
    contents = {f"{name}.png": picture for name, picture in pictures.items()}
    if halves is not None:
        contents |= {"kept.wav": to_wav(halves.kept.waveform), "removed.wav": to_wav(halves.removed.waveform)}
    summary = describe_clip(inspection, timeline, halves)
    contents["inspection.json"] = (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode()
    contents["inspection.npz"] = arrays(inspection, timeline, halves)
    return _write_files(folder, contents)


def _write_files(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return [folder / name for name in contents]
