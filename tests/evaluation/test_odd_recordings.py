"""Recordings as people have them, in a run: none ends it, and what speaks against each is in its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ast_demo.data import read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.models import load_checkpoint
from ast_demo.spotlight.columns import summarise_rows
from ast_demo.spotlight.issues import find_issues
from tests.audio.test_boundary import with_title
from tests.clips import encode, noise
from tests.tiny import LABELS, save_tiny

SILENT = encode(np.zeros(16_000), 16_000, "WAV", "PCM_16")
GOOD = encode(noise(1.0), 16_000, "WAV", "PCM_16")
RECORDINGS = {
    "good.wav": (GOOD, None),
    "title.m4a": (with_title("ipod", "aac", 5).replace(b"TTTTT", b"Gr\xfc\xdfe"), None),
    "silent.wav": (SILENT, "silent"),
    "blip.wav": (encode(noise(0.1), 16_000, "WAV", "PCM_16"), "very short"),
    "cut.wav": (GOOD[:20_000], None),
    "opposite.flac": (encode(np.outer(noise(1.0), [1, -1]), 16_000, "FLAC", "PCM_16"), "channels cancel"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / LABELS[0]).mkdir()
    for name, (content, _) in RECORDINGS.items():
        (folder / LABELS[0] / name).write_bytes(content)
    (folder / LABELS[0] / "cut.m4a").write_bytes(encode(noise(1.0), 16_000, "mp4", "aac")[:2000])
    return folder


def test_odd_recordings_in_an_evaluation(data: Path, tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "tiny")
    found = evaluate(read_labelled_clips(data), [str(checkpoint)], load_checkpoint, tmp_path / "out")
    rows = found.table.set_index("clip")
    assert {Path(name).name for name in rows.index} == set(RECORDINGS)
    for name, (_, flaw) in RECORDINGS.items():
        told = rows.loc[f"{LABELS[0]}/{name}", "flaws"]
        assert (told if isinstance(told, str) else None) == flaw
    assert "The recording is cut off or damaged" in rows.loc[f"{LABELS[0]}/cut.wav", "notes"]
    filters = {issue.title: [found.table["clip"][row] for row in issue.rows] for issue in find_issues(found)}
    for name, (_, flaw) in RECORDINGS.items():
        if flaw:
            assert filters[f"Recording: {flaw}"] == [f"{LABELS[0]}/{name}"]
    assert "The recording is silent" in " ".join(summarise_rows(found))
    assert set(found.unreadable) == {f"{LABELS[0]}/cut.m4a"}
    assert (
        found.unreadable[f"{LABELS[0]}/cut.m4a"]
        == f"'{LABELS[0]}/cut.m4a' is cut off or damaged. Export or upload it again."
    )
