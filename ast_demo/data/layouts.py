"""Which of the usual layouts files have, and the clips that are in them.

The first of these that says something is taken: a `metadata.csv` or `metadata.jsonl`, a pattern that was asked for,
other tables, label tracks beside recordings, folders, the names of the files. What is left over is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ast_demo.data.clips import LabelledClip, LabelledClips, ReadingOptions, Understanding, one_spelling
from ast_demo.data.files import DirectFinder, Files, Finder, TooManyFilesError, files_of_folder, is_audio, make_finder
from ast_demo.data.label_names import find_names_files, is_id, read_names
from ast_demo.data.labels import list_some
from ast_demo.data.names import (
    Named,
    describe_folders,
    is_pattern,
    read_by_folders,
    read_by_parent,
    read_by_pattern,
    read_digits,
)
from ast_demo.data.splits import is_container, known_split
from ast_demo.data.table_clips import FOLDER, METADATA, FileMissingError, Found, read_metadata, read_table, read_tables
from ast_demo.data.tables import TABLE_SUFFIXES, TableLimits, read_lines
from ast_demo.data.tracks import read_track
from ast_demo.errors import DataError

_OTHER_TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".sqlite", ".mat")
_OF_NO_INTEREST = frozenset((".txt", ".md", ".pdf", ".rst", ".json", ".html", ".yaml", ".yml", ".toml", ".lst"))
_DOCUMENTS = frozenset(("license", "licence", "readme", "copying", "changelog", "authors", "makefile", "checksums"))
_MUCH = 100_000  # files around a table: a moment to list
_LISTS = (".txt", ".lst")
_REASONS = 2  # why tables are of no use, where none is; the others are mostly like these


def read_files(files: Files, where: str, options: ReadingOptions) -> LabelledClips:
    """The labelled clips among files.

    Args:
        where: What the data are called in sentences.

    Raises:
        DataError: There are none; a table is wrong.
    """
    finder = make_finder(files, audio_folder=options.audio_folder, outside=options.outside and files.root is not None)
    tables = [name for name in finder.files.names if name.casefold().endswith(TABLE_SUFFIXES)]
    by_name = options.label_from == FOLDER or is_pattern(options.label_from)
    found = None if by_name else read_metadata(tables, finder, where, options)
    if found is None:
        listed = [] if by_name else tables
        found = read_tables(listed, finder, where, options)
        unused = [f"The table {name}, as the labels come from the names." for name in tables] if by_name else []
        if not found.clips:
            tracks = None if by_name else _read_tracks(finder, options)
            asked = options.label_column or options.file_column or ("" if by_name else options.label_from)
            if asked and tracks is None:
                reasons = " ".join(found.understanding.left_out) or "There is no table."
                raise DataError(f"{where!r} has no table of clips with the column {asked!r}. {reasons}")
            found = _read_names(finder, where, options, tracks, (*unused, *found.understanding.left_out))
    return _finish(found, finder, where, options)


def _finish(found: Found, finder: Finder, where: str, options: ReadingOptions) -> LabelledClips:
    """With the names of labels that are ids, in one spelling, and with what is left over."""
    found = _with_label_names(found, finder.files, options.table_limits)
    known = found.understanding
    known = replace(
        known,
        left_out=(*known.left_out, *_name_left_over(finder, found)),
        notes=(*finder.files.notes, *known.notes, *_doubts(found.clips)),
    )
    return one_spelling(LabelledClips(where, found.clips, known))


def read_manifest(path: Path, options: ReadingOptions) -> LabelledClips:
    """The clips of a table alone: files relative to it, by absolute paths, in folders below it, or beside its folder.

    Raises:
        DataError: It is wrong, or names a file that is not there, or, where `options.root` is given, outside of it.
    """
    limits = options.table_limits
    here = tuple(sorted(one.name for one in path.parent.iterdir() if one.is_file() and not is_audio(one.name)))
    beside = Files(here, lambda name: path.parent / name, (), path.parent)
    try:
        folder = path.parent / Path(options.audio_folder).expanduser()
        direct = DirectFinder(beside, folder if folder.is_dir() else path.parent, options.root)
        found = read_table(path.name, direct, path.name, options)
        return one_spelling(_named(found, beside, path.name, limits))
    except FileMissingError as error:
        missing = error
    for files, table in _wider(path, options):
        try:
            finder = make_finder(files, audio_folder=options.audio_folder, outside=options.outside)
            found = read_table(table, finder, path.name, options)
            return one_spelling(_named(found, files, path.name, limits))
        except FileMissingError:
            continue
    raise missing


def _named(found: Found, files: Files, where: str, limits: TableLimits) -> LabelledClips:
    found = _with_label_names(found, files, limits)
    known = found.understanding
    return LabelledClips(where, found.clips, replace(known, notes=(*known.notes, *_doubts(found.clips))))


def _wider(path: Path, options: ReadingOptions) -> Iterator[tuple[Files, str]]:
    """Where else the files of a table may be, and the table's name there: below its folder, then beside its folder, as
    `audio` is beside `meta`; where very much lies there, only in folders whose names tell of recordings."""
    follow, most = options.outside, options.max_folder_files
    yield files_of_folder(path.parent, follow_links=follow, most=most), path.name
    around = path.parent.absolute().parent
    if options.root is not None and not around.resolve().is_relative_to(options.root.resolve()):
        return
    try:
        yield files_of_folder(around, follow_links=False, most=_MUCH), f"{path.parent.name}/{path.name}"
        return
    except TooManyFilesError:
        pass
    names = [f"{path.parent.name}/{path.name}"]
    for folder in sorted(around.iterdir()):
        if folder.is_dir() and (
            is_container(folder.name) or known_split(folder.name) or "audio" in folder.name.casefold()
        ):
            below = files_of_folder(folder, follow_links=follow, most=most)
            names += [f"{folder.name}/{name}" for name in below.names]
    yield Files(tuple(names), lambda name: around / name, (), around), names[0]


def _read_tracks(finder: Finder, options: ReadingOptions) -> Found | None:
    """Parts of recordings that texts beside them tell."""
    clips: list[LabelledClip] = []
    names, used, left_out = [], set(), []
    for name in finder.files.names:
        if not name.casefold().endswith((".txt", ".tsv")):
            continue
        track = read_track(name, finder, options.table_limits, options.label_column or options.label_from)
        if track is None:
            continue
        names.append(name)
        several = [clip for clip in track.clips if len(clip.labels) > 1]
        if several and not options.multi_label:
            raise DataError(
                f"{name} gives {several[0].name!r} {len(several[0].labels)} labels, but one is expected. "
                "Say that the data are multi-label."
            )
        clips += track.clips
        used |= {clip.columns["recording"] for clip in track.clips}
        if track.left_out:
            left_out.append(f"{track.left_out:,} entries of {name} without a label or a duration.")
    if not names:
        return None
    known = {clip.name for clip in clips}
    if len(known) < len(clips):
        twice = next(name for name, count in Counter(clip.name for clip in clips).items() if count > 1)
        raise DataError(f"{list_some(names)} tell of {twice!r} twice. Expected one file of labels for each recording.")
    understanding = Understanding(f"the times and labels in {list_some(names)}", left_out=tuple(left_out))
    return Found(tuple(clips), understanding, frozenset(used))


def _read_names(
    finder: Finder, where: str, options: ReadingOptions, tracks: Found | None, left_out: Sequence[str]
) -> Found:
    """Labels from folders or from the names of files, beside those of label tracks."""
    names = [name for name in finder.audio if tracks is None or name not in tracks.used]
    if options.label_from == FOLDER:
        named, labels_from = read_by_parent(names), "the folder that each clip lies in"
    elif is_pattern(options.label_from):
        named, labels_from = read_by_pattern(names, options.label_from), f"the names, by {options.label_from}"
    elif digits := read_digits(names):
        named, labels_from = digits, "the names of the files, which are digit_speaker_index"
    else:
        named, labels_from = read_by_folders(names), "the folders"
    lists = _read_lists(finder, options.table_limits)
    clips = [_clip_of_name(one, finder, lists) for one in named if one.label]
    if not clips and tracks is None:
        raise _no_labels(named, where, [*left_out, *_unread_tables(finder.files)])
    known = tracks.understanding if tracks else Understanding()
    splits = any("split" in clip.columns for clip in clips)
    understanding = Understanding(
        ", and ".join(one for one in (known.labels_from, labels_from if clips else "") if one),
        (list_some(lists.names) if lists.names else "the folders") if splits else "",
        (*left_out, *known.left_out, *lists.left_out, *_why(named)),
        known.notes,
        (FOLDER,),
    )
    every = (*(tracks.clips if tracks else ()), *clips)
    return Found(every, understanding, frozenset(finder.audio))


def _no_labels(named: Sequence[Named], where: str, left_out: Sequence[str]) -> DataError:
    folders = sorted({folder for one in named for folder in PurePosixPath(one.name).parts[:-1]})
    lie = f"lie in folders that are no labels: {describe_folders(folders)}" if folders else "lie in no folder"
    shown = f" Its {len(named):,} recordings {lie}." if named else ""
    more = f" {len(left_out) - _REASONS:,} more are left out." if len(left_out) > _REASONS else ""
    tables = f" {' '.join(left_out[:_REASONS])}{more}" if left_out else ""
    return DataError(
        f"{where!r} holds no labelled clips. Expected a folder for each label with recordings in it, "
        f"or a {' or '.join(METADATA[:2])} with the columns 'file_name' and 'label'.{shown}{tables}"
        + (" If the names of the files tell the labels, say how: {label}_{speaker}_{index}." if named else "")
    )


def _unread_tables(files: Files) -> list[str]:
    """Tables of kinds that are not read, each with what to do."""
    names = [name for name in files.names if name.casefold().endswith(_OTHER_TABLES)]
    if not names:
        return []
    return [
        f"{list_some(names)}: a kind of table that is not read here; save it as CSV if it says something of the clips."
    ]


def _why(named: Sequence[Named]) -> list[str]:
    """Recordings that have no label, by the reason."""
    reasons: dict[str, list[str]] = {}
    for one in named:
        if not one.label:
            reasons.setdefault(one.why, []).append(one.name)
    return [f"{len(names):,} recordings, such as {names[0]}: they {why}." for why, names in reasons.items()]


@dataclass(frozen=True)
class _Lists:
    """Splits that lists of files tell, such as `testing_list.txt`, by the names of recordings.

    Attributes:
        others: The split of recordings that are in no list; "" where they have none.
    """

    names: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    others: str = ""
    left_out: tuple[str, ...] = ()


def _read_lists(finder: Finder, limits: TableLimits) -> _Lists:
    """Lists of files of a split among the files: Speech Commands' `validation_list.txt` and `testing_list.txt`. What is
    in none of them is to learn from, if no list says that of others."""
    names: list[str] = []
    splits: dict[str, str] = {}
    left_out: list[str] = []
    for name in finder.files.names:
        path = PurePosixPath(name)
        split = known_split(path.stem)
        if split is None or path.suffix.casefold() not in _LISTS:
            continue
        missing, found = 0, dict[str, str]()
        for line in read_lines(finder.files.open(name), name, limits):
            folder = path.parent.as_posix()
            recording = finder.find(line.split("\t")[0], "" if folder == "." else folder, {})
            if isinstance(recording, str):
                found[recording] = split
            else:
                missing += 1
        twice = next((one for one in found if splits.get(one, split) != split), None)
        if twice is not None:
            raise DataError(f"{name} lists {twice!r}, which {list_some(names)} lists for another split.")
        if found:
            names.append(name)
            splits |= found
        if found and missing:
            left_out.append(f"{missing:,} lines of {name}, whose recordings are not there.")
    others = "" if "training" in splits.values() or not splits else "training"
    return _Lists(tuple(names), splits, others, tuple(left_out))


def _clip_of_name(one: Named, finder: Finder, lists: _Lists) -> LabelledClip:
    columns = dict(one.columns)
    split = lists.splits.get(one.name, lists.others)
    if split:
        columns["split"] = split
    return LabelledClip(one.name, finder.files.open(one.name), (one.label,), columns)


# What is left over


def _with_label_names(found: Found, files: Files, limits: TableLimits) -> Found:
    """With names in the place of labels that are ids, if a file among the others says what each is."""
    labels = {label for clip in found.clips for label in clip.labels}
    if not labels or not all(map(is_id, labels)):
        return found
    for name in find_names_files(files):
        named = read_names(files, name, labels, limits)
        if named:
            clips = tuple(
                replace(clip, labels=tuple(dict.fromkeys(named[label] for label in clip.labels)))
                for clip in found.clips
            )
            known = found.understanding
            left_out = tuple(
                one for one in known.left_out if not one.startswith((f"The table {name}:", f"The table {name},"))
            )
            labels_from = f"{known.labels_from}, named by {name}"
            return replace(found, clips=clips, understanding=replace(known, labels_from=labels_from, left_out=left_out))
    return found


def _name_left_over(finder: Finder, found: Found) -> list[str]:
    """Recordings that are in no table, and files that are no recordings."""
    sentences = []
    rest = [name for name in finder.audio if name not in found.used]
    if rest:
        sentences.append(f"{len(rest):,} recordings of which nothing says what they are, such as {rest[0]}.")
    others = Counter(
        suffix
        for name in finder.files.names
        if not is_audio(name)
        and not name.casefold().endswith((*TABLE_SUFFIXES, *_OTHER_TABLES))
        and (suffix := PurePosixPath(name).suffix.casefold()) not in _OF_NO_INTEREST
        and PurePosixPath(name).name.casefold() not in _DOCUMENTS
    )
    sentences += _unread_tables(finder.files)
    if others:
        listed = list_some([f"{count:,} {suffix or 'without a suffix'}" for suffix, count in others.most_common()])
        sentences.append(f"Files that are no recordings that are read here: {listed}.")
    return sentences


def _doubts(clips: Sequence[LabelledClip]) -> list[str]:
    """What a person should look at: splits that are none, labels that look like several."""
    notes = []
    unknown = Counter(clip.columns["split"] for clip in clips if "split" in clip.columns)
    unknown = Counter({name: count for name, count in unknown.items() if known_split(name) is None})
    if unknown:
        listed = list_some([f"{name!r} ({count:,})" for name, count in unknown.items()])
        notes.append(f"These values of the split are no known split: {listed}.")
    several = next((clip for clip in clips if len(clip.labels) == 1 and ";" in clip.labels[0]), None)
    if several is not None:
        notes.append(f"{several.label!r} is taken for one label. If it is several, say that the data are multi-label.")
    return notes
