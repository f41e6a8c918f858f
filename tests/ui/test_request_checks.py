"""What a request may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ast_demo.ui.request_checks import (
    MOST_VALUES,
    EventForm,
    RefusedError,
    check_arguments,
    check_inputs,
    check_mcp,
    check_session,
    localise_files,
    read_json,
)
from tests.public.caller import sentence_of

UPLOADS = ("/srv/run/uploads",)
CLIP = "/srv/run/uploads/0a1b/clip.wav"
INSPECT = EventForm("inspect", ((dict,), (str, int, float)), {"clip": 0, "checkpoint": 1})
EVALUATE = EventForm("evaluate", ((dict,), (list, str)), {"archive": 0, "chosen": 1})
WITH_STATE = EventForm("This event", ((), (dict,), (bool,)), {"1": 1, "2": 2})
TOOLS = {"inspect": INSPECT, "evaluate": EVALUATE}


def refusal(function: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        function(*arguments, **named)
    return sentence_of(str(caught.value))


def test_a_body_is_counted_before_it_is_parsed() -> None:
    fits = b"[" + b"{}," * (MOST_VALUES // 2 - 2) + b"{}]"
    assert len(read_json(fits)) == MOST_VALUES // 2 - 1
    for body in (
        b"[" + b"{}," * MOST_VALUES + b"{}]",
        b"[" * 100_000,
        b'{"a":' * MOST_VALUES + b"1" + b"}" * MOST_VALUES,
        json.dumps([0] * 2 * MOST_VALUES).encode("utf-16"),
    ):
        assert refusal(read_json, body).startswith("This request is too large")
    for body in (b"", b"{", b"\xff\xfe", b"9" * 5000, b"[" * 2000):
        assert "it is no JSON" in refusal(read_json, body)


@pytest.mark.parametrize(
    "path",
    [
        CLIP,
        f"http://127.0.0.1:7860/gradio_api/file={CLIP}",
        f"https://somebody-ast-demo.hf.space/sub/gradio_api/file={CLIP}",
        f"http://x/gradio_api/file={CLIP.replace('/', '%2F')}",
        f"http://x/gradio_api/file={CLIP.replace('/', '%252F')}",
    ],
)
def test_an_upload_is_found_by_its_path_and_by_its_address(path: str) -> None:
    content = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, [{"path": path}]]}
    localised = localise_files(content, UPLOADS)
    assert localised["data"][0]["path"] == localised["data"][1][0]["path"] == CLIP


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/a.wav",
        " https://example.org/a.wav",
        "ftp://example.org/a.wav",
        "file:///etc/passwd",
        "http:\\\\example.org\\a.wav",
        "http://x/gradio_api/file=http://127.0.0.1:9/a.wav",
        "http://x/gradio_api/file=http%3A%2F%2F127.0.0.1:9/a.wav",
        "http://x/gradio_api/file=http%253A%252F%252F127.0.0.1:9/a.wav",
        f"http://x/gradio_api/file=http://127.0.0.1:9/gradio_api/file={CLIP}",
        "http%3A%2F%2F127.0.0.1:9/a.wav",
        "http://x/gradio_api/file=/etc/passwd",
        "http://x/gradio_api/file=/srv/run/uploads/../other/a.wav",
        "http://x/gradio_api/file=/srv/run/uploads/..%2F..%2Fother",
        "http://x/gradio_api/file=srv/run/uploads/a.wav",
        "http://x/gradio_api/file=/srv/run/uploads-of-others/a.wav",
        "/etc/passwd",
        "app.py",
        "",
        CLIP + "\0",
        "%25" * 50 + "2Fetc",
        "gopher://x/" + CLIP,
    ],
)
def test_nothing_else_is_a_file(path: str) -> None:
    sentence = "Files are not fetched from other places. Upload the file instead."
    assert refusal(localise_files, {"data": [[{"path": path}]]}, UPLOADS) == sentence


def test_a_session_has_a_name_of_some_length() -> None:
    check_session({"session_hash": "a1b2"})
    check_session([])
    for name in ("", "x" * 65):
        assert refusal(check_session, {"session_hash": name}).startswith("The session's name has ")


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ([{"path": CLIP}, "a"], INSPECT),
        ([None, None], INSPECT),
        ([None, {"path": CLIP}, True], WITH_STATE),
        ([{"path": CLIP}, True], WITH_STATE),  # programs send no state
        ([1, 2, 3, 4], EventForm("stop", (), {}, free=True)),
    ],
)
def test_inputs_that_fit_are_taken(data: list, form: EventForm) -> None:
    check_inputs(data, form)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("x", "The inputs of inspect come as a list."),
        ([], "inspect takes 2 inputs, but got 0."),
        ([None] * 40, "inspect takes 2 inputs, but got 40."),
        ([[], None], "Input 1 of inspect is a list. Expected a file."),
        ([None, [{}]], "Input 2 of inspect is a list. Expected text"),
    ],
)
def test_other_inputs_get_a_sentence(data: Any, sentence: str) -> None:
    assert refusal(check_inputs, data, INSPECT).startswith(sentence)


def test_arguments_have_the_names_that_an_event_takes() -> None:
    check_arguments({"clip": {"path": CLIP}}, INSPECT)
    for arguments in ([], {"other": 1}, {"clip": "x", "checkpoint": {}}):
        refusal(check_arguments, arguments, INSPECT)


def message(method: str, params: Any = None, number: Any = 1) -> dict:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def call_of(name: Any, **arguments: Any) -> dict:
    return message("tools/call", {"name": name, "arguments": arguments})


@pytest.mark.parametrize(
    "content",
    [
        message("initialize"),
        message("tools/list"),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call_of("inspect", clip="data:audio/wav;base64," + "A" * 500_000, checkpoint="a"),
        call_of("evaluate", archive=f"http://x/gradio_api/file={CLIP}", chosen=["a", "b"]),
        call_of("evaluate", archive=None, chosen=["a"]),
    ],
)
def test_what_tools_need_passes(content: dict) -> None:
    assert check_mcp(content, TOOLS, UPLOADS, 100_000) is None


@pytest.mark.parametrize("method", ["prompts/get", "resources/read", "tasks/list", "x\nFORGED", "", "tools/calls"])
def test_no_other_method_does(method: str) -> None:
    answer = check_mcp(message(method, {"name": "x"}), TOOLS, UPLOADS, 100_000)
    assert answer is not None
    assert answer["error"]["code"] == -32601
    assert sentence_of(answer["error"]["message"]).startswith("There is no such method here.")
    assert "FORGED" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (call_of("x\nFORGED"), "There is no tool of this name. Expected one of inspect, evaluate."),
        (call_of("x" * 1_000_000), "There is no tool of this name."),
        (call_of(["inspect"]), "There is no tool of this name."),
        (call_of("inspect", other=1), "inspect takes clip and checkpoint, each by its name."),
        (call_of("inspect", clip={"path": CLIP}), "'clip' of inspect is a file. Expected text."),
        (call_of("inspect", clip="http://127.0.0.1:9/a.wav"), "Files are not fetched from other places."),
        (call_of("inspect", clip="/etc/passwd"), "Files are not fetched from other places."),
        (call_of("inspect", clip=CLIP), "Files are not fetched from other places."),
        (call_of("inspect", checkpoint="x" * 200_000), "This call is too large."),
        (message("tools/call", {"name": "inspect", "_meta": {"a": "x" * 200_000}}), "This call is too large."),
        (message("tools/call", []), "There is no tool of this name."),
    ],
)
def test_a_wrong_call_of_a_tool_gets_a_sentence(content: dict, sentence: str) -> None:
    answer = check_mcp(content, TOOLS, UPLOADS, 100_000)
    assert answer is not None
    assert answer["id"] == 1
    assert answer["result"]["isError"]
    assert sentence_of(answer["result"]["content"][0]["text"]).startswith(sentence)


@pytest.mark.parametrize(
    "content",
    [
        [],
        "x",
        None,
        {"method": 3},
        message("ping", number="x" * 65),
        message("ping", number={}),
        message("x", number=None),
    ],
)
def test_what_cannot_be_answered_is_refused(content: Any) -> None:
    refusal(check_mcp, content, TOOLS, UPLOADS, 100_000)
