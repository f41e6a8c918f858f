"""What one visitor's page was asked for and shows: as of now, for work that began a while ago.

Gradio gives an event its inputs as they were when it began, and lets what it gives at last overwrite what came
meanwhile. So what must not be out of date is one frozen value in a `Latest`, one for each visitor, which the events of
a tab share. Whoever asks for something writes it there at once. Whoever works keeps the value that they began with,
and shows nothing any more once the fields that their result is of have changed.

When a generator ends, Gradio gives the page the last of its updates once more, which then may lie over a newer answer.
So each of them `ends_with_nothing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

import gradio as gr

Asked = ParamSpec("Asked")
Update = dict[Any, Any]  # values of components
Value = TypeVar("Value")  # a frozen dataclass


class Latest(Generic[Value]):
    """The newest of a value that several threads read and change."""

    def __init__(self, value: Value) -> None:
        self._value, self._lock = value, Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Latest[Value]:
        return Latest(self._value)  # Gradio copies the first value of a state for each visitor

    @property
    def value(self) -> Value:
        return self._value

    def change(self, **fields: Any) -> Value:
        """Replace some fields. Returns the new value."""
        with self._lock:
            self._value = replace(self._value, **fields)  # type: ignore[type-var]
            return self._value

    def still(self, of: Value, names: Iterable[str]) -> bool:
        """Whether these fields are what they were in an earlier value."""
        now = self._value
        return all(getattr(now, name) == getattr(of, name) for name in names)

    def change_if(self, of: Value, names: Iterable[str], **fields: Any) -> bool:
        """Replace some fields, if others are still what they were in an earlier value. Returns whether they are."""
        with self._lock:
            if not self.still(of, names):
                return False
            self._value = replace(self._value, **fields)  # type: ignore[type-var]
            return True


def ends_with_nothing(handler: Callable[Asked, Iterator[Update]]) -> Callable[Asked, Iterator[Update]]:
    """The same updates, and one at last that changes nothing."""

    @wraps(handler)
    def quiet(*args: Asked.args, **kwargs: Asked.kwargs) -> Iterator[Update]:
        yield from handler(*args, **kwargs)
        yield gr.skip()

    return quiet
