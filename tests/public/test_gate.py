"""What strangers send to the server of a public page, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.clips import sample_clips
from tests.public.caller import FAILED, REFUSED, call, sentence_of, upload
from tests.served import App


@pytest.fixture
def client(public_app: App) -> Iterator[httpx.Client]:
    before = len(public_app.log.read_text(errors="replace"))
    with httpx.Client(base_url=public_app.url, timeout=60, trust_env=False) as one:
        yield one
    assert "Traceback" not in public_app.log.read_text(errors="replace")[before:]


def file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_it_says_that_it_is_ready(client: httpx.Client) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ready")


def test_the_hub_may_frame_the_page_and_others_may_not(client: httpx.Client) -> None:
    headers = client.get("/").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"].split() == [
        "'self'",
        "https://huggingface.co",
        "https://*.huggingface.co",
        "https://*.hf.space",
    ]
    assert "x-frame-options" not in headers
    assert not [word for name in policy if name != "frame-ancestors" for word in policy[name].split() if "//" in word]
    assert "microphone=(self)" in headers["permissions-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1:9/secret",
        "/gradio_api/file=HTTPS://example.org/",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file/http://127.0.0.1:9/secret",
        "/gradio_api/proxy=http://127.0.0.1:9/",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=app.py",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file=assets/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/monitoring",
        "/gradio_api/vibe-code/",
        "/gradio_api/runs",
        "/docs",
        "/openapi.json",
    ],
)
def test_what_is_not_the_pages_is_not_served(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (401, 403, 404), answer.text[:200]
    assert "root:" not in answer.text


def test_no_file_is_fetched_from_an_address(client: httpx.Client) -> None:
    for path in ("http://127.0.0.1:9/a.wav", " https://example.org/a.wav", "ftp://example.org/a.wav"):
        body = {"data": [file(path), None]}
        for escaped in (
            json.dumps(body),
            json.dumps(body).replace("/", "\\/"),
            json.dumps(body).replace(":/", ":\\u002f"),
        ):
            answer = client.post(
                "/gradio_api/call/inspect", content=escaped, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400
            assert answer.json()["error"] == "Files are not fetched from other places. Upload the file instead."


def test_no_file_of_the_machine_is_opened(client: httpx.Client, public_app: App) -> None:
    (clip,) = sample_clips(1)
    for path in ("/etc/passwd", "app.py", str(clip), str(public_app.log), "../app.py", "/proc/self/environ"):
        kind, answer = call(client, "inspect", [file(path), None])
        assert kind == REFUSED  # before Gradio has seen it
        assert sentence_of(answer) == "Files are not fetched from other places. Upload the file instead."


def test_the_folder_of_all_uploads_is_no_upload(client: httpx.Client) -> None:
    uploads = upload(client, "clip.wav", b"RIFF").rsplit("/", 2)[0]
    for path in (uploads, uploads + "/", uploads + "/../uploads"):
        for name, data in (("inspect", [file(path), None]), ("evaluate", [file(path), ["sounds-and-digits-16-16"]])):
            kind, answer = call(client, name, data)
            assert kind == FAILED, answer
            assert sentence_of(answer)


@pytest.mark.parametrize("reference", ["/etc", "~", ".", "assets/checkpoints/sounds-and-digits-16-16", "..", "a\0b"])
def test_no_folder_is_looked_at(client: httpx.Client, reference: str) -> None:
    (clip,) = sample_clips(1)
    sent = upload(client, clip.name, clip.read_bytes())
    kind, answer = call(client, "inspect", [file(sent), reference])
    assert kind == FAILED
    assert sentence_of(answer).startswith(f"There is no checkpoint {reference!r}. Expected 'sounds-and-digits-10-10', ")


def test_what_is_too_large_is_not_read(client: httpx.Client) -> None:
    def streamed() -> Iterator[bytes]:
        for _ in range(60):  # without a length being told
            yield b" " * 65_536

    headers = {"content-type": "application/json"}
    for body in (b"[" * 3_000_000, streamed()):
        answer = client.post("/gradio_api/queue/join", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (413, "This request is too large.")
    answer = client.post("/gradio_api/upload", files={"files": ("a.wav", bytes(6_000_000))})
    sentence = "This file is too large. At most 5 MB are accepted here: choose a smaller file."
    assert (answer.status_code, answer.json()["error"]) == (413, sentence)


def test_nothing_on_the_page_sends_to_the_outside(client: httpx.Client) -> None:
    """Gradio's Share button uploads what it shares; a component whose buttons are not chosen has it."""
    buttons = {
        (one["type"], one["props"].get("elem_id")): one["props"]["buttons"]
        for one in client.get("/config").json()["components"]
        if "buttons" in one["props"]
    }
    assert {"audio", "gallery", "image"} <= {kind for kind, _ in buttons}
    assert not {name: chosen for name, chosen in buttons.items() if chosen is None or "share" in chosen}


def test_no_message_names_a_path_of_the_server(client: httpx.Client, public_app: App) -> None:
    """Files that were deleted, files that are none, files of others: whatever is wrong with them."""
    sent = upload(client, "my clip.wav", b"RIFF")
    uploads = sent.rsplit("/", 2)[0]
    gone = f"{uploads}/{'0' * 64}/my clip.wav"
    models = ["sounds-and-digits-16-16", "sounds-and-digits-10-10"]
    said = []
    for path in (sent, gone, uploads, str(public_app.folder), "/etc/passwd"):
        for name, data in (
            ("inspect", [file(path), models[0]]),
            ("compare", [file(path), models]),
            ("evaluate", [file(path), models]),
        ):
            kind, answer = call(client, name, data)
            assert kind in (FAILED, REFUSED)
            said.append(sentence_of(answer))
    for path in (gone, uploads):
        said.append(sentence_of(client.get(f"/gradio_api/file={path}").json()))
    assert not [text for text in said if str(public_app.folder) in text]
    assert "This recording is no longer on the server, which keeps recordings for an hour." in " ".join(said)


@pytest.mark.parametrize("name", ["", "x" * 65, "x" * 90_000])
def test_the_name_of_a_session_has_a_length(client: httpx.Client, name: str) -> None:
    """Gradio would keep it in memory; and of an empty one it would write a traceback into the log."""
    for path in ("queue/join", "run/inspect", "call/inspect", "cancel"):
        body = {"data": [None, None], "session_hash": name, "fn_index": 0}
        answer = client.post(f"/gradio_api/{path}", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"] == f"The session's name has {len(name)} characters. Expected 1 to 64."


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"[" * 100_000, b'{"data": 3}', b"\xff\xfe"]
)
@pytest.mark.parametrize("path", ["queue/join", "call/inspect", "run/inspect", "call/v2/evaluate", "cancel", "reset"])
def test_what_is_no_request_gets_a_sentence(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
    if answer.status_code >= 400:
        assert sentence_of(answer.json())


@pytest.mark.parametrize("path", ["call/nothing", "call/v2/nothing", "run/nothing", "call/inspect", "nothing"])
def test_what_does_not_exist_gets_a_sentence(client: httpx.Client, path: str) -> None:
    answer = client.post(f"/gradio_api/{path}", json={"data": [], "fn_index": 10_000})
    if answer.status_code >= 400:
        assert sentence_of(answer.json())


def test_the_log_names_the_event_and_not_the_content(client: httpx.Client, public_app: App) -> None:
    before = len(public_app.log.read_text(errors="replace"))
    kind, _ = call(client, "inspect", [{"path": {"secret-word": 1}, "meta": "secret-word"}, "secret-word"])
    client.post("/gradio_api/call/v2/secret-word", json={})
    assert kind == FAILED
    log = public_app.log.read_text(errors="replace")[before:]
    assert "event inspect failed: " in log
    assert "secret-word" not in log
