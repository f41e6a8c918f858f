"""A loaded checkpoint, and what there is to say about it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from ast_demo.features import InputSettings, PatchGrid
from ast_demo.inference import FastAST, Precision, make_fast

Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class CheckpointFacts:
    """All that there is to say about a checkpoint, without its weights.

    Attributes:
        name: Shipped name, folder name or Hub id.
        architecture: Class of the model in 🤗 Transformers.
        labels: One for each score, in the order of the scores.
        input: The spectrogram that it is fed; None where its feature extractor makes something else.
        grid: Its patches; None where it reads the sound as a sequence (Wav2Vec2, HuBERT, WavLM, Whisper …).
        activation: How logits become scores.
        activation_reason: Why that one, in words.
        n_layers, n_heads, n_parameters: Size.
    """

    name: str
    architecture: str
    labels: tuple[str, ...]
    input: InputSettings | None
    grid: PatchGrid | None
    activation: Activation
    activation_reason: str
    n_layers: int
    n_heads: int
    n_parameters: int


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: read-only, shared by all who use it.

    Attributes:
        model: In evaluation mode, on the CPU, in float32.
        extractor: 🤗 Transformers' feature extractor of a checkpoint without a patch grid, else None.
        precision: What to compute in where nothing else is asked for.
        precision_note: Why that is not what the settings ask for, in a sentence; empty where it is.
    """

    facts: CheckpointFacts
    model: nn.Module
    extractor: Any = None
    precision: Precision = "float32"
    precision_note: str = ""
    _made: dict[Precision, FastAST] = field(default_factory=dict, init=False, repr=False, compare=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def fast(self, precision: Precision) -> FastAST:
        """The model made ready to run in a precision: once for all who use the checkpoint."""
        with self._making:
            if precision not in self._made:
                self._made[precision] = make_fast(self.model, precision)
            return self._made[precision]

    @property
    def n_bytes(self) -> int:
        """Memory of the weights, and of what was made of them."""
        shared = sum(tensor.nbytes for tensor in (*self.model.parameters(), *self.model.buffers()))
        return shared + sum(made.n_bytes for made in list(self._made.values()))
