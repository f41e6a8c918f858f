"""Real classifiers without a patch grid, with random weights: Wav2Vec2, HuBERT, WavLM and Whisper's encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    HubertConfig,
    HubertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from tests.tiny import LABELS

KINDS: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2ForSequenceClassification),
    "hubert": (HubertConfig, HubertForSequenceClassification),
    "wavlm": (WavLMConfig, WavLMForSequenceClassification),
    "whisper": (WhisperConfig, WhisperForAudioClassification),
}
# Sizes are primes where the models allow it. A token every 17 × 13 samples, each of which sees 31 + 17 × 28 of them.
_WAVES = {
    "hidden_size": 26,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "conv_dim": (11, 13),
    "conv_kernel": (31, 29),
    "conv_stride": (17, 13),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 15,
    "num_conv_pos_embedding_groups": 2,
    "initializer_range": 0.4,
}
# 100 tokens of 20 ms, whatever the length of the clip.
_WHISPER = {
    "d_model": 26,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 17,
    "num_mel_bins": 29,
    "max_source_positions": 100,
    "init_std": 0.3,
}
SAMPLES_PER_TOKEN = 17 * 13
SAMPLES_SEEN = 31 + 17 * 28  # by one token: the shortest clip of these models
WHISPER_S = 2


def save_sequence_model(kind: str, folder: Path, seed: int = 0, labels: tuple[str, ...] = LABELS) -> Path:
    """A checkpoint folder, as 🤗 Transformers saves it."""
    torch.manual_seed(seed)
    config, model = KINDS[kind]
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    sizes = _WHISPER if kind == "whisper" else _WAVES
    model(config(classifier_proj_size=23, **sizes, **names)).save_pretrained(folder)
    if kind == "whisper":
        extractor = WhisperFeatureExtractor(feature_size=29, chunk_length=WHISPER_S)
    else:
        extractor = Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(folder)
    return folder
