"""Two small evaluations of two tiny checkpoints, and the viewers of both behind a server, once for all tests here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
import soundfile
import uvicorn
from starlette.applications import Starlette

from ast_demo.audio.decoding import SAMPLE_RATE
from ast_demo.data.reading import read_labelled_clips
from ast_demo.evaluation import Evaluation, evaluate, read_evaluation
from ast_demo.models.loading import load_checkpoint
from ast_demo.settings import Settings
from ast_demo.spotlight.proxy import route
from ast_demo.spotlight.viewers import Viewers
from ast_demo.ui.connections import bound_connections
from tests.clips import noise, tone
from tests.tiny import LABELS, save_tiny

LIMIT = 2  # of the viewers in these tests


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Fifteen clips, three of each label; a text column, and one whose text looks like an address."""
    folder = tmp_path_factory.mktemp("evaluation")
    models = [save_tiny(folder / name, seed=seed) for name, seed in (("one", 1), ("two", 2))]
    rows = ["file_name,label,speaker,home page"]
    for place, label in enumerate(LABELS * 3):
        samples = noise(0.4 + 0.1 * place, seed=place, level=0.01)
        samples = samples + tone(200 + 90 * place, len(samples) / SAMPLE_RATE, level=0.1 + 0.06 * place)
        soundfile.write(folder / f"{place}.wav", samples, SAMPLE_RATE)
        rows.append(f"{place}.wav,{label},{'Ann' if place % 2 else 'Bob'},http://127.0.0.1:9/{place}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    result = evaluate(read_labelled_clips(folder), [str(model) for model in models], load_checkpoint, folder / "out")
    assert any(result.table["correct (one)"])
    assert not all(result.table["correct (one)"])
    return read_evaluation(result.folder)


@dataclass(frozen=True)
class House:
    """A program that serves viewers: two evaluations have been opened by two visitors."""

    viewers: Viewers
    url: str
    folders: tuple[Path, Path, Path]

    def open(self, which: int) -> str:
        """URL of the viewer of one of the evaluations, opened again if need be."""
        return self.url + self.viewers.open(self.folders[which])


@pytest.fixture(scope="session")
def house(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    others = []
    for rows in (7, 4):  # as many clips, so that one can tell them apart
        folder = tmp_path_factory.mktemp("other") / "out"
        shutil.copytree(evaluation.folder, folder)
        read_evaluation(folder).table.head(rows).to_parquet(folder / "evaluation.parquet", index=False)
        others.append(folder)
    settings = Settings(viewers=LIMIT)
    viewers = Viewers(settings)
    config = uvicorn.Config(Starlette(routes=[route(viewers)]), port=0, log_level="warning")
    config.load()
    bound_connections(config, settings, behind_proxy=False)  # as the program's own server does
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, daemon=True)
    try:
        viewers.prepare()
        thread.start()
        while not server.started:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield House(viewers, f"http://127.0.0.1:{port}", (evaluation.folder, *others))
    finally:
        server.should_exit = True
        thread.join(20)
        viewers.close_all()
