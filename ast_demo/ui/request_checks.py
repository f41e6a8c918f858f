"""What the body of a request may hold, judged before anything is queued: plain functions on JSON, without Gradio.

A body is counted before it is parsed, as a tree of small values takes fifty times the memory of its text.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ast_demo.ui.messages import sentence

MOST_VALUES = 5000  # of a body; the page's own hold some dozens
_LONGEST_SESSION = 64  # characters of a visitor's session: Gradio keeps it, and stumbles over an empty one
_LONGEST_ID = 64
_ADDRESS = re.compile(r"\s*[\w+.-]{2,}:[/\\]")
_OF_FILES = "/gradio_api/file="  # where this server's files are, in an address of one of them
_MOST_QUOTED = 8  # times that a path may be percent-encoded
_FETCHED = "Files are not fetched from other places. Upload the file instead."
# Of the Model Context Protocol: what tools need, and the lists that clients ask for, which are empty.
_METHODS = (
    "initialize", "ping", "tools/list", "tools/call", "prompts/list", "resources/list", "resources/templates/list",
)  # fmt: skip
_NO_SUCH_METHOD = -32601  # JSON-RPC 2.0, section 5.1


class RefusedError(Exception):
    """A request that is not passed on. Its text is the sentence for whoever sent it."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class EventForm:
    """What one event of the page takes.

    Attributes:
        name: What it is called in sentences.
        inputs: Of each input, the types that JSON may give it besides null; empty where all are taken.
        parameters: For programs: the name of each input that they give, and its place among the inputs.
        free: Whether any number of inputs is taken, because none is looked at.
    """

    name: str
    inputs: tuple[tuple[type, ...], ...]
    parameters: Mapping[str, int]
    free: bool = False


def read_json(body: bytes) -> Any:
    """Parse a body that is no larger as a tree than any of the page's own.

    Raises:
        RefusedError: It is larger, or no JSON.
    """
    if sum(body.count(mark) for mark in (b",", b"[", b"{", b":")) > MOST_VALUES:
        raise RefusedError(f"This request is too large: it holds more than {MOST_VALUES} values.", 413)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("This request does not have the form that is expected here: it is no JSON.", 422) from None


def check_session(content: Any) -> None:
    """Raises RefusedError where the name of a session would trouble Gradio, or take its memory."""
    name = content.get("session_hash") if isinstance(content, dict) else None
    if isinstance(name, str) and not 0 < len(name) <= _LONGEST_SESSION:
        raise RefusedError(f"The session's name has {len(name)} characters. Expected 1 to {_LONGEST_SESSION}.")


def localise_files(content: Any, uploads: tuple[str, ...]) -> Any:
    """The JSON value with every file in it named by its path among the uploads, in place.

    Args:
        uploads: The folder of uploads, in each way in which its path may be written.

    Raises:
        RefusedError: A file is somewhere else.
    """
    for file in _files(content):
        file["path"] = _path_of_upload(file["path"], uploads)
    return content


def check_inputs(data: Any, form: EventForm) -> None:
    """Raises RefusedError where inputs are not so many, or not of the types, as an event takes."""
    if not isinstance(data, list):
        raise RefusedError(f"The inputs of {form.name} come as a list.", 422)
    if form.free:
        return
    expected = form.inputs
    if len(data) != len(expected) and len(data) == len(form.parameters):
        expected = tuple(form.inputs[place] for place in form.parameters.values())
    if len(data) != len(expected):
        raise RefusedError(f"{form.name} takes {len(expected)} inputs, but got {len(data)}.", 422)
    for number, (value, types) in enumerate(zip(data, expected, strict=True), start=1):
        _check_type(value, types, f"Input {number} of {form.name}")


def check_arguments(arguments: Any, form: EventForm, *, files_as_text: bool = False) -> None:
    """The same for inputs by name, as programs may give them.

    Args:
        files_as_text: Whether files come as text: addresses, or their content.
    """
    if not isinstance(arguments, dict) or not arguments.keys() <= form.parameters.keys():
        raise RefusedError(f"{form.name} takes {' and '.join(form.parameters)}, each by its name.", 422)
    for name, value in arguments.items():
        types = form.inputs[form.parameters[name]]
        _check_type(value, (str,) if files_as_text and types == (dict,) else types, f"{name!r} of {form.name}")


def check_mcp(
    content: Any, tools: Mapping[str, EventForm], uploads: tuple[str, ...], most_text: int
) -> dict[str, Any] | None:
    """Judge a message of the Model Context Protocol.

    Args:
        most_text: Characters that everything in a call may take together, but for the content of files.

    Returns:
        None where it may be passed on; else what is answered instead, as JSON-RPC has it.

    Raises:
        RefusedError: It is no message of this protocol that could be answered.
    """
    if not isinstance(content, dict) or not isinstance(content.get("method"), str):
        if isinstance(content, dict) and ("result" in content or "error" in content):
            return None  # an answer to a question of the server's, which asks none
        raise RefusedError("Expected one message of the Model Context Protocol.")
    method, number = content["method"], content.get("id")
    if number is None and method.startswith("notifications/"):
        return None
    if not isinstance(number, str | int) or len(str(number)) > _LONGEST_ID:
        raise RefusedError(f"Expected an id of up to {_LONGEST_ID} characters.")
    answer = {"jsonrpc": "2.0", "id": number}
    if method not in _METHODS:
        error = f"There is no such method here. Expected one of {', '.join(_METHODS)}."
        return answer | {"error": {"code": _NO_SUCH_METHOD, "message": error}}
    if method != "tools/call":
        return None
    try:
        _check_tool_call(content.get("params"), tools, uploads, most_text)
    except RefusedError as error:
        return answer | {"result": {"content": [{"type": "text", "text": sentence(error)}], "isError": True}}
    return None


def _check_tool_call(params: Any, tools: Mapping[str, EventForm], uploads: tuple[str, ...], most_text: int) -> None:
    params = params if isinstance(params, dict) else {}
    form = tools.get(params["name"]) if isinstance(params.get("name"), str) else None
    if form is None:
        raise RefusedError(f"There is no tool of this name. Expected one of {', '.join(tools)}.")
    arguments = params.get("arguments") or {}
    check_arguments(arguments, form, files_as_text=True)
    rest = dict(params)
    rest["arguments"] = {}
    for name, value in arguments.items():
        if form.inputs[form.parameters[name]] != (dict,) or value is None:
            rest["arguments"][name] = value
        elif not value.startswith("data:"):
            _path_of_upload(value, uploads, address=True)
    if len(json.dumps(rest)) > most_text:
        raise RefusedError("This call is too large. Only a recording may be long.")


def _check_type(value: Any, types: tuple[type, ...], what: str) -> None:
    if value is not None and types and not isinstance(value, types):
        expected = " or ".join(_IN_WORDS[one] for one in types if one in _IN_WORDS)
        raise RefusedError(f"{what} is {_IN_WORDS.get(type(value), 'something else')}. Expected {expected}.", 422)


_IN_WORDS: Mapping[type, str] = {
    str: "text", bool: "yes or no", int: "a number", float: "a number with a fraction", list: "a list", dict: "a file",
}  # fmt: skip


def _files(content: Any) -> Iterator[dict[str, Any]]:
    """All objects in a JSON value that could stand for a file."""
    rest = [content]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                yield one
            rest += one.values()
        elif isinstance(one, list):
            rest += one


def _path_of_upload(text: str, uploads: tuple[str, ...], *, address: bool = False) -> str:
    """The path of an upload that is named by its path, or by its address on this server.

    Args:
        address: Only an address is taken.
    """
    plain = _unquoted(text)
    if _ADDRESS.match(plain):
        _, found, path = plain.partition(_OF_FILES)
        plain = path if found else ""
    elif address:
        plain = ""
    clean = posixpath.normpath(plain)
    if "\0" in plain or not any(clean == folder or clean.startswith(f"{folder}/") for folder in uploads):
        raise RefusedError(_FETCHED)
    return plain


def _unquoted(text: str) -> str:
    """Percent-decoded again and again, until nothing changes."""
    for _ in range(_MOST_QUOTED):
        decoded = unquote(text)
        if decoded == text:
            return text
        text = decoded
    raise RefusedError(_FETCHED)
