"""Rows of an evaluation: what is decoded stays as it is, and any number of threads make the same rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import soundfile

from ast_demo.audio import SAMPLE_RATE
from ast_demo.data import read_labelled_clips
from ast_demo.evaluation import EvaluationConfig
from ast_demo.evaluation.rows import DecodedClip, decode_clip, make_rows, show_clips
from ast_demo.models import load_checkpoint
from tests.clips import noise
from tests.tiny import LABELS, save_tiny
from tests.tiny_sequence import save_sequence_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """One without a patch grid, and so without a spectrogram, comes first."""
    folder = tmp_path_factory.mktemp("models")
    return tuple(
        map(
            str,
            (
                save_sequence_model("wavlm", folder / "wavlm"),
                save_tiny(folder / "one", seed=1),
                save_tiny(folder / "two", seed=2),
            ),
        )
    )


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> list[DecodedClip]:
    """Some clips, the second of which cannot be read; the data have a column of text called spectrogram."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["file_name,label,spectrogram"]
    for number in range(6):
        soundfile.write(folder / f"{number}.wav", noise(0.4 + 0.2 * number, seed=number), SAMPLE_RATE)
        rows.append(f"{number}.wav,{LABELS[number % 5]},none")
    (folder / "1.wav").write_text("this is no sound")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return [decode_clip(clip, EvaluationConfig(())) for clip in read_labelled_clips(folder).clips]


def test_rows_do_not_grow_inside_what_is_frozen_nor_depend_on_the_threads(
    decoded: list[DecodedClip], models: tuple[str, ...]
) -> None:
    before = [replace(one, columns=dict(one.columns)) for one in decoded]
    made = []
    for threads in (1, 5):
        with ThreadPoolExecutor(threads) as pool:
            answers = list(show_clips(decoded, EvaluationConfig(models), load_checkpoint, pool))
        assert len(answers) == 3 * 5
        made.append(make_rows(decoded, answers))
        assert decoded == before
    one, other = made
    assert [list(row) for row in one] == [list(row) for row in other]
    assert one[1] == {"clip": "1.wav", "unreadable": one[1]["unreadable"]}
    for first, second in zip(one, other, strict=True):
        for name in ("clip", "label", "prediction (one)", "prediction (two)", "spectrogram"):
            assert first.get(name) == second.get(name)
    assert isinstance(one[0]["spectrogram"], bytes)  # the picture, and not the text of the data
