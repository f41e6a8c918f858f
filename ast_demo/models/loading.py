"""What can be loaded, from where; loading one.

A reference is the name of a shipped checkpoint, a folder, or the id of a model on the Hugging Face Hub. Weights are
read from safetensors only, and no code that lies beside them is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from ast_demo.audio import SAMPLE_RATE
from ast_demo.errors import CheckpointError
from ast_demo.models.checkpoint import Checkpoint, CheckpointFacts
from ast_demo.models.config import first_sentence, read_facts, read_json
from ast_demo.models.hub import check_allowed, check_size, download, find_downloaded, is_hub_id
from ast_demo.models.placing import place
from ast_demo.settings import DEFAULT_CHECKPOINT, Settings
from ast_demo.shipped import shipped_folder

SHIPPED_FOLDER = shipped_folder("checkpoints")


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
        SettingsError: The device that the settings ask for is not there.
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
        raise CheckpointError(f"The weights of {name!r} cannot be loaded: {first_sentence(error)}") from error
    if report["missing_keys"] or report["mismatched_keys"]:
        wrong = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
        raise CheckpointError(
            f"{name!r} has no trained weights for {len(wrong)} parts of the model, {wrong[0]} among them, so its scores "
            "would be random. Expected a checkpoint that was fine-tuned for audio classification."
        )
    model.eval().requires_grad_(False)
    if facts.grid is None:
        _fix_weight_norms(model)
    extractor = None if facts.grid else _load_extractor(folder, name)
    return place(Checkpoint(facts, model, extractor), settings)


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

    read_json(folder, "preprocessor_config.json", name)
    try:
        extractor: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise CheckpointError(
            f"The preprocessor_config.json of {name!r} makes no sense: {first_sentence(error)}"
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise CheckpointError(f"{name!r} wants sound at {extractor.sampling_rate} Hz. Expected {SAMPLE_RATE} Hz.")
    return extractor


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
                f"The configuration of {facts.name!r} makes no sense: {first_sentence(error)}"
            ) from error
    if n_described > 2 * facts.n_parameters + 1000:
        raise CheckpointError(
            f"The configuration of {facts.name!r} describes {n_described:,} parameters or more, but its weights hold "
            f"{facts.n_parameters:,}. They do not belong together."
        )


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
