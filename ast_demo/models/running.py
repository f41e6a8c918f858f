"""The one door to a checkpoint's forward pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.errors import CheckpointError
from ast_demo.features import Spectrogram, TimeAxis
from ast_demo.inference import ModelOutput, Precision, embed, explain, run, run_elsewhere, run_tokens
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.sequence_models import model_here, read_sequence
from ast_demo.runtime import is_lent, is_out_of_memory, map_in_threads, release_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_spectrograms(
    checkpoint: Checkpoint, spectrograms: Sequence[Spectrogram], precision: Precision, token: int | None = None
) -> ModelOutput:
    """What a model says of clips, one at least, and where its attention flowed: at once, or as memory allows.

    Args:
        token: Follow the attention from this token.

    Raises:
        CheckpointError: The memory of the device does not hold one clip.
    """

    def run_some(values: np.ndarray) -> ModelOutput:
        if is_lent(run_elsewhere):
            return run_elsewhere(checkpoint.model, values, token)
        return explain(checkpoint.fast(precision), torch.from_numpy(values), token)

    parts = run_in_pieces(run_some, np.stack([one.values for one in spectrograms]), checkpoint)
    attention = None if token is None else np.concatenate([part.attention for part in parts])
    return ModelOutput(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.rollout for part in parts]),
        attention,
    )


def run_inputs(checkpoint: Checkpoint, values: np.ndarray, precision: Precision) -> np.ndarray:
    """Logits (batch, n_labels) of spectrograms (batch, frames, mel bins), and nothing else. Raises as `run_spectrograms`."""
    fast = checkpoint.fast(precision)

    def run_some(some: np.ndarray) -> np.ndarray:
        return to_numpy(run(fast, torch.from_numpy(some), sums=False).logits)

    return np.concatenate(run_in_pieces(run_some, values, checkpoint))


def run_in_pieces(run_some: Callable[[np.ndarray], Result], values: np.ndarray, checkpoint: Checkpoint) -> list[Result]:
    """Run a batch at once; where the memory of the device does not hold that, each half of it, and so on.

    Raises:
        CheckpointError: The memory of the device does not hold one item.
    """
    if len(values) == 1:
        with memory_told(checkpoint):
            return [run_some(values)]
    try:
        return [run_some(values)]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Only here is nothing left of what was tried: an error that is being handled holds on to it.
    release_memory(checkpoint.device)
    middle = len(values) // 2
    return [
        result for half in (values[:middle], values[middle:]) for result in run_in_pieces(run_some, half, checkpoint)
    ]


@contextmanager
def memory_told(checkpoint: Checkpoint) -> Iterator[None]:
    """Make a sentence of it where the memory of a device is full.

    Raises:
        CheckpointError: So it was.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"The memory of {checkpoint.device} is too small, or too full, for one clip through {checkpoint.facts.name!r}. "
            "Close what else uses it and try again, or set AST_DEMO_DEVICE=cpu."
        ) from None


def map_batches(
    checkpoint: Checkpoint, function: Callable[[Item], Result], batches: Iterable[Item]
) -> Generator[Result, None, None]:
    """A function, that runs the model, of each batch, in their order: on a CPU several at a time.

    One after the other on a GPU; and for a model that reads a sequence, on which 🤗 Transformers hangs notes while it runs.
    """
    if checkpoint.device.is_gpu or checkpoint.facts.grid is None or is_lent(run_elsewhere):
        yield from map(function, batches)
    else:
        yield from map_in_threads(function, batches)


def run_parts(
    checkpoint: Checkpoint,
    waveform: Waveform,
    spectrogram: Spectrogram | None,
    input_s: float,
    precision: Precision,
    kept: np.ndarray,
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
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
    return _run_without(checkpoint, precision, spectrogram.values, kept.reshape(len(kept), -1))


def attend_over_time(checkpoint: Checkpoint, waveform: Waveform) -> tuple[Tensor, Sequence[Tensor]]:
    """Logits (1, n_labels) and the attention of each layer of a checkpoint without a patch grid, for gradients."""
    model = model_here(checkpoint)
    features = read_sequence(checkpoint, waveform).to(model.device).requires_grad_()
    outputs = model(features, output_attentions=True)
    return outputs.logits, outputs.attentions


_TOKENS_AT_ONCE, _TOKENS_AT_ONCE_ON_GPU = 4096, 65_536


def _run_without(
    checkpoint: Checkpoint, precision: Precision, values: np.ndarray, kept: np.ndarray
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Logits of an AST that gets some of its tokens only: batches of (indices of masks, logits).

    Args:
        values: (frames, mel bins).
    """
    fast = checkpoint.fast(precision)
    with torch.inference_mode():
        tokens = embed(fast, torch.from_numpy(values[None]))
    n_special = tokens.shape[1] - kept.shape[1]
    counts = kept.sum(axis=1)

    def run_masks(masks: np.ndarray) -> np.ndarray:
        index = torch.from_numpy(np.stack([np.flatnonzero(kept[mask]) for mask in masks])).to(tokens.device) + n_special
        special = tokens[:, :n_special].expand(len(masks), -1, -1)
        return to_numpy(run_tokens(fast, torch.cat((special, tokens[0, index]), dim=1), sums=False).logits)

    def run_chunk(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return chunk, np.concatenate(run_in_pieces(run_masks, chunk, checkpoint))

    chunks = []
    at_once = _TOKENS_AT_ONCE_ON_GPU if checkpoint.device.is_gpu else _TOKENS_AT_ONCE
    for count in np.unique(counts):  # only masks that keep equally many can share a batch
        masks = np.flatnonzero(counts == count)
        size = max(1, at_once // (n_special + int(count)))
        chunks += np.array_split(masks, -(-len(masks) // size))
    yield from map_batches(checkpoint, run_chunk, chunks)


def _run_silenced(
    waveform: Waveform, checkpoint: Checkpoint, input_s: float, kept: np.ndarray
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Logits of a model without a patch grid, for the clip with stretches of time silenced: as `_run_without`."""
    model = model_here(checkpoint)
    token = TimeAxis(kept.shape[1], input_s).token_of_samples(len(waveform.samples))
    for mask, tokens in enumerate(kept):
        silenced = Waveform(waveform.samples * tokens[token], waveform.name, SAMPLE_RATE, 1)
        yield np.array([mask]), to_numpy(model(read_sequence(checkpoint, silenced).to(model.device)).logits)


def to_numpy(values: Tensor) -> np.ndarray:
    """As float32, on the CPU."""
    return values.detach().float().cpu().numpy()
