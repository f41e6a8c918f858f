"""An AST that reads one patch only, set by hand: what every map of it has to find is known."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ASTConfig, ASTForAudioClassification

from tests.tiny import save

LABELS = ("heard", "not")
N_FREQUENCY, N_TIME = 5, 7
_PATCH = 4


def save_planted(folder: Path, frequency: int, time: int) -> Path:
    """A checkpoint folder whose two logits hang on the mean of one patch: the louder, the more "heard".

    The hidden state has four parts: the patch's loudness, whether it is the patch to read, what a special token has
    read, and a constant that keeps layer norms away from nothing. One layer of one head attends to that patch alone.
    """
    config = ASTConfig(
        hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4, patch_size=_PATCH,
        num_mel_bins=_PATCH * N_FREQUENCY, max_length=_PATCH * N_TIME, frequency_stride=_PATCH, time_stride=_PATCH,
        id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)}, qkv_bias=False,
    )  # fmt: skip
    model = ASTForAudioClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "layernorm" in name and name.endswith("weight") else 0.0)
        ast = model.audio_spectrogram_transformer
        ast.embeddings.patch_embeddings.projection.weight[0] = 1 / _PATCH**2
        places = ast.embeddings.position_embeddings
        places[..., 3] = 5.0
        places[0, 2 + frequency * N_TIME + time, 1] = 20.0
        attend = ast.layers[0].attention
        attend.q_proj.weight[1, 3] = 20.0  # every token asks ...
        attend.k_proj.weight[1, 1] = 20.0  # ... for the marked one ...
        attend.v_proj.weight[2, :2] = 1.0  # ... how loud it is, above 0 in any case
        attend.o_proj.weight[2, 2] = 3.0
        model.classifier.dense.weight[0, 2], model.classifier.dense.weight[1, 2] = 3.0, -3.0
    return save(model, folder)
