"""Audio classifiers without a patch grid: Wav2Vec2, HuBERT, WavLM, Whisper's encoder and their like.

They read the sound as a sequence of tokens over time and classify by their mean. Their input comes from their own
feature extractor of 🤗 Transformers, and their attention from its eager route, so these are for inspection of
a clip, not for speed.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.errors import CheckpointError
from ast_demo.features import TimeAxis, time_to_samples
from ast_demo.inference import roll_out
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.runtime import device_of_call, is_lent, on_gpu

LONGEST_S = 30.0  # attention between all tokens takes memory with the square of the length; Whisper hears 30 s, too


def run_sequence_model(checkpoint: Checkpoint, waveform: Waveform) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Run one clip.

    Returns:
        Logits (n_labels,); embedding (hidden_size,), the mean of the last layer's tokens; rollout at every depth from
        what the classifier reads, the mean of all tokens, (n_layers, tokens); seconds of sound that the input has room for.

    Raises:
        CheckpointError: The model cannot be run on this clip, or shows no attention between tokens over time.
    """
    name = checkpoint.facts.name
    try:
        model = checkpoint.model if is_lent(_call) else checkpoint.placed
        logits, embedding, *attentions = _call(model, read_sequence(checkpoint, waveform))
    except (RuntimeError, ValueError) as error:  # too short for its convolutions; not of the length that it expects
        raise CheckpointError(
            f"{name!r} cannot be run on {waveform.name!r} ({waveform.duration_s:.2f} s): {str(error).splitlines()[0]}"
        ) from error
    layers = [torch.from_numpy(layer) for layer in attentions]
    if not layers or any(layer.shape != layers[0].shape or layer.shape[0] != layer.shape[1] for layer in layers):
        raise CheckpointError(f"{name!r} shows no attention between its tokens, so there is no rollout of it.")
    input_s = _fixed_length_s(checkpoint) or min(waveform.duration_s, LONGEST_S)
    start = torch.from_numpy(TimeAxis(len(layers[0]), input_s).read_by_classifier())
    return logits, embedding, roll_out(layers, start).numpy(), input_s


def longest_input_s(checkpoint: Checkpoint) -> float:
    """Seconds of sound that are heard at once."""
    return min(_fixed_length_s(checkpoint) or LONGEST_S, LONGEST_S)


def _fixed_length_s(checkpoint: Checkpoint) -> float:
    """Whisper's extractor fills up to a fixed length; the others take the clip as long as it is: 0."""
    return float(getattr(checkpoint.extractor, "chunk_length", 0))


def read_sequence(checkpoint: Checkpoint, waveform: Waveform) -> Tensor:
    """What such a model is fed, made by its own feature extractor, with a batch of one in front."""
    extractor: Any = checkpoint.extractor
    samples = waveform.samples[: int(time_to_samples(LONGEST_S))]
    return extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")[extractor.model_input_names[0]]


def model_here(checkpoint: Checkpoint) -> Any:
    """The model where it computes, to be run in this process.

    Where GPUs are lent it is a copy: on a model that runs, 🤗 Transformers hangs functions that note down its attention,
    and with those it could not be handed to another process any more.
    """
    return copy.deepcopy(checkpoint.model) if is_lent(_call) else checkpoint.placed


@on_gpu
@torch.inference_mode()
def _call(model: Any, inputs: Tensor) -> tuple[np.ndarray, ...]:
    """Logits, the mean of the last layer's tokens, and each layer's attention averaged over heads, of a batch of one."""
    device = device_of_call(model)
    model, inputs = model.to(device), inputs.to(device)
    outputs = model(inputs, output_attentions=True, output_hidden_states=True)
    if outputs.hidden_states is None:
        # 🤗 Transformers notes down what a class of models can tell when one is made: in a fresh process, none was yet.
        with torch.device("meta"):
            type(model)(model.config)
        outputs = model(inputs, output_attentions=True, output_hidden_states=True)
    means = [layer[0].mean(dim=0) for layer in outputs.attentions or ()]
    parts = (outputs.logits[0], outputs.hidden_states[-1][0].mean(dim=0), *means)
    return tuple(part.cpu().numpy() for part in parts)
