"""The bounds inside Gradio: each fails here where Gradio changes what they touch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr
import gradio.route_utils
import pytest
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.state_holder import StateHolder
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from ast_demo.ui import gradio_limits
from ast_demo.ui.gradio_limits import BoundedForm, FairQueue, FairSessions, bound_uploads, forms_of
from ast_demo.ui.log import ContentlessFormatter
from ast_demo.ui.request_checks import RefusedError, check_inputs


async def build() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False) as page:
        state, clip, name = gr.State(()), gr.File(), gr.Textbox()
        several, on = gr.Dropdown(["a"], multiselect=True), gr.Checkbox()

        def inspect(clip: str, name: str) -> str:
            """Inspect."""
            return name

        name.submit(inspect, [clip, name], [name], api_name="inspect")
        running = name.change(lambda *_: 1, [state, clip, several, on], [state], api_visibility="private")
        on.change(None, cancels=[running])
    return page


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return asyncio.run(build())  # outside of a loop, Gradio would make one and leave it open


def sessions_of(page: gr.Blocks, capacity: int) -> FairSessions:
    page.state_session_capacity = capacity
    sessions = FairSessions()
    sessions.set_blocks(page)
    return sessions


def use(sessions: FairSessions, name: str, address: str, *, holds: bool = True) -> None:
    sessions.came(name, address)
    session = sessions[name]
    if holds:
        session.state_data[1] = ("clip",)


def test_gradio_keeps_sessions_as_it_did() -> None:
    holder = StateHolder()
    assert {"session_data", "time_last_used", "capacity", "lock"} <= vars(holder).keys()


def test_who_did_nothing_goes_first(page: gr.Blocks) -> None:
    sessions = sessions_of(page, 4)
    use(sessions, "mine", "1.1.1.1")
    for number in range(50):
        use(sessions, f"empty{number}", "6.6.6.6", holds=False)
    assert "mine" in sessions
    assert len(sessions.session_data) == 4


def test_whoever_has_most_puts_out_their_own(page: gr.Blocks) -> None:
    sessions = sessions_of(page, 4)
    use(sessions, "mine", "1.1.1.1")
    use(sessions, "yours", "2.2.2.2")
    for number in range(50):
        use(sessions, f"other{number}", "6.6.6.6")
    assert set(sessions.session_data) == {"mine", "yours", "other48", "other49"}


def test_without_addresses_the_oldest_goes(page: gr.Blocks) -> None:
    sessions = sessions_of(page, 3)
    for name in "abcd":
        use(sessions, name, "")
    assert set(sessions.session_data) == {"b", "c", "d"}
    assert set(sessions.time_last_used) == {"b", "c", "d"}


def test_names_that_never_come_back_are_forgotten(page: gr.Blocks) -> None:
    sessions = sessions_of(page, 3)
    for number in range(10_000):
        sessions.came(str(number), "6.6.6.6")
    assert len(sessions._addresses) <= 4 * 3 + 1


def queue_of(page: gr.Blocks, places: int = 8) -> FairQueue:
    """One that nothing takes calls from, but a test."""
    queue = FairQueue(True, 40, 1, places, page, default_concurrency_limit=2)
    queue.active_jobs = [None] * 40
    return queue


async def ask(queue: FairQueue, address: str, session: str = "") -> tuple[bool, str]:
    """Somebody calls the first event of the page: whether it is taken, and its id or the sentence."""
    request = Request({"type": "http", "client": (address, 0), "headers": []})
    body = PredictBodyInternal(session_hash=session or None, fn_index=0, data=[], request=request)  # type: ignore[arg-type]
    taken, answer, _ = await queue.push(body, request, None)
    return taken, str(answer)


def begin(queue: FairQueue) -> str | None:
    """The address whose call begins next, as Gradio begins it."""
    if (found := queue.get_events()) is None:
        return None
    events, _, pool = found
    queue.active_jobs[queue.active_jobs.index(None)] = events
    queue.event_queue_per_concurrency_id[pool].current_concurrency += 1
    return events[0].request.client.host


def end(queue: FairQueue, address: str) -> None:
    """One of its calls is done, and its answer waits to be fetched."""
    place, event = next(
        (place, job[0]) for place, job in enumerate(queue.active_jobs) if job and job[0].request.client.host == address
    )
    queue.send_message(event, ProcessCompletedMessage(output={}, success=True))
    queue.active_jobs[place] = None
    queue.event_queue_per_concurrency_id[event.concurrency_id].current_concurrency -= 1
    del queue.event_ids_to_events[event._id]


def test_gradio_queues_as_it_did() -> None:
    async def attributes() -> dict[str, object]:
        return vars(Queue(True, 40, 1, 8, None))  # type: ignore[arg-type]

    queue = asyncio.run(attributes())
    used = {
        "pending_messages_per_session",
        "pending_event_ids_session",
        "event_queue_per_concurrency_id",
        "active_jobs",
    }
    assert used | {"event_ids_to_events", "cached_event_analytics_summary", "ANALYTICS_MAX_EVENTS"} <= queue.keys()
    assert {"push", "get_events", "compute_analytics_summary"} <= vars(Queue).keys()
    assert "request" in Event.__init__.__code__.co_varnames


def test_nobody_fills_the_queue(page: gr.Blocks) -> None:
    async def calls() -> None:
        queue = queue_of(page)
        taken = [await ask(queue, "6.6.6.6") for _ in range(20)]
        assert sum(one for one, _ in taken) == 4
        assert taken[-1][1].startswith("The queue is full for you: 4 calls")
        assert (await ask(queue, "1.1.1.1"))[0]

    asyncio.run(calls())


def test_addresses_take_turns_and_leave_one_place(page: gr.Blocks) -> None:
    async def calls() -> None:
        queue = queue_of(page, 100)
        for _ in range(10):
            await ask(queue, "6.6.6.6")
        for _ in range(2):
            await ask(queue, "1.1.1.1")
        await ask(queue, "2.2.2.2")
        assert [begin(queue), begin(queue), begin(queue)] == ["6.6.6.6", "1.1.1.1", None]
        end(queue, "1.1.1.1")
        assert begin(queue) == "2.2.2.2"
        end(queue, "6.6.6.6")
        assert begin(queue) == "6.6.6.6"  # its second call came before the other's second one
        end(queue, "2.2.2.2")
        assert begin(queue) == "1.1.1.1"
        end(queue, "1.1.1.1")
        assert begin(queue) is None  # the second place is for somebody else
        await ask(queue, "3.3.3.3")
        assert begin(queue) == "3.3.3.3"

    asyncio.run(calls())


def test_the_machine_itself_may_have_all_places(page: gr.Blocks) -> None:
    async def calls() -> None:
        queue = queue_of(page)
        for _ in range(3):
            await ask(queue, "127.0.0.1")
        assert [begin(queue), begin(queue), begin(queue)] == ["127.0.0.1", "127.0.0.1", None]

    asyncio.run(calls())


def test_answers_that_nobody_fetches_are_forgotten_and_nobody_elses(
    page: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradio_limits, "_UNFETCHED", 20)

    async def calls() -> None:
        queue = queue_of(page, 200)
        await ask(queue, "1.1.1.1", "mine")
        assert begin(queue) == "1.1.1.1"
        end(queue, "1.1.1.1")
        await ask(queue, "2.2.2.2", "waits")
        assert begin(queue) == "2.2.2.2"
        for number in range(100):
            await ask(queue, "6.6.6.6", f"theirs{number}")
            assert begin(queue) == "6.6.6.6"
            end(queue, "6.6.6.6")
        kept = queue.pending_messages_per_session
        assert {"mine", "waits", "theirs99"} <= kept.keys()
        assert len(kept) <= 21
        assert queue.pending_event_ids_session.keys() <= kept.keys()
        assert len(queue.event_analytics) <= 1

    asyncio.run(calls())


def test_one_session_keeps_few_answers(page: gr.Blocks) -> None:
    async def calls() -> None:
        queue = queue_of(page, 200)
        for _ in range(64):
            assert (await ask(queue, "6.6.6.6", "one"))[0]
            begin(queue)
            end(queue, "6.6.6.6")
        taken, sentence = await ask(queue, "6.6.6.6", "one")
        assert (taken, sentence[:17]) == (False, "Fetch the answers")

    asyncio.run(calls())


def test_what_events_take(page: gr.Blocks) -> None:
    forms = forms_of(page)
    inspect = forms.by_name["inspect"]
    assert list(forms.by_name) == ["inspect"]
    assert dict(inspect.parameters) == {"clip": 0, "name": 1}
    check_inputs([{"path": "a"}, "b"], inspect)
    private = next(form for form in forms.by_number.values() if len(form.inputs) == 4)
    check_inputs([None, {"path": "a"}, ["a"], True], private)
    with pytest.raises(RefusedError, match="Input 4"):
        check_inputs([None, {"path": "a"}, ["a"], {}], private)
    assert any(form.free for form in forms.by_number.values())


async def parsed(folder: Path, body: bytes, *, ends: bool = True) -> object:
    async def stream() -> AsyncIterator[bytes]:
        yield body
        if not ends:
            raise ConnectionResetError("hung up")

    headers = Headers({"content-type": "multipart/form-data; boundary=b"})
    parser = gradio.route_utils.GradioMultiPartParser(headers, stream(), upload_dir=folder, max_file_size=10**6)
    return await parser.parse()


def part(name: str, content: str, file: str = "") -> str:
    named = f'; filename="{file}"' if file else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n{content}\r\n'


def test_uploads_are_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradio.route_utils, "GradioMultiPartParser", gradio.route_utils.GradioMultiPartParser)
    bound_uploads()
    assert gradio.route_utils.GradioMultiPartParser is BoundedForm
    asyncio.run(parsed(tmp_path, (part("files", "RIFF", "a.wav") + part("note", "x") + "--b--\r\n").encode()))
    assert len(list(tmp_path.iterdir())) == 1
    for body in (part("note", "x" * 20_000), part("files", "", "a.wav") * 30, part("note", "x") * 30):
        with pytest.raises(MultiPartException):
            asyncio.run(parsed(tmp_path, (body + "--b--\r\n").encode()))
    with pytest.raises(ConnectionResetError):
        asyncio.run(parsed(tmp_path, part("files", "half", "b.wav").encode(), ends=False))
    assert len(list(tmp_path.iterdir())) == 1  # nothing is left of what was broken off


def test_the_log_says_where_and_not_what() -> None:
    def line(name: str, text: str, *values: object, error: BaseException | None = None) -> str:
        shown = (type(error), error, None) if error else None
        record = logging.LogRecord(name, logging.WARNING, __file__, 7, text, values, shown)
        return ContentlessFormatter().format(record)

    secret = "secret\nERROR forged"
    assert line("mcp.server", "Tool '%s' is not listed", secret) == "WARNING mcp.server:7 Tool '%s' is not listed"
    assert line("uvicorn.error", f"broken: {secret}") == "WARNING uvicorn.error:7 says something"
    assert line("a", "failed", error=ValueError(secret)) == "WARNING a:7 says something (ValueError)"
    assert line("ast_demo", "event %s failed", "inspect") == "WARNING event inspect failed"


def test_private_parts_of_gradio_are_there() -> None:
    import gradio.mcp

    for name in ("_execute_tool_without_progress", "_execute_tool_with_progress", "_get_or_create_client"):
        assert callable(getattr(gradio.mcp.GradioMCPServer, name))
    assert isinstance(gradio.mcp.DEFAULT_TEMP_DIR, str)
