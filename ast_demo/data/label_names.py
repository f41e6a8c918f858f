"""Names of labels that are written as ids: numbers, or the `/m/09x0r` of AudioSet, with a file that says what each is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ast_demo.data.files import Files
from ast_demo.data.remote_files import RemoteFile
from ast_demo.data.tables import Content, TableLimits, column_key, read_cells, read_lines
from ast_demo.errors import AudioError, DataError

_STEMS = frozenset((
    "classlabelsindices", "labels", "label", "classes", "class", "classnames", "classname", "labelnames",
    "labelname", "labellist", "classlist", "categories", "vocabulary", "vocab", "names", "id2label", "label2id",
    "idx2label", "label2idx", "idxtoclass", "classtoidx", "labelmap", "labelmapping", "classmap", "classmapping",
    "labelencoder", "ontology", "intents", "targets",
))  # fmt: skip
_SUFFIXES = (".csv", ".tsv", ".txt", ".json")
_MACHINE_ID = re.compile(r"/[mtg]/[\w-]+")  # of Freebase, as AudioSet and FSD50K have them
_MOST_MB = 50.0  # AudioSet's ontology is the largest known, with 0.3


def is_id(label: str) -> bool:
    """Whether a label is a number or an id of AudioSet, and so may have a name."""
    return bool(re.fullmatch(r"\d{1,9}", label) or _MACHINE_ID.fullmatch(label))


def find_names_files(files: Files) -> list[str]:
    """Files that may say what ids mean, by their names; those nearest to the top first."""
    found = [
        name
        for name in files.names
        if PurePosixPath(name).suffix.casefold() in _SUFFIXES and column_key(PurePosixPath(name).stem) in _STEMS
    ]
    return sorted(found, key=lambda name: (name.count("/"), name))


def read_names(files: Files, name: str, labels: Iterable[str], limits: TableLimits) -> dict[str, str]:
    """What a file says that ids mean, each that occurs; empty where it does not say it of all of them.

    Args:
        labels: All labels of the data: ids, every one.
    """
    wanted = set(labels)
    limits = TableLimits(min(limits.mb, _MOST_MB), limits.rows, limits.columns, limits.cell)
    try:
        suffix = PurePosixPath(name).suffix.casefold()
        content = files.open(name)
        if suffix == ".json":
            named = _of_json(_read_json(content, limits))
        elif suffix == ".txt":
            named = _of_lines(list(read_lines(content, name, limits)), wanted)
        else:
            named = dict(pair for _, cells in read_cells(content, name, limits) for pair in _of_cells(cells))
    except (DataError, AudioError, OSError, UnicodeError, ValueError, RecursionError):
        return {}  # it is not what its name says: the labels stay as they are, and the file is named as not used
    return {label: named[label] for label in wanted} if wanted <= named.keys() else {}


def _read_json(content: Content, limits: TableLimits) -> Any:
    if isinstance(content, RemoteFile):
        content = content.read()
    if isinstance(content, Path):
        if content.stat().st_size > limits.mb * 1e6:
            return None
        content = content.read_bytes()
    return json.loads(content) if len(content) <= limits.mb * 1e6 else None


def _of_cells(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Ids and name of a row such as `0,/m/09x0r,Speech` or `Speech,0`."""
    names = [cell for cell in cells if cell and not is_id(cell)]
    return [(cell, names[-1]) for cell in cells if is_id(cell)] if names else []


def _of_lines(lines: Sequence[str], wanted: set[str]) -> dict[str, str]:
    """Lines of an id and a name, or of names in the order of their numbers: from 0, or from 1 if the data count so."""
    pairs = [re.fullmatch(r"(\d{1,9}|/[mtg]/[\w-]+)[\s,;:=]+(\S.*)", line) for line in lines]
    if lines and all(pairs):
        return {pair[1]: pair[2].strip() for pair in pairs if pair}
    first = 1 if "0" not in wanted and str(len(lines)) in wanted else 0
    return {str(number): name for number, name in enumerate(lines, start=first)}


def _of_json(value: Any) -> dict[str, str]:
    """Of a list of names, of objects with `id` and `name`, or of an object from ids to names or the other way round."""
    if isinstance(value, dict):
        for key in ("id2label", "label2id"):
            if isinstance(value.get(key), dict):
                return _of_json(value[key])
        pairs = [(str(key), str(name)) for key, name in value.items() if isinstance(name, str | int)]
        return dict(found for pair in pairs for found in _of_cells(pair))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return {str(number): name for number, name in enumerate(value)}
    if isinstance(value, list):
        return {
            str(one["id"]): str(one["name"]) for one in value if isinstance(one, dict) and {"id", "name"} <= one.keys()
        }
    return {}
