"""What a checkpoint's configuration says of it, and whether that makes sense."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ast_demo.audio import SAMPLE_RATE
from ast_demo.errors import CheckpointError
from ast_demo.features import InputSettings, PatchGrid
from ast_demo.models.checkpoint import Activation, CheckpointFacts
from ast_demo.models.hub import CHECKPOINT_FILES

_AST = "audio-spectrogram-transformer"
_AUDIOSET_LABELS = 527
_LARGEST, _MOST_LABELS = 10_000_000, 100_000  # numbers in a configuration beyond these would fill the memory
# What `ASTFeatureExtractor` assumes where preprocessor_config.json is silent.
_EXTRACTOR_DEFAULTS: dict[str, Any] = {
    "sampling_rate": SAMPLE_RATE,
    "num_mel_bins": 128,
    "max_length": 1024,
    "do_normalize": True,
    "mean": -4.2677393,
    "std": 4.5689974,
}


def read_facts(folder: Path, name: str | None = None) -> CheckpointFacts:
    """Read what a checkpoint's configuration says, without loading its weights.

    Raises:
        CheckpointError: A file is missing or damaged, or it is no AST for audio classification.
    """
    name = name or folder.name
    config = read_json(folder, "config.json", name)
    if config.get("model_type") != _AST:
        return _read_sequence_facts(folder, name, config)
    from transformers import ASTConfig

    try:
        ast: Any = ASTConfig.from_dict(config)
        labels = tuple(str(ast.id2label[i]) for i in range(len(ast.id2label)))
    except Exception as error:  # whatever a hand-written configuration may provoke
        raise CheckpointError(f"The configuration of {name!r} makes no sense: {first_sentence(error)}") from error
    for key in ("num_mel_bins", "max_length", "patch_size", "frequency_stride", "time_stride", "num_hidden_layers"):
        value = getattr(ast, key)
        if not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"The config.json of {name!r} has {key} = {value!r}. Expected a whole number above 0."
            )
    grid = PatchGrid(ast.num_mel_bins, ast.max_length, ast.patch_size, ast.frequency_stride, ast.time_stride)
    _check_grid(grid, name)
    # Not through `ASTFeatureExtractor`, which builds its filter bank, and warns of it, whenever it is made.
    extractor = _EXTRACTOR_DEFAULTS | read_json(folder, "preprocessor_config.json", name)
    expected = {"sampling_rate": SAMPLE_RATE, "num_mel_bins": grid.n_mels, "max_length": grid.n_frames}
    for key, value in expected.items():
        if extractor[key] != value:
            raise CheckpointError(
                f"The preprocessor_config.json of {name!r} has {key} = {extractor[key]}, but the model needs {value}."
            )
    mean, std = (extractor["mean"], extractor["std"]) if extractor["do_normalize"] else (0.0, 0.5)
    if not (_is_number(mean) and _is_number(std) and std > 0):
        raise CheckpointError(
            f"The preprocessor_config.json of {name!r} has mean = {mean} and std = {std}. "
            "Expected two numbers, the second above 0."
        )
    activation, reason = _choose_activation(config.get("problem_type"), labels)
    return CheckpointFacts(
        name=name,
        architecture="ASTForAudioClassification",
        labels=labels,
        input=InputSettings(grid.n_mels, grid.n_frames, float(mean), float(std)),
        grid=grid,
        activation=activation,
        activation_reason=reason,
        n_layers=ast.num_hidden_layers,
        n_heads=ast.num_attention_heads,
        n_parameters=_count_parameters(folder / "model.safetensors"),
    )


def _read_sequence_facts(folder: Path, name: str, config: dict[str, Any]) -> CheckpointFacts:
    """Facts of an audio classifier without a patch grid."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    kind = config.get("model_type", "unknown")
    if kind not in CLASSIFIERS:
        raise CheckpointError(
            f"{name!r} is of type {kind!r}, which is no audio classifier. Expected an Audio Spectrogram Transformer "
            f"({_AST!r}) or one of {', '.join(sorted(set(CLASSIFIERS) - {_AST}))}."
        )
    try:
        settings: Any = AutoConfig.for_model(**config)
        labels = tuple(str(settings.id2label[i]) for i in range(len(settings.id2label)))
        n_layers, n_heads = int(settings.num_hidden_layers), int(settings.num_attention_heads)
    except Exception as error:  # whatever a hand-written configuration may provoke
        raise CheckpointError(f"The configuration of {name!r} makes no sense: {first_sentence(error)}") from error
    activation, reason = _choose_activation(config.get("problem_type"), labels)
    return CheckpointFacts(
        name=name,
        architecture=CLASSIFIERS[kind],
        labels=labels,
        input=None,
        grid=None,
        activation=activation,
        activation_reason=reason,
        n_layers=n_layers,
        n_heads=n_heads,
        n_parameters=_count_parameters(folder / "model.safetensors"),
    )


def _check_grid(grid: PatchGrid, name: str) -> None:
    if grid.patch_size > min(grid.n_mels, grid.n_frames):
        raise CheckpointError(
            f"The patches of {name!r}, {grid.patch_size} × {grid.patch_size}, do not fit in its spectrogram of "
            f"{grid.n_mels} mel bins × {grid.n_frames} frames."
        )
    if max(grid.frequency_stride, grid.time_stride) > grid.patch_size:
        raise CheckpointError(
            f"The patches of {name!r} leave gaps between them: their size is {grid.patch_size}, the strides are "
            f"{grid.frequency_stride} and {grid.time_stride}. Such a grid cannot be shown."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _choose_activation(problem_type: str | None, labels: Sequence[str]) -> tuple[Activation, str]:
    if problem_type == "multi_label_classification":
        return "sigmoid", "its configuration says that several labels can hold at once"
    if problem_type == "single_label_classification":
        return "softmax", "its configuration says that one label holds for each clip"
    if len(labels) == _AUDIOSET_LABELS and labels[0] == "Speech":
        return "sigmoid", (
            "its labels are AudioSet's, and AudioSet classifiers are trained with a yes or no for each label, "
            "although its configuration does not say so"
        )
    return "softmax", "its configuration does not say, and classifiers with such labels are trained to choose one"


def read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{name!r} has no {file}. Expected a checkpoint folder with {', '.join(CHECKPOINT_FILES)}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"The {file} of {name!r} cannot be read: {first_sentence(error)}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"The {file} of {name!r} is no JSON object.")
    for key, value in content.items():
        if isinstance(value, int) and value > (_MOST_LABELS if key == "num_labels" else _LARGEST):
            raise CheckpointError(f"The {file} of {name!r} has {key} = {value}, which is too large to make sense.")
    return content


def _count_parameters(weights: Path) -> int:
    """Parameters by the header of a safetensors file, 0 where there is none that can be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError):
        return 0
    total = 0
    for shape in shapes:
        size = 1
        for length in shape:
            size *= length
        total += size
    return total


def first_sentence(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0].split(". ")[0].strip().rstrip(".")
    return f"{text or type(error).__name__}."[:300]
