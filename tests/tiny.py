"""Real ASTs with random weights, saved as 🤗 Transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import ASTConfig, ASTForAudioClassification

LABELS = ("bell", "dog", "rain", "seven", "wind")

# Sizes are primes, the grid is 13 × 17, and 2 mel bins and 4 frames are seen by no patch: a swapped axis shows.
TINY = {
    "hidden_size": 34,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 53,
    "num_mel_bins": 43,
    "max_length": 89,
    "patch_size": 5,
    "frequency_stride": 3,
    "time_stride": 5,
}
# As large as the checkpoints that this project trains.
SHIPPED_SIZE = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "num_mel_bins": 128,
    "patch_size": 16,
}
# AST as published but for its depth: 1214 tokens, 12 heads of 64.
BASE_WIDTH = {
    **{"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 2},
    **{"num_mel_bins": 128, "max_length": 1024, "patch_size": 16, "frequency_stride": 10, "time_stride": 10},
}


def build_model(seed: int = 0, labels: tuple[str, ...] = LABELS, **config: object) -> ASTForAudioClassification:
    """A model whose attention is far from uniform, and that answers differently to different clips."""
    torch.manual_seed(seed)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model = ASTForAudioClassification(ASTConfig(**{**TINY, **config}, **names))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and ("q_proj" in name or "k_proj" in name or "query" in name or "key" in name):
                parameter.normal_(std=1.8 * parameter.shape[1] ** -0.5)
            elif parameter.ndim >= 2:
                # Position embeddings and special tokens start as zeros, for which every place would look the same.
                parameter.normal_(
                    std=parameter[0].numel() ** -0.5 if "embeddings" not in name or parameter.ndim == 4 else 0.5
                )
            elif "bias" in name:
                parameter.normal_(std=0.1)
    return model.eval()


def save(model: ASTForAudioClassification, folder: Path, **extractor: object) -> Path:
    """A checkpoint folder; what is given for the extractor replaces what fits the model."""
    model.save_pretrained(folder)
    settings = {
        "feature_extractor_type": "ASTFeatureExtractor",
        "sampling_rate": 16_000,
        "num_mel_bins": model.config.num_mel_bins,
        "max_length": model.config.max_length,
        "do_normalize": True,
        "mean": -6.5,
        "std": 5.3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **extractor}))
    return folder


def save_tiny(folder: Path, seed: int = 0, **config: object) -> Path:
    return save(build_model(seed, **config), folder)
