"""Through the program's own port a visitor reaches their own evaluation, and nothing else by any way that was tried."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import psutil
import pytest
import soundfile
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ast_demo.evaluation import Evaluation
from tests.spotlight.conftest import House
from tests.waiting import wait_for

# Files, other datasets, documentation; and ways to spell them that a careless proxy lets through.
REFUSED = (
    "api/browse/",
    "api/browse/etc",
    "api/table/open/etc/passwd",
    "api/table/../browse/",
    "api/table/%2e%2e/browse/",
    "api/table/..%2fbrowse/",
    "api/table/%2E%2E%2Fbrowse%2F",
    "api/table/..%5cbrowse/",
    "api//browse/",
    "api/table/audio/3/../../../browse/",
    "static/../api/browse/",
    "static/%2e%2e/%2e%2e/app.py",
    "static/..%2f..%2fapp.py",
    "static//etc/passwd",
    "/etc/passwd",
    "//127.0.0.1/",
    "docs",
    "docs/",
    "redoc",
    "openapi.json",
    "api/config/",
    "api/unknown",
    "api/ws",
)


@pytest.fixture(scope="module")
def url(house: House) -> str:
    return house.open(0)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, trust_env=False) as one:
        yield one


def raw(url: str, path: str, method: str = "GET") -> int:
    """Status of a request whose path is sent as it is, which clients that tidy up would not do."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        request = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(request.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_the_page_and_what_it_asks_for_are_served(url: str, client: httpx.Client, evaluation: Evaluation) -> None:
    page = client.get(url)
    assert page.status_code == 200
    assert 'src="static/main.js"' in page.text
    assert "__filebrowsing_allowed__ = false" in page.text
    assert client.get(url + "static/main.js").headers["content-type"].startswith(("application/java", "text/java"))
    table = client.get(url + "api/table/").json()
    assert [column["name"] for column in table["columns"]][:2] == ["clip", "label"]
    assert len(table["columns"][0]["values"]) == len(evaluation.table)
    types = {column["name"]: column["dtype"]["name"] for column in table["columns"]}
    assert (types["audio"], types["rollout (one)"], types["home page"]) == ("Audio", "Image", "Category")
    layout = client.get(url + "api/layout/").json()
    assert "Clips, mistakes first" in json.dumps(layout)
    titles = {issue["title"] for issue in client.get(url + "api/issues/").json()["issues"]}
    assert any(title.startswith("Wrong and confident") or "is wrong" in title for title in titles)


def test_a_selected_row_has_its_sound_and_its_pictures(url: str, client: httpx.Client, evaluation: Evaluation) -> None:
    row = int(np.flatnonzero(~evaluation.table["correct (one)"])[0])
    sound = client.get(f"{url}api/table/audio/{row}?generation_id=0")
    samples, rate = soundfile.read(io.BytesIO(sound.content))
    expected, _ = soundfile.read(io.BytesIO(evaluation.table["audio"][row]))
    assert rate == 16_000
    np.testing.assert_array_equal(samples, expected)
    waveform = client.get(f"{url}api/table/audio/{row}/waveform?generation_id=0").json()
    assert np.abs(waveform).max() == pytest.approx(np.abs(expected).max(), abs=0.01)
    for name in ("spectrogram", "rollout (one)"):
        # The column's name is sent as browsers send it, with its space and its brackets encoded.
        cell = client.get(f"{url}api/table/{quote(name, safe='')}/{row}?generation_id=0")
        picture = Image.open(io.BytesIO(cell.content))
        original = Image.open(io.BytesIO(evaluation.table[name][row]))
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.asarray(original.convert("RGB")))


def test_layouts_are_kept_for_the_visitor(url: str, client: httpx.Client) -> None:
    before = client.get(url + "api/layout/").json()
    changed = {"children": [], "orientation": "horizontal"}
    assert client.put(url + "api/layout/", json={"layout": changed}).status_code == 200
    assert client.get(url + "api/layout/").json() == changed
    assert client.put(url + "api/layout/reset").status_code == 200
    assert client.get(url + "api/layout/").json() == before


def answers(url: str) -> bool:
    """Whether a message goes there, and one comes back."""
    try:
        with connect(url.replace("http", "ws") + "api/ws", proxy=None) as opened:
            task = {"task": "no such task", "widget_id": "w", "task_id": "t", "generation_id": 0, "args": {}}
            opened.send(json.dumps({"type": "task", "data": task}))
            answer = json.loads(opened.recv(timeout=20))
            return (answer["type"], answer["data"]["task_id"]) == ("task.error", "t")
    except InvalidStatus:
        return False


def test_messages_go_both_ways(url: str) -> None:
    assert answers(url)


def test_a_page_that_is_open_is_told_of_a_new_table(house: House, url: str) -> None:
    table = house.folders[0] / "evaluation.parquet"
    processes = house.viewers.pids
    with connect(url.replace("http", "ws") + "api/ws", proxy=None) as opened:
        os.utime(table)
        assert house.open(0) == url
        while (message := json.loads(opened.recv(timeout=20))["type"]) != "refresh":
            assert message == "issuesUpdated"
    assert set(processes) <= set(house.viewers.pids)


def test_a_message_that_is_too_large_ends_the_conversation(url: str) -> None:
    with connect(url.replace("http", "ws") + "api/ws", proxy=None) as opened:
        opened.send(json.dumps({"type": "task", "data": "x" * 1_100_000}))
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=20)


def test_only_the_hub_and_this_page_may_frame_it(url: str, client: httpx.Client) -> None:
    for path in ("", "api/table/", "api/nothing"):
        policy = client.get(url + path).headers["content-security-policy"].split("; ")
        assert policy[-1] == "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"


def deaf(url: str, question: bytes) -> socket.socket:
    """A WebSocket that asks as often as it can, two hundred times at most, and reads nothing."""
    parts = urlsplit(url)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(10)
    one.connect((parts.hostname, parts.port))
    one.sendall(
        f"GET {parts.path}api/ws HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = one.recv(1000)
    one.settimeout(1)
    if answer.startswith(b"HTTP/1.1 101"):
        with contextlib.suppress(OSError):  # nobody takes more
            for _ in range(200):
                one.sendall(question)
    return one


def ends(one: socket.socket) -> bool:
    """Whether the other side has closed it, or reset it, once what has come is read."""
    one.settimeout(0.2)
    try:
        while one.recv(1_000_000):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_a_hundred_sockets_that_never_read_take_little_and_are_let_go(
    house: House, url: str, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ast_demo.ui.connections._UNREAD_S", 3.0)
    others = house.open(1)
    viewer = house.viewers.find(urlsplit(url).path.split("/")[-2])
    assert viewer is not None
    assert viewer.process is not None
    task = {"task": "no such task", "widget_id": "w", "task_id": "x" * 900_000, "generation_id": 0, "args": {}}
    text = json.dumps({"type": "task", "data": task}).encode()  # the answer is as long
    question = b"\x81\xff" + struct.pack(">Q", len(text)) + bytes(4) + text  # RFC 6455, masked by zeros
    processes = psutil.Process(), psutil.Process(viewer.process.pid)

    def memory_mb() -> float:
        return sum(one.memory_info().rss for one in processes) / 1e6

    before = memory_mb()
    with ThreadPoolExecutor(20) as people, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in people.map(partial(deaf, url), [question] * 100)]
        assert client.get(others).status_code == 200
        assert client.get(url).status_code == 200
        assert memory_mb() < before + 700  # those that were let in asked for 2.9 GB
        time.sleep(12)  # nothing was read meanwhile
        assert all(people.map(ends, sockets))
    assert wait_for(lambda: answers(url), 20)


def test_a_body_that_is_too_large_is_refused(url: str, client: httpx.Client) -> None:
    layout = {"layout": {"x": "x" * 1_100_000}}
    assert client.put(url + "api/layout/", json=layout).status_code == 413


@pytest.mark.parametrize("path", REFUSED)
def test_other_routes_are_refused(url: str, path: str) -> None:
    assert raw(url, urlsplit(url).path + path) in (403, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "api/table/open/etc/passwd"),
        ("POST", "api/layout/"),
        ("DELETE", "api/table/"),
        ("PUT", "api/table/audio/0"),
        ("POST", ""),
        ("OPTIONS", ""),
    ],
)
def test_other_methods_are_refused(url: str, method: str, path: str) -> None:
    assert raw(url, urlsplit(url).path + path, method) == 404


def test_without_the_right_token_there_is_nothing(house: House, url: str, client: httpx.Client) -> None:
    token = urlsplit(url).path.split("/")[2]
    assert len(token) == 32  # 192 bits in base 64
    for wrong in ("", "x", token[:-1], token + "x", token.swapcase(), token[::-1], f"x/../{token}", quote(token[0])):
        for path in ("", "/", "/api/table/", "/api/ws"):
            status = raw(url, f"/spotlight/{wrong}{path}")
            assert status == 404, (wrong, path)
    with pytest.raises(InvalidStatus):
        connect(f"{house.url.replace('http', 'ws')}/spotlight/{token[:-1]}x/api/ws", proxy=None)


def test_two_visitors_do_not_see_each_others_evaluations(house: House, client: httpx.Client) -> None:
    first, second = house.open(0), house.open(1)
    assert first != second
    lengths = [len(client.get(url + "api/table/").json()["columns"][0]["values"]) for url in (first, second)]
    assert lengths == [15, 7]
    token = urlsplit(first).path.split("/")[2]
    # A row that only the first visitor has; and ways from the second visitor's token to the first one's data.
    assert client.get(f"{first}api/table/audio/10?generation_id=0").status_code == 200
    assert client.get(f"{second}api/table/audio/10?generation_id=0").status_code != 200
    base = urlsplit(second).path
    for path in (
        f"../{token}/api/table/",
        f"%2e%2e/{token}/api/table/",
        f"..%2f{token}%2fapi%2ftable%2f",
        f"static/../../{token}/api/table/",
        f"{token}/api/table/",
    ):
        assert raw(second, base + path) in (403, 404), path
    # The viewer's own cookie says nothing, and none is handed out.
    cookie = {"Cookie": f"browser_id={house.viewers.find(token).browser_id}"}
    other = client.get(second + "api/table/", headers=cookie)
    assert len(other.json()["columns"][0]["values"]) == 7
    assert client.put(first + "api/layout/", json={"layout": {"children": []}}).status_code == 200
    assert client.get(second + "api/layout/", headers=cookie).json()["children"] != []
    client.put(first + "api/layout/reset")


def test_no_cookie_comes_and_the_address_is_not_told_on(url: str, client: httpx.Client) -> None:
    page = client.get(url, headers={"Cookie": "session=secret; browser_id=mine"})
    assert "set-cookie" not in page.headers
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1.evil.example", "file://", ""]
)
def test_pages_of_other_sites_are_refused(url: str, client: httpx.Client, origin: str) -> None:
    assert client.get(url + "api/table/", headers={"Origin": origin}).status_code == 403
    assert client.put(url + "api/layout/reset", headers={"Origin": origin}).status_code == 403
    with pytest.raises(InvalidStatus):
        connect(url.replace("http", "ws") + "api/ws", additional_headers={"Origin": origin}, proxy=None)


def test_pages_of_this_site_are_welcome_also_behind_another_proxy(url: str, client: httpx.Client) -> None:
    here = f"http://{urlsplit(url).netloc}"
    assert client.get(url + "api/issues/", headers={"Origin": here}).status_code == 200
    forwarded = {"Origin": "https://space.example", "X-Forwarded-Host": "space.example"}
    assert client.get(url + "api/issues/", headers=forwarded).status_code == 200
    with connect(url.replace("http", "ws") + "api/ws", origin=here, proxy=None) as opened:
        opened.ping().wait(10)


def test_without_the_last_slash_a_visitor_is_led_on(url: str, client: httpx.Client) -> None:
    answer = client.get(url.rstrip("/"))
    assert (answer.status_code, answer.headers["location"]) == (307, urlsplit(url).path)
