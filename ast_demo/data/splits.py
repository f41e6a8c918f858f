"""Names of splits and of folders that only group: what never is a label if something else says better."""

from __future__ import annotations

import re
from typing import Literal

SplitName = Literal["training", "validation", "test"]
TRAINING, VALIDATION, TEST = "training", "validation", "test"
# The keywords of 🤗 Datasets' `audiofolder`, in any case.
SPLIT_KEYWORDS: dict[str, SplitName] = {
    "train": "training", "training": "training",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
SPLITS_IN_WORDS = "train or training; validation, valid, val or dev; test, testing, eval or evaluation"
# Words that may stand beside a keyword and say nothing: `train_audio`, `FSD50K.dev_audio`, `Test set`.
_BESIDE = frozenset((
    "audio", "audios", "wav", "wavs", "clips", "clip", "data", "dataset", "set", "sets", "split", "splits", "list",
    "lists", "files", "file", "folder", "meta", "metadata", "labels", "label", "csv", "noisy", "curated", "short",
    "long", "clean", "other", "post", "competition", "k", "fsd", "fsd50k", "fsdkaggle", "esc", "hf",
))  # fmt: skip
_CONTAINERS = frozenset((
    "audio", "audios", "wav", "wavs", "clips", "clip", "recordings", "recording", "sounds", "data", "dataset",
    "datasets", "samples", "files", "mp3", "mp3s", "flac", "ogg", "opus", "media", "raw", "soundfiles",
    "audiofiles", "audiodata", "wavfiles", "genresoriginal", "waves", "waveforms",
))  # fmt: skip
_GROUPS = re.compile(
    r"(?P<word>fold|kfold|cv|site|part|split|set|subset|batch|session|chunk|shard|disc|disk|group|round)[ _-]*"
    r"(?P<value>\d+|(?<=[ _-])[a-z])"
)
# These group, too, but may be what is to be learnt: labels only where nothing else can be.
_PEOPLE_AND_PLACES = re.compile(
    r"(?P<word>speaker|spk|actor|subject|user|person|participant|patient|mic|microphone|device|recorder|room|location|"
    r"station|plot|day|run|year)[ _-]*(?P<value>\d+)|(?P<date>(19|20)\d\d([-_.]?\d\d){0,2})"
)


def known_split(name: str) -> SplitName | None:
    """Which split a name means: of a folder, of a table, or in a column; None where it means none.

    A keyword may stand beside numbers and words that say nothing, as in `train_1`, `audio_train` or `Test set`.
    """
    words = [word for word in re.split(r"[\W_\d]+", name.casefold()) if word]
    found = {SPLIT_KEYWORDS[word] for word in words if word in SPLIT_KEYWORDS}
    rest = [word for word in words if word not in SPLIT_KEYWORDS and word not in _BESIDE]
    return found.pop() if len(found) == 1 and not rest else None


def known_group(name: str) -> tuple[str, str] | None:
    """Column and value of a folder that groups clips: `fold1` is ("fold", "1"), `site_a` is ("site", "a")."""
    found = _GROUPS.fullmatch(name.casefold())
    return (found["word"], found["value"]) if found else None


def possible_group(name: str) -> tuple[str, str] | None:
    """The same of a folder that may be a group or a label: `speaker3`, `2021-05-01`."""
    found = _PEOPLE_AND_PLACES.fullmatch(name.casefold())
    if found is None:
        return None
    return ("date", found["date"]) if found["date"] else (found["word"], found["value"])


def is_container(name: str) -> bool:
    """Whether a folder's name says no more than that there are recordings in it: `audio`, `wavs`, `audio_16k`."""
    words = [word for word in re.split(r"[\W_\d]+", name.casefold()) if word and word not in ("k", "khz", "hz")]
    return bool(words) and ("".join(words) in _CONTAINERS or all(word in _CONTAINERS for word in words))
