"""Labels, splits and groups from the names of files and of the folders that they lie in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ast_demo.data.labels import list_some
from ast_demo.data.splits import is_container, known_group, known_split, possible_group
from ast_demo.errors import DataError

_BACKGROUND = "_background_noise_"  # of Speech Commands: minutes of noise to mix in, and no word
_DIGIT_OF_SPEAKER = re.compile(r"(?P<label>\d)_(?P<speaker>[A-Za-z]\w*?|\d{1,3})_(?P<index>\d+)")  # FSDD, AudioMNIST
_SPEECH_COMMANDS = re.compile(r"(?P<speaker>[0-9a-f]{8})_nohash_\d+")
_SPLIT, _GROUP = ("is a split", "are splits"), ("is a group", "are groups")
_AROUND = ("is only a folder around them", "are only folders around them")
_PLACEHOLDER = re.compile(r"\{(\w+)\}|(\*)")


@dataclass(frozen=True)
class Named:
    """What the name of a recording says of it: no label where `why` says why not."""

    name: str
    label: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    why: str = ""


def is_pattern(label_from: str) -> bool:
    """Whether this is a pattern on the names of files, such as `{label}_{speaker}_{index}`."""
    return "{label}" in label_from


def read_by_pattern(names: Sequence[str], pattern: str) -> list[Named]:
    """Labels by a pattern on the names of the files without their suffixes; with slashes, on their paths from the end.

    `{label}` and other names in braces stand for text up to what follows them, `*` for any text.

    Raises:
        DataError: The pattern makes no sense, or no name fits.
    """
    keys = [key for key, _ in _PLACEHOLDER.findall(pattern) if key]
    if len(set(keys)) < len(keys):
        raise DataError(f"The pattern {pattern!r} names a part twice. Expected each name in braces once.")
    expression = "".join(
        f"(?P<{part[1:-1]}>[^/]+?)"
        if re.fullmatch(r"\{[A-Za-z_]\w*\}", part)
        else "[^/]*?"
        if part == "*"
        else re.escape(part)
        for part in re.split(r"(\{\w+\}|\*)", pattern)
    )
    fits = re.compile(rf"(?:.*/)?{expression}")
    found = []
    for name in names:
        match = fits.fullmatch(str(PurePosixPath(name).with_suffix("")))
        if match is None:
            found.append(Named(name, why=f"do not fit the pattern {pattern!r}"))
        else:
            parts = match.groupdict()
            folders = _of_folders(name).columns
            found.append(Named(name, parts.pop("label"), (*folders, *parts.items())))
    if not any(one.label for one in found):
        raise DataError(f"No file fits the pattern {pattern!r}. The first is {names[0] if names else 'none'!r}.")
    return found


def read_by_parent(names: Sequence[str]) -> list[Named]:
    """Labels by the folder that each recording lies in, whatever it is called."""
    return [
        Named(name, parts[-2], tuple(pair for pair in _of_folders(name).columns if pair[1] != parts[-2]))
        if len(parts := PurePosixPath(name).parts) > 1
        else Named(name, why="lie in no folder")
        for name in names
    ]


def read_by_folders(names: Sequence[str]) -> list[Named]:
    """Labels by folders, but not those that only say where a recording belongs: splits, folds, `audio`.

    The label is the nearest folder that is none of these. Folders such as `speaker3` are labels only if nothing else is.
    """
    found = [_of_folders(name) for name in names]
    if not any(one.label for one in found):
        found = [_of_folders(name, people=False) for name in names]
    labels = Counter(one.label for one in found if one.label)
    # One folder around everything, with `audio/fold1` in it, is where the data lie and no label.
    if len(labels) == 1 and all(PurePosixPath(one.name).parts[-2:-1] != (one.label,) for one in found if one.label):
        (around,) = labels
        found = (
            [Named(one.name, "", one.columns, _why_no_label(PurePosixPath(one.name).parts[:-1])) for one in found]
            if not _only_grouped(found, around)
            else found
        )
    return _with_speakers(found)


def read_digits(names: Sequence[str]) -> list[Named]:
    """Labels by names as those of FSDD, `7_theo_3`: a digit, who says it, and a number; none where some name differs."""
    found = []
    for name in names:
        match = _DIGIT_OF_SPEAKER.fullmatch(PurePosixPath(name).stem)
        parent = PurePosixPath(name).parent.name
        if match is None or (parent != match["speaker"] and _of_folders(name).label == parent != ""):
            return []
        columns = dict(_of_folders(name, people=False).columns) | {"speaker": match["speaker"], "index": match["index"]}
        found.append(Named(name, match["label"], tuple(columns.items())))
    return found


def _of_folders(name: str, people: bool = True) -> Named:
    """What the folders say of a recording.

    Args:
        people: Take folders such as `speaker3` for groups.
    """
    folders = PurePosixPath(name).parts[:-1]
    columns: dict[str, str] = {}
    label = ""
    for folder in folders:
        if folder.casefold() == _BACKGROUND:
            return Named(name, why=f"lie in {folder}: noise to mix in, and no label")
        if known_split(folder):
            columns.setdefault("split", folder)
        elif group := known_group(folder) or (possible_group(folder) if people else None):
            columns.setdefault(*group)
        elif not is_container(folder):
            label = folder
    return Named(name, label, tuple(columns.items()), "" if label else _why_no_label(folders))


def _why_no_label(folders: Sequence[str]) -> str:
    return "lie in no folder" if not folders else f"lie in folders that are no labels: {describe_folders(folders)}"


def describe_folders(folders: Iterable[str]) -> str:
    """What folders that are no labels are, in words: `test and train are splits, fold1 is a group`."""
    kinds: dict[tuple[str, str], list[str]] = {_SPLIT: [], _GROUP: [], _AROUND: []}
    for folder in dict.fromkeys(folders):
        group = known_group(folder) or possible_group(folder)
        kinds[_SPLIT if known_split(folder) else _GROUP if group else _AROUND].append(folder)
    return ", ".join(
        f"{list_some(names)} {one if len(names) == 1 else more}" for (one, more), names in kinds.items() if names
    )


def _only_grouped(found: Sequence[Named], label: str) -> bool:
    """Whether between the label's folder and the recordings are only splits and groups: `rain/train/a.wav`."""
    for one in found:
        folders = PurePosixPath(one.name).parts[:-1]
        if one.label and any(is_container(folder) for folder in folders[folders.index(label) + 1 :]):
            return False
    return True


def _with_speakers(found: list[Named]) -> list[Named]:
    """With the speakers of Speech Commands, which are in its names."""
    matches = [_SPEECH_COMMANDS.fullmatch(PurePosixPath(one.name).stem) for one in found if one.label]
    if not matches or not all(matches):
        return found
    return [
        Named(one.name, one.label, (*one.columns, ("speaker", PurePosixPath(one.name).stem[:8])), one.why)
        if one.label
        else one
        for one in found
    ]
