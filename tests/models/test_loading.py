"""Real, tiny checkpoint folders: what loads, what does not, and the sentence that says why."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ast_demo.audio.decoding import read_audio
from ast_demo.cli.commands import inspect as inspect_command
from ast_demo.errors import CheckpointError
from ast_demo.features.log_mel import InputSettings
from ast_demo.features.patches import PatchGrid
from ast_demo.inspection.inspection import inspect
from ast_demo.models import cache as checkpoint_cache
from ast_demo.models import loading as checkpoints
from ast_demo.models.cache import CheckpointCache
from ast_demo.models.catalogue import MIT_CHECKPOINTS, catalogue
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.config import read_facts
from ast_demo.models.loading import default_checkpoint, load_checkpoint, shipped_names
from ast_demo.settings import DEFAULT_CHECKPOINT, Settings
from tests.clips import REPOSITORY
from tests.tiny import LABELS, build_model, save, save_tiny

catalogue_room = import_module("ast_demo.models.catalogue")  # not the function of that name


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint, not to be changed."""
    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "good")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good checkpoint to spoil."""
    return save_tiny(tmp_path / "clip-namer")


def refused(message: str) -> pytest.RaisesExc:
    """The whole message, as a regular expression."""
    return pytest.raises(CheckpointError, match=rf"\A{message}\Z")


def literally(message: str) -> pytest.RaisesExc:
    return refused(re.escape(message))


def change_json(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    weights = {key: tensor.clone() for key, tensor in load_file(file).items()}
    save_file(change(weights), file, {"format": "pt"})


# What loads.


def test_a_folder_loads_as_it_was_saved(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    facts = checkpoint.facts
    assert (facts.name, facts.architecture) == ("good", "ASTForAudioClassification")
    assert facts.labels == LABELS
    assert facts.input == InputSettings(n_mels=43, n_frames=89, mean=-6.5, std=5.3)
    assert facts.grid == PatchGrid(n_mels=43, n_frames=89, patch_size=5, frequency_stride=3, time_stride=5)
    assert (facts.n_layers, facts.n_heads) == (3, 2)
    expected = build_model().state_dict()
    assert facts.n_parameters == sum(tensor.numel() for tensor in expected.values())
    assert checkpoint.n_bytes == 4 * facts.n_parameters
    loaded = checkpoint.model.state_dict()
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(loaded[name], tensor), name


def test_a_loaded_checkpoint_is_ready_and_read_only(saved: Path) -> None:
    model = load_checkpoint(saved).model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_a_path_and_its_text_mean_the_same(saved: Path) -> None:
    assert load_checkpoint(str(saved)).facts == load_checkpoint(saved).facts == load_checkpoint(f" {saved}/ ").facts


def test_float16_weights_are_computed_with_in_float32(folder: Path) -> None:
    change_weights(folder, lambda weights: {name: tensor.half() for name, tensor in weights.items()})
    change_json(folder / "config.json", dtype="float16")
    model = load_checkpoint(folder).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = build_model().half().state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name].float()), name


def test_nothing_is_printed_and_the_librarys_settings_are_given_back(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_checkpoint(saved)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_labels_are_in_the_order_of_the_scores(folder: Path) -> None:
    names = {str(i): f"label {i}" for i in range(11)}
    save(build_model(labels=tuple(names.values())), folder)
    shuffled = {i: names[i] for i in ("10", "2", "0", "9", "1", "3", "8", "5", "4", "7", "6")}
    change_json(folder / "config.json", id2label=shuffled)
    assert load_checkpoint(folder).facts.labels == tuple(names.values())


def test_an_extractor_that_does_not_normalise(folder: Path) -> None:
    change_json(folder / "preprocessor_config.json", do_normalize=False)
    settings = read_facts(folder).input
    assert (settings.mean, settings.std) == (0, 0.5)


def test_what_the_extractor_leaves_out_is_as_in_transformers(tmp_path: Path) -> None:
    import warnings

    from transformers import ASTFeatureExtractor

    folder = save_tiny(tmp_path / "defaults", num_mel_bins=128, max_length=1024, time_stride=5)
    (folder / "preprocessor_config.json").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own filters
        extractor = ASTFeatureExtractor()
    assert read_facts(folder).input == InputSettings(
        extractor.num_mel_bins, extractor.max_length, extractor.mean, extractor.std
    )


# Softmax or sigmoid.


@pytest.mark.parametrize(
    ("problem_type", "labels", "activation", "reason"),
    [
        (
            None,
            LABELS,
            "softmax",
            "its configuration does not say, and classifiers with such labels are trained to choose one",
        ),
        ("single_label_classification", LABELS, "softmax", "its configuration says that one label holds for each clip"),
        (
            "multi_label_classification",
            LABELS,
            "sigmoid",
            "its configuration says that several labels can hold at once",
        ),
        (
            None,
            ("Speech", *(f"label {i}" for i in range(526))),
            "sigmoid",
            "its labels are AudioSet's, and AudioSet classifiers are trained with a yes or no for each label, "
            "although its configuration does not say so",
        ),
        (
            "single_label_classification",
            ("Speech", *(f"label {i}" for i in range(526))),
            "softmax",
            "its configuration says that one label holds for each clip",
        ),
        (
            None,
            tuple(f"label {i}" for i in range(527)),
            "softmax",
            "its configuration does not say, and classifiers with such labels are trained to choose one",
        ),
    ],
    ids=["unset", "single", "multi", "AudioSet", "AudioSet's labels, one at a time", "527 labels, not AudioSet's"],
)
def test_activation(
    folder: Path, problem_type: str | None, labels: tuple[str, ...], activation: str, reason: str
) -> None:
    change_json(
        folder / "config.json",
        problem_type=problem_type,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    facts = read_facts(folder)
    assert (facts.activation, facts.activation_reason) == (activation, reason)
    assert len(facts.labels) == len(labels)


# What does not load.


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", saved.parent)
    with literally(
        "There is no checkpoint 'bad'. Expected 'good', a folder "
        "or a Hub id such as 'MIT/ast-finetuned-audioset-10-10-0.4593'."
    ):
        load_checkpoint("bad")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        " ",
        "a/b/c",
        "a/b..c",
        "a/b--c",
        "a/b.git",
        "a/ä",
        "~nobody-of-that-name",
        "x" * 300,
        "a\0b",
        "https://example.org/a",
    ],
)
def test_what_cannot_be_a_reference(reference: str) -> None:
    with refused(r"There is no checkpoint '.*'\. Expected .*a folder or a Hub id such as '[\w/.-]+'\."):
        load_checkpoint(reference)


def test_an_empty_folder(tmp_path: Path) -> None:
    with literally(f"The folder {str(tmp_path)!r} is no checkpoint: it has no config.json."):
        load_checkpoint(tmp_path)


def test_without_preprocessor_config(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with literally(
        "'clip-namer' has no preprocessor_config.json. "
        "Expected a checkpoint folder with config.json, preprocessor_config.json, model.safetensors."
    ):
        load_checkpoint(folder)


def test_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with literally("'clip-namer' has no model.safetensors. Save it with `save_pretrained`."):
        load_checkpoint(folder)


def test_weights_that_could_run_code_are_not_read(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with literally(
        "'clip-namer' has no model.safetensors. Found pytorch_model.bin, which can run code when opened and so is not "
        "read. Save it with `save_pretrained`."
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize("damage", ["emptied", "cut in the header", "cut in the weights", "overwritten"])
def test_damaged_weights(folder: Path, damage: str) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(
        {
            "emptied": b"",
            "cut in the header": content[:100],
            "cut in the weights": content[: len(content) // 2],
            "overwritten": b"This is a text about a model.\n" * 1000,
        }[damage]
    )
    with refused(r"The weights of 'clip-namer' cannot be loaded: [^\n]+\."):
        load_checkpoint(folder)


def test_a_classifier_head_without_weights(folder: Path) -> None:
    """What `ASTModel.save_pretrained` leaves, and what a model before fine-tuning is: the scores would be random."""
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if not k.startswith("classifier")})
    with refused(
        r"'clip-namer' has no trained weights for \d parts of the model, classifier\.dense\.bias among them, so its scores "
        r"would be random\. Expected a checkpoint that was fine-tuned for audio classification\."
    ):
        load_checkpoint(folder)


def test_a_model_without_a_head(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "encoder")
    build_model().audio_spectrogram_transformer.save_pretrained(folder)
    with refused(
        r"'encoder' has no trained weights for \d+ parts of the model, .+ among them, so its scores would be random\. .+"
    ):
        load_checkpoint(folder)


def test_one_missing_layer_is_noticed(folder: Path) -> None:
    change_weights(
        folder,
        lambda weights: {k: v for k, v in weights.items() if "layer.1.attention.attention.query.weight" not in k},
    )
    with refused(
        r"'clip-namer' has no trained weights for 1 parts of the model, .*layers\.1\.attention\.q_proj\.weight among .+"
    ):
        load_checkpoint(folder)


def test_a_head_of_another_size(folder: Path) -> None:
    names = [*LABELS, "extra"]
    change_json(
        folder / "config.json", id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )
    with refused(r"The weights of 'clip-namer' cannot be loaded: [^\n]+\.|'clip-namer' has no trained weights for .+"):
        load_checkpoint(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not JSON", r"The {file} of 'clip-namer' cannot be read: .+\."),
        ("", r"The {file} of 'clip-namer' cannot be read: .+\."),
        ("[1, 2]", r"The {file} of 'clip-namer' is no JSON object\."),
        (b"\xff\xfe\x00", r"The {file} of 'clip-namer' cannot be read: .+\."),
    ],
)
def test_files_that_are_no_json(folder: Path, file: str, content: str | bytes, message: str) -> None:
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused(message.format(file=re.escape(file))):
        load_checkpoint(folder)


def test_another_architecture(folder: Path) -> None:
    change_json(folder / "config.json", model_type="bert")
    with refused(
        r"'clip-namer' is of type 'bert', which is no audio classifier\. Expected an Audio Spectrogram Transformer "
        r"\('audio-spectrogram-transformer'\) or one of data2vec-audio, hubert, [\w, -]+, whisper\."
    ):
        load_checkpoint(folder)


def test_no_architecture(folder: Path) -> None:
    change_json(folder / "config.json", model_type=None)
    with refused(
        r"'clip-namer' is of type 'unknown', which is no audio classifier\. Expected an Audio Spectrogram Transformer .+"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("key", "value", "needed"), [("sampling_rate", 8_000, 16_000), ("max_length", 1024, 89), ("num_mel_bins", 64, 43)]
)
def test_an_extractor_that_does_not_fit_the_model(folder: Path, key: str, value: int, needed: int) -> None:
    change_json(folder / "preprocessor_config.json", **{key: value})
    with literally(f"The preprocessor_config.json of 'clip-namer' has {key} = {value}, but the model needs {needed}."):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("mean", "std"), [(-6.5, 0), (-6.5, -1), (float("nan"), 5.3), ("low", 5.3), (-6.5, float("inf"))]
)
def test_statistics_that_make_no_sense(folder: Path, mean: object, std: object) -> None:
    change_json(folder / "preprocessor_config.json", mean=mean, std=std)
    with literally(
        f"The preprocessor_config.json of 'clip-namer' has mean = {mean} and std = {std}. "
        "Expected two numbers, the second above 0."
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "key", ["num_mel_bins", "max_length", "patch_size", "frequency_stride", "time_stride", "num_hidden_layers"]
)
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_that_make_no_sense(folder: Path, key: str, value: object) -> None:
    change_json(folder / "config.json", **{key: value})
    with literally(f"The config.json of 'clip-namer' has {key} = {value!r}. Expected a whole number above 0."):
        load_checkpoint(folder)


def test_patches_that_do_not_fit(folder: Path) -> None:
    change_json(folder / "config.json", patch_size=53)
    with literally("The patches of 'clip-namer', 53 × 53, do not fit in its spectrogram of 43 mel bins × 89 frames."):
        load_checkpoint(folder)


def test_patches_with_gaps_between_them(folder: Path) -> None:
    change_json(folder / "config.json", time_stride=7)
    with literally(
        "The patches of 'clip-namer' leave gaps between them: their size is 5, the strides are 3 and 7. "
        "Such a grid cannot be shown."
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize("id2label", [{"0": "bell", "2": "dog"}, {"zero": "bell"}, 7], ids=str)
def test_labels_that_make_no_sense(folder: Path, id2label: object) -> None:
    change_json(folder / "config.json", id2label=id2label, label2id=None)
    with refused(r"The configuration of 'clip-namer' makes no sense: .+\."):
        load_checkpoint(folder)


def test_code_beside_the_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it-was-run"
    (folder / "custom.py").write_text(f"open({str(trace)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    change_json(
        folder / "config.json",
        auto_map={"AutoConfig": "custom.Config", "AutoModelForAudioClassification": "custom.Model"},
    )
    checkpoint = load_checkpoint(folder)
    assert type(checkpoint.model).__module__.startswith("transformers.")
    assert not trace.exists()


def test_weights_that_are_too_large(folder: Path) -> None:
    megabytes = (folder / "model.safetensors").stat().st_size / 1e6
    with literally(f"The weights of 'clip-namer' take {megabytes:.0f} MB; at most 0.1 MB are loaded here."):
        load_checkpoint(folder, Settings(max_checkpoint_mb=0.1))
    load_checkpoint(folder, Settings(max_checkpoint_mb=megabytes + 0.001))


def test_a_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", saved.parent)
    for name in (MIT_CHECKPOINTS[0], "someone/something"):
        with literally(
            f"{name!r} is not on this machine yet, and the Hugging Face Hub cannot be reached. "
            "Connect to the network, or use a shipped checkpoint."
        ):
            load_checkpoint(name)


# Shipped checkpoints and the catalogue.


def test_shipped_checkpoints_are_found_by_name(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", saved.parent)
    assert shipped_names() == ["good"]
    assert load_checkpoint("good").facts.name == "good"


def accuracy_on_its_card(name: str) -> float:
    card = (checkpoints.SHIPPED_FOLDER / name / "README.md").read_text(encoding="utf-8")
    return float(re.search(r"- type: accuracy\s+value: ([\d.]+)", card)[1])


def test_the_default_is_the_better_of_those_that_are_shipped() -> None:
    assert default_checkpoint() == DEFAULT_CHECKPOINT == max(shipped_names(), key=accuracy_on_its_card)


def test_every_text_that_names_a_default_names_this_one() -> None:
    option = get_type_hints(inspect_command, include_extras=True)["checkpoint"].__metadata__[0]
    assert option.help.endswith(f" By default {DEFAULT_CHECKPOINT}.")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"`{DEFAULT_CHECKPOINT}` where none is named" in readme
    texts = [readme, *(path.read_text(encoding="utf-8") for path in REPOSITORY.glob("docs/*.md"))]
    texts += [
        path.read_text(encoding="utf-8") for path in REPOSITORY.glob("ast_demo/**/*") if path.suffix in (".py", ".md")
    ]
    wrong = r"(first|last) shipped|first checkpoint (is|has been) loaded"
    assert not [found[0] for text in texts for found in re.finditer(wrong, text)]


def test_a_copy_that_came_without_the_default_takes_another(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", saved.parent)
    assert default_checkpoint() == "good"


def test_every_shipped_checkpoint_loads() -> None:
    for name in shipped_names():
        checkpoint = load_checkpoint(name)
        assert checkpoint.facts.name == name
        assert (checkpoints.SHIPPED_FOLDER / name / "model.safetensors").stat().st_size < 10e6


@pytest.mark.parametrize("reachable", [True, False])
def test_the_catalogue(reachable: bool, monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", saved.parent)
    monkeypatch.setattr(catalogue_room, "find_downloaded", lambda name: saved if name == MIT_CHECKPOINTS[2] else None)
    asked = []
    entries = catalogue(Settings(), reachable=lambda: asked.append(1) or reachable)
    assert len(asked) == 1
    assert [entry.name for entry in entries] == ["good", *MIT_CHECKPOINTS]
    assert [entry.source for entry in entries] == ["shipped"] + ["hub"] * 8
    assert entries[0].available
    assert entries[0].note == "5 labels, 0.91 s, 13 × 17 patches, 0.0 M parameters"
    assert (entries[3].available, entries[3].note) == (True, "already downloaded")
    for entry in (*entries[1:3], *entries[4:]):
        assert entry.available == reachable
        assert entry.note == (
            "downloaded from the Hugging Face Hub on first use (about 350 MB)"
            if reachable
            else "not available now: not downloaded yet, and the Hugging Face Hub cannot be reached"
        )


def test_the_catalogue_does_not_ask_when_all_is_here(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setattr(catalogue_room, "find_downloaded", lambda name: saved)

    def ask() -> bool:
        raise AssertionError("asked")

    assert all(entry.available for entry in catalogue(Settings(), reachable=ask))


def test_the_catalogue_lists_nothing_that_the_settings_refuse(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    """By id they are left out, by size they are said to be refused; both before the Hub is asked for anything."""
    monkeypatch.setattr(catalogue_room, "find_downloaded", lambda name: saved if name == MIT_CHECKPOINTS[2] else None)
    assert [one.name for one in catalogue(Settings(hub_checkpoints=()))] == shipped_names()
    only = Settings(hub_checkpoints=(MIT_CHECKPOINTS[1],))
    assert [one.name for one in catalogue(only, reachable=lambda: True)] == [*shipped_names(), MIT_CHECKPOINTS[1]]
    small = catalogue(Settings(max_checkpoint_mb=1.0), reachable=lambda: True)
    assert {one.name: one.available for one in small} == {
        name: name == MIT_CHECKPOINTS[2] for name in (*shipped_names(), *MIT_CHECKPOINTS)
    }
    assert {one.note.partition(";")[2] for one in small if not one.available} == {" at most 1 MB are loaded here."}


def test_the_catalogue_without_a_network() -> None:
    assert not any(entry.available for entry in catalogue(Settings()) if entry.source == "hub")


# The cache.


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was really loaded, in order."""
    names: list[str] = []

    def counted(reference: str | Path, settings: Settings | None = None) -> Checkpoint:
        names.append(Path(reference).name)
        return load_checkpoint(reference, settings)

    monkeypatch.setattr(checkpoint_cache, "load_checkpoint", counted)
    return names


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("three")
    return [save_tiny(root / name, seed) for seed, name in enumerate("abc")]


def megabytes(checkpoint_folder: Path) -> float:
    return load_checkpoint(checkpoint_folder).n_bytes / 1e6


def test_a_checkpoint_is_loaded_once(three: list[Path], loads: list[str]) -> None:
    cache = CheckpointCache(Settings())
    first = cache.load(three[0])
    assert cache.load(three[0]) is cache.load(str(three[0])) is first
    assert cache.load(three[1]) is not first
    assert loads == ["a", "b"]


def test_the_least_recently_used_goes_first(three: list[Path], loads: list[str]) -> None:
    a, b, c = three
    cache = CheckpointCache(Settings(checkpoint_cache_mb=2.5 * megabytes(a)))
    for reference in (a, b, a, c, a, c, b):
        cache.load(reference)
    assert loads == ["a", "b", "c", "b"]  # `c` put out `b`, as `a` had been used since
    cache.load(c)
    assert loads[4:] == []
    cache.load(a)
    assert loads[4:] == ["a"]  # which `b` had put out


def test_a_checkpoint_larger_than_the_cache_is_kept_alone(three: list[Path], loads: list[str]) -> None:
    a, b, _ = three
    cache = CheckpointCache(Settings(checkpoint_cache_mb=0.01))
    for reference in (a, a, b, b, a):
        cache.load(reference)
    assert loads == ["a", "b", "a"]


def test_float16_files_count_with_the_memory_that_they_take(tmp_path: Path, loads: list[str]) -> None:
    folders = [save_tiny(tmp_path / name, seed) for seed, name in enumerate("de")]
    limit = 1.75 * megabytes(folders[0])  # one in memory and one as a file of float16 would fit
    for folder in folders:
        change_weights(folder, lambda weights: {name: tensor.half() for name, tensor in weights.items()})
    cache = CheckpointCache(Settings(checkpoint_cache_mb=limit))
    for folder in (*folders, folders[0]):
        cache.load(folder)
    assert loads == ["d", "e", "d"]


def test_a_folder_that_has_changed_is_loaded_again(folder: Path, loads: list[str]) -> None:
    cache = CheckpointCache(Settings())
    before = cache.load(folder)
    save_tiny(folder, seed=7)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    after = cache.load(folder)
    assert cache.load(folder) is after
    assert loads == ["clip-namer"] * 2
    name = "classifier.dense.weight"
    assert not torch.equal(before.model.state_dict()[name], after.model.state_dict()[name])
    assert torch.equal(after.model.state_dict()[name], build_model(seed=7).state_dict()[name])


def test_a_failure_is_not_kept(folder: Path) -> None:
    cache = CheckpointCache(Settings())
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    for _ in range(2):
        with refused(r"The weights of 'clip-namer' cannot be loaded: .+"):
            cache.load(folder)
    (folder / "model.safetensors").write_bytes(weights)
    assert cache.load(folder).facts.name == "clip-namer"


def test_threads_load_a_checkpoint_once(three: list[Path], loads: list[str]) -> None:
    cache = CheckpointCache(Settings())
    together = threading.Barrier(7)
    got: list[Checkpoint] = []

    def visit() -> None:
        together.wait()
        got.append(cache.load(three[0]))

    threads = [threading.Thread(target=visit) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 7
    assert len({id(checkpoint) for checkpoint in got}) == 1
    assert loads == ["a"]


def test_what_is_in_memory_does_not_wait_for_what_is_loading(
    three: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _ = three
    cache = CheckpointCache(Settings())
    kept = cache.load(a)
    loading, go_on = threading.Event(), threading.Event()

    def slow(reference: str | Path, settings: Settings | None = None) -> Checkpoint:
        loading.set()
        assert go_on.wait(30)
        return load_checkpoint(reference, settings)

    monkeypatch.setattr(checkpoint_cache, "load_checkpoint", slow)
    thread = threading.Thread(target=cache.load, args=(b,))
    thread.start()
    try:
        assert loading.wait(30)
        got: list[Checkpoint] = []
        other = threading.Thread(target=lambda: got.append(cache.load(a)))
        other.start()
        other.join(10)
        assert got == [kept]
    finally:
        go_on.set()
        thread.join()


# The published checkpoints.

# First three logits on `sample_audio.flac` of nielsr/audio-spectogram-transformer-checkpoint, as recorded when the
# checkpoints were converted to 🤗 Transformers.
GOLDEN_LOGITS = {
    "audioset-10-10-0.4593": (-0.8760, -7.0042, -8.6602),
    "audioset-10-10-0.450": (-1.1986, -7.0903, -8.2718),
    "audioset-10-10-0.448": (-2.6128, -8.0080, -9.4344),
    "audioset-10-10-0.448-v2": (-1.5080, -7.4534, -8.8917),
    "audioset-12-12-0.447": (-0.5050, -6.5833, -8.0843),
    "audioset-14-14-0.443": (-0.3826, -7.0336, -8.2413),
    "audioset-16-16-0.442": (-1.2113, -6.9101, -8.3470),
    "speech-commands-v2": (6.1589, -8.0566, -8.7984),
}


@pytest.mark.network
@pytest.mark.parametrize("name", GOLDEN_LOGITS)
def test_golden_logits(name: str) -> None:
    from huggingface_hub import hf_hub_download

    clip = hf_hub_download("nielsr/audio-spectogram-transformer-checkpoint", "sample_audio.flac", repo_type="dataset")
    checkpoint = load_checkpoint(f"MIT/ast-finetuned-{name}")
    assert checkpoint.facts.activation == ("sigmoid" if "audioset" in name else "softmax")
    logits = inspect(read_audio(clip), checkpoint).prediction.logits
    np.testing.assert_allclose(logits[:3], GOLDEN_LOGITS[name], atol=1e-4)


def test_the_golden_logits_are_of_the_catalogue() -> None:
    assert [f"MIT/ast-finetuned-{name}" for name in GOLDEN_LOGITS] == list(MIT_CHECKPOINTS)
