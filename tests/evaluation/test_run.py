"""Evaluation: each row is what Inspect says of that clip, a run that stops goes on, mistakes get a sentence."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from scipy.special import log_softmax
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, f1_score

from ast_demo.audio.decoding import SAMPLE_RATE, read_audio
from ast_demo.data.reading import read_labelled_clips
from ast_demo.errors import AstDemoError, CheckpointError, DataError
from ast_demo.evaluation import PICTURES_OF_A_MISTAKE, column, evaluate, read_evaluation
from ast_demo.evaluation import rows as evaluation_rows
from ast_demo.explain.mistakes import explain_mistake
from ast_demo.figures import map_thumbnail
from ast_demo.inspection.inspection import inspect
from ast_demo.inspection.windows import cut_window, window_starts
from ast_demo.models.cache import CheckpointCache
from ast_demo.models.loading import load_checkpoint
from ast_demo.settings import Settings
from tests.clips import noise, tone, waveform
from tests.tiny import LABELS, build_model, save, save_tiny
from tests.tiny_sequence import save_sequence_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return save_tiny(folder / "one", seed=1), save_tiny(folder / "two", seed=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each label, 61 clips in all, so that there are three parts; one of them cannot be read."""
    folder = tmp_path_factory.mktemp("data")
    for place, label in enumerate(LABELS):
        (folder / label).mkdir()
        for number in range(12):
            samples = noise(0.3 + 0.1 * number, seed=100 * place + number, level=0.01)
            samples = samples + tone(200 + 300 * place, len(samples) / SAMPLE_RATE, level=0.05 + 0.06 * number)
            soundfile.write(folder / label / f"{number}.wav", samples, SAMPLE_RATE)
    (folder / "dog" / "broken.wav").write_text("this is no sound")
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("results") / "evaluation"
    evaluate(read_labelled_clips(data), [str(model) for model in models], load_checkpoint, folder)
    return read_evaluation(folder)


def test_each_row_is_what_inspect_says_of_the_clip(finished, data: Path, models: tuple[Path, Path]) -> None:
    """Of a clip that is longer than the input: the mean of what it says of the windows, each by itself."""
    assert len(finished.table) == 60
    for model in models:
        checkpoint = load_checkpoint(model)
        name = checkpoint.facts.name
        rows = finished.table.iloc[::13]
        fits = rows["duration_s"] < 0.95
        assert fits.any()
        assert not fits.all()
        for _, row in rows.iterrows():
            clip = read_audio(data / row["clip"])
            windows = [
                inspect(cut_window(clip, checkpoint, start), checkpoint)
                for start in window_starts(len(clip.samples), checkpoint)
            ]
            assert (len(windows) == 1) == (row["duration_s"] < 0.95)
            scores = np.mean([one.prediction.scores for one in windows], axis=0)
            best = int(scores.argmax())
            shown = max(windows, key=lambda one: one.prediction.scores[best])
            assert row[column("prediction", name)] == LABELS[best]
            assert row[column("confidence", name)] == pytest.approx(scores[best], abs=1e-5)  # alone, and in a batch
            assert row[column("correct", name)] == (LABELS[best] == row["label"])
            true = LABELS.index(row["label"])
            if len(windows) == 1:
                logits = shown.prediction.logits.astype(np.float64)
                assert row[column("loss", name)] == pytest.approx(-log_softmax(logits)[true], rel=1e-5)
            assert row[column("loss", name)] == pytest.approx(-np.log(scores[true]), rel=1e-4)
            assert row[column("entropy_bits", name)] == pytest.approx(entropy(scores, base=2), rel=1e-4)
            ranked = np.sort(scores)
            assert row[column("margin", name)] == pytest.approx(ranked[-1] - ranked[-2], abs=1e-5)
            np.testing.assert_allclose(row[column("scores", name)], scores, atol=1e-5)
            embedding = np.mean([one.prediction.embedding for one in windows], axis=0)
            np.testing.assert_allclose(row[column("embedding", name)], embedding, atol=1e-5)
            assert row[column("window_start_s", name)] == shown.waveform.start_s
            assert row[column("rollout_on_padding", name)] == pytest.approx(shown.rollout.padding_share[-1], abs=1e-5)
            assert row[column("padding_share", name)] == shown.padding_share
            assert row[column("truncated_s", name)] == shown.truncated_s


def test_only_the_beginning_of_long_clips_if_that_is_asked_for(
    finished, data: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    references = [str(models[0])]
    clips = read_labelled_clips(data)
    evaluate(clips, references, load_checkpoint, tmp_path / "evaluation", windows=False)
    table = read_evaluation(tmp_path / "evaluation").table
    checkpoint = load_checkpoint(models[0])
    name = checkpoint.facts.name
    scores = column("scores", name)
    fits = table["duration_s"] < 0.95
    for one, other in zip(table[fits][scores], finished.table[fits][scores], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    apart = 0
    for place in np.flatnonzero(~fits)[::7]:
        row = table.iloc[place]
        beginning = inspect(read_audio(data / row["clip"]), checkpoint)
        np.testing.assert_allclose(row[scores], beginning.prediction.scores, atol=1e-5)
        assert row[column("truncated_s", name)] > 0
        apart += bool(np.abs(row[scores] - finished.table.iloc[place][scores]).max() > 1e-4)
    assert apart
    with pytest.raises(DataError, match="holds another evaluation"):
        evaluate(clips, references, load_checkpoint, tmp_path / "evaluation")


def test_the_audio_of_a_row_is_the_clip_as_it_was_heard_in_two_equal_channels(finished, data: Path) -> None:
    row = finished.table.iloc[17]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]))
    assert rate == SAMPLE_RATE
    np.testing.assert_array_equal(samples[:, 0], samples[:, 1])
    # Half a step of 16 bits.
    np.testing.assert_allclose(samples[:, 0], read_audio(data / row["clip"]).samples, atol=1 / 32768)


def test_pictures_are_there_and_those_of_the_rollout_for_mistakes(finished) -> None:
    for _, row in finished.table.iterrows():
        assert Image.open(io.BytesIO(row["spectrogram"])).size == (89, 2 * 43)
        for name in finished.checkpoints:
            picture = row[column("rollout", name)]
            assert (picture is None) == row[column("correct", name)]
            assert picture is None or Image.open(io.BytesIO(picture)).size == (89, 2 * 43)


def test_every_mistake_is_explained_and_nothing_else(finished, data: Path, models: tuple[Path, Path]) -> None:
    """As `explain_mistake` explains the window that is pictured, for the predicted and for the true label."""
    for model in models:
        checkpoint = load_checkpoint(model)
        name = checkpoint.facts.name
        explained = finished.table[column("fall_by_map", name)].notna()
        np.testing.assert_array_equal(explained, ~finished.table[column("correct", name)])
        for field in PICTURES_OF_A_MISTAKE:
            np.testing.assert_array_equal(finished.table[column(field, name)].notna(), explained)
        for _, row in finished.table[explained].iloc[::9].iterrows():
            clip = read_audio(data / row["clip"])
            window = cut_window(clip, checkpoint, round(row[column("window_start_s", name)] * SAMPLE_RATE))
            inspection = inspect(window, checkpoint)
            mistake = explain_mistake(inspection, checkpoint, row[column("prediction", name)], row["label"])
            for field, value in asdict(mistake.facts).items():
                assert row[column(field, name)] == pytest.approx(value, abs=1e-4), field
            for field, relevance in zip(PICTURES_OF_A_MISTAKE, (mistake.predicted, mistake.true), strict=True):
                assert relevance is not None
                shown, expected = (
                    np.asarray(Image.open(io.BytesIO(picture))).astype(int)
                    for picture in (row[column(field, name)], map_thumbnail(inspection, relevance))
                )
                assert np.abs(shown - expected).max() <= 1


def test_large_checkpoints_explain_their_mistakes_only_if_asked(
    data: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = read_labelled_clips(data)
    clips = replace(clips, clips=clips.clips[:7])

    def explained(explain: bool | None) -> bool:
        folder = tmp_path / f"{explain} {evaluation_rows.QUICK_PARAMETERS}"
        table = evaluate(clips, [str(models[0])], load_checkpoint, folder, explain=explain).table
        assert not table[column("correct", "one")].all()
        return column("fall_by_map", "one") in table

    assert [explained(choice) for choice in (None, True, False)] == [True, True, False]
    monkeypatch.setattr(evaluation_rows, "QUICK_PARAMETERS", 1000)
    assert [explained(choice) for choice in (None, True, False)] == [False, True, False]


def test_checkpoints_without_a_patch_grid_have_empty_cells(tmp_path: Path) -> None:
    """Of WavLM no gradient of the attention can be had either."""
    models = [save_sequence_model(kind, tmp_path / kind) for kind in ("wavlm", "wav2vec2")]
    models.append(save_tiny(tmp_path / "one", seed=1))
    for label in LABELS:
        (tmp_path / "data" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / label / "a.wav", noise(0.5, seed=len(label)), SAMPLE_RATE)
    clips = read_labelled_clips(tmp_path / "data")
    table = evaluate(clips, [str(model) for model in models], load_checkpoint, tmp_path / "out", explain=True).table
    for name in ("wavlm", "wav2vec2", "one"):
        assert not table[column("correct", name)].all()
        assert (column("fall_by_map", name) in table) == (name == "one")


def test_metrics_equal_scikit_learns_on_the_table_that_was_written(finished) -> None:
    table = pd.read_parquet(finished.folder / "evaluation.parquet")
    written = json.loads((finished.folder / "metrics.json").read_text())["checkpoints"]
    for name in finished.checkpoints:
        predicted = table[column("prediction", name)]
        assert written[name]["clips"] == 60
        assert written[name]["accuracy"] == pytest.approx(accuracy_score(table["label"], predicted))
        assert written[name]["f1"] == pytest.approx(f1_score(table["label"], predicted, average="macro"))
        for picture in ("confusion", "reliability"):
            assert (finished.folder / f"{picture}_{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert [one["checkpoints"] for one in finished.comparisons] == [["one", "two"]]


def test_the_table_opens_in_duckdb(finished) -> None:
    file = finished.folder / "evaluation.parquet"
    for name in finished.checkpoints:
        (count,) = duckdb.execute(
            f'SELECT count(*) FROM read_parquet(?) WHERE NOT "{column("correct", name)}"', [str(file)]
        ).fetchone()
        assert count == (~finished.table[column("correct", name)]).sum() > 0
    kinds = {name: kind for name, kind, *_ in duckdb.execute("DESCRIBE FROM read_parquet(?)", [str(file)]).fetchall()}
    assert (kinds["clip"], kinds["audio"], kinds["embedding (one)"]) == ("VARCHAR", "BLOB", "FLOAT[]")


def test_a_clip_that_cannot_be_read_is_listed_with_its_reason(finished) -> None:
    assert set(finished.unreadable) == {"dog/broken.wav"}
    assert "is not a recording that can be read" in finished.unreadable["dog/broken.wav"]
    assert "dog/broken.wav" not in set(finished.table["clip"])


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [1, 25, 40])
def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_table(
    finished, data: Path, models: tuple[Path, Path], tmp_path: Path, stop_at: int
) -> None:
    clips, references = read_labelled_clips(data), [str(model) for model in models]
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        if done >= stop_at:
            raise _KilledError

    with pytest.raises(_KilledError):
        evaluate(clips, references, load_checkpoint, tmp_path, progress=stop)
    assert not (tmp_path / "evaluation.parquet").exists()
    calls.clear()
    resumed = evaluate(clips, references, load_checkpoint, tmp_path, progress=lambda *call: calls.append(call))
    assert calls[0] == (stop_at // 25 * 25, 61)  # parts of 25 clips are kept whole
    assert calls[-1] == (61, 61)
    again = read_evaluation(tmp_path)
    pd.testing.assert_frame_equal(again.table, finished.table)
    pd.testing.assert_frame_equal(resumed.table, again.table[resumed.table.columns])
    assert (again.metrics, again.checkpoints) == (resumed.metrics, resumed.checkpoints)


def test_labels_match_without_regard_to_case_spaces_and_underscores_or_by_a_map(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0.5), SAMPLE_RATE)
    soundfile.write(tmp_path / "b.wav", noise(0.5, seed=1), SAMPLE_RATE)
    (tmp_path / "metadata.csv").write_text("file_name,label\na.wav,D_O g\nb.wav,Hund\n")
    clips = read_labelled_clips(tmp_path)
    with pytest.raises(DataError, match=r"'one' does not know these labels of the data: Hund\. It knows bell, dog,"):
        evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out")
    mapped = evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out", label_map={"hund": "dog"})
    assert list(mapped.table["label"]) == ["dog", "dog"]  # one label has one spelling: the first checkpoint's
    row = mapped.table.iloc[1]
    one = inspect(read_audio(tmp_path / "b.wav"), load_checkpoint(models[0]))
    logits = one.prediction.logits.astype(np.float64)
    assert row[column("loss", "one")] == pytest.approx(-log_softmax(logits)[LABELS.index("dog")])


def test_labels_count_once_however_they_are_spelled(models: tuple[Path, Path], tmp_path: Path) -> None:
    """Everything that is written is as if the data and all checkpoints spelled their labels in the same way."""
    other = save(build_model(2, tuple(label.upper() for label in LABELS)), tmp_path / "two")
    for number in range(10):
        soundfile.write(tmp_path / f"{number}.wav", noise(0.5, seed=number), SAMPLE_RATE)
    metrics = []
    for spellings in (("bell", "dog"), ("Bell", "D_og")):
        rows = [f"{number}.wav,{spellings[number % 2]}" for number in range(10)]
        (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
        folder = tmp_path / f"out {spellings[0]}"
        references = [str(models[0]), str(other)]
        result = evaluate(read_labelled_clips(tmp_path), references, load_checkpoint, folder, explain=False)
        assert set(result.table["label"]) == {"bell", "dog"}
        for name in result.checkpoints:
            assert set(result.table[column("prediction", name)]) <= set(LABELS)
        metrics.append(result.metrics)
    assert metrics[0] == metrics[1]


def test_a_label_map_leaves_out_what_it_drops(models: tuple[Path, Path], tmp_path: Path) -> None:
    for number, label in enumerate(("dog", "bell", "hiss")):
        soundfile.write(tmp_path / f"{label}.wav", noise(0.5, seed=number), SAMPLE_RATE)
    (tmp_path / "metadata.csv").write_text("file_name,label\ndog.wav,dog\nbell.wav,bell\nhiss.wav,hiss\n")
    clips = read_labelled_clips(tmp_path)
    result = evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out", label_map={"Hiss": ""})
    assert list(result.table["label"]) == ["dog", "bell"]


def test_parts_of_a_recording_are_judged_on_their_own_seconds(models: tuple[Path, Path], tmp_path: Path) -> None:
    long = np.concatenate([noise(0.5, seed=1), tone(700, 0.5)]).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", long, SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "metadata.csv").write_text("file_name,label,start,end\nlong.wav,dog,0,0.5\nlong.wav,bell,0.5,1\n")
    clips = read_labelled_clips(tmp_path)
    evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out", explain=False)
    table = read_evaluation(tmp_path / "out").table
    checkpoint = load_checkpoint(models[0])
    for row, part in zip(table.itertuples(index=False), (long[:8000], long[8000:]), strict=True):
        alone = inspect(waveform(part), checkpoint).prediction.scores
        scores = dict(zip(table.columns, row, strict=True))[column("scores", "one")]
        np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_clips_with_several_labels_are_scored_by_mean_average_precision(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    from sklearn.metrics import average_precision_score

    from ast_demo.data.clips import ReadingOptions

    rows, truth = ["file_name,label"], []
    for number in range(20):
        soundfile.write(tmp_path / f"{number}.wav", noise(0.5, seed=number), SAMPLE_RATE)
        labels = [LABELS[number % 5], LABELS[(number // 2) % 5]] if number % 3 else [LABELS[number % 5]]
        rows.append(f"{number}.wav,{';'.join(dict.fromkeys(labels))}")
        truth.append([int(label in labels) for label in LABELS])
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    clips = read_labelled_clips(tmp_path, ReadingOptions(multi_label=True))
    result = evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out")
    scores = np.stack(read_evaluation(result.folder).table[column("scores", "one")])
    expected = average_precision_score(np.array(truth), scores, average="macro")
    assert result.metrics["one"]["map"] == pytest.approx(expected)


def sentence_of(function) -> str:
    with pytest.raises(AstDemoError) as caught:
        function()
    return str(caught.value)


def test_mistakes_get_a_sentence(
    data: Path, models: tuple[Path, Path], finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, one = read_labelled_clips(data), str(models[0])
    assert "Expected one to 4 different checkpoints" in sentence_of(
        lambda: evaluate(clips, [], load_checkpoint, tmp_path)
    )
    assert "Expected one to 4 different checkpoints" in sentence_of(
        lambda: evaluate(clips, [one, one], load_checkpoint, tmp_path)
    )
    with pytest.raises(CheckpointError, match="There is no checkpoint 'nothing'"):
        evaluate(clips, ["nothing"], load_checkpoint, tmp_path)
    assert "holds another evaluation. Choose another folder." in sentence_of(
        lambda: evaluate(clips, [one], load_checkpoint, finished.folder)
    )
    monkeypatch.setattr("ast_demo.inference.forward.supports_bfloat16", lambda: True)  # of whatever processor
    other = CheckpointCache(Settings(precision="bfloat16")).load
    assert "holds another evaluation" in sentence_of(
        lambda: evaluate(clips, [str(model) for model in models], other, finished.folder)
    )
    assert "There is no finished evaluation" in sentence_of(lambda: read_evaluation(tmp_path))
    (tmp_path / "file").write_text("in the way")
    assert "Cannot write to the folder" in sentence_of(
        lambda: evaluate(clips, [one], load_checkpoint, tmp_path / "file" / "out")
    )


def test_a_set_of_which_nothing_can_be_read_says_so(models: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "data" / "dog").mkdir(parents=True)
    (tmp_path / "data" / "dog" / "a.wav").write_text("no sound")
    clips = read_labelled_clips(tmp_path / "data")
    with pytest.raises(DataError, match="Not one of the 1 clips could be read"):
        evaluate(clips, [str(models[0])], load_checkpoint, tmp_path / "out")
