"""What can be loaded, from where; loading one.

A reference is the name of a shipped checkpoint, a folder, or the id of a model on the Hugging Face Hub. Weights are
read from safetensors only, and no code that lies beside them is run.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ast_demo.audio import SAMPLE_RATE
from ast_demo.errors import CheckpointError
from ast_demo.features import InputSettings, PatchGrid
from ast_demo.inference import FastAST, Precision, choose_precision, make_fast, precision_note
from ast_demo.models.hub import CHECKPOINT_FILES, check_allowed, check_size, download, find_downloaded, is_hub_id
from ast_demo.settings import DEFAULT_CHECKPOINT, Settings
from ast_demo.shipped import shipped_folder

SHIPPED_FOLDER = shipped_folder("checkpoints")
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


def shipped_names() -> list[str]:
    """Names of the checkpoints that come with the program."""
    return sorted(config.parent.name for config in SHIPPED_FOLDER.glob("*/config.json"))


def default_checkpoint() -> str:
    """Name of the checkpoint to use when none is named: `DEFAULT_CHECKPOINT`, or what this copy came with instead.

    Raises:
        CheckpointError: This copy of the program came without checkpoints.
    """
    names = shipped_names()
    if not names:
        raise CheckpointError(f"No checkpoints were shipped in {str(SHIPPED_FOLDER)!r}. Name a folder or a Hub id.")
    return DEFAULT_CHECKPOINT if DEFAULT_CHECKPOINT in names else names[0]


def load_checkpoint(reference: str | Path, settings: Settings | None = None) -> Checkpoint:
    """Load a checkpoint: a shipped name, a folder, or a Hub id.

    Raises:
        CheckpointError: There is none of that name; it is no audio classifier that we can explain; its files are
            missing, damaged or too large; its head has no trained weights; the Hub cannot be reached.
    """
    from transformers import AutoModelForAudioClassification

    settings = settings or Settings()
    folder, name = find_checkpoint(reference, settings)
    facts = read_facts(folder, name)
    _check_weights(folder, name, settings)
    _check_model_size(folder, facts)
    try:
        with _quiet_transformers():
            model, report = AutoModelForAudioClassification.from_pretrained(
                folder,
                # The eager one returns its weights, which models that read a sequence are asked for.
                attn_implementation="sdpa" if facts.grid else "eager",
                dtype="float32",
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
    except Exception as error:  # the library raises many kinds, all of which say that the files do not fit together
        raise CheckpointError(f"The weights of {name!r} cannot be loaded: {_first_sentence(error)}") from error
    if report["missing_keys"] or report["mismatched_keys"]:
        wrong = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
        raise CheckpointError(
            f"{name!r} has no trained weights for {len(wrong)} parts of the model, {wrong[0]} among them, so its scores "
            "would be random. Expected a checkpoint that was fine-tuned for audio classification."
        )
    model.eval().requires_grad_(False)
    note = precision_note(settings.precision, is_ast=facts.grid is not None)
    if facts.grid is None:
        _fix_weight_norms(model)
        return Checkpoint(facts, model, _load_extractor(folder, name), precision_note=note)
    precision = choose_precision(settings.precision, facts.n_parameters)
    return Checkpoint(facts, model, precision=precision, precision_note=note)


def find_checkpoint(reference: str | Path, settings: Settings) -> tuple[Path, str]:
    """The folder that a reference means, downloaded if it is a Hub id, and the checkpoint's name.

    Raises:
        CheckpointError: Nothing of that name, one that the settings do not allow, or the Hub cannot be reached.
    """
    text = str(reference).strip()
    if text in shipped_names():
        return SHIPPED_FOLDER / text, text
    folder = _local_folder(text) if settings.local_paths else None
    if folder is not None:
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"The folder {text!r} is no checkpoint: it has no config.json.")
        return folder, folder.resolve().name
    if is_hub_id(text):
        check_allowed(text, settings)
        return find_downloaded(text) or download(text, settings), text
    known = ", ".join([*map(repr, shipped_names()), *(["a folder"] if settings.local_paths else [])])
    raise CheckpointError(
        f"There is no checkpoint {text[:200]!r}. Expected {known} "
        "or a Hub id such as 'MIT/ast-finetuned-audioset-10-10-0.4593'."
    )


def _local_folder(text: str) -> Path | None:
    try:
        folder = Path(text).expanduser()
        return folder if text and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, a folder closed to us, an unknown ~user, a zero byte
        return None


def read_facts(folder: Path, name: str | None = None) -> CheckpointFacts:
    """Read what a checkpoint's configuration says, without loading its weights.

    Raises:
        CheckpointError: A file is missing or damaged, or it is no AST for audio classification.
    """
    name = name or folder.name
    config = _read_json(folder, "config.json", name)
    if config.get("model_type") != _AST:
        return _read_sequence_facts(folder, name, config)
    from transformers import ASTConfig

    try:
        ast: Any = ASTConfig.from_dict(config)
        labels = tuple(str(ast.id2label[i]) for i in range(len(ast.id2label)))
    except Exception as error:  # whatever a hand-written configuration may provoke
        raise CheckpointError(f"The configuration of {name!r} makes no sense: {_first_sentence(error)}") from error
    for key in ("num_mel_bins", "max_length", "patch_size", "frequency_stride", "time_stride", "num_hidden_layers"):
        value = getattr(ast, key)
        if not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"The config.json of {name!r} has {key} = {value!r}. Expected a whole number above 0."
            )
    grid = PatchGrid(ast.num_mel_bins, ast.max_length, ast.patch_size, ast.frequency_stride, ast.time_stride)
    _check_grid(grid, name)
    # Not through `ASTFeatureExtractor`, which builds its filter bank, and warns of it, whenever it is made.
    extractor = _EXTRACTOR_DEFAULTS | _read_json(folder, "preprocessor_config.json", name)
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
        raise CheckpointError(f"The configuration of {name!r} makes no sense: {_first_sentence(error)}") from error
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


def _fix_weight_norms(model: nn.Module) -> None:
    """Compute normalised weights once and not at each call; a model with weights that are computed is not pickled."""
    from torch.nn.utils import parametrize

    for module in list(model.modules()):
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            module._load_state_dict_pre_hooks.clear()  # reads weights of older versions: these are loaded
    model.requires_grad_(False)


def _load_extractor(folder: Path, name: str) -> Any:
    from transformers import AutoFeatureExtractor

    _read_json(folder, "preprocessor_config.json", name)
    try:
        extractor: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise CheckpointError(
            f"The preprocessor_config.json of {name!r} makes no sense: {_first_sentence(error)}"
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise CheckpointError(f"{name!r} wants sound at {extractor.sampling_rate} Hz. Expected {SAMPLE_RATE} Hz.")
    return extractor


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


def _read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{name!r} has no {file}. Expected a checkpoint folder with {', '.join(CHECKPOINT_FILES)}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"The {file} of {name!r} cannot be read: {_first_sentence(error)}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"The {file} of {name!r} is no JSON object.")
    for key, value in content.items():
        if isinstance(value, int) and value > (_MOST_LABELS if key == "num_labels" else _LARGEST):
            raise CheckpointError(f"The {file} of {name!r} has {key} = {value}, which is too large to make sense.")
    return content


def _check_weights(folder: Path, name: str, settings: Settings) -> None:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        others = [path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".h5"}]
        found = (
            f" Found {', '.join(sorted(others))}, which can run code when opened and so is not read." if others else ""
        )
        raise CheckpointError(f"{name!r} has no model.safetensors.{found} Save it with `save_pretrained`.")
    check_size(weights.stat().st_size, name, settings)


def _check_model_size(folder: Path, facts: CheckpointFacts) -> None:
    """Refuse a configuration that describes a much larger model than the weights fill: all of it would be made first."""
    import torch
    from transformers import AutoConfig, AutoModelForAudioClassification

    config: Any = None
    n_described = facts.n_layers  # no layer is without a parameter
    if n_described <= facts.n_parameters:
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            with torch.device("meta"):  # shapes alone
                model: Any = AutoModelForAudioClassification.from_config(config, trust_remote_code=False)
            n_described = sum(parameter.numel() for parameter in model.parameters())
        except Exception as error:  # whatever a hand-written configuration may provoke
            raise CheckpointError(
                f"The configuration of {facts.name!r} makes no sense: {_first_sentence(error)}"
            ) from error
    if n_described > 2 * facts.n_parameters + 1000:
        raise CheckpointError(
            f"The configuration of {facts.name!r} describes {n_described:,} parameters or more, but its weights hold "
            f"{facts.n_parameters:,}. They do not belong together."
        )


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


def _first_sentence(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0].split(". ")[0].strip().rstrip(".")
    return f"{text or type(error).__name__}."[:300]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep the library's loading report and progress bar off the screen: what matters of it is told as an error."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
