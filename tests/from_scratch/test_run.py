"""Training on a few tones from scratch: what comes out loads everywhere, what is killed goes on, what is wrong is said."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTForAudioClassification, AutoModelForAudioClassification, Wav2Vec2Config

from ast_demo.audio.decoding import read_audio
from ast_demo.data.clips import LabelledClip, LabelledClips
from ast_demo.data.reading import read_labelled_clips
from ast_demo.errors import CheckpointError, DataError
from ast_demo.features.log_mel import InputSettings, compute_spectrograms, log_mel
from ast_demo.finetuning.augmentation import FLOOR, place_event
from ast_demo.finetuning.clip_versions import TrainingClip
from ast_demo.finetuning.options import ESC50, Augmentation, FinetuneOptions
from ast_demo.finetuning.positions import grid_of
from ast_demo.finetuning.run import FINETUNING, FinetuneResult, finetune
from ast_demo.finetuning.scores import predict
from ast_demo.finetuning.split import keep_held_out, read_split
from ast_demo.from_scratch.column_batches import ColumnBatches, choose_columns
from ast_demo.from_scratch.distillation import DistilledBatches
from ast_demo.from_scratch.feature_cache import load_versions, save_versions
from ast_demo.from_scratch.muon import MuonWithAdamW, orthogonalise
from ast_demo.from_scratch.options import ScratchOptions, Stage
from ast_demo.from_scratch.parts import FROM_SCRATCH, staged_batch_sizes
from ast_demo.from_scratch.recipe import choose_recipe, read_recipe
from ast_demo.from_scratch.small_ast import ColumnAst, embed_columns, make_positions, start_from_scratch
from ast_demo.from_scratch.weight_average import WeightAverage
from ast_demo.metrics import share_interval
from ast_demo.models.loading import load_checkpoint
from tests.clips import REPOSITORY
from tests.finetuning.making import make_data
from tests.finetuning.test_parts import STRONG, sampler_of, training_clips
from tests.tiny import TINY, build_model, save, save_tiny

MELS, FRAMES = 43, 89  # of the tiny configuration
CONFIG = ASTConfig(**TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
QUICK = ScratchOptions(
    stages=(Stage(20, 8, 6), Stage(10, 8)),
    learning_rate=3e-3,
    muon_learning_rate=0.02,
    warmup=0.05,
    decay=0.3,
    balanced=True,
    evaluations=3,
    validation_share=0.25,
    augmentation=Augmentation(gain_db=6, placement=0.5),
)

AVERAGED = replace(QUICK, weight_average=0.8, metric="")


def train(*arguments: Any, **options: Any) -> FinetuneResult:
    """From scratch, or from a checkpoint by the same means."""
    return finetune(*arguments, parts=FROM_SCRATCH, **options)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> LabelledClips:
    return read_labelled_clips(make_data(tmp_path_factory.mktemp("tones"), {"low": 400, "high": 3000, "2": 1200}))


@pytest.fixture(scope="module")
def trained(tones: LabelledClips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], list[str]]:
    lines: list[str] = []
    folder = tmp_path_factory.mktemp("trained") / "tones"
    result = train(tones, CONFIG, folder, replace(QUICK, float16_weights=True), progress=lines.append)
    assert result.steps == 30
    return folder, result.metrics, lines


# The result


def test_training_from_scratch_learns_the_tones(trained: tuple) -> None:
    _, metrics, lines = trained
    assert metrics["accuracy"] > 0.8  # three labels: chance is a third
    assert metrics["clips"] == 6
    assert [line for line in lines if line.startswith("Step 30 of 30, 0 min left: ")]


def test_the_folder_holds_all_that_is_promised(trained: tuple, tones: LabelledClips) -> None:
    folder, metrics, _ = trained
    expected = {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
        "README.md",
        "split.csv",
        "training_log.json",
    }
    assert {path.name for path in folder.iterdir()} == expected | {"training"}
    assert [path.name for path in (folder / "training").glob("checkpoint*")] == []
    assert list((folder / "training" / "logs").glob("events*")), "TensorBoard's log"
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["ASTForAudioClassification"]
    assert config["problem_type"] == "single_label_classification"
    assert config["label2id"] == {"2": 0, "high": 1, "low": 2}
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: audio-classification" in card
    low, high = share_interval(round(6 * metrics["accuracy"]), 6)
    assert f"| accuracy | {metrics['accuracy']:.1%} | 6 | {low:.1%} to {high:.1%} |" in card
    assert f"| macro recall | {metrics['recall']:.1%} | 6 | |" in card
    assert "Macro: the mean over the 3 labels that the clips have" in card
    of_high = metrics["per_label"]["high"]
    assert f"| high | 2 | {of_high['precision']:.1%} | {of_high['recall']:.1%} | {of_high['f1']:.1%} |" in card
    log = json.loads((folder / "training_log.json").read_text())
    assert [entry["step"] for entry in log if "eval_f1" in entry] == [10, 20, 30]
    split = read_split(folder)
    assert sorted(split) == sorted(clip.name for clip in tones.clips)
    assert sorted(split.values()) == ["training"] * 18 + ["validation"] * 6
    assert {clip.name for clip in keep_held_out(tones, folder).clips} == {
        k for k, v in split.items() if v == "validation"
    }


def test_statistics_are_those_of_the_training_split(trained: tuple, tones: LabelledClips) -> None:
    folder, _, _ = trained
    split = read_split(folder)
    sounds = [read_audio(clip.source).samples for clip in tones.clips if split[clip.name] == "training"]
    values = torch.cat([log_mel(torch.from_numpy(sound)[None], MELS)[0] for sound in sounds]).double()
    settings = load_checkpoint(folder).facts.input
    # Training spectrograms are held in half precision.
    assert settings.mean == pytest.approx(float(values.mean()), abs=1e-3)
    assert settings.std == pytest.approx(float(values.std()), abs=1e-3)


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_scores_are_the_same_in_every_program(trained: tuple, tones: LabelledClips) -> None:
    from transformers import pipeline

    folder, metrics, _ = trained
    held_out = keep_held_out(tones, folder).clips
    checkpoint = load_checkpoint(folder)
    classify = pipeline("audio-classification", str(folder), top_k=None)
    right = 0
    for clip in held_out:
        sound = read_audio(clip.source)
        values = torch.from_numpy(compute_spectrograms([sound], checkpoint.facts.input)[0].values)[None]
        ours = predict(checkpoint.model, [{"input_values": values}])[0]
        scores = torch.from_numpy(ours).softmax(0).tolist()
        theirs = {entry["label"]: entry["score"] for entry in classify(sound.samples)}
        assert [theirs[label] for label in checkpoint.facts.labels] == pytest.approx(scores, abs=1e-4)
        right += checkpoint.facts.labels[int(ours.argmax())] == clip.label
    assert right / len(held_out) == metrics["accuracy"]


def test_weights_in_half_precision_are_computed_in_single(trained: tuple) -> None:
    folder, _, _ = trained
    model = AutoModelForAudioClassification.from_pretrained(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert (folder / "model.safetensors").stat().st_size < 2.2 * n_parameters + 20_000


# Going on


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path, tones: LabelledClips) -> None:
    data = Path(tones.source)
    script = textwrap.dedent(
        f"""
        import sys, time
        from ast_demo.data import read_labelled_clips
        from tests.from_scratch.test_run import AVERAGED, CONFIG, train
        def progress(line):
            print(line, flush=True)
            if line.startswith("Step 20 of 30") and "accuracy" in line: time.sleep({{pause}})
        train(read_labelled_clips({str(data)!r}), CONFIG, sys.argv[1], AVERAGED, progress=progress)
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script.format(pause=60), str(tmp_path / "killed")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("Step 20 of 30"):
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "".join(seen)
    assert not (tmp_path / "killed" / "config.json").exists(), "half a run is no checkpoint"
    # The state of step 20 was not written yet, and what a kill may leave of it must not mislead.
    (tmp_path / "killed" / "training" / "checkpoint-20").mkdir(exist_ok=True)
    lines: list[str] = []
    went_on = train(tones, CONFIG, tmp_path / "killed", AVERAGED, progress=lines.append)
    assert [line.split()[1] for line in lines if line.startswith("Step") and "accuracy" in line] == ["20", "30", "30"][
        : len([line for line in lines if line.startswith("Step") and "accuracy" in line])
    ]
    straight = train(tones, CONFIG, tmp_path / "straight", AVERAGED, progress=lambda _: None)
    assert went_on.steps == straight.steps == 30
    weights = [
        ASTForAudioClassification.from_pretrained(tmp_path / name).state_dict() for name in ("killed", "straight")
    ]
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], rtol=1e-4, atol=1e-5, msg=key)


def test_an_unfinished_run_refuses_other_options(tmp_path: Path, tones: LabelledClips) -> None:
    folder = tmp_path / "run"

    def stop(line: str) -> None:
        if line.startswith("Step 20"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tones, CONFIG, folder, QUICK, progress=stop)
    with pytest.raises(DataError, match="unfinished run with other clips or other options"):
        train(tones, CONFIG, folder, replace(QUICK, learning_rate=1e-4), progress=lambda _: None)


# Starting from a checkpoint


def test_a_base_with_the_same_labels_keeps_its_head(trained: tuple, tones: LabelledClips, tmp_path: Path) -> None:
    folder, before, _ = trained
    options = FinetuneOptions(
        epochs=1, batch_size=18, learning_rate=1e-12, validation_share=0.25, augmentation=Augmentation()
    )
    after = finetune(tones, folder, tmp_path / "again", options, progress=lambda _: None)
    assert after.metrics["loss"] == pytest.approx(before["loss"], rel=1e-3)


def test_a_base_with_other_labels_gets_a_new_head_and_other_strides(trained: tuple, tmp_path: Path) -> None:
    folder, _, _ = trained
    data = read_labelled_clips(make_data(tmp_path / "data", {"hum": 300, "whistle": 2500}, n=6))
    options = FinetuneOptions(
        epochs=6, batch_size=4, learning_rate=3e-3, n_frames=71, frequency_stride=2, time_stride=3, validation_share=0.3,
        augmentation=Augmentation(),
    )  # fmt: skip
    result = finetune(data, folder, tmp_path / "new", options, progress=lambda _: None)
    facts = load_checkpoint(tmp_path / "new").facts
    assert facts.labels == ("hum", "whistle")
    assert (facts.grid.n_frames, facts.grid.frequency_stride, facts.grid.time_stride) == (71, 2, 3)
    assert result.metrics["accuracy"] == 1.0


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_a_tiny_wav2vec2_goes_the_same_way(tones: LabelledClips, tmp_path: Path) -> None:
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8), conv_stride=(10, 16),
        conv_kernel=(10, 16), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, num_feat_extract_layers=2,
        classifier_proj_size=12, mask_time_prob=0.0,
    )  # fmt: skip
    options = ScratchOptions(
        epochs=1, batch_size=6, learning_rate=1e-3, validation_share=0.25, augmentation=Augmentation()
    )
    result = train(tones, config, tmp_path / "speech", options, progress=lambda _: None)
    assert result.steps == 3
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "speech")
    assert model.config.id2label == {0: "2", 1: "high", 2: "low"}
    again = finetune(tones, tmp_path / "speech", tmp_path / "again", options, progress=lambda _: None)
    assert math.isfinite(again.metrics["loss"])


def test_several_labels_are_learnt_with_a_yes_or_no_each(tones: LabelledClips, tmp_path: Path) -> None:
    both = tuple(
        replace(clip, labels=(*clip.labels, "odd") if i % 2 else clip.labels) for i, clip in enumerate(tones.clips)
    )
    result = train(
        LabelledClips("two", both), CONFIG, tmp_path / "many", replace(QUICK, metric="map"), progress=lambda _: None
    )
    assert json.loads((tmp_path / "many" / "config.json").read_text())["problem_type"] == "multi_label_classification"
    assert load_checkpoint(tmp_path / "many").facts.activation == "sigmoid"
    assert 0 <= result.metrics["map"] <= 1


# Splitting


# Wrong data


def test_unreadable_clips_are_listed_and_skipped(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", {"low": 400, "high": 3000})
    (data / "low" / "text.wav").write_text("not audio")
    (data / "high" / "empty.wav").write_bytes(b"")
    lines: list[str] = []
    options = replace(QUICK, stages=(Stage(2, 4),), evaluations=1)
    result = train(read_labelled_clips(data), CONFIG, tmp_path / "out", options, progress=lines.append)
    assert sorted("text.wav" in message for message in result.unreadable) == [False, True]
    assert sum(line.startswith("Skipped: ") for line in lines) == 2


def test_a_label_without_readable_clips_is_an_error(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", {"low": 400, "high": 3000}, n=4)
    for i in range(4):
        (data / "high" / f"high{i}.wav").write_text("not audio")
    with pytest.raises(DataError, match="The label 'high' has no readable clip to learn from"):
        train(read_labelled_clips(data), CONFIG, tmp_path / "out", QUICK, progress=lambda _: None)
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_full_disk_leaves_nothing_that_looks_like_a_checkpoint(
    tones: LabelledClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*ignored: object, **also_ignored: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ast_demo.finetuning.run.write_card", full)
    options = replace(QUICK, stages=(Stage(1, 4),), evaluations=1)
    with pytest.raises(DataError, match=r"cannot be written to .*: No space left on device"):
        train(tones, CONFIG, tmp_path / "out", options, progress=lambda _: None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training"]
    monkeypatch.undo()
    assert train(tones, CONFIG, tmp_path / "out", options, progress=lambda _: None).steps == 1  # it goes on


@pytest.mark.parametrize("most_bytes", [8_000, 100_000, 180_000], ids=["spectrograms", "weights", "optimiser"])
def test_files_that_cannot_be_written_to_their_end_are_told_in_a_sentence(
    most_bytes: int, tones: LabelledClips, tmp_path: Path
) -> None:
    """As on a full disk, the system cuts what NumPy, safetensors and PyTorch write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    options = replace(QUICK, stages=(Stage(1, 4),), evaluations=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(DataError, match=r"^The checkpoint cannot be written to .*\.$"):
            train(tones, CONFIG, tmp_path / "out", options, progress=lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training"]


def test_what_cannot_be_trained_is_refused_before_anything_is_read(tones: LabelledClips, tmp_path: Path) -> None:
    one_label = LabelledClips("one", tuple(clip for clip in tones.clips if clip.labels == ("low",)))
    (tmp_path / "taken").mkdir()
    save_tiny(tmp_path / "taken")
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    expected = [
        ((one_label, CONFIG, out, QUICK), DataError, "at least two labels; got only 'low'"),
        ((tones, CONFIG, tmp_path / "taken", QUICK), DataError, "holds a checkpoint already"),
        ((tones, CONFIG, tmp_path / "file" / "out", QUICK), DataError, "cannot be written"),
        ((tones, "nowhere", out, QUICK), CheckpointError, "There is no checkpoint 'nowhere'"),
        ((tones, CONFIG, out, replace(QUICK, learning_rate=0.0)), DataError, "a learning rate above 0; got 0"),
        ((tones, CONFIG, out, replace(QUICK, n_frames=3)), DataError, "max_length of at least 5; got 3"),
        ((tones, CONFIG, out, replace(QUICK, teacher_share=1.5)), DataError, "teacher_share from 0 to 1; got 1.5"),
        ((tones, CONFIG, out, replace(QUICK, weight_average=1.0)), DataError, "from 0 to less than 1; got 1"),
        ((tones, CONFIG, out, replace(QUICK, weight_average=0.9)), DataError, "expected an empty metric"),
    ]
    for arguments, error, message in expected:
        with pytest.raises(error, match=message):
            train(*arguments, progress=lambda _: None)
    stranger = LabelledClips("more", (LabelledClip("x.wav", b"", ("bell",)),))
    with pytest.raises(DataError, match="extra clips of 'more' have the label 'bell'"):
        train(tones, CONFIG, out, QUICK, extra=[stranger], progress=lambda _: None)
    assert not out.exists()


# Recipes


@pytest.mark.parametrize("path", sorted((REPOSITORY / "recipes").glob("*.json")), ids=lambda path: path.stem)
def test_the_recipes_of_the_shipped_checkpoints_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.options.validation == {"fold": ["4"], "speaker": ["theo"]}
    assert all(stage.steps > 0 for stage in recipe.options.stages)


def test_recipes_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for text, message in {
        "{": "cannot be read",
        "[]": "is no JSON object",
        '{"base": "x", "options": {"epoch": 3}}': "makes no sense: .*'epoch'",
        '{"model_type": "no such model"}': "makes no sense",
    }.items():
        (tmp_path / "recipe.json").write_text(text)
        with pytest.raises(DataError, match=message):
            read_recipe(tmp_path / "recipe.json")


def test_a_model_s_configuration_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2", "hidden_size": 16}))
    recipe = read_recipe(tmp_path / "config.json")
    assert isinstance(recipe.base, Wav2Vec2Config)
    assert recipe.base.hidden_size == 16
    assert recipe.options == ScratchOptions()
    assert recipe.parts == FROM_SCRATCH


def test_a_command_line_changes_what_it_names_and_nothing_else() -> None:
    asked = {"epochs": 3, "seed": None, "learning_rate": 2e-4}
    chosen = choose_recipe("somewhere", None, "esc50", asked, ["fold=4", "fold=5", "speaker=theo"])
    assert chosen.base == "somewhere"
    assert chosen.parts == FINETUNING
    held_out = {"fold": ["4", "5"], "speaker": ["theo"]}
    assert chosen.options == replace(ESC50, epochs=3, learning_rate=2e-4, validation=held_out)
    recipe = REPOSITORY / "recipes" / "sounds-and-digits-16-16.json"
    assert choose_recipe(None, recipe, "default", {"seed": 7}).options.stages
    assert choose_recipe(None, recipe, "default", {"epochs": 2}).options.stages == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None, "default", {}), "either a base .* or a configuration"),
        (("base", "recipe.json", "default", {}), "either a base .* or a configuration"),
        (("base", None, "esc51", {}), "There is no preset 'esc51'. Expected 'default' or 'esc50'"),
        (("base", None, "default", {}, ["fold"]), "Expected COLUMN=VALUE .* got 'fold'"),
    ],
)
def test_command_lines_that_make_no_sense_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose_recipe(*arguments)


# The parts


def test_tokens_of_some_columns_are_those_among_all() -> None:
    model = ColumnAst(CONFIG)
    start_from_scratch(model, seed=0)
    grid = grid_of(CONFIG)
    values = torch.randn(3, FRAMES, MELS, generator=torch.Generator().manual_seed(0))
    columns = torch.tensor([[0, 3, 16], [5, 6, 7], [1, 2, 15]])
    embeddings = model.audio_spectrogram_transformer.embeddings
    everything = embeddings(values)
    some = embed_columns(embeddings, values, columns, grid)
    assert some.shape == (3, 2 + 13 * 3, 34)
    torch.testing.assert_close(some[:, :2], everything[:, :2])
    for clip in range(3):
        for frequency in range(13):
            for i, column in enumerate(columns[clip].tolist()):
                torch.testing.assert_close(
                    some[clip, 2 + frequency * 3 + i], everything[clip, grid.token(frequency, column)]
                )
    every = torch.arange(17).expand(3, -1)
    torch.testing.assert_close(model(values, columns=every).logits, model(values).logits)


def test_positions_tell_every_patch_apart() -> None:
    waves = make_positions(grid_of(CONFIG), 34)
    distances = torch.cdist(waves, waves) + 10 * torch.eye(len(waves))
    assert distances.min() > 0.1


def test_muon_is_torch_s_muon() -> None:
    torch.manual_seed(0)
    ours = ColumnAst(CONFIG)
    theirs = ColumnAst(CONFIG)
    theirs.load_state_dict(ours.state_dict())
    inside = [p for name, p in theirs.named_parameters() if ".layers." in name and p.ndim == 2]
    known = {id(p) for p in inside}
    outside = [p for p in theirs.parameters() if id(p) not in known]
    together = MuonWithAdamW(ours, 0.02, 1e-3, 0.05)
    apart = (
        torch.optim.Muon(inside, lr=0.02, weight_decay=0.05),
        torch.optim.AdamW(outside, lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98)),
    )
    for step in range(3):
        values = torch.randn(2, FRAMES, MELS, generator=torch.Generator().manual_seed(step))
        for model in (ours, theirs):
            model.zero_grad()
            model(values).logits.square().sum().backward()
        together.step()
        for optimiser in apart:
            optimiser.step()
        state = together.state_dict()
        together = MuonWithAdamW(ours, 0.02, 1e-3, 0.05)
        together.load_state_dict(state)
    for (name, mine), his in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # Batched and single products in bfloat16 may round differently.
        torch.testing.assert_close(mine, his, rtol=0, atol=2e-3, msg=name)


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    matrices = torch.randn(3, 20, 50, generator=torch.Generator().manual_seed(0))
    for turned in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalise(turned).float())
        assert 0.6 < values.min() < values.max() < 1.3


def test_averaged_weights_by_hand(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average, expected = WeightAverage(model, 0.75), None
    for value in (3.0, 5.0, -2.0, 7.0):
        torch.nn.init.constant_(model.weight, value)
        average.on_step_end()
        expected = value if expected is None else 0.75 * expected + 0.25 * value
        assert average.model.weight.item() == pytest.approx(expected)
        average.save(tmp_path)
        again = WeightAverage(model, 0.75)
        again.load(tmp_path)
        average = again
    assert model.weight.item() == 7.0


def test_the_cache_gives_back_what_was_kept_under_the_same_key(tmp_path: Path) -> None:
    versions = [clip.versions for clip in training_clips(3)]
    versions.insert(1, ())  # a clip that cannot be read
    save_versions(tmp_path / "cache", "key", versions)
    kept = load_versions(tmp_path / "cache", "key")
    assert kept is not None
    assert [len(clip) for clip in kept] == [2, 0, 2, 2]
    for before, after in zip(versions, kept, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert load_versions(tmp_path / "cache", "another key") is None
    assert load_versions(tmp_path / "nowhere", "key") is None


def column_batches(how: Augmentation, stages: tuple[Stage, ...], seed: int = 0) -> ColumnBatches:
    clips: list[TrainingClip] = training_clips()
    sampler = sampler_of(clips, staged_batch_sizes(ScratchOptions(stages=stages), len(clips)), seed)
    settings = InputSettings(MELS, FRAMES, -6.0, 5.0)
    return ColumnBatches(clips, sampler, settings, how, seed, grid_of(CONFIG), stages)


def test_stages_have_batches_and_columns_of_their_own() -> None:
    stages = (Stage(3, 4, 5), Stage(2, 2))
    first, second = (column_batches(STRONG, stages) for _ in range(2))
    assert len(first) == 5
    backwards = {i: second[i] for i in reversed(range(5))}
    for i in range(5):
        for key, value in first[i].items():
            assert torch.equal(value, backwards[i][key]), (i, key)
    assert [set(first[i]) - {"input_values", "labels"} for i in (0, 4)] == [{"columns"}, set()]
    assert first[0]["columns"].shape == (4, 5)
    assert [len(first[i]["labels"]) for i in range(5)] == [4, 4, 4, 2, 2]


def test_targets_are_in_part_what_a_teacher_says_of_the_same_inputs(tmp_path: Path) -> None:
    labels = ("c", "a", "b")
    model = build_model(labels=("a", "b", "c"), problem_type="single_label_classification")
    teacher = load_checkpoint(save(model, tmp_path / "teacher", mean=-4.0, std=3.0))
    settings, options = InputSettings(MELS, FRAMES, -6.0, 5.0), ScratchOptions(teacher_share=0.25)
    plain = column_batches(STRONG, (Stage(2, 4, 5),))
    taught = DistilledBatches(plain, teacher, labels, settings, options)
    assert len(taught) == 2
    for i in range(2):
        before, after = plain[i], taught[i]
        assert torch.equal(after["input_values"], before["input_values"])
        assert torch.equal(after["columns"], before["columns"])
        log_mels = before["input_values"].double() * 10 - 6
        with torch.no_grad():
            scores = model(((log_mels + 4) / 6).float()).logits.softmax(dim=1)[:, [2, 0, 1]]
        torch.testing.assert_close(after["labels"], 0.75 * before["labels"] + 0.25 * scores, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="a teacher with the labels of the data; 'teacher' has others"):
        DistilledBatches(plain, teacher, ("a", "b", "d"), settings, options)
    with pytest.raises(DataError, match="that reads 90 frames of 43 mel bins; 'teacher' does not"):
        DistilledBatches(plain, teacher, labels, replace(settings, n_frames=90), options)


def test_chosen_columns_hold_the_event() -> None:
    batches = column_batches(replace(STRONG, placement=1.0, crop=0.0), (Stage(1, 1, 8),))
    rng = np.random.default_rng(0)

    event = np.full((23, MELS), 2.0, np.float32)
    starts = set()
    for _ in range(50):
        placed = place_event(event, FRAMES, replace(STRONG, placement=1.0, crop=0.0), rng)
        starts.add(placed.start)
        columns = choose_columns(placed, grid_of(CONFIG), 8, rng)
        covered = {frame for column in columns for frame in range(column * 5, column * 5 + 5)}
        assert len(set(columns.tolist())) == 8
        assert {f for f in range(placed.start, placed.stop) if f < 85} <= covered  # no patch sees the last 4 frames
        assert placed.values[: placed.start].max(initial=FLOOR) == pytest.approx(FLOOR)
    assert len(starts) > 20
    assert len(batches) == 1
