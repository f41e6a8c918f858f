"""The one family of errors whose message a user reads.

AstDemoError
 ├── AudioError        a recording that cannot be used
 ├── CheckpointError   a checkpoint that cannot be loaded or does not fit
 ├── DataError         labelled clips, archives or manifests that cannot be used
 └── SettingsError     a setting with a value that makes no sense

Each message is one or two sentences for a person: what was expected, what came, what to do. The page and the
command line print it unchanged. Every other exception is a defect of this program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AstDemoError(Exception):
    """Base of all errors that are shown to users as they are."""


class AudioError(AstDemoError):
    """A recording that cannot be used."""


class CheckpointError(AstDemoError):
    """A checkpoint that cannot be loaded, or does not do audio classification."""


class DataError(AstDemoError):
    """Labelled clips, an archive or a manifest that cannot be used."""


class SettingsError(AstDemoError):
    """A setting whose value makes no sense."""


def cannot_write(folder: Path, error: OSError) -> DataError:
    """The sentence for a folder that cannot be written to."""
    return DataError(f"Cannot write to the folder {str(folder)!r}: {error.strerror or error}.")


@contextmanager
def told_as_a_sentence() -> Iterator[None]:
    """For programs: an error of this family becomes its message on standard error, and exit code 2."""
    try:
        yield
    except AstDemoError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
