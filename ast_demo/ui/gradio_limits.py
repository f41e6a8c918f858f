"""Bounds inside Gradio, where it has none of its own. Everything that touches what is private to Gradio is here.

`tests/ui/test_gradio_limits.py` fails where Gradio changes what is used here.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import gradio.mcp
import gradio.route_utils
import gradio.routes
import gradio.utils
from gradio.components import Component, State
from gradio.state_holder import SessionState, StateHolder
from gradio_client.exceptions import AppError
from starlette.formparsers import MultiPartException

from ast_demo.ui.log import log_failure
from ast_demo.ui.messages import sentence
from ast_demo.ui.middleware import Forms
from ast_demo.ui.request_checks import EventForm

Given = ParamSpec("Given")
Result = TypeVar("Result")
_UNFETCHED = 2000  # visitors; as many as Gradio keeps unfetched answers of
_FILES_AT_ONCE = 20  # of one upload; each is open until its end
_FIELD_BYTES = 10_000  # of what is no file in an upload
_BUSY = "The program is too busy to take this call now. Try again in a minute."
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str, int, float), "boolean": (bool,), "number": (int, float), "integer": (int, float),
    "object": (dict,), "array": (list, str),
}  # fmt: skip


def keep_uploads_in(folder: Path) -> None:
    """Have Gradio write what visitors send into this folder, also where it has looked for another when imported."""
    os.environ["GRADIO_TEMP_DIR"] = gradio.mcp.DEFAULT_TEMP_DIR = gradio.routes.DEFAULT_TEMP_DIR = str(folder)


def bound_uploads() -> None:
    """Have Gradio read uploads with `BoundedForm`."""
    gradio.route_utils.GradioMultiPartParser = BoundedForm  # type: ignore[misc]


class BoundedForm(gradio.route_utils.GradioMultiPartParser):
    """Gradio's parser of uploads, with bounds on what it keeps in memory and open, and leaving nothing if it is cut off."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "max_files": _FILES_AT_ONCE, "max_fields": _FILES_AT_ONCE})

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None and len(self._current_part.data) + end - start > _FIELD_BYTES:
            raise MultiPartException("A field of this upload is longer than the maximum allowed size.")
        super().on_part_data(data, start, end)

    async def parse(self) -> Any:
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                file.close()
                Path(file.name).unlink(missing_ok=True)
            raise


class FairSessions(StateHolder):
    """The visitors' sessions. Where there are too many, one goes that holds nothing, or else the oldest of whoever has most."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[str, str] = {}  # of sessions, and of some that are not there yet
        self._guard = threading.Lock()

    def came(self, session: str, address: str) -> None:
        """Somebody at this address uses this session."""
        with self._guard:
            self._addresses.setdefault(session, address)
            if len(self._addresses) > 4 * self.capacity:
                self._addresses = {name: its for name, its in self._addresses.items() if name in self.session_data}

    def update(self, session_id: str) -> None:
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            while len(self.session_data) > self.capacity:
                gone = self._dispensable(session_id)
                self.session_data.pop(gone, None)
                self.time_last_used.pop(gone, None)
                self._addresses.pop(gone, None)

    def _dispensable(self, but: str) -> str:
        others = [name for name in self.session_data if name != but]
        of = {name: self._addresses.get(name, "") for name in self.session_data}
        empty = [name for name in others if not _holds_anything(self.session_data[name])]
        counted = Counter(of.values())
        most = max(counted.values())
        pool = empty or [name for name in others if counted[of[name]] == most] or others
        return pool[0]  # the one that was used longest ago


def _holds_anything(session: SessionState) -> bool:
    return any(value is not None and value != () for value in session.state_data.values())


def bound_queue(page: gr.Blocks) -> None:
    """Have a page forget calls whose answer nobody fetches, which Gradio would keep for ever."""
    page._queue.pending_event_ids_session = gradio.utils.LRUCache(_UNFETCHED)


def forms_of(page: gr.Blocks) -> Forms:
    """What the events of a page take."""
    by_number = {number: _form_of(function) for number, function in page.fns.items()}
    by_name = {
        str(function.api_name): by_number[number]
        for number, function in page.fns.items()
        if function.api_visibility == "public" and function.api_name
    }

    def tools() -> Mapping[str, EventForm]:
        server = page.mcp_server_obj
        endpoints = {} if server is None else server.tool_to_endpoint
        return {tool: by_name[endpoint.lstrip("/")] for tool, endpoint in endpoints.items()}

    return Forms(by_number, by_name, tools)


def _form_of(function: Any) -> EventForm:
    given = [(place, one) for place, one in enumerate(function.inputs) if not one.skip_api]
    names = list(inspect.signature(function.fn).parameters) if function.api_visibility == "public" else []
    parameters = {names[place] if place < len(names) else str(place): place for place, _ in given}
    name = str(function.api_name or "This event")
    return EventForm(name, tuple(map(_types_of, function.inputs)), parameters, free=bool(function.cancels))


def _types_of(component: Any) -> tuple[type, ...]:
    if isinstance(component, State) or not isinstance(component, Component):
        return ()  # what is sent of it is not looked at
    kind = component.api_info().get("type")
    return _TYPES.get(kind, ()) if isinstance(kind, str) else ()


def tell_sentences_over_mcp(page: gr.Blocks) -> None:
    """Have errors of tools say what a visitor can do, and nothing of the addresses by which Gradio calls itself."""
    server = page.mcp_server_obj
    assert server is not None
    server._execute_tool_without_progress = _told(server._execute_tool_without_progress)  # type: ignore[method-assign]
    server._execute_tool_with_progress = _told(server._execute_tool_with_progress)  # type: ignore[method-assign]
    create = server._get_or_create_client

    def get_or_create() -> Any:
        try:
            return create()
        except Exception as error:
            log_failure("the client of the tools", error)
            raise ValueError(_BUSY) from None

    server._get_or_create_client = get_or_create  # type: ignore[method-assign]


def _told(execute: Callable[Given, Coroutine[Any, Any, Result]]) -> Callable[Given, Coroutine[Any, Any, Result]]:
    @functools.wraps(execute)
    async def with_sentences(*arguments: Given.args, **named: Given.kwargs) -> Result:
        try:
            return await execute(*arguments, **named)
        except AppError:
            raise  # the page's own sentence
        except RuntimeError as error:
            raise ValueError(sentence(error).removeprefix("Error: ")) from None  # the same, when progress is told
        except Exception as error:
            log_failure("a tool", error)
            raise ValueError(_BUSY) from None

    return with_sentences


def use_sessions(page: gr.Blocks, sessions: FairSessions) -> None:
    """Have a page that is being served keep its visitors in these sessions."""
    sessions.set_blocks(page)
    page.app.state_holder = sessions
