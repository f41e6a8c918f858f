"""Wav2Vec2, HuBERT, WavLM and Whisper: classifiers without a patch grid, of which there is a rollout over time."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from ast_demo.audio.decoding import SAMPLE_RATE
from ast_demo.cli import main
from ast_demo.errors import CheckpointError
from ast_demo.export.files import arrays, draw, write_inspection
from ast_demo.export.summaries import summarise
from ast_demo.figures import Look, patch_grid_figure, rollout_figure, spectrogram_figure, waveform_figure
from ast_demo.inspection.comparison import compare, describe, rollout_raster
from ast_demo.inspection.inspection import Inspection, inspect, inspect_patch
from ast_demo.models.loading import load_checkpoint
from tests.clips import noise, waveform
from tests.reference import textbook_rollout
from tests.tiny import LABELS, save_tiny
from tests.tiny_sequence import KINDS, SAMPLES_PER_TOKEN, SAMPLES_SEEN, WHISPER_S, save_sequence_model

WAVES = [kind for kind in KINDS if kind != "whisper"]  # they read the samples, as many as there are
CLIP_S = 1.3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sequence-models")
    return {kind: save_sequence_model(kind, root / f"tiny-{kind}") for kind in KINDS}


def by_transformers(kind: str, folder: Path, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, attentions (layers, heads, tokens, tokens) and last hidden states by 🤗 Transformers itself."""
    model = KINDS[kind][1].from_pretrained(folder, attn_implementation="eager").eval()
    features = AutoFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.inference_mode():
        output = model(**features, output_attentions=True, output_hidden_states=True)
    attentions = np.stack([layer[0].numpy() for layer in output.attentions])
    return output.logits[0].numpy(), attentions, output.hidden_states[-1][0].numpy()


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


# What it says.


def test_facts(kind: str, folders: dict[str, Path]) -> None:
    facts = load_checkpoint(folders[kind]).facts
    assert (facts.name, facts.architecture) == (f"tiny-{kind}", KINDS[kind][1].__name__)
    assert (facts.input, facts.grid, facts.labels, facts.n_layers, facts.n_heads) == (None, None, LABELS, 3, 2)
    assert facts.n_parameters == sum(p.numel() for p in KINDS[kind][1].from_pretrained(folders[kind]).parameters())


def test_the_same_as_transformers(kind: str, folders: dict[str, Path]) -> None:
    samples = noise(CLIP_S)
    inspection = inspect(waveform(samples), load_checkpoint(folders[kind]))
    logits, attentions, hidden = by_transformers(kind, folders[kind], samples)
    # The same operations; WavLM's attention rounds in another way where its weights ask for gradients, as there.
    np.testing.assert_allclose(inspection.prediction.logits, logits, atol=1e-5)
    np.testing.assert_allclose(inspection.prediction.embedding, hidden.mean(axis=0), atol=1e-5)
    assert inspection.spectrogram is None
    # What it starts from is the mean of all tokens. The reference multiplies in double precision, the program in single.
    for depth, product in enumerate(textbook_rollout(attentions)):
        np.testing.assert_allclose(inspection.rollout.maps[depth, 0], product.mean(axis=0), atol=1e-6)
    assert inspection.rollout.maps.shape == (3, 1, attentions.shape[-1])
    # The attention is far from even, so that the comparison above means something.
    assert np.ptp(inspection.rollout.final) * attentions.shape[-1] > 0.05
    assert inspection.rollout.special_share.tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", WAVES)
def test_a_clip_is_read_as_long_as_it_is(kind: str, folders: dict[str, Path]) -> None:
    inspection = inspect(waveform(noise(CLIP_S)), load_checkpoint(folders[kind]))
    assert inspection.input_s == pytest.approx(CLIP_S)
    assert (inspection.padding_share, inspection.truncated_s) == (0, 0)
    assert inspection.rollout.padding_share.tolist() == [0, 0, 0]
    n_samples = round(CLIP_S * SAMPLE_RATE)
    assert inspection.rollout.final.shape == (1, (n_samples - SAMPLES_SEEN) // SAMPLES_PER_TOKEN + 1)


def test_whisper_pads_to_its_length(folders: dict[str, Path]) -> None:
    inspection = inspect(waveform(noise(CLIP_S)), load_checkpoint(folders["whisper"]))
    assert inspection.input_s == WHISPER_S
    assert inspection.truncated_s == 0
    assert inspection.padding_share == pytest.approx(1 - CLIP_S / WHISPER_S)
    # 100 tokens of 20 ms: the first 65 are the clip.
    for depth in range(3):
        expected = inspection.rollout.maps[depth, 0, 65:].sum()
        assert 0.05 < expected < 0.95
        assert inspection.rollout.padding_share[depth] == pytest.approx(expected, rel=1e-5)


def test_a_token_that_is_partly_padding_counts_in_part(folders: dict[str, Path]) -> None:
    inspection = inspect(waveform(noise(0.675)), load_checkpoint(folders["whisper"]))
    row = inspection.rollout.final[0]
    # 0.675 s are 33.75 tokens of 20 ms.
    assert inspection.rollout.padding_share[-1] == pytest.approx(0.25 * row[33] + row[34:].sum(), rel=1e-5)


# Too long, too short.


@pytest.mark.parametrize("kind", WAVES)
def test_a_clip_of_more_than_30_s_is_cut_off(kind: str, folders: dict[str, Path]) -> None:
    samples = noise(31.0)
    checkpoint = load_checkpoint(folders[kind])
    inspection = inspect(waveform(samples), checkpoint)
    assert inspection.input_s == 30
    assert inspection.truncated_s == pytest.approx(1.0)
    assert summarise(inspection)["truncated_s"] == pytest.approx(1.0)
    first = inspect(waveform(samples[: 30 * SAMPLE_RATE]), checkpoint)
    np.testing.assert_array_equal(inspection.prediction.logits, first.prediction.logits)
    (legend,) = waveform_figure(inspection).legends
    assert [text.get_text() for text in legend.get_texts()] == ["cut off 1.00 s"]


def test_a_clip_that_is_too_long_for_whisper(folders: dict[str, Path]) -> None:
    inspection = inspect(waveform(noise(2.5)), load_checkpoint(folders["whisper"]))
    assert inspection.truncated_s == pytest.approx(0.5)
    assert inspection.padding_share == 0
    assert inspection.rollout.padding_share.tolist() == [0, 0, 0]


def test_the_command_line_tells_of_windows(
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "long.wav", noise(2.5), SAMPLE_RATE)
    monkeypatch.setattr(
        sys, "argv", ["ast_demo", "inspect", str(tmp_path / "long.wav"), "--checkpoint", str(folders["whisper"])]
    )
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    printed = capsys.readouterr()
    assert printed.err.startswith(
        "Note: the checkpoint hears 2.00 s at once; these are the scores of 0.00 to 2.00 s of 2.50 s. Mean of 2 windows: "
    )
    assert len(printed.out.splitlines()) == 5


@pytest.mark.parametrize("kind", WAVES)
def test_a_clip_that_is_too_short_for_the_convolutions(kind: str, folders: dict[str, Path]) -> None:
    checkpoint = load_checkpoint(folders[kind])
    message = rf"\A'tiny-{kind}' cannot be run on 'clip' \(0\.03 s\): .+"
    with pytest.raises(CheckpointError, match=message):
        inspect(waveform(noise(0.025)), checkpoint)  # 400 samples, where a token sees 507


# No patch grid, said plainly.


def test_the_summary_has_the_same_keys_and_no_grid(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    clip = waveform(noise(CLIP_S))
    summary = json.loads(json.dumps(summarise(inspect(clip, load_checkpoint(folders[kind]))), allow_nan=False))
    assert [summary[key] for key in ("patch_grid", "frames", "input_frames", "mean", "std")] == [None] * 5
    assert summary["input_s"] == (WHISPER_S if kind == "whisper" else CLIP_S)
    assert summary.keys() == summarise(inspect(clip, load_checkpoint(save_tiny(tmp_path / "with-a-grid")))).keys()


NO_GRID = r"\A'tiny-wav2vec2' has no patch grid: it reads the sound as a sequence\.\Z"


@pytest.fixture(scope="module")
def inspection(folders: dict[str, Path]) -> Inspection:
    return inspect(waveform(noise(CLIP_S)), load_checkpoint(folders["wav2vec2"]))


def test_it_has_no_patches_to_inspect(inspection: Inspection, folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=NO_GRID):
        inspect_patch(inspection, load_checkpoint(folders["wav2vec2"]), 0, 0)


@pytest.mark.parametrize("draw_it", [spectrogram_figure, patch_grid_figure])
def test_pictures_that_need_a_grid(inspection: Inspection, draw_it) -> None:
    with pytest.raises(CheckpointError, match=NO_GRID):
        draw_it(inspection)


def test_the_picture_of_the_rollout_over_time(inspection: Inspection) -> None:
    figure = rollout_figure(inspection, depth=2)
    (steps,) = figure.axes[0].patches
    values, edges, _ = steps.get_data()
    n_tokens = inspection.rollout.maps.shape[-1]
    np.testing.assert_allclose(values, inspection.rollout.maps[1, 0] * n_tokens)
    np.testing.assert_allclose(edges, [CLIP_S * i / n_tokens for i in range(n_tokens + 1)])
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["Attention rollout, 2 layers", "× an equal share; no patch grid"]
    # On the same axis as the waveform.
    assert figure.axes[0].get_xlim() == waveform_figure(inspection).axes[0].get_xlim() == (0, CLIP_S)


def test_files(inspection: Inspection, tmp_path: Path) -> None:
    assert draw(inspection, Look(300, scale=1)).keys() == {"waveform", "rollout"}
    written = write_inspection(inspection, tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["waveform.png", "rollout.png", "inspection.json", "inspection.npz"]
    with np.load(written[-1]) as saved:
        assert "spectrogram" not in saved
        np.testing.assert_array_equal(saved["rollout"], inspection.rollout.final)
        np.testing.assert_array_equal(saved["logits"], inspection.prediction.logits)
    assert arrays(inspection)


# Side by side with an AST.


def test_compared_with_an_ast(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    references = [str(save_tiny(tmp_path / "with-a-grid")), str(folders[kind])]
    clip = waveform(noise(CLIP_S))
    comparison = compare(clip, references, load_checkpoint)
    assert comparison.failures == ()
    ast, sequence = comparison.inspections
    logits, attentions, _ = by_transformers(kind, folders[kind], clip.samples)
    np.testing.assert_allclose(sequence.prediction.logits, logits, atol=1e-5)
    (pair,) = comparison.agreement.pairs
    # The AST hears 89 frames; the sequence is laid on the same 10 ms raster, the middle of each window in a token.
    tokens = textbook_rollout(attentions)[-1].mean(axis=0)
    of_ast = (ast.rollout.final.sum(axis=0) * 17).tolist()
    grid = ast.checkpoint.grid
    a, b = [], []
    for frame in range(89):
        patch = grid.patch_at(0.5, frame + 0.5)
        if patch is None:
            continue
        a.append(of_ast[patch[1]])
        b.append(tokens[int((0.01 * frame + 0.0125) * len(tokens) / sequence.input_s)] * len(tokens))
    assert len(a) == 85  # the last four are in no patch
    # The program's rollout is in single precision.
    assert pair.rollout_correlation == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-4)
    assert "rollouts correlate with" in describe(comparison)[0]


def test_the_raster_of_a_sequence(inspection: Inspection) -> None:
    n_tokens = inspection.rollout.final.shape[1]
    raster = rollout_raster(inspection, 140)
    for frame in range(140):
        middle_s = 0.01 * frame + 0.0125
        if middle_s >= CLIP_S:
            assert np.isnan(raster[frame])
        else:
            token = next(i for i in range(n_tokens) if middle_s < CLIP_S * (i + 1) / n_tokens)
            assert raster[frame] == np.float32(inspection.rollout.final[0, token] * n_tokens)


# Checkpoints that do not fit.


def test_an_extractor_that_does_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["whisper"], tmp_path / "unfit")
    WhisperFeatureExtractor(feature_size=29, chunk_length=3).save_pretrained(folder)
    message = r"\A'unfit' cannot be run on 'clip' \(1\.30 s\): Whisper expects .+ length 200, but found 300\..*\Z"
    with pytest.raises(CheckpointError, match=message):
        inspect(waveform(noise(CLIP_S)), load_checkpoint(folder))


def test_without_preprocessor_config(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["wav2vec2"], tmp_path / "bare")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"\A'bare' has no preprocessor_config\.json\. Expected .+"):
        load_checkpoint(folder)


def test_another_rate(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["wav2vec2"], tmp_path / "slow")
    Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"\A'slow' wants sound at 8000 Hz\. Expected 16000 Hz\.\Z"):
        load_checkpoint(folder)


def test_a_model_that_was_not_trained_to_classify(folders: dict[str, Path], tmp_path: Path) -> None:
    model = KINDS["wav2vec2"][1].from_pretrained(folders["wav2vec2"])
    folder = copied(folders["wav2vec2"], tmp_path / "headless")
    model.wav2vec2.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"\A'headless' has no trained weights for \d+ parts of the model, .+"):
        load_checkpoint(folder)


def test_nothing_changes_by_inspecting(kind: str, folders: dict[str, Path]) -> None:
    checkpoint = load_checkpoint(folders[kind])
    clip = waveform(noise(CLIP_S))
    before, weights = clip.samples.copy(), {name: t.clone() for name, t in checkpoint.model.state_dict().items()}
    one, again = inspect(clip, checkpoint), inspect(clip, checkpoint)
    assert one.rollout.maps.tobytes() == again.rollout.maps.tobytes()
    np.testing.assert_array_equal(clip.samples, before)
    assert all(torch.equal(weights[name], tensor) for name, tensor in checkpoint.model.state_dict().items())


def test_the_message_names_the_clip(folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=re.escape("on 'knock.wav' (0.03 s)")):
        inspect(waveform(noise(0.025), "knock.wav"), load_checkpoint(folders["hubert"]))
