"""Bounds inside Gradio, where it has none of its own. Everything that touches what is private to Gradio is here.

`tests/ui/test_gradio_limits.py` fails where Gradio changes what is used here.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import ipaddress
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import gradio.mcp
import gradio.queueing
import gradio.route_utils
import gradio.routes
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
_UNFETCHED = 1000  # answers that wait to be fetched
_UNFETCHED_OF_A_SESSION = 64
_SHARE = 2  # one address has at most one in so many of the places in the queue
_FILES_AT_ONCE = 20  # of one upload; each is open until its end
_FIELD_BYTES = 10_000  # of what is no file in an upload
_TOOL_LOOKED_S = 0.02  # seconds between two looks at whether a tool's call has ended
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


def bound_queue() -> None:
    """Have Gradio queue calls with `FairQueue`."""
    gradio.queueing.Queue = FairQueue  # type: ignore[misc]


class FairQueue(gradio.queueing.Queue):
    """The queue of calls. One address has at most half of its places, and is not served twice before another is once.

    Of the places where a kind of work is done, one is left for others. Where more answers wait to be fetched than are
    kept, the oldest of the address that has most are forgotten; Gradio would forget whoever came first.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.pending_messages_per_session = {}  # type: ignore[assignment]
        self.pending_event_ids_session = {}
        self._addresses: dict[str, str] = {}  # of the sessions in the former, the one that called last comes last
        self.ANALYTICS_MAX_EVENTS = 1

    def compute_analytics_summary(self, records: Any) -> Any:
        """Nothing: Gradio would sum up ten thousand calls at the end of each, for a page that this program does not have."""
        return self.cached_event_analytics_summary

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        address, session = _address_of(request), body.session_hash or ""
        waiting = Counter(_address_of(one.request) for one in self._waiting())
        if self.max_size is not None and waiting[address] >= max(1, self.max_size // _SHARE):
            most = f"{waiting[address]} calls of yours wait already, and nobody may have more of the queue."
            return False, f"The queue is full for you: {most} Try again when some are done.", "queue_full"
        if len(self.pending_event_ids_session.get(session, ())) >= _UNFETCHED_OF_A_SESSION:
            return False, "Fetch the answers to your calls before you make further ones.", "queue_full"
        pushed = await super().push(body, request, username)
        event = self.event_ids_to_events.get(pushed[1]) if pushed[0] else None  # type: ignore[arg-type]
        if event is not None:
            self._addresses.pop(event.session_hash, None)
            self._addresses[event.session_hash] = address
            self._order(event.concurrency_id)
            self._forget_unfetched()
        return pushed

    def get_events(self) -> Any:
        """The next call that may begin, as Gradio's; see above for which that is."""
        for pool, queued in self.event_queue_per_concurrency_id.items():
            if queued.concurrency_limit is not None and queued.current_concurrency >= queued.concurrency_limit:
                continue
            event = next((one for one in queued.queue if self._may_begin(one, queued.concurrency_limit)), None)
            if event is not None:
                queued.queue.remove(event)
                return [event], False, pool
        return None

    def _may_begin(self, event: Any, limit: int | None) -> bool:
        address = _address_of(event.request)
        if limit is None or limit < 2 or _is_here(address):
            return True
        return sum(_address_of(one.request) == address for one in self._running(event.concurrency_id)) < limit - 1

    def _order(self, pool: str) -> None:
        """Let the addresses take turns: each one's first call, then each one's second, as they came."""
        queued = self.event_queue_per_concurrency_id[pool].queue
        before = Counter(_address_of(one.request) for one in self._running(pool))
        turns: dict[str, int] = {}
        for one in queued:
            address = _address_of(one.request)
            turns[one._id] = before[address]
            before[address] += 1
        queued.sort(key=lambda one: turns[one._id])

    def _running(self, pool: str) -> list[Any]:
        return [one for job in self.active_jobs for one in job or () if one.concurrency_id == pool]

    def _waiting(self) -> list[Any]:
        return [one for queued in self.event_queue_per_concurrency_id.values() for one in queued.queue]

    def _forget_unfetched(self) -> None:
        """Forget answers, a session's at a time, until no more are kept than may be."""
        kept = self.pending_messages_per_session
        self._addresses = {name: address for name, address in self._addresses.items() if name in kept}
        n_answers = {name: max(1, len(self.pending_event_ids_session.get(name, ()))) for name in self._addresses}
        busy = {one.session_hash for one in self._waiting()}
        busy |= {one.session_hash for job in self.active_jobs for one in job or ()}
        while sum(n_answers.values()) > _UNFETCHED:
            of: Counter[str] = Counter()
            for name in n_answers.keys() - busy:
                of[self._addresses[name]] += n_answers[name]
            if not of:
                return
            (most, _), *_ = of.most_common(1)
            gone = next(name for name in n_answers if name not in busy and self._addresses[name] == most)
            for table in (kept, self.pending_event_ids_session, self._addresses, n_answers):
                table.pop(gone, None)  # type: ignore[attr-defined]


def _address_of(request: Any) -> str:
    """Who has sent a request, as the middleware tells it."""
    client = getattr(request, "client", None)
    return client.host if client else ""


def _is_here(address: str) -> bool:
    """Whether this is the machine itself, where the owner may have all of it."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


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
    server._execute_tool_without_progress = _told(_result_of)  # type: ignore[method-assign]
    server._execute_tool_with_progress = _told(server._execute_tool_with_progress)  # type: ignore[method-assign]
    create = server._get_or_create_client

    def get_or_create() -> Any:
        try:
            return create()
        except Exception as error:
            log_failure("the client of the tools", error)
            raise ValueError(_BUSY) from None

    server._get_or_create_client = get_or_create  # type: ignore[method-assign]


async def _result_of(job: Any) -> list[Any]:
    """What a tool's call gives. Gradio would have a thread wait for each, of which it has forty, for files too."""
    try:
        while not job.done():
            await asyncio.sleep(_TOOL_LOOKED_S)
    except asyncio.CancelledError:
        job.cancel()
        raise
    return [job.result()]


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
