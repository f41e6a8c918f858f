"""The endpoints, called by Gradio's own client and over MCP: they give what the page gives, and sentences."""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from ast_demo.audio.decoding import read_audio
from ast_demo.data.reading import read_labelled_clips
from ast_demo.evaluation import evaluate
from ast_demo.explain.clip_report import report_clip
from ast_demo.export.summaries import summarise_comparison, summarise_report
from ast_demo.inspection.comparison import compare
from ast_demo.models.loading import load_checkpoint, shipped_names
from tests.clips import REPOSITORY, SAMPLES, sample_clips
from tests.public.caller import sentence_of
from tests.served import App
from tests.waiting import wait_for

CLIP = sample_clips(20)[7]
CHECKPOINTS = shipped_names()[:2]


@pytest.fixture(scope="module")
def client(public_app: App) -> Iterator[Client]:
    with contextlib.closing(Client(public_app.url, verbose=False, analytics_enabled=False)) as one:
        yield one


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "clips.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for label in ("3", "rain", "rooster"):
            for file in sorted((SAMPLES / label).glob("*.ogg"))[:2]:
                zipped.write(file, f"{label}/{file.name}")
        zipped.writestr("rain/broken.ogg", b"no sound")
    return path


def timeless(answer: Any) -> Any:
    """Without what differs from call to call."""
    if isinstance(answer, dict):
        return {key: timeless(value) for key, value in answer.items() if key not in ("seconds", "clip")}
    if isinstance(answer, list):
        return [timeless(value) for value in answer]
    return pytest.approx(answer, abs=1e-5) if isinstance(answer, float) else answer


def use(app: App, tool: str, **arguments: Any) -> tuple[bool, str]:
    """Whether a tool failed, and what it said, over MCP: Gradio writes objects as Python does."""

    async def talk() -> tuple[bool, str]:
        async with (
            streamable_http_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            answer = await session.call_tool(tool, arguments)
            return answer.isError, answer.content[0].text

    return asyncio.run(talk())


def as_data(path: Path) -> str:
    return f"data:audio/ogg;base64,{base64.b64encode(path.read_bytes()).decode()}"


@pytest.fixture(scope="module")
def expected_inspection() -> dict:
    return json.loads(json.dumps(summarise_report(report_clip(read_audio(CLIP), load_checkpoint(CHECKPOINTS[0])))))


@pytest.fixture(scope="module")
def expected_comparison() -> dict:
    return json.loads(json.dumps(summarise_comparison(compare(read_audio(CLIP), CHECKPOINTS, load_checkpoint))))


@pytest.fixture(scope="module")
def expected_evaluation(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("expected")
    evaluate(read_labelled_clips(archive), CHECKPOINTS, load_checkpoint, folder)
    return json.loads((folder / "metrics.json").read_text())


def test_three_endpoints_and_no_more_are_told_of(public_app: App) -> None:
    told = httpx.get(f"{public_app.url}/gradio_api/info", trust_env=False).json()
    assert set(told["named_endpoints"]) == {"/inspect", "/compare", "/evaluate"}
    assert not told["unnamed_endpoints"]
    for endpoint in told["named_endpoints"].values():
        assert endpoint["description"]
        assert all(parameter["type"] for parameter in endpoint["parameters"])


def test_tools_say_what_they_need(public_app: App) -> None:
    schema = httpx.get(f"{public_app.url}/gradio_api/mcp/schema", trust_env=False).json()
    required = {tool["name"]: tool["inputSchema"].get("required", []) for tool in schema}
    assert required == {"inspect": ["clip"], "compare": ["clip"], "evaluate": []}


def test_inspect_gives_what_the_page_gives(client: Client, public_app: App, expected_inspection: dict) -> None:
    answer = client.predict(handle_file(CLIP), CHECKPOINTS[0], api_name="/inspect")
    assert answer == timeless(expected_inspection) | {"seconds": answer["seconds"], "clip": CLIP.name}
    failed, text = use(public_app, "inspect", clip=as_data(CLIP), checkpoint=CHECKPOINTS[0])
    assert not failed
    assert {**ast.literal_eval(text), "seconds": 0, "clip": ""} == timeless(expected_inspection) | {
        "seconds": 0,
        "clip": "",
    }


def test_a_long_recording_is_told_in_full(client: Client, public_app: App) -> None:
    """Not its beginning alone: the same windows, and the same mean, as on the command line."""
    path = SAMPLES / "rain" / "longer-than-the-window.ogg"
    expected = json.loads(json.dumps(summarise_report(report_clip(read_audio(path), load_checkpoint(CHECKPOINTS[0])))))
    assert len(expected["windows"]) > 1
    job = client.submit(handle_file(path), CHECKPOINTS[0], api_name="/inspect")
    answer = job.result()
    assert answer == timeless(expected) | {"seconds": answer["seconds"], "clip": path.name}
    assert f"of {len(expected['windows'])} windows" in job.outputs()[0]["progress"]
    failed, text = use(public_app, "inspect", clip=as_data(path), checkpoint=CHECKPOINTS[0])
    assert not failed
    assert ast.literal_eval(text)["pooled"] == timeless(expected["pooled"])


def test_compare_gives_what_the_page_gives(client: Client, public_app: App, expected_comparison: dict) -> None:
    answer = client.predict(handle_file(CLIP), CHECKPOINTS, api_name="/compare")
    assert answer["agreement"] == timeless(expected_comparison["agreement"])
    assert [one["predictions"] for one in answer["inspections"]] == timeless(
        [one["predictions"] for one in expected_comparison["inspections"]]
    )
    failed, text = use(public_app, "compare", clip=as_data(CLIP), chosen=CHECKPOINTS)
    assert not failed
    assert ast.literal_eval(text)["agreement"] == timeless(expected_comparison["agreement"])


def test_evaluate_gives_what_the_page_gives(
    client: Client, public_app: App, archive: Path, expected_evaluation: dict
) -> None:
    job = client.submit(handle_file(archive), CHECKPOINTS, api_name="/evaluate")
    answer = job.result()
    assert {key: answer[key] for key in expected_evaluation} == timeless(expected_evaluation)
    assert "7 of 7 clips" in job.outputs()[-2]["progress"]
    # Over MCP, as those who have uploaded it themselves: by the address that they got it at.
    with httpx.Client(base_url=public_app.url, trust_env=False) as visitor:
        path = visitor.post("/gradio_api/upload", files={"files": (archive.name, archive.read_bytes())}).json()[0]
    address = f"{public_app.url}/gradio_api/file={path}"
    failed, text = use(public_app, "evaluate", archive=address, chosen=CHECKPOINTS)
    assert not failed
    assert ast.literal_eval(text)["checkpoints"] == timeless(expected_evaluation["checkpoints"])


@pytest.mark.parametrize(
    ("endpoint", "arguments", "sentence"),
    [
        ("inspect", (None, CHECKPOINTS[0]), "No recording was given. Expected WAV,"),
        ("inspect", (CLIP, "nobody/nothing"), "'nobody/nothing' is not loaded here."),
        ("inspect", (CLIP, "/etc"), "There is no checkpoint '/etc'. Expected 'sounds-and-digits-10-10', "),
        ("compare", (CLIP, CHECKPOINTS[:1]), "Expected 2 to 4 checkpoints to compare, got 1."),
        ("evaluate", (CLIP, CHECKPOINTS), f"{CLIP.name!r} is no ZIP archive."),
        ("evaluate", (None, []), "Expected one to 4 different checkpoints to evaluate, got none."),
    ],
)
def test_mistakes_get_the_same_sentences(
    client: Client, public_app: App, endpoint: str, arguments: tuple, sentence: str
) -> None:
    first, second = arguments
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(first) if first else None, second, api_name=f"/{endpoint}")
    assert sentence_of(str(caught.value)).startswith(sentence)
    names = {"inspect": ("clip", "checkpoint"), "compare": ("clip", "chosen"), "evaluate": ("archive", "chosen")}
    if first is not None and endpoint != "evaluate":
        given = dict(zip(names[endpoint], (as_data(first), second), strict=True))
        failed, text = use(public_app, endpoint, **given)
        assert failed
        assert sentence in text


def test_the_readmes_programs_run(
    public_app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    codes = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs" / "for-programs.md").read_text(encoding="utf-8"), re.DOTALL
    )
    programs = [code for code in codes if "http://127.0.0.1:7860" in code]
    assert len(programs) == 2
    for code in programs:
        exec(compile(code.replace("http://127.0.0.1:7860", public_app.url), "README.md", "exec"), {})
    *_, of_client, _, _, of_tool = capsys.readouterr().out.splitlines()
    assert ast.literal_eval(of_client)[0]["label"] == "7"
    assert ast.literal_eval(of_tool)["predictions"][0]["label"] == "7"


def test_no_address_is_fetched_over_mcp(public_app: App) -> None:
    for address in ("http://127.0.0.1:9/a.wav", "https://huggingface.co/a.wav", "/etc/passwd"):
        failed, text = use(public_app, "inspect", clip=address, checkpoint=CHECKPOINTS[0])
        assert failed
        assert "Traceback" not in text


def test_who_hangs_up_stops_the_evaluation(client: Client, public_app: App, archive: Path) -> None:
    """The next one runs, and of the first there is nothing left, without its ever having come to its end."""
    kept = public_app.results()  # of visitors of the page before
    job = client.submit(None, CHECKPOINTS, api_name="/evaluate")

    def running() -> list[Path]:
        return [path for path in public_app.results() - kept if (path / "parts").is_dir()]

    assert wait_for(lambda: job.outputs() and running(), 120)
    folders = running()
    job.cancel()
    answer = client.predict(handle_file(archive), [CHECKPOINTS[0]], api_name="/evaluate")
    assert answer["checkpoints"][CHECKPOINTS[0]]["clips"] == 6
    ended = []

    def are_gone() -> bool:
        ended.extend(folder for folder in folders if (folder / "evaluation.parquet").exists())
        return not any(folder.exists() for folder in folders)

    assert wait_for(are_gone, 120)
    assert not ended
