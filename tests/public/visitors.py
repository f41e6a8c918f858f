"""Visitors as an attack needs them: each at an address of their own, with whatever they send."""

from __future__ import annotations

import json

import httpx
import psutil

from tests.clips import sample_clips
from tests.public.caller import DONE, call, upload
from tests.served import App

CLIP = sample_clips(20)[7]
CHECKPOINT = "sounds-and-digits-16-16"
MCP = {"accept": "application/json, text/event-stream"}


def visitor(app: App, address: str = "", timeout: float = 60) -> httpx.Client:
    """Somebody, at an address as the proxy of a Space tells it."""
    headers = {"x-forwarded-for": f"6.6.6.6, {address}"} if address else {}
    return httpx.Client(base_url=app.url, timeout=timeout, trust_env=False, headers=headers)


def file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def uploaded(client: httpx.Client) -> dict:
    return file(upload(client, CLIP.name, CLIP.read_bytes()))


def inspects(client: httpx.Client) -> None:
    kind, answer = call(client, "inspect", [uploaded(client), CHECKPOINT])
    assert kind == DONE, answer


def memory_mb(app: App) -> float:
    return psutil.Process(app.process.pid).memory_info().rss / 1e6


def number_of(client: httpx.Client, name: str) -> int:
    """The number of an event of the page."""
    return next(one["id"] for one in client.get("/config").json()["dependencies"] if one["api_name"] == name)


def tool_call(client: httpx.Client, name: str, **arguments: object) -> dict:
    """The result of a tool over MCP."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return result_of(client.post("/gradio_api/mcp/", json=body, headers=MCP))["result"]


def result_of(answer: httpx.Response) -> dict:
    """The message of an answer, which may come behind signs of life."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return json.loads(lines[-1]) if lines else answer.json()


def in_session(client: httpx.Client, session: str, number: int, data: list) -> dict:
    """Call an event of the page, and wait for its end."""
    posted = join(client, session, number, data)
    assert posted.status_code == 200, posted.text
    return end_of(client, session)


def join(client: httpx.Client, session: str, number: int, data: list) -> httpx.Response:
    """Call an event of the page."""
    body = {"fn_index": number, "data": data, "session_hash": session}
    return client.post("/gradio_api/queue/join", json=body)


def end_of(client: httpx.Client, session: str) -> dict:
    """The message with which what a session has called ends."""
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
        for line in events.iter_lines():
            message = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("it never ended")
