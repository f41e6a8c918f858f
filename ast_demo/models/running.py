"""The one door to a checkpoint's forward pass."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.features import Spectrogram, TimeAxis
from ast_demo.inference import Answer, FastAST, Precision, run, run_elsewhere, run_tokens
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.sequence_models import model_here, read_sequence
from ast_demo.runtime import is_lent, map_in_threads


def run_spectrograms(
    checkpoint: Checkpoint, spectrograms: Sequence[Spectrogram], precision: Precision, token: int | None = None
) -> list[tuple[np.ndarray, np.ndarray, list[Tensor]]]:
    """Of each clip: logits (n_labels,), embedding (hidden_size,), and each layer's head sums (tokens, tokens)."""
    if not spectrograms:
        return []
    inputs = np.stack([spectrogram.values for spectrogram in spectrograms])
    if is_lent(run_elsewhere):
        logits, embeddings, *head_sums = map(torch.from_numpy, run_elsewhere(checkpoint.model, inputs, token))
        answer = Answer(logits, embeddings, head_sums)
    else:
        answer = run(checkpoint.fast(precision), torch.from_numpy(inputs), token=token)
    return [
        (answer.logits[i].numpy(), answer.embeddings[i].numpy(), [layer[i] for layer in answer.head_sums])
        for i in range(len(spectrograms))
    ]


def run_inputs(checkpoint: Checkpoint, values: np.ndarray, precision: Precision) -> np.ndarray:
    """Logits (batch, n_labels) of spectrograms (batch, frames, mel bins), and nothing else."""
    return run(checkpoint.fast(precision), torch.from_numpy(values), sums=False).logits.numpy()


def run_parts(
    checkpoint: Checkpoint,
    waveform: Waveform,
    spectrogram: Spectrogram | None,
    input_s: float,
    precision: Precision,
    kept: np.ndarray,
) -> Generator[tuple[np.ndarray, Tensor], None, None]:
    """Logits of a clip of which only parts are shown.

    Args:
        spectrogram: What the checkpoint is fed of the clip; None where it has no patch grid.
        input_s: Seconds of sound that the input has room for.
        kept: (n_masks, n_frequency, n_time) whether the model gets the patch. Tokens that it does not get are left out;
            without a patch grid, their stretches of time are silenced.

    Yields:
        Indices of some of the masks, and their logits.
    """
    if spectrogram is None:
        return _run_silenced(waveform, checkpoint, input_s, kept[:, 0])
    values = torch.from_numpy(spectrogram.values[None])
    return _run_without(checkpoint.fast(precision), values, kept.reshape(len(kept), -1))


def attend_over_time(checkpoint: Checkpoint, waveform: Waveform) -> tuple[Tensor, Sequence[Tensor]]:
    """Logits (1, n_labels) and the attention of each layer of a checkpoint without a patch grid, for gradients."""
    features = read_sequence(checkpoint, waveform).requires_grad_()
    outputs = model_here(checkpoint)(features, output_attentions=True)
    return outputs.logits, outputs.attentions


_TOKENS_AT_ONCE = 4096


def _run_without(fast: FastAST, values: Tensor, kept: np.ndarray) -> Generator[tuple[np.ndarray, Tensor], None, None]:
    """Logits of an AST that gets some of its tokens only: batches of (indices of masks, logits)."""
    tokens = fast.model.audio_spectrogram_transformer.embeddings(values)
    n_special = tokens.shape[1] - kept.shape[1]
    counts = kept.sum(axis=1)

    def run_chunk(chunk: np.ndarray) -> tuple[np.ndarray, Tensor]:
        index = torch.from_numpy(np.stack([np.flatnonzero(kept[mask]) for mask in chunk])) + n_special
        special = tokens[:, :n_special].expand(len(chunk), -1, -1)
        return chunk, run_tokens(fast, torch.cat((special, tokens[0, index]), dim=1), sums=False).logits

    chunks = []
    for count in np.unique(counts):  # only masks that keep equally many can share a batch
        masks = np.flatnonzero(counts == count)
        size = max(1, _TOKENS_AT_ONCE // (n_special + int(count)))
        chunks += np.array_split(masks, -(-len(masks) // size))
    yield from map_in_threads(run_chunk, chunks)


def _run_silenced(
    waveform: Waveform, checkpoint: Checkpoint, input_s: float, kept: np.ndarray
) -> Generator[tuple[np.ndarray, Tensor], None, None]:
    """Logits of a model without a patch grid, for the clip with stretches of time silenced: as `_run_without`."""
    model = model_here(checkpoint)
    token = TimeAxis(kept.shape[1], input_s).token_of_samples(len(waveform.samples))
    for mask, tokens in enumerate(kept):
        silenced = Waveform(waveform.samples * tokens[token], waveform.name, SAMPLE_RATE, 1)
        yield np.array([mask]), model(read_sequence(checkpoint, silenced)).logits
