"""What is held out: test clips are never learnt from, whoever decides the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ast_demo.data import LabelledClip, LabelledClips
from ast_demo.errors import DataError
from ast_demo.finetuning.options import FinetuneOptions
from ast_demo.finetuning.split import Split, split_clips


def clips_of(*splits: str | None, **columns: str) -> LabelledClips:
    """A clip of each of two labels for each split, with the place of the split as its group."""
    return LabelledClips(
        "made",
        tuple(
            LabelledClip(
                f"{label}{i}.wav",
                b"",
                (label,),
                {"group": str(i), **columns, **({} if split is None else {"split": split})},
            )
            for i, split in enumerate(splits)
            for label in "ab"
        ),
    )


def splits_of(side: tuple[LabelledClip, ...]) -> set[str]:
    return {clip.columns["split"] for clip in side}


@pytest.mark.parametrize("test", ["test", "Testing", "EVAL", "evaluation", "test_1"])
@pytest.mark.parametrize("validation", ["validation", "Valid", "VAL", "dev"])
@pytest.mark.parametrize("training", ["train", "Training", "TRAIN"])
def test_splits_are_known_in_any_case(training: str, validation: str, test: str) -> None:
    split = split_clips(clips_of(training, validation, test), FinetuneOptions())
    sides = (split.training, split.validation, split.test)
    assert [splits_of(side) for side in sides] == [{training}, {validation}, {test}]


@pytest.mark.parametrize("unknown", ["holdout", "unlabelled", "fold1", "", "3"])
def test_an_unknown_split_is_no_training_split(unknown: str) -> None:
    with pytest.raises(DataError) as caught:
        split_clips(clips_of("train", "train", unknown), FinetuneOptions())
    assert f"The data have splits that are not known: {unknown!r} (2 clips). Expected train or training;" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "options",
    [
        FinetuneOptions(),
        FinetuneOptions(group_column="group"),
        FinetuneOptions(validation={"group": ["1"]}),
        FinetuneOptions(validation={"split": ["train_2"]}),
    ],
)
def test_clips_of_a_test_are_never_learnt_from(options: FinetuneOptions) -> None:
    clips = clips_of("train", "train", "train_2", "train", "test", "test")
    split = split_clips(clips, options)
    assert splits_of(split.test) == {"test"}
    assert len(split.test) == 4
    assert "test" not in splits_of(split.training) | splits_of(split.validation)
    assert _everyone(split) == {clip.name for clip in clips.clips}


def test_a_test_that_is_held_out_to_choose_by_is_no_test_any_more() -> None:
    split = split_clips(clips_of("train", "test"), FinetuneOptions(validation={"split": ["test"]}))
    assert (splits_of(split.validation), split.test) == ({"test"}, ())


def parts_of(recordings: dict[str, str]) -> LabelledClips:
    """A clip of a second for each letter of what is heard in a recording."""
    return LabelledClips(
        "made",
        tuple(
            LabelledClip(f"{name} {second}", Path(name), (label,), start_s=float(second), end_s=second + 1.0)
            for name, labels in recordings.items()
            for second, label in enumerate(labels)
        ),
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_recording_is_on_both_sides(seed: int) -> None:
    clips = parts_of({f"{k}.wav": "aab" if k % 2 else "bbbc" for k in range(8)} | {"whole a.wav": "a"})
    split = split_clips(clips, FinetuneOptions(seed=seed))
    sides = [{clip.source for clip in side} for side in (split.training, split.validation)]
    assert not sides[0] & sides[1]
    assert {clip.label for clip in split.training} == {clip.label for clip in split.validation} == set("abc")
    assert split.how == "whole recordings, a random share of each label's"
    assert _everyone(split) == {clip.name for clip in clips.clips}


@pytest.mark.parametrize("recordings", [{"day.wav": "aabbab"}, {"1.wav": "aaaa", "2.wav": "bbbb"}])
def test_parts_of_a_labels_only_recording_are_on_both_sides_and_that_is_said(recordings: dict[str, str]) -> None:
    split = split_clips(parts_of(recordings), FinetuneOptions())
    assert {clip.label for clip in split.training} == {clip.label for clip in split.validation} == set("ab")
    assert "parts of one recording are on both sides" in split.how


def _everyone(split: Split) -> set[str]:
    return {clip.name for side in (split.training, split.validation, split.test) for clip in side}
