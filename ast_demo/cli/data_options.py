"""The options that say how labelled clips are read, the same of every command that takes some."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from ast_demo.settings import Settings

if TYPE_CHECKING:  # it takes a second to import
    from ast_demo.data import LabelledClips


@dataclass(frozen=True)
class DataOptions:
    """How labelled clips are read, an option for each field."""

    label_column: Annotated[str, typer.Option(help="Column with the label, if it has no usual name.")] = ""
    file_column: Annotated[str, typer.Option(help="Column with the recording, if it has no usual name.")] = ""
    label_from: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="What the label is: folder, a column, or a pattern on the file's name such as {label}_{speaker}_{index}.",
        ),
    ] = ""
    audio_folder: Annotated[
        str, typer.Option(metavar="DIR", help="Where the recordings of a table lie, if they are not found without.")
    ] = ""
    multi_label: Annotated[
        bool, typer.Option(help="A clip may have several labels, separated by semicolons, bars or commas.")
    ] = False
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="CSV of two columns: a label of the data, and what the checkpoints call it; empty to leave its clips out."
        ),
    ] = None


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that asks for each field of `DataOptions` in the place of its parameter of that type."""
    hints, options = (get_type_hints(one, include_extras=True) for one in (command, DataOptions))
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if hints[parameter.name] is DataOptions:
            place = parameter.name
            parameters += [parameter.replace(name=one.name, default=one.default) for one in fields(DataOptions)]
        else:
            parameters.append(parameter)
    hints |= options

    @functools.wraps(command)
    def asks(**given: object) -> None:
        chosen = {name: given.pop(name) for name in options}
        command(**given, **{place: DataOptions(**chosen)})  # type: ignore[arg-type]

    asks.__annotations__ = {one.name: hints[one.name] for one in parameters} | {"return": None}
    asks.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(annotation=hints[one.name]) for one in parameters]
    )
    return asks


def read_clips(
    sources: Sequence[str], options: DataOptions, settings: Settings, *, buckets: bool = False
) -> LabelledClips:
    """The clips of several sources, with their labels as the map calls them.

    Raises:
        DataError: As `read_labelled_clips`, `join_clips`, `read_label_map` and `map_labels`.
    """
    from ast_demo.data import ReadingOptions, join_clips, map_labels, read_label_map, read_labelled_clips

    reading = ReadingOptions(
        options.file_column,
        options.label_column,
        options.multi_label,
        buckets=buckets,
        audio_folder=options.audio_folder,
        label_from=options.label_from,
    ).within(settings)
    joined = join_clips([read_labelled_clips(source, reading) for source in sources])
    return map_labels(joined, read_label_map(options.label_map) if options.label_map else {})
