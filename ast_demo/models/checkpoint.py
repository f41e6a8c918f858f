"""A loaded checkpoint, and what there is to say about it."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from ast_demo.features import InputSettings, PatchGrid
from ast_demo.inference import FastAST, Precision, make_fast
from ast_demo.runtime import CPU, Device

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
        device: Where to compute.
        device_note: As `precision_note`.
    """

    facts: CheckpointFacts
    model: nn.Module
    extractor: Any = None
    precision: Precision = "float32"
    precision_note: str = ""
    device: Device = CPU
    device_note: str = ""
    _made: dict[Precision, FastAST] = field(default_factory=dict, init=False, repr=False, compare=False)
    _placed: list[nn.Module] = field(default_factory=list, init=False, repr=False, compare=False)
    _making: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def fast(self, precision: Precision) -> FastAST:
        """The model made ready to run in a precision: once for all who use the checkpoint."""
        with self._making:
            if precision not in self._made:
                model = self.placed if precision == "float32" else self.model
                self._made[precision] = make_fast(model, precision, self.device)
            return self._made[precision]

    @property
    def placed(self) -> Any:
        """The model in float32 where it computes: itself on the CPU, on a GPU a copy, made once."""
        if not self.device.is_gpu:
            return self.model
        with self._making:
            if not self._placed:
                self._placed.append(copy.deepcopy(self.model).to(self.device.name))
            return self._placed[0]

    @property
    def computing_notes(self) -> tuple[str, ...]:
        """Why it does not compute as the settings ask for, a sentence each."""
        return tuple(filter(None, [self.device_note, self.precision_note]))

    @property
    def n_bytes(self) -> int:
        """Memory of the weights, and of what was made of them, here and on a GPU."""
        copies = (self.model, *self._placed)
        shared = sum(tensor.nbytes for model in copies for tensor in (*model.parameters(), *model.buffers()))
        return shared + sum(made.n_bytes for made in list(self._made.values()))
