"""Inputs on their way to the running server, and what may come back: an answer, a sentence, a plain status."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import time
import zipfile
from typing import Any

import httpx

from ast_demo.data import list_samples
from tests.clips import encode, melody
from tests.fuzz.inputs import Input
from tests.public.caller import DONE, FAILED, REFUSED, call, sentence_of, upload
from tests.public.visitors import CHECKPOINT, end_of, file, join
from tests.served import App

# Where attacks come from: another address of this machine, where it has one.
ATTACKER = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def send(client: httpx.Client, one: Input) -> str:
    """Send an input; whether it got an answer, or a sentence.

    Raises:
        AssertionError: Neither.
    """
    if one.route:
        headers = {"content-type": one.form, "accept": "application/json, text/event-stream"}
        if one.get:
            answer = client.get(f"/gradio_api/{one.route}")
        else:
            answer = client.post(f"/gradio_api/{one.route}", content=one.body, headers=headers)
        wants_json = one.form == "application/json" and not one.get and not one.route.startswith("mcp")
        if answer.status_code >= 400 and wants_json:
            sentence_of(answer.json())
        refused = answer.status_code >= 400 or '"isError":true' in answer.text.replace(" ", "")
        assert refused or not one.fails, f"{answer.status_code} {answer.text[:200]}"
        return f"status {answer.status_code}"
    try:
        data = [_sent(client, value, one.name) for value in one.data]
    except httpx.HTTPStatusError as error:
        return f"an upload refused with {error.response.status_code}"
    kind, answer = call(client, one.endpoint, data) if one.event is None else _call_event(client, one.event, data)
    if kind != DONE:
        sentence_of(answer)
    return "an answer" if kind == DONE else "a sentence" if kind == FAILED else "refused with a sentence"


def _call_event(client: httpx.Client, event: int, data: list[Any]) -> tuple[str, Any]:
    """Call an event of the page: its last message."""
    session = f"e{time.monotonic_ns()}"
    posted = join(client, session, event, data)
    if posted.status_code != 200:
        return REFUSED, posted.json()
    message = end_of(client, session)
    return (DONE if message["success"] else FAILED), message["output"]


def _sent(client: httpx.Client, value: Any, name: str) -> Any:
    if isinstance(value, tuple):  # a name of its own, and content
        name, value = value
    if not isinstance(value, bytes):
        return value
    return file(upload(client, name, value))


def events_of(client: httpx.Client) -> dict[str, int]:
    """Numbers of the page's events, by their names."""
    return {one["api_name"]: one["id"] for one in client.get("/config").json()["dependencies"] if one["api_name"]}


def hold(app: App, beginning: bytes) -> socket.socket:
    """A connection that has sent so much, and no more; from an attacker's address."""
    one = socket.create_connection(("127.0.0.1", int(app.port)), timeout=30, source_address=(ATTACKER, 0))
    with contextlib.suppress(OSError):  # it is refused before all of it is sent
        one.sendall(beginning)
    return one


# Honest visitors


def inspect_honestly(client: httpx.Client, checkpoint: str = CHECKPOINT) -> None:
    """Inspect a clip of a second. Fails where there is no answer."""
    sound = encode(melody(1.0), 16_000, "wav", "PCM_16")
    kind, answer = call(client, "inspect", [_sent(client, sound, "clip.wav"), checkpoint])
    assert kind == DONE, answer


def evaluate_honestly(client: httpx.Client, clips: int = 1) -> None:
    """Evaluate some of the shipped samples, or one sound. Fails where there is no answer."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        if clips == 1:
            archive.writestr("7/clip.wav", encode(melody(1.0), 16_000, "wav", "PCM_16"))
        else:
            for number, sample in enumerate(list_samples()[:clips]):
                archive.write(sample.path, f"{sample.label}/{number}-{sample.path.name}")
    kind, answer = call(client, "evaluate", [_sent(client, content.getvalue(), "clips.zip"), [CHECKPOINT]])
    assert kind == DONE, answer
