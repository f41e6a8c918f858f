"""A program that calls the server as strangers may: by HTTP alone, with whatever it likes."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

DONE, FAILED, REFUSED = "complete", "error", "refused"


def upload(client: httpx.Client, name: str, content: bytes) -> str:
    """Path on the server."""
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    answer.raise_for_status()
    return answer.json()[0]


def call(client: httpx.Client, endpoint: str, data: Any) -> tuple[str, Any]:
    """How a call ended, and what it gave: the last value, or what it says of an error."""
    # Not `json=`, which cannot write text that is no Unicode.
    headers = {"content-type": "application/json"}
    posted = client.post(f"/gradio_api/call/{endpoint}", content=json.dumps({"data": data}), headers=headers)
    if posted.status_code != 200:
        return REFUSED, posted.json()
    with client.stream("GET", f"/gradio_api/call/{endpoint}/{posted.json()['event_id']}") as events:
        kind = ""
        for line in events.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind in (DONE, FAILED):
                return kind, json.loads(line[6:])
    raise AssertionError("the answer ended before there was one")


def sentence_of(answer: Any) -> str:
    """The sentence in an answer about an error. Fails where there is none, or where it tells of the inside."""
    text = answer.get("error") if isinstance(answer, dict) else answer
    if isinstance(answer, dict) and text is None:
        text = answer.get("detail")
    assert isinstance(text, str), answer
    assert re.fullmatch(r"\S.{7,}[.\w)…]", text, re.DOTALL), text
    assert not re.search(r"Traceback|File \"|line \d+, in |site-packages|object at 0x", text), text
    return text
