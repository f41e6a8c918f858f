"""Viewer processes: within the limit, closed when idle, started again when they died, and none left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from ast_demo.errors import DataError
from ast_demo.evaluation import Evaluation
from ast_demo.settings import Settings
from ast_demo.spotlight.layout import write_layout
from ast_demo.spotlight.viewers import Viewers
from tests.clips import REPOSITORY
from tests.spotlight.conftest import LIMIT, House
from tests.waiting import wait_for


def rows(url: str) -> int:
    table = httpx.get(url + "api/table/", timeout=30, trust_env=False).json()
    return len(table["columns"][0]["values"])


def viewer_of(house: House, url: str):
    return house.viewers.find(url.split("/")[-2])


def is_running(pid: int) -> bool:
    """Whether it lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_second_click_finds_the_same_viewer(house: House) -> None:
    first = house.open(0)
    processes = house.viewers.pids
    began = time.monotonic()
    assert house.open(0) == first
    assert time.monotonic() - began < 1
    assert house.viewers.pids == processes


def test_a_viewer_that_was_prepared_opens_at_once(house: House) -> None:
    viewer_of(house, house.open(1)).close("The test has closed it.")
    spare = house.viewers._spare
    assert spare.wait_until_ready()
    began = time.monotonic()
    url = house.open(1)
    # A tenth of it on quiet cores. One that was not prepared takes ten seconds there.
    assert time.monotonic() - began < 4
    assert viewer_of(house, url).process is spare
    assert rows(url) == 7


def test_more_than_the_limit_closes_the_least_recently_used(house: House) -> None:
    first, second = house.open(0), house.open(1)
    assert rows(first) == 15  # the first one is used after the second
    third = house.open(2)
    assert rows(third) == 4
    assert rows(first) == 15
    answer = httpx.get(second, trust_env=False)
    assert answer.status_code == 410
    assert "Others were opened after it, and at most 2 are open at a time." in answer.text
    assert len(house.viewers.pids) <= LIMIT + 1
    # One click brings it back, at the same address.
    link = re.search(r'href="\./(\w+)"', answer.text)[1]
    again = httpx.get(second + link, timeout=60, trust_env=False)
    assert (again.status_code, again.headers["location"]) == (303, "./")
    assert rows(second) == 7
    assert len(house.viewers.pids) <= LIMIT + 1
    assert sum(httpx.get(url, trust_env=False).status_code == 410 for url in (first, third)) == 1


def test_a_viewer_that_nobody_uses_is_closed(house: House) -> None:
    first, second = house.open(0), house.open(1)
    process = viewer_of(house, first).process
    viewer_of(house, first).last_used -= 1801
    house.viewers.close_idle()
    assert wait_for(lambda: not is_running(process.pid))
    assert not process.folder.exists()
    answer = httpx.get(first, trust_env=False)
    assert answer.status_code == 410
    assert "Nobody has used it for 30 minutes." in answer.text
    assert rows(second) == 7


def test_a_process_that_was_killed_is_noticed_and_its_evaluation_opened_again(house: House) -> None:
    url = house.open(0)
    process = viewer_of(house, url).process
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for(lambda: not process.alive)
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 410
    assert "It has ended unexpectedly." in answer.text
    assert not process.folder.exists()
    assert house.open(0) == url
    assert viewer_of(house, url).process is not process
    assert rows(url) == 15


def test_a_spare_process_that_was_killed_is_replaced(house: House) -> None:
    url = house.open(0)
    spare = house.viewers._spare
    os.kill(spare.pid, signal.SIGKILL)
    assert wait_for(lambda: not spare.alive)
    viewer_of(house, url).close("The test has closed it.")
    assert rows(house.open(0)) == 15


def test_a_folder_without_an_evaluation_gets_a_sentence(house: House, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no finished evaluation in"):
        house.viewers.open(tmp_path)


PROGRAM = """
import sys
from pathlib import Path
from ast_demo.settings import Settings
from ast_demo.spotlight.viewers import Viewers

viewers = Viewers(Settings())
viewers.prepare()
if sys.argv[1:]:
    viewers.open(Path(sys.argv[1]))
print(*viewers.pids, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=["SIGTERM", "Ctrl-C", "SIGKILL"])
def test_no_process_is_left_behind(end: signal.Signals, tmp_path: Path) -> None:
    """However the program ends; here while a viewer is just starting."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with program:
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 1
        assert is_running(pids[0])
        program.send_signal(end)
        program.wait(20)
    assert wait_for(lambda: not any(map(is_running, pids)))
    assert wait_for(lambda: not list(tmp_path.iterdir()))  # nor what it has written down


def test_after_the_end_nothing_is_started(tmp_path: Path) -> None:
    viewers = Viewers(Settings())
    viewers.close_all()
    with pytest.raises(DataError, match="The program is being closed"):
        viewers.prepare()
    assert viewers.pids == []


def test_the_command_serves_an_evaluation_until_it_is_stopped(evaluation: Evaluation, tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "ast_demo", "spotlight", str(evaluation.folder)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        url = program.stdout.readline().strip()
        assert rows(url) == 15
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == "Starting Spotlight, which takes some ten seconds ...\n"
        assert program.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        rows(url)
    assert wait_for(lambda: not list(tmp_path.iterdir()))


def test_spotlights_own_command_opens_the_table_with_the_layout(evaluation: Evaluation) -> None:
    table = evaluation.folder / "evaluation.parquet"
    layout = write_layout(evaluation)
    command = Path(sys.executable).with_name("spotlight")
    program = subprocess.Popen(
        [str(command), str(table), "--layout", str(layout), "--no-browser", "--host", "127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        # Spotlight tells first which analysers are not installed.
        lines = iter(program.stdout.readline, "")
        url = next(filter(None, (re.fullmatch(r"Spotlight running on (\S+)\n", line) for line in lines)))[1]
        columns = httpx.get(url + "api/table/", timeout=30, trust_env=False).json()["columns"]
        types = {column["name"]: column["dtype"]["name"] for column in columns}
        assert (types["audio"], types["spectrogram"], types["rollout (one)"]) == ("Audio", "Image", "Image")
        assert (types["correct (one)"], types["x (one)"]) == ("bool", "float")
        # As a column of strings it would be asked for address by address, and nobody answers at any of them.
        assert {types[name] for name in ("clip", "label", "home page", "top_3 (one)")} == {"Category"}
        served = httpx.get(url + "api/layout/", trust_env=False).json()
        written = json.loads(layout.read_text(encoding="utf-8"))
        assert titles(served) == titles(written)
        sound = httpx.get(url + "api/table/audio/3?generation_id=0", timeout=30, trust_env=False)
        assert sound.content[:4] == b"RIFF"
    finally:
        program.terminate()
        program.wait(20)
        program.stdout.close()


def titles(node: dict) -> list[str]:
    """Names of the widgets and of their lenses, in their order."""
    views = (node.get("config") or {}).get("views") or []
    inside = [title for child in node.get("children", []) for title in titles(child)]
    return [*([node["name"]] if "name" in node else []), *(view["name"] for view in views), *inside]
