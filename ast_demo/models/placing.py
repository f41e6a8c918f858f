"""Where a checkpoint computes, and in what: chosen and tried once, before anybody waits for an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ast_demo.audio import SAMPLE_RATE, Waveform
from ast_demo.errors import CheckpointError
from ast_demo.inference import Precision, choose_precision, explain, precision_note, run_elsewhere
from ast_demo.models.checkpoint import Checkpoint, CheckpointFacts
from ast_demo.models.config import first_sentence
from ast_demo.models.sequence_models import run_sequence_model
from ast_demo.runtime import CPU, Device, choose_device, is_lent, is_out_of_memory, release_memory
from ast_demo.settings import PrecisionChoice, Settings

LENT = Device("cpu", "and a GPU that is lent by the call")


def find_place(facts: CheckpointFacts, settings: Settings) -> tuple[Device, Precision]:
    """The device and the precision that the settings ask for. Raises SettingsError: there is no such device here."""
    device = LENT if is_lent(run_elsewhere) else choose_device(settings.device)
    return device, _precision_on(device, facts, settings.precision)


def _precision_on(device: Device, facts: CheckpointFacts, choice: PrecisionChoice) -> Precision:
    return choose_precision(choice, facts.n_parameters, device) if facts.grid else "float32"


def place(checkpoint: Checkpoint, settings: Settings) -> Checkpoint:
    """The checkpoint where the settings ask for it, or, where it does not run there, on the CPU.

    Raises:
        SettingsError: There is no such device here.
    """
    device, _ = find_place(checkpoint.facts, settings)
    placed = place_on(checkpoint, device, settings.precision)
    if device is LENT and settings.device not in {"auto", "cpu"}:
        return replace(placed, device_note=f"{settings.device} was asked for, but GPUs are lent by the call here.")
    return placed


def place_on(checkpoint: Checkpoint, device: Device, choice: PrecisionChoice) -> Checkpoint:
    """The checkpoint on a device; where it does not run there, in float32 there or, at last, on the CPU, with a note."""
    facts = checkpoint.facts
    precision = _precision_on(device, facts, choice)
    note = precision_note(choice, device, is_ast=facts.grid is not None)
    placed = replace(checkpoint, device=device, precision=precision, precision_note=note)
    if not device.is_gpu:
        return placed
    reason = _try(placed)
    if reason and precision == "bfloat16":
        note = f"bfloat16 does not run on {device} ({reason}): computed in float32 instead."
        placed = replace(placed, precision="float32", precision_note=note)
        reason = _try(placed)
    if not reason:
        return placed
    note = f"{facts.name!r} does not run on {device} ({reason}): computed on the CPU instead."
    return replace(place_on(checkpoint, CPU, choice), device_note=note)


def _try(checkpoint: Checkpoint) -> str:
    """Show silence to a checkpoint: why that does not work, or nothing."""
    try:
        if fed := checkpoint.facts.input if checkpoint.facts.grid else None:
            explain(checkpoint.fast(checkpoint.precision), torch.zeros(1, fed.n_frames, fed.n_mels))
        else:
            run_sequence_model(checkpoint, Waveform(np.zeros(SAMPLE_RATE, np.float32), "silence", SAMPLE_RATE, 1))
    except (RuntimeError, AssertionError, CheckpointError) as error:  # as PyTorch says it in its many places
        reason = "its memory is full" if is_out_of_memory(error) else first_sentence(error).rstrip(".")
    else:
        return ""
    release_memory(checkpoint.device)
    return reason
