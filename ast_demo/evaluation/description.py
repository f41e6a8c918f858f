"""What an evaluation is of, written beside its parts: so is one that was begun known again, and gone on with.

Everything is named here one by one, so that a class or a field may be called otherwise tomorrow without an evaluation
of yesterday becoming another one. What a name means may change with `VERSION` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ast_demo.data import LabelledClips
from ast_demo.errors import DataError, cannot_write
from ast_demo.evaluation.parts import CLIPS_A_PART, make_folder
from ast_demo.evaluation.rows import EvaluationConfig
from ast_demo.models import CheckpointFacts

VERSION = 1
_RUN = "run.json"


def describe_run(clips: LabelledClips, facts: Sequence[CheckpointFacts], config: EvaluationConfig) -> dict[str, Any]:
    """Everything that the rows of an evaluation depend on, as JSON holds it.

    Args:
        clips: With the labels that they have in the rows; how labels are spelled there comes of these and of the facts.
    """
    return {
        "version": VERSION,
        "clips": len(clips.clips),
        "clips_a_part": CLIPS_A_PART,
        "clips_sha256": _digest([[clip.name, list(clip.labels)] for clip in clips.clips]),
        "max_clip_s": config.max_clip_s,
        "windows": config.windows,
        "explain": config.explain,
        "checkpoints": [
            {
                "name": one.name,
                "precision": config.precisions[reference],
                "parameters": one.n_parameters,
                "layers": one.n_layers,
                "activation": one.activation,
                "labels_sha256": _digest(list(one.labels)),
                "patches": [one.grid.n_frequency, one.grid.n_time] if one.grid else None,
                "input": [one.input.n_frames, one.input.mean, one.input.std] if one.input else None,
            }
            for one, reference in zip(facts, config.references, strict=True)
        ],
    }


def begin_or_go_on(folder: Path, description: dict[str, Any]) -> None:
    """Make the folder, or make sure that what is in it is a part of the evaluation that is described.

    Raises:
        DataError: It holds another evaluation, or one of another version of this program; it cannot be written to.
    """
    file = folder / _RUN
    try:
        if file.is_file():
            _check_same(file.read_text(encoding="utf-8"), description, folder)
            return
        make_folder(folder)
        half = file.with_suffix(".half")
        half.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise cannot_write(folder, error) from None


def _check_same(text: str, description: dict[str, Any], folder: Path) -> None:
    try:
        there = json.loads(text)
    except ValueError:
        there = None
    if there == description:
        return
    if not isinstance(there, dict) or there.get("version") != VERSION:
        raise DataError(
            f"The folder {str(folder)!r} holds an evaluation that another version of this program began. Choose another "
            "folder."
        )
    raise DataError(f"The folder {str(folder)!r} holds another evaluation. Choose another folder.")


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
