"""Tiny Wav2Vec2 and Whisper: classifiers without a patch grid, of which there is a rollout over time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from ast_demo.audio import SAMPLE_RATE
from ast_demo.checkpoints import Checkpoint, load_checkpoint
from ast_demo.errors import CheckpointError
from ast_demo.inspection import inspect, inspect_patch, summarise
from tests.clips import noise, waveform
from tests.reference import textbook_rollout
from tests.tiny import LABELS

NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sequence") / "waves"
    config = Wav2Vec2Config(
        hidden_size=26,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=37,
        conv_dim=(11, 13),
        conv_kernel=(31, 29),
        conv_stride=(17, 13),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=23,
        initializer_range=0.4,
        **NAMES,
    )
    Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sequence") / "whispers"
    config = WhisperConfig(
        d_model=26,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=17,
        num_mel_bins=29,
        max_source_positions=100,
        classifier_proj_size=23,
        init_std=0.3,
        **NAMES,
    )
    WhisperForAudioClassification(config).save_pretrained(folder)
    # 100 tokens of 20 ms each
    WhisperFeatureExtractor(feature_size=29, chunk_length=2).save_pretrained(folder)
    return folder


def eager(folder: Path, kind: type, samples: np.ndarray, extractor: type, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and attentions (layers, heads, tokens, tokens) by 🤗 Transformers itself."""
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = extractor.from_pretrained(folder)(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")[key]
    with torch.inference_mode():
        output = model(inputs, output_attentions=True)
    return output.logits[0].numpy(), np.stack([layer[0].numpy() for layer in output.attentions])


def test_wav2vec2(wav2vec2: Path) -> None:
    checkpoint = load_checkpoint(wav2vec2)
    facts = checkpoint.facts
    assert (facts.name, facts.architecture) == ("waves", "Wav2Vec2ForSequenceClassification")
    assert (facts.input, facts.grid, facts.labels, facts.n_layers, facts.n_heads) == (None, None, LABELS, 3, 2)
    samples = noise(1.3)
    inspection = inspect(waveform(samples), checkpoint)
    logits, attentions = eager(
        wav2vec2, Wav2Vec2ForSequenceClassification, samples, Wav2Vec2FeatureExtractor, "input_values"
    )
    np.testing.assert_allclose(inspection.prediction.logits, logits, atol=1e-5)
    assert inspection.spectrogram is None
    assert inspection.rollout.maps.shape == (3, 1, attentions.shape[-1])
    for depth, product in enumerate(textbook_rollout(attentions)):
        np.testing.assert_allclose(inspection.rollout.maps[depth, 0], product.mean(axis=0), atol=1e-6)
    # It takes a clip as long as it is.
    assert inspection.input_s == pytest.approx(1.3)
    assert (inspection.padding_share, inspection.truncated_s) == (0, 0)
    assert inspection.rollout.padding_share.tolist() == [0, 0, 0]


def test_its_summary_has_the_same_keys_and_no_grid(wav2vec2: Path) -> None:
    summary = json.loads(
        json.dumps(summarise(inspect(waveform(noise(0.7)), load_checkpoint(wav2vec2))), allow_nan=False)
    )
    assert [summary[key] for key in ("patch_grid", "frames", "input_frames", "mean", "std")] == [None] * 5
    assert (summary["padding_share"], summary["input_s"]) == (0, 0.7)


def test_it_has_no_patches(wav2vec2: Path) -> None:
    checkpoint = load_checkpoint(wav2vec2)
    with pytest.raises(CheckpointError, match=r"\A'waves' has no patch grid: it reads the sound as a sequence\.\Z"):
        inspect_patch(inspect(waveform(noise(0.7)), checkpoint), checkpoint, 0, 0)


def test_a_clip_that_is_too_short_for_it(wav2vec2: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\A'waves' cannot be run on 'clip' \(0\.03 s\): .+"):
        inspect(waveform(noise(0.025)), load_checkpoint(wav2vec2))


def test_whisper_pads_to_its_length(whisper: Path) -> None:
    checkpoint = load_checkpoint(whisper)
    samples = noise(1.3)
    inspection = inspect(waveform(samples), checkpoint)
    logits, attentions = eager(
        whisper, WhisperForAudioClassification, samples, WhisperFeatureExtractor, "input_features"
    )
    np.testing.assert_allclose(inspection.prediction.logits, logits, atol=1e-5)
    product = textbook_rollout(attentions)[-1]
    np.testing.assert_allclose(inspection.rollout.final[0], product.mean(axis=0), atol=1e-6)
    assert inspection.input_s == 2
    assert inspection.padding_share == pytest.approx(1 - 1.3 / 2)
    assert 0.05 < inspection.rollout.padding_share[-1] < 0.95


def test_an_extractor_that_does_not_fit(whisper: Path, tmp_path: Path) -> None:
    for file in whisper.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    WhisperFeatureExtractor(feature_size=29, chunk_length=3).save_pretrained(tmp_path)
    message = rf"\A{re.escape(repr(tmp_path.name))} cannot be run on 'clip' \(1\.30 s\): Whisper expects .+ length 200, but found 300\..*\Z"
    with pytest.raises(CheckpointError, match=message):
        inspect(waveform(noise(1.3)), load_checkpoint(tmp_path))


def test_it_is_not_changed_by_inspecting(wav2vec2: Path) -> None:
    checkpoint: Checkpoint = load_checkpoint(wav2vec2)
    clip = waveform(noise(0.7))
    before = clip.samples.copy()
    one, again = inspect(clip, checkpoint), inspect(clip, checkpoint)
    assert one.rollout.maps.tobytes() == again.rollout.maps.tobytes()
    np.testing.assert_array_equal(clip.samples, before)


def test_without_preprocessor_config(wav2vec2: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((wav2vec2 / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"\A'bare' has no preprocessor_config\.json\. Expected .+"):
        load_checkpoint(folder)


def test_another_rate(wav2vec2: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slow"
    folder.mkdir()
    for file in wav2vec2.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"\A'slow' wants sound at 8000 Hz\. Expected 16000 Hz\.\Z"):
        load_checkpoint(folder)
