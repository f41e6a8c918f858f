"""What an evaluation is of, as it is written beside its parts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ast_demo.data import LabelledClip, LabelledClips
from ast_demo.errors import DataError
from ast_demo.evaluation import EvaluationConfig
from ast_demo.evaluation.description import begin_or_go_on, describe_run
from ast_demo.models import CheckpointFacts, load_checkpoint
from tests.tiny import save_tiny

CLIPS = LabelledClips("data", (LabelledClip("a.wav", b"", ("dog",)), LabelledClip("b.wav", b"", ("rain", "bell"))))
CONFIG = EvaluationConfig(("here/one",), {"here/one": "float32"}, max_clip_s=60.0)
# As version 1 has it: a change here orphans every evaluation that somebody has begun.
WRITTEN = {
    "version": 1,
    "clips": 2,
    "clips_a_part": 25,
    "clips_sha256": "7119e0dc672ad6ac4c1b938af08f96a16c7939880ca1ce1caba7ac1f98fb39f9",
    "max_clip_s": 60.0,
    "windows": True,
    "explain": None,
    "checkpoints": [
        {
            "name": "one",
            "precision": "float32",
            "parameters": 34606,
            "layers": 3,
            "activation": "softmax",
            "labels_sha256": "3afacee75fe2a99a47105fc2216332713117c36ea036b970b00ecee46c1fc751",
            "patches": [13, 17],
            "input": [89, -6.5, 5.3],
        }
    ],
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFacts:
    return load_checkpoint(save_tiny(tmp_path_factory.mktemp("models") / "one")).facts


def test_it_is_what_version_1_has_always_been(facts: CheckpointFacts) -> None:
    assert describe_run(CLIPS, [facts], CONFIG) == WRITTEN


def test_a_folder_that_was_begun_is_known_again(facts: CheckpointFacts, tmp_path: Path) -> None:
    begin_or_go_on(tmp_path / "new", describe_run(CLIPS, [facts], CONFIG))
    begin_or_go_on(tmp_path / "new", describe_run(CLIPS, [facts], CONFIG))
    (tmp_path / "run.json").write_text(json.dumps(WRITTEN))
    begin_or_go_on(tmp_path, describe_run(CLIPS, [facts], CONFIG))


@pytest.mark.parametrize(
    "change",
    [
        {"max_clip_s": 30.0},
        {"windows": False},
        {"explain": True},
        {"precisions": {"here/one": "bfloat16"}},
    ],
    ids=str,
)
def test_what_rows_depend_on_makes_another_evaluation(change: dict, facts: CheckpointFacts, tmp_path: Path) -> None:
    begin_or_go_on(tmp_path, describe_run(CLIPS, [facts], CONFIG))
    with pytest.raises(DataError, match=r"holds another evaluation\. Choose another folder\."):
        begin_or_go_on(tmp_path, describe_run(CLIPS, [facts], replace(CONFIG, **change)))


def test_other_clips_labels_and_models_make_another_evaluation(facts: CheckpointFacts) -> None:
    relabelled = replace(CLIPS, clips=(replace(CLIPS.clips[0], labels=("rain",)), CLIPS.clips[1]))
    descriptions = [
        describe_run(clips, [one], CONFIG)
        for clips, one in (
            (CLIPS, facts),
            (relabelled, facts),
            (replace(CLIPS, clips=CLIPS.clips[::-1]), facts),
            (CLIPS, replace(facts, labels=facts.labels[::-1])),
            (CLIPS, replace(facts, n_parameters=facts.n_parameters + 1)),
            (CLIPS, replace(facts, grid=None)),
        )
    ]
    assert len({json.dumps(one) for one in descriptions}) == len(descriptions)


def test_the_same_checkpoint_from_another_place_is_the_same_evaluation(facts: CheckpointFacts) -> None:
    moved = replace(CONFIG, references=("there",), precisions={"there": "float32"})
    assert describe_run(CLIPS, [facts], moved) == describe_run(CLIPS, [facts], CONFIG)


@pytest.mark.parametrize("text", ["", '{"version": 1, "cli', "[]", '{"fingerprint": "0"}', '{"version": 2}'])
def test_what_another_version_began_or_what_is_damaged_gets_a_sentence(
    text: str, facts: CheckpointFacts, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=r"holds an evaluation that another version of this program began\. Choose an"):
        begin_or_go_on(tmp_path, describe_run(CLIPS, [facts], CONFIG))
