"""What visitors share, and one of them wants for herself: the queue, the tools, answers that wait, files of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.clips import encode, melody
from tests.public.caller import DONE, FAILED, REFUSED, call, sentence_of, upload
from tests.public.visitors import CHECKPOINT, file, in_session, inspects, number_of, tool_call, uploaded, visitor
from tests.served import App

LONG = encode(melody(100.0, 8000), 8000, "ogg", "VORBIS")  # some dozens of windows
PLACES = 8  # in the queue


@pytest.fixture(scope="module")
def shared_app(start_app: Callable[..., App]) -> App:
    return start_app(SPACE_ID="somebody/ast-demo", max_waiting=str(PLACES), max_upload_mb="5")


@pytest.fixture
def app(shared_app: App) -> Iterator[App]:
    """The same; what its log says meanwhile has no traceback."""
    before = len(shared_app.log.read_text(errors="replace"))
    yield shared_app
    assert "Traceback" not in shared_app.log.read_text(errors="replace")[before:]


def fill(client: httpx.Client, data: list, most: int = 3 * PLACES, **headers: str) -> list[httpx.Response]:
    """Ask for long work until it is refused; all answers but the last are accepted calls that nobody fetches."""
    answers = []
    for _ in range(most):
        answers.append(client.post("/gradio_api/call/inspect", json={"data": data}, headers=headers))
        if answers[-1].status_code != 200:
            break
    return answers


def test_nobody_fills_the_queue_by_way_of_tools(app: App) -> None:
    """First, as nothing waits after it."""

    def ask(_: int) -> dict:
        with visitor(app, "10.7.7.7") as greedy:
            sound = file_address(app, upload(greedy, "long.ogg", LONG))
            return tool_call(greedy, "inspect", clip=sound, checkpoint=CHECKPOINT)

    with ThreadPoolExecutor(2 * PLACES) as people, visitor(app, "10.2.2.2") as honest:
        calls = [people.submit(ask, number) for number in range(2 * PLACES)]
        inspects(honest)
        mine = {"clip": file_address(app, uploaded(honest)["path"]), "checkpoint": CHECKPOINT}
        assert not tool_call(honest, "inspect", **mine).get("isError")
        assert not all(one.done() for one in calls)
        answers = [one.result() for one in calls]
    refused = [one for one in answers if one.get("isError")]
    assert 0 < len(refused) < len(answers)
    assert all(sentence_of(one["content"][0]["text"]) for one in refused)


def test_nobody_fills_the_queue_and_others_come_in_between(app: App) -> None:
    with visitor(app, "10.6.6.6") as greedy, visitor(app, "10.1.1.1") as honest:
        data = [file(upload(greedy, "long.ogg", LONG)), CHECKPOINT]
        *_, refused = fill(greedy, data)
        assert refused.status_code == 503
        assert sentence_of(refused.json()).startswith("The queue is full for you: 4 calls of yours wait")
        inspects(honest)
        more = fill(greedy, data)
        assert more[-1].status_code == 503
        assert len(more) <= PLACES // 2  # not all of them were served before the other


def file_address(app: App, path: str) -> str:
    return f"{app.url}/gradio_api/file={path}"


def test_calls_of_one_visitor_do_not_make_another_ones_answer_forgotten(app: App) -> None:
    with visitor(app, "10.6.6.6") as greedy, visitor(app, "10.1.1.1") as honest:
        posted = honest.post("/gradio_api/call/inspect", json={"data": [uploaded(honest), CHECKPOINT]}).json()
        for _ in range(1200):  # wrong at once, and never fetched: more than are kept
            greedy.post("/gradio_api/call/inspect", json={"data": [None, CHECKPOINT]})
        text = honest.get(f"/gradio_api/call/inspect/{posted['event_id']}").text
        assert "predictions" in text


@pytest.mark.parametrize("name", ["10.3.3.3", "10.4.4.4, 10.5.5.5"])
def test_who_asks_is_told_by_the_last_proxy_alone(app: App, name: str) -> None:
    last = name.rpartition(",")[2].strip()
    with visitor(app, last) as greedy:
        data = [file(upload(greedy, "long.ogg", LONG)), CHECKPOINT]
        fill(greedy, data)
        for number in range(3):  # the same one with other words before
            answer = greedy.post(
                "/gradio_api/call/inspect", json={"data": data}, headers={"x-forwarded-for": f"9.9.9.{number}, {last}"}
            )
            assert answer.status_code in (200, 503)
        assert fill(greedy, data, **{"x-forwarded-for": f"9.9.9.9, {last}"})[-1].status_code == 503


def test_without_a_proxy_nobody_can_say_who_asks(start_app: Callable[..., App]) -> None:
    app = start_app(public="yes", max_waiting=str(PLACES))
    with visitor(app) as greedy:
        data = [file(upload(greedy, "long.ogg", LONG)), CHECKPOINT]
        statuses = [
            fill(greedy, data, 1, **{"x-forwarded-for": f"10.0.0.{number}"})[0].status_code
            for number in range(2 * PLACES)
        ]
    assert statuses.count(200) <= PLACES // 2 + 4  # half of the places, and what has begun meanwhile
    assert statuses.count(503) >= PLACES // 2


# Files of others, through whatever event of the page


def test_no_event_takes_a_file_that_was_not_uploaded(app: App) -> None:
    with visitor(app, "10.1.1.1") as honest:
        assert call(honest, "evaluate", [None, [CHECKPOINT]])[0] == DONE
        mine = Path(uploaded(honest)["path"])
        events = honest.get("/config").json()["dependencies"]
    uploads = mine.parent.parent
    others = [
        str(uploads.parent),
        f"{uploads}/../in-use.lock",
        f"{uploads}x/a.wav",
        str(app.log),
        "/etc/passwd",
        "/proc/self/environ",
    ]
    others += [
        "app.py",
        "assets/samples",
        f"{mine.parent}/../../../{app.log.name}",
        f"{uploads}/%2e%2e/in-use.lock",
        "\0",
        "",
    ]
    with visitor(app, "10.6.6.6") as other:
        for event in events:
            for path in others:
                for value in (
                    file(path),
                    {"video": file(path)},
                    [file(path)],
                    {"path": path, "url": "http://127.0.0.1:9/"},
                ):
                    body = {"fn_index": event["id"], "data": [value] * len(event["inputs"]), "session_hash": "other"}
                    answer = other.post("/gradio_api/queue/join", json=body)
                    assert answer.status_code == 400 or not event["inputs"], (event["api_name"], path, answer.text)
        for path in (*others, *map(str, app.results())):
            assert other.get(f"/gradio_api/file={quote(path)}").status_code in (403, 404), path


def test_folders_of_uploads_are_no_uploads(app: App) -> None:
    with visitor(app, "10.6.6.6") as other:
        mine = Path(uploaded(other)["path"])
        for path in (mine.parent, mine.parent.parent, f"{mine}/", f"{mine}/x", f"{mine.parent}/../{'0' * 64}/a.wav"):
            for name, second in (("inspect", CHECKPOINT), ("evaluate", [CHECKPOINT])):
                kind, answer = call(other, name, [file(str(path)), second])
                if kind != DONE:  # the file itself, with a stroke behind its name
                    assert kind in (FAILED, REFUSED)
                    assert sentence_of(answer)


def test_a_state_cannot_be_sent(app: App) -> None:
    """What a visitor's page remembers lies on the server: whatever is sent in its place is not looked at."""
    with visitor(app, "10.6.6.6") as other:
        number = number_of(other, "_add_clip")
        forged = [["/etc/passwd", "rain"], ["/proc/self/environ", "dog"]]
        done = in_session(other, "forged", number, [forged, uploaded(other), "rain"])
    assert done["success"]
    assert "passwd" not in str(done)
    assert "environ" not in str(done)
