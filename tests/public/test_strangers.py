"""Strangers who want to break the page of a public instance, each of a kind that once could: what they get instead."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.public.caller import DONE, FAILED, call, sentence_of, upload
from tests.public.listener import Listener
from tests.public.visitors import (
    CHECKPOINT,
    CLIP,
    MCP,
    file,
    in_session,
    inspects,
    memory_mb,
    number_of,
    tool_call,
    uploaded,
    visitor,
)
from tests.served import App
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def narrow_app(start_app: Callable[..., App]) -> App:
    """The app as it is open to strangers, with little room for any of them."""
    return start_app(
        SPACE_ID="somebody/ast-demo", arrival_s="2", kept_mb="20", max_upload_mb="5", max_in_flight_mb="4", max_inline_mb="1",
        max_visitors="6", max_connections="60", max_archive_files="200",
    )  # fmt: skip


@pytest.fixture
def app(narrow_app: App) -> Iterator[App]:
    """The same; what its log says meanwhile has no traceback."""
    before = len(narrow_app.log.read_text(errors="replace"))
    yield narrow_app
    assert "Traceback" not in narrow_app.log.read_text(errors="replace")[before:]


@pytest.fixture
def client(app: App) -> Iterator[httpx.Client]:
    with visitor(app) as one:
        yield one


# The way past the queue


@pytest.mark.parametrize("path", ["run/inspect", "api/inspect", "run/compare", "run/evaluate/", "run/predict"])
def test_no_call_goes_past_the_queue(client: httpx.Client, path: str) -> None:
    data = [uploaded(client), [CHECKPOINT] if "compare" in path or "evaluate" in path else CHECKPOINT]
    body = {"data": data, "session_hash": "past"} | (
        {"fn_index": number_of(client, "inspect")} if "predict" in path else {}
    )
    answer = client.post(f"/gradio_api/{path}", json=body)
    assert answer.status_code == 404, answer.text[:300]
    assert sentence_of(answer.json())


# Addresses


def test_no_address_is_asked_for_whatever_it_is_wrapped_in(client: httpx.Client) -> None:
    with Listener() as listener:
        there = f"127.0.0.1:{listener.port}/a.wav"
        own = str(client.base_url).rstrip("/")
        for address in (
            f"http://{there}", f"http://x/gradio_api/file=http://{there}", f"http://x/gradio_api/file=http%3A%2F%2F{there}",
            f"http://x/gradio_api/file=http%253A%252F%252F{there}", f"{own}/gradio_api/file=http://{there}",
            f"http://x/gradio_api/file=http://x/gradio_api/file=http://{there}", f"/gradio_api/file=http://{there}",
        ):  # fmt: skip
            for name, second in (("inspect", CHECKPOINT), ("evaluate", [CHECKPOINT])):
                answer = client.post(f"/gradio_api/call/{name}", json={"data": [file(address), second]})
                assert (answer.status_code, sentence_of(answer.json())[:36]) == (
                    400,
                    "Files are not fetched from other pla",
                )
            answer = tool_call(client, "inspect", clip=address)
            assert answer["isError"]
            client.get(f"/gradio_api/file={address}")
        time.sleep(0.5)
        assert not listener.called


def test_what_was_uploaded_is_found_by_its_address(app: App, client: httpx.Client) -> None:
    path = uploaded(client)["path"]
    for address in (f"{app.url}/gradio_api/file={path}", f"http://x/gradio_api/file={path.replace('/', '%2F')}"):
        assert call(client, "inspect", [file(address), CHECKPOINT])[0] == DONE
        assert "predictions" in tool_call(client, "inspect", clip=address, checkpoint=CHECKPOINT)["content"][0]["text"]


# Bodies


def test_a_body_that_is_large_as_a_tree_is_not_queued(app: App, client: httpx.Client) -> None:
    before = memory_mb(app)
    for body in (b'{"data":[[' + b"{}," * 30_000 + b"{}],null]}", b'{"data":[' + b"{}," * 600_000 + b"{}]}"):
        for path in ("call/inspect", "queue/join", "cancel", "mcp/"):
            answer = client.post(
                f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"} | MCP
            )
            assert answer.status_code == 413, answer.text[:200]
            assert sentence_of(answer.json()).startswith("This request is too large")
    assert memory_mb(app) < before + 50
    for data in ([], [None] * 40, [[], None], [None, {}], "x"):
        answer = client.post("/gradio_api/call/inspect", json={"data": data})
        assert answer.status_code == 422
        assert "inspect" in sentence_of(answer.json())
    answer = client.post("/gradio_api/queue/join", json={"data": [], "fn_index": 10_000, "session_hash": "x"})
    assert answer.status_code == 404


def begun(app: App, path: str, declared: int, there: bytes) -> socket.socket:
    """A request that has sent the beginning of its body."""
    one = socket.create_connection(("127.0.0.1", int(app.port)), timeout=30)
    kind = "multipart/form-data; boundary=b" if path.endswith("upload") else "application/json"
    one.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAccept: {MCP['accept']}\r\nContent-Length: {declared}\r\n\r\n".encode()
    )
    with suppress(OSError):  # it may have been refused already
        one.sendall(there)
    return one


def status_of(one: socket.socket) -> int:
    return int((one.recv(100) or b"HTTP/1.1 000").split()[1])


def half_uploads(app: App) -> set[Path]:
    return {path for path in app.folder.glob("ast-demo-run-*/uploads/tmp*") if path.is_file()}


def test_half_sent_requests_have_a_deadline_and_a_bound(app: App, client: httpx.Client) -> None:
    before, began, there = memory_mb(app), time.monotonic(), half_uploads(app)
    with ExitStack() as stack:
        ones = [stack.enter_context(begun(app, "/gradio_api/mcp/", 1_400_000, b"x" * 1_000_000)) for _ in range(8)]
        ones.append(stack.enter_context(begun(app, "/gradio_api/queue/join", 90_000, b"{")))
        form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nhalf'
        ones.append(stack.enter_context(begun(app, "/gradio_api/upload", 4_000_000, form)))
        statuses = [status_of(one) for one in ones]
    assert time.monotonic() - began < 30
    assert set(statuses[:8]) == {503, 408}  # two megabytes are for MCP
    assert statuses[8:] == [408, 408]
    assert memory_mb(app) < before + 60
    assert wait_for(lambda: half_uploads(app) <= there, 10)


def test_an_upload_keeps_little_in_memory_and_open(app: App, client: httpx.Client) -> None:
    there = half_uploads(app)
    answer = client.post("/gradio_api/upload", data={"note": "x" * 100_000}, files={"files": ("a.wav", b"RIFF")})
    assert answer.status_code in (400, 413)
    many = [("files", (f"{number}.wav", b"")) for number in range(500)]
    assert client.post("/gradio_api/upload", files=many).status_code == 400
    assert wait_for(lambda: half_uploads(app) <= there, 10)


# The disk


def kept_mb(app: App) -> float:
    return sum(path.stat().st_size for path in app.folder.glob("ast-demo-run-*/uploads/**/*") if path.is_file()) / 1e6


def test_uploads_are_counted_when_they_come(app: App) -> None:
    def send(number: int) -> httpx.Response:
        content = number.to_bytes(4, "big") * 1_000_000
        with visitor(app, f"10.0.{number % 2}.1") as one:
            return one.post("/gradio_api/upload", files={"files": ("a.wav", content)})

    with visitor(app, "10.9.9.9") as other, ThreadPoolExecutor(4) as people:
        answers = list(people.map(send, range(16)))
        assert kept_mb(app) <= 20
        refused = [one for one in answers if one.status_code != 200]
        assert {one.status_code for one in refused} == {507}
        assert 8 <= len(refused) < 16
        assert all(sentence_of(one.json()).startswith("There is no room for 4.0 MB") for one in refused)
        inspects(other)


# Over MCP, and the log


@pytest.mark.parametrize("method", ["prompts/get", "resources/read", "completion/complete", "tasks/get"])
def test_nothing_runs_over_mcp_but_a_tool(app: App, client: httpx.Client, method: str) -> None:
    before = app.results()
    for params in ({"name": "x"}, {"name": "evaluate", "arguments": {"archive": "x", "chosen": "y"}}, {"uri": "x://y"}):
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        answer = client.post("/gradio_api/mcp/", json=body, headers=MCP).json()
        assert (answer["id"], sentence_of(answer["error"]["message"])[:29]) == (7, "There is no such method here.")
    for path in ("mcp/sse", "mcp/messages/?session_id=1"):
        assert client.post(f"/gradio_api/{path}", json={}).status_code == 404
    assert app.results() == before


def test_errors_over_mcp_are_sentences(app: App, client: httpx.Client) -> None:
    sound = f"data:audio/wav;base64,{base64.b64encode(CLIP.read_bytes()).decode()}"
    for arguments in (
        {"clip": sound, "checkpoint": "nobody/nothing"},
        {"clip": "data:x"},
        {},
        {"clip": "data:;base64,!"},
    ):
        answer = tool_call(client, "inspect", **arguments)
        assert answer["isError"], arguments
        text = sentence_of(answer["content"][0]["text"])
        assert not re.search(r"https?://|127\.0\.0\.1|developer\.mozilla|/uploads", text), text


def test_the_log_holds_nothing_that_was_sent(app: App, client: httpx.Client) -> None:
    before = len(app.log.read_text(errors="replace"))
    word = "zq9secret"
    for name in (f"{word}\nERROR forged", word * 100_000):
        tool_call(client, name)
        client.post("/gradio_api/mcp/", json={"jsonrpc": "2.0", "id": word * 5, "method": name}, headers=MCP)
        client.post(
            "/gradio_api/mcp/",
            json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {word: 1}},
            headers=MCP,
        )
    for path in (
        f"custom_component/{word}%0aERROR forged/client/a/b",
        f"call/{word}",
        f"file={word}",
        f"heartbeat/{word}%0a",
    ):
        with client.stream(
            "GET" if "/b" in path or "=" in path or "heart" in path else "POST", f"/gradio_api/{path}"
        ) as answer:
            assert answer.status_code < 600
    for path in (f"/spotlight/{word}/api/layout/", f"/gradio_api/{word}/{word}"):
        one = socket.create_connection(("127.0.0.1", int(app.port)), timeout=30)
        one.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf".encode())
        time.sleep(0.3)
        one.close()
    call(client, "inspect", [{"path": None, word: word}, word])
    with socket.create_connection(("127.0.0.1", int(app.port)), timeout=30) as one:
        one.sendall(f"GET /{word} {word} HTTP/9\r\n\r\n".encode())
        one.recv(1000)
    time.sleep(0.5)
    log = app.log.read_text(errors="replace")[before:]
    assert word not in log
    assert "forged" not in log
    assert len(log) < 10_000


# Who else is here


def test_sessions_of_others_do_not_put_mine_out(app: App) -> None:
    with visitor(app, "10.1.1.1") as honest, visitor(app, "10.6.6.6") as other:
        number = number_of(honest, "_add_clip")
        sent = uploaded(honest)
        assert in_session(honest, "mine", number, [None, sent, "rain"])["success"]
        for place in range(12):  # twice as many as are kept
            done = in_session(other, f"other{place}", number, [None, sent, "rain"])
            assert done["success"]
        second = in_session(honest, "mine", number, [None, uploaded_as(honest, "b.ogg"), "dog"])
    assert "2 clips" in json.dumps(second) or "b.ogg" in json.dumps(second["output"])
    assert json.dumps(second["output"]).count("rain") >= 1, second["output"]


def uploaded_as(client: httpx.Client, name: str) -> dict:
    return file(upload(client, name, CLIP.read_bytes() + b"\0"))


def test_guessed_names_of_sessions_and_events_give_nothing(app: App, client: httpx.Client) -> None:
    for path in ("queue/data?session_hash=guessed", "call/inspect/" + "0" * 32, "call/v2/inspect/guessed"):
        with client.stream("GET", f"/gradio_api/{path}") as answer:
            lines = [line for line, _ in zip(answer.iter_lines(), range(3), strict=False)]
        assert answer.status_code == 404 or "predictions" not in "".join(lines)
    answer = client.post("/gradio_api/cancel", json={"session_hash": "guessed", "fn_index": 1, "event_id": "guessed"})
    assert answer.status_code < 500


# What the page tells of the machine, and believes


def test_the_page_tells_nothing_of_the_machine(app: App, client: httpx.Client) -> None:
    from tests.clips import REPOSITORY

    for path in ("/config", "/", "/gradio_api/info", "/gradio_api/mcp/schema", "/gradio_api/openapi.json"):
        text = client.get(path).text
        assert str(REPOSITORY) not in text, path
        assert str(app.folder) not in text, path
    guide = client.get("/config").text
    pictures = set(re.findall(r"\]\((guide/[^)]+)\)", guide.replace("\\n", "\n")))
    assert pictures
    for picture in pictures:
        assert client.get(f"/{picture}").headers["content-type"] == "image/png"
    assert client.get("/guide/../app.py").status_code == 404
    assert client.get("/guide/%2e%2e/app.py").status_code == 404


def test_no_forwarded_host_is_believed(app: App, client: httpx.Client) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    assert "evil.example" not in client.get("/config", headers=headers).text
    assert "evil.example" not in client.get("/gradio_api/mcp/", headers=headers).text


# Long work


def test_the_health_check_answers_while_many_ask(app: App) -> None:
    ended, slowest = threading.Event(), [0.0]

    def watch() -> None:
        with visitor(app) as one:
            while not ended.is_set():
                began = time.monotonic()
                assert one.get("/healthz").text == "ready"
                slowest[0] = max(slowest[0], time.monotonic() - began)
                time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    body = b'{"data":[' + b"{}," * 33_000 + b"{}]}"

    def send(_: int) -> int:
        with visitor(app) as one:
            return one.post(
                "/gradio_api/queue/join", content=body, headers={"content-type": "application/json"}
            ).status_code

    with ThreadPoolExecutor(8) as people:
        assert set(people.map(send, range(100))) == {413}
    ended.set()
    watcher.join()
    with visitor(app) as one:
        kind, _ = call(one, "inspect", [None, CHECKPOINT])
    assert kind == FAILED
    assert slowest[0] < 2  # on two busy cores; each of the bodies would take more as a tree
