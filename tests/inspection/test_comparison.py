"""One clip, several checkpoints: each as it is alone, what they agree on, and what happens when one of them fails."""

from __future__ import annotations

import json
import math
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import soundfile
from PIL import Image
from transformers import BertConfig, BertForSequenceClassification

from ast_demo.audio.decoding import read_audio
from ast_demo.audio.waveform import SAMPLE_RATE
from ast_demo.cli import main
from ast_demo.data.labels import match_key
from ast_demo.errors import CheckpointError, DataError
from ast_demo.export.files import draw_comparison, write_comparison
from ast_demo.export.summaries import summarise, summarise_comparison
from ast_demo.features.log_mel import InputSettings
from ast_demo.features.patches import PatchGrid
from ast_demo.figures import Look, difference_figure, rollout_figure, shared_look, waveform_figure
from ast_demo.inspection.comparison import Comparison, agree, compare, describe, rollout_raster
from ast_demo.inspection.inspection import Inspection, inspect
from ast_demo.inspection.rollout import Rollout
from ast_demo.models.cache import CheckpointCache
from ast_demo.models.checkpoint import Checkpoint
from ast_demo.models.loading import load_checkpoint
from ast_demo.settings import Settings
from tests.clips import noise, waveform
from tests.pictures import box_in_pixels
from tests.tiny import save_tiny
from tests.tiny_sequence import save_sequence_model

CLIP = waveform(noise(0.61), "knock.wav")  # 59 frames
# The same four labels as three of `ALIKE` and one of `APART` spell them, and others.
FIRST = ("door_bell", "Dog Bark", "rain", "seven", "Sea  waves")
ALIKE = ("RAIN", "siren", "dog_bark", "Door Bell", "clock tick", "clap")
APART = ("one", "two", "three")
ONE_IN_COMMON = ("SEVEN", "eight")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """References of tiny checkpoints: three grids, three lengths of input, labels as named above."""
    root = tmp_path_factory.mktemp("checkpoints")
    made = {
        "first": save_tiny(root / "first", 0, labels=FIRST),
        "same": save_tiny(root / "same", 1, labels=FIRST, frequency_stride=5, time_stride=3),
        "alike": save_tiny(root / "alike", 2, labels=ALIKE, max_length=53),
        "apart": save_tiny(root / "apart", 3, labels=APART, num_mel_bins=31),
        "one": save_tiny(root / "one", 4, labels=ONE_IN_COMMON, problem_type="multi_label_classification"),
        "waves": save_sequence_model("wav2vec2", root / "waves", 5, labels=FIRST),
        "whispers": save_sequence_model("whisper", root / "whispers", 6, labels=FIRST),
    }
    return {name: str(folder) for name, folder in made.items()}


def compared(folders: dict[str, str], *names: str) -> Comparison:
    comparison = compare(CLIP, [folders[name] for name in names], load_checkpoint)
    assert comparison.failures == ()
    return comparison


def numbers(inspection: Inspection) -> dict[str, bytes]:
    """All arrays of an inspection, to the last bit."""
    prediction, rollout = inspection.prediction, inspection.rollout
    arrays = {
        "scores": prediction.scores,
        "logits": prediction.logits,
        "embedding": prediction.embedding,
        "rollout": rollout.maps,
        "special tokens": rollout.special_share,
        "padding": rollout.padding_share,
    }
    if inspection.spectrogram is not None:
        arrays["spectrogram"] = inspection.spectrogram.values
    return {name: array.tobytes() for name, array in arrays.items()}


# Each as it is alone.


@pytest.mark.parametrize("names", [("first", "same"), ("apart", "waves", "alike", "first"), ("whispers", "one")])
def test_each_column_is_what_inspect_gives_bit_for_bit(names: tuple[str, ...], folders: dict[str, str]) -> None:
    for load in (load_checkpoint, CheckpointCache(Settings()).load):
        comparison = compare(CLIP, [folders[name] for name in names], load)
        assert [one.checkpoint.name for one in comparison.inspections] == list(names)  # in the order asked for
        for name, one in zip(names, comparison.inspections, strict=True):
            alone = inspect(CLIP, load_checkpoint(folders[name]))
            assert numbers(one) == numbers(alone)
            assert one.waveform is CLIP
            assert (one.checkpoint, one.input_s, one.precision) == (alone.checkpoint, alone.input_s, alone.precision)
            assert one.spectrogram is None or one.spectrogram.clip_frames == alone.spectrogram.clip_frames


def test_it_tells_how_far_it_is(folders: dict[str, str]) -> None:
    told: list[tuple[int, str]] = []
    references = [folders["first"], "nowhere", folders["one"]]
    compare(CLIP, references, load_checkpoint, lambda done, reference: told.append((done, reference)))
    assert told == [(0, references[0]), (1, "nowhere"), (2, references[2])]


def test_checkpoints_are_let_go_one_after_the_other(folders: dict[str, str]) -> None:
    alive: list[weakref.ref] = []

    def load(reference: str) -> Checkpoint:
        assert [one for one in alive if one() is not None] == []
        checkpoint = load_checkpoint(reference)
        alive.append(weakref.ref(checkpoint.model))
        return checkpoint

    comparison = compare(CLIP, [folders[name] for name in ("first", "waves", "apart")], load)
    assert len(comparison.inspections) == len(alive) == 3
    assert [one for one in alive if one() is not None] == []


# Labels and scores.


def scores_by_label(inspection: Inspection) -> dict[str, float]:
    return dict(zip(inspection.prediction.labels, inspection.prediction.scores.tolist(), strict=True))


# For each pair of checkpoints, labels that are the same, as the one and as the other spells them: by hand.
SHARED = {
    ("first", "same"): [(label, label) for label in FIRST],
    ("first", "alike"): [("door_bell", "Door Bell"), ("Dog Bark", "dog_bark"), ("rain", "RAIN")],
    ("first", "one"): [("seven", "SEVEN")],
    ("first", "apart"): [],
}


@pytest.mark.parametrize("names", SHARED, ids="-".join)
def test_divergence_and_ensemble_against_scipy(names: tuple[str, str], folders: dict[str, str]) -> None:
    comparison = compared(folders, *names)
    one, other = map(scores_by_label, comparison.inspections)
    shared = SHARED[names]
    agreement = comparison.agreement
    (pair,) = agreement.pairs
    assert (pair.first, pair.second, pair.n_shared) == (0, 1, len(shared))
    assert agreement.shared_labels == tuple(first for first, _ in shared)
    assert agreement.unshared_labels == (
        tuple(label for label in one if label not in {first for first, _ in shared}),
        tuple(label for label in other if label not in {second for _, second in shared}),
    )
    means = {first: (one[first] + other[second]) / 2 for first, second in shared}
    expected = sorted(means.items(), key=lambda pair: -pair[1])
    assert [label for label, _ in agreement.ensemble] == [label for label, _ in expected]
    # The mean of two doubles: nothing to round but the last bit.
    assert [score for _, score in agreement.ensemble] == pytest.approx([score for _, score in expected], rel=1e-15)
    if len(shared) < 2:
        assert pair.divergence is None
        return
    distance = scipy.spatial.distance.jensenshannon(
        [one[first] for first, _ in shared], [other[second] for _, second in shared], base=2
    )
    assert 0.001 < distance < 1
    assert pair.divergence == pytest.approx(distance**2, rel=1e-10)  # it is the square root's square


@pytest.mark.parametrize(("other", "same"), [("Dog  bark", True), ("rain", False)])
def test_whether_the_winner_is_the_same(other: str, same: bool, folders: dict[str, str]) -> None:
    comparison = compared(folders, "first", "alike")
    one, two = comparison.inspections
    one, two = crowned(one, ("dog_bark", "rain")), crowned(two, (other, "dog bark" if other == "rain" else "rain"))
    assert agree([one, two]).pairs[0].same_winner is same
    (sentence, *_) = describe(replace(comparison, inspections=(one, two), agreement=agree([one, two])))
    start = f"first and alike: {'both say dog_bark' if same else 'dog_bark against rain'}, scores "
    assert sentence.startswith(start)


def crowned(inspection: Inspection, labels: tuple[str, ...]) -> Inspection:
    """With other labels, the first of which wins."""
    scores = np.linspace(0.9, 0.1, len(labels))
    return replace(inspection, prediction=replace(inspection.prediction, labels=labels, scores=scores))


def with_scores(inspection: Inspection, scores: Sequence[float]) -> Inspection:
    labels = tuple(f"label {i}" for i in range(len(scores)))
    return replace(inspection, prediction=replace(inspection.prediction, labels=labels, scores=np.array(scores)))


def test_a_divergence_by_hand(folders: dict[str, str]) -> None:
    one, other = compared(folders, "first", "same").inspections

    def divergence(a: Sequence[float], b: Sequence[float]) -> float | None:
        return agree([with_scores(one, a), with_scores(other, b)]).pairs[0].divergence

    assert divergence([1, 0], [0, 1]) == 1  # as different as can be: 1 bit
    assert divergence([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]) == 0
    assert divergence([0.1, 0.3], [0.2, 0.6]) == pytest.approx(0, abs=1e-15)  # sigmoids: only their ratios count
    # ((3/4, 1/4), (1/4, 3/4)): the middle is even, and each is 1 - H(1/4) bits from it.
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert divergence([0.75, 0.25], [0.25, 0.75]) == pytest.approx(1 - entropy, rel=1e-12)
    assert divergence([0, 0], [0.5, 0.5]) is None  # all of its scores lie on other labels


def test_scores_that_are_nearly_equal_have_a_divergence(folders: dict[str, str]) -> None:
    """Rounding may put it below 0, of which there is no square root: SciPy's distance is then not a number."""
    one, other = compared(folders, "first", "same").inspections
    random = np.random.default_rng(0)
    for _ in range(100):
        scores = random.dirichlet(np.ones(5))
        nearly = scores * (1 + 1e-16 * random.integers(-3, 4, 5))
        divergence = agree([with_scores(one, scores), with_scores(other, nearly)]).pairs[0].divergence
        assert 0 <= divergence < 1e-14


def test_two_labels_that_are_spelled_alike_in_one_checkpoint(folders: dict[str, str]) -> None:
    one, other = compared(folders, "first", "same").inspections
    doubled = replace(one.prediction, labels=("Rain", "rain", "wind"), scores=np.array([0.2, 0.5, 0.3]))
    plain = replace(other.prediction, labels=("WIND", "RAIN"), scores=np.array([0.6, 0.4]))
    agreement = agree([replace(one, prediction=doubled), replace(other, prediction=plain)])
    # The first of them counts.
    assert dict(agreement.ensemble) == pytest.approx({"Rain": 0.3, "wind": 0.45})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Dog bark", "dog_bark", True),
        ("DOGBARK", "dog  bark ", True),
        ("Straße", "STRASSE", True),
        ("dog", "dogs", False),
        ("sea-waves", "sea waves", True),
        ("7", "seven", False),
    ],
)
def test_what_labels_are_matched_by(one: str, other: str, same: bool) -> None:
    assert (match_key(one) == match_key(other)) is same


def test_disjoint_labels_are_told_instead_of_a_number(folders: dict[str, str]) -> None:
    comparison = compared(folders, "first", "apart")
    (pair,) = comparison.agreement.pairs
    assert (pair.same_winner, pair.divergence, comparison.agreement.ensemble) == (None, None, ())
    sentence, *more = describe(comparison)
    assert more == []
    start = "first and apart: they share no label, so their scores cannot be compared, rollouts correlate with "
    assert sentence.startswith(start)
    assert "bits" not in sentence
    summary = summarise_comparison(comparison)["agreement"]
    assert (summary["shared_labels"], summary["ensemble"]) == ([], [])
    assert (summary["pairs"][0]["divergence_bits"], summary["pairs"][0]["same_winner"]) == (None, None)


def test_one_shared_label_is_too_few_for_a_divergence(folders: dict[str, str]) -> None:
    sentence, together = describe(compared(folders, "first", "one"))
    assert ", they share one label only, too few to tell how far their scores are apart, " in sentence
    assert together.startswith("Together (mean of the scores on shared labels): seven, ")


def test_three_of_which_two_share_labels(folders: dict[str, str]) -> None:
    comparison = compared(folders, "first", "alike", "apart")
    agreement = comparison.agreement
    assert [(pair.first, pair.second, pair.n_shared) for pair in agreement.pairs] == [(0, 1, 3), (0, 2, 0), (1, 2, 0)]
    assert agreement.shared_labels == ()
    assert agreement.unshared_labels == (FIRST, ALIKE, APART)
    alone = compared(folders, "first", "alike").agreement.pairs[0]
    assert agreement.pairs[0] == alone  # what two agree on does not depend on a third
    last = describe(comparison)[-1]
    assert last == "There is no label that all of them share, and so no mean of their scores."


def test_the_ensemble_of_four(folders: dict[str, str]) -> None:
    comparison = compared(folders, "alike", "first", "waves", "same")
    by_label = [scores_by_label(one) for one in comparison.inspections]
    rows = [("RAIN", "rain"), ("dog_bark", "Dog Bark"), ("Door Bell", "door_bell")]
    for ours, theirs in rows:
        mean = (by_label[0][ours] + by_label[1][theirs] + by_label[2][theirs] + by_label[3][theirs]) / 4
        assert dict(comparison.agreement.ensemble)[ours] == pytest.approx(mean, rel=1e-14)
    assert len(comparison.agreement.ensemble) == 3
    assert len(comparison.agreement.pairs) == 6


# Rollouts on one raster.


def planted(inspection: Inspection, grid: PatchGrid, seed: int) -> Inspection:
    """An inspection with another grid, and a rollout that is random on it."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(grid.n_patches)).astype(np.float32)
    maps = shares.reshape(1, grid.n_frequency, grid.n_time)
    fed = InputSettings(grid.n_mels, grid.n_frames)
    facts = replace(inspection.checkpoint, grid=grid, input=fed)
    spectrogram = replace(inspection.spectrogram, values=np.zeros((grid.n_frames, grid.n_mels), np.float32))
    return replace(
        inspection,
        checkpoint=facts,
        spectrogram=spectrogram,
        rollout=Rollout(maps, np.zeros(1), np.zeros(1)),
        input_s=fed.duration_s,
    )


def raster_in_loops(inspection: Inspection, n_frames: int) -> list[list[float]]:
    """Cell by cell: the value of the patch that a click into the cell's middle would choose."""
    grid, rollout = inspection.checkpoint.grid, inspection.rollout.final
    rows = []
    for mel in range(grid.n_mels):
        row = []
        for frame in range(n_frames):
            patch = grid.patch_at(mel + 0.5, frame + 0.5)
            row.append(float("nan") if patch is None else float(rollout[patch] * np.float32(grid.n_patches)))
        rows.append(row)
    return rows


def raster_over_time_in_loops(inspection: Inspection, n_frames: int) -> list[float]:
    grid, rollout = inspection.checkpoint.grid, inspection.rollout.final
    row = []
    for frame in range(n_frames):
        patch = grid.patch_at(0.5, frame + 0.5)
        column = None if patch is None else sum(float(rollout[f, patch[1]]) for f in range(grid.n_frequency))
        row.append(float("nan") if column is None else column * grid.n_time)
    return row


# n_mels, n_frames, patch size, strides: with and without overlap, with and without margins that no patch sees.
GRIDS = [
    PatchGrid(61, 113, 16, 10, 10),
    PatchGrid(61, 113, 16, 14, 14),
    PatchGrid(61, 113, 16, 16, 16),
    PatchGrid(61, 113, 16, 10, 14),
    PatchGrid(43, 89, 5, 3, 5),
    PatchGrid(43, 89, 7, 7, 2),
    PatchGrid(37, 79, 11, 1, 3),
    PatchGrid(31, 67, 31, 31, 1),
]


@pytest.fixture(scope="module")
def inspection(folders: dict[str, str]) -> Inspection:
    return inspect(CLIP, load_checkpoint(folders["first"]))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.n_mels}x{g.n_frames}-{g.frequency_stride}-{g.time_stride}")
def test_the_raster_against_loops(grid: PatchGrid, inspection: Inspection) -> None:
    one = planted(inspection, grid, 1)
    for n_frames in (1, 41, grid.n_frames):
        np.testing.assert_array_equal(rollout_raster(one, n_frames), raster_in_loops(one, n_frames))
        # Sums of a column in single precision.
        np.testing.assert_allclose(
            rollout_raster(one, n_frames, over_time=True), raster_over_time_in_loops(one, n_frames), rtol=1e-5
        )


def correlation_in_loops(a: list, b: list) -> float:
    """Pearson's, of the cells that both see."""
    cells = [(x, y) for x, y in zip(np.ravel(a), np.ravel(b), strict=True) if x == x and y == y]
    return scipy.stats.pearsonr(*zip(*cells, strict=True)).statistic


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (0, 3), (4, 5)])
def test_the_correlation_against_scipy(first: int, second: int, inspection: Inspection) -> None:
    one, other = planted(inspection, GRIDS[first], 1), planted(inspection, GRIDS[second], 2)
    # The clip's 59 frames, not the padding after them.
    expected = correlation_in_loops(raster_in_loops(one, 59), raster_in_loops(other, 59))
    (pair,) = agree([one, other]).pairs
    assert abs(expected) > 1e-3
    assert pair.rollout_correlation == pytest.approx(expected, abs=1e-6)  # single precision


def test_the_correlation_ends_with_the_shorter_input(inspection: Inspection) -> None:
    one, other = planted(inspection, GRIDS[0], 1), planted(inspection, PatchGrid(61, 47, 16, 10, 10), 2)
    expected = correlation_in_loops(raster_in_loops(one, 47), raster_in_loops(other, 47))
    assert agree([one, other]).pairs[0].rollout_correlation == pytest.approx(expected, abs=1e-6)


def test_the_correlation_is_over_time_where_the_mel_bins_differ(inspection: Inspection) -> None:
    one, other = planted(inspection, GRIDS[0], 1), planted(inspection, GRIDS[6], 2)
    a, b = raster_over_time_in_loops(one, 59), raster_over_time_in_loops(other, 59)
    assert agree([one, other]).pairs[0].rollout_correlation == pytest.approx(correlation_in_loops(a, b), abs=1e-5)


@pytest.mark.parametrize("name", ["first", "waves", "whispers"])
def test_a_checkpoint_correlates_with_itself(name: str, folders: dict[str, str]) -> None:
    one = inspect(CLIP, load_checkpoint(folders[name]))
    (pair,) = agree([one, one]).pairs
    assert pair.rollout_correlation == pytest.approx(1, abs=1e-9)
    assert (pair.same_winner, pair.divergence) == (True, 0)


def test_the_contrary_has_a_correlation_of_minus_1(inspection: Inspection) -> None:
    one = planted(inspection, GRIDS[2], 1)
    contrary = replace(one, rollout=replace(one.rollout, maps=one.rollout.maps.max() - one.rollout.maps))
    assert agree([one, contrary]).pairs[0].rollout_correlation == pytest.approx(-1, abs=1e-6)


def test_a_rollout_that_is_the_same_everywhere_has_no_correlation(inspection: Inspection) -> None:
    one = planted(inspection, GRIDS[0], 1)
    shares = np.full_like(one.rollout.maps, 1 / GRIDS[0].n_patches)
    shares[0, ::2] += 1e-8  # but for rounding
    even = replace(one, rollout=replace(one.rollout, maps=shares))
    (pair,) = agree([one, even]).pairs
    assert pair.rollout_correlation is None
    comparison = Comparison(CLIP, (one, even), (), agree([one, even]))
    assert "correlate" not in describe(comparison)[0]
    json.dumps(summarise_comparison(comparison), allow_nan=False)


# Pictures.


def test_the_difference_picture(inspection: Inspection) -> None:
    one, other = planted(inspection, GRIDS[0], 1), planted(inspection, GRIDS[3], 2)
    figure = difference_figure(one, other)
    (mesh,) = figure.axes[0].collections
    expected = np.array(raster_in_loops(other, 113)) - np.array(raster_in_loops(one, 113))
    shown = mesh.get_array().reshape(61, 113)
    np.testing.assert_allclose(np.ma.filled(shown, np.nan), expected, atol=1e-5)
    assert np.isnan(expected).any()
    # From minus to plus the largest difference, so that none is in the middle of the colours.
    limit = np.nanmax(np.abs(expected))
    assert mesh.get_clim() == pytest.approx((-limit, limit), rel=1e-5)
    # Frame 0 is drawn round the middle of its window, at 12.5 ms; each mel bin is one high.
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], 0.0075 + 0.01 * np.arange(114))
    np.testing.assert_allclose(corners[:, 0, 1], np.arange(62))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    # One sees 56 bins and 106 frames, the other 56 and 114 - 16 % 14.
    assert names == ["padding 0.54 s", "in no patch: 5 bins, 13 frames"]


def test_the_difference_picture_of_checkpoints_without_a_common_grid(folders: dict[str, str]) -> None:
    comparison = compared(folders, "first", "waves", "apart")
    one, waves, apart = comparison.inspections
    for other, n_frames in ((waves, 59), (apart, 89)):
        figure = difference_figure(one, other)
        (steps,) = (patch for patch in figure.axes[0].patches if hasattr(patch, "get_data"))
        values, edges, _ = steps.get_data()
        expected = rollout_raster(other, n_frames, over_time=True) - rollout_raster(one, n_frames, over_time=True)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_allclose(edges, 0.0075 + 0.01 * np.arange(n_frames + 1))
        assert draw_comparison(Comparison(CLIP, (one, other), (), agree([one, other])))[1]["difference"]


def test_shared_axes_and_colours(folders: dict[str, str]) -> None:
    comparison = compared(folders, "first", "alike", "waves", "whispers")
    look = shared_look(comparison, Look(390, scale=1))
    assert look.seconds == 2  # the longest input
    highest = max(float(one.rollout.final.max()) * one.rollout.final.size for one in comparison.inspections)
    assert look.relevance_max == pytest.approx(highest)
    figures = [draw(one, look) for one in comparison.inspections for draw in (waveform_figure, rollout_figure)]
    figures += [difference_figure(comparison.inspections[0], one, look) for one in comparison.inspections[1:]]
    assert {figure.axes[0].get_xlim() for figure in figures} == {(0.0, 2.0)}
    assert len({box_in_pixels(figure, look)[:2] for figure in figures}) == 1
    for number in (0, 1):
        mesh = rollout_figure(comparison.inspections[number], look).axes[0].collections[0]
        assert mesh.get_clim() == pytest.approx((0, highest))
    for number in (2, 3):
        low, high = rollout_figure(comparison.inspections[number], look).axes[0].get_ylim()
        assert (low, high) == pytest.approx((0, 1.05 * highest))


def test_all_pictures_are_of_the_same_width(folders: dict[str, str]) -> None:
    look = Look(300, dark=True, scale=1)
    pictures = draw_comparison(compared(folders, "first", "waves", "apart"), look)
    whole = {"waveform", "spectrogram", "patch_grid", "rollout"}
    assert [set(one) for one in pictures] == [
        whole,
        {"waveform", "rollout", "difference"},
        whole | {"difference"},
    ]
    import io

    sizes = {Image.open(io.BytesIO(content)).width for one in pictures for content in one.values()}
    assert sizes == {300}


# Files.


def test_files(folders: dict[str, str], tmp_path: Path) -> None:
    comparison = compared(folders, "waves", "first")
    renamed = replace(comparison.inspections[1].checkpoint, name="someone/first")  # as a Hub id
    second = replace(comparison.inspections[1], checkpoint=renamed)
    comparison = replace(comparison, inspections=(comparison.inspections[0], second))
    written = write_comparison(comparison, tmp_path / "out")
    data = {"inspection.json", "inspection.npz"}
    expected = {f"1-waves/{name}" for name in {"waveform.png", "rollout.png"} | data}
    pictures = {f"{name}.png" for name in ("waveform", "spectrogram", "patch_grid", "rollout", "difference")}
    expected |= {f"2-someone--first/{name}" for name in pictures | data} | {"comparison.json"}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in written} == expected
    assert {path for path in (tmp_path / "out").rglob("*") if path.is_file()} == set(written)
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert summary == json.loads(json.dumps(summarise_comparison(comparison), allow_nan=False))
    assert json.loads((tmp_path / "out" / "2-someone--first" / "inspection.json").read_text()) == summarise(second)
    with np.load(tmp_path / "out" / "1-waves" / "inspection.npz") as arrays:
        np.testing.assert_array_equal(arrays["logits"], comparison.inspections[0].prediction.logits)


def test_a_folder_that_cannot_be_written(folders: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"\ACannot write to the folder '.*': .+\."):
        write_comparison(compared(folders, "first", "waves"), tmp_path / "file")


# When one of them fails.


def no_folder(folder: Path) -> str:
    return str(folder)


def no_head(folder: Path) -> str:
    from transformers import ASTForAudioClassification

    ASTForAudioClassification.from_pretrained(save_tiny(folder)).audio_spectrogram_transformer.save_pretrained(folder)
    return str(folder)


def text_classifier(folder: Path) -> str:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=11)
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def too_large(folder: Path) -> str:
    return str(save_tiny(folder, hidden_size=340, intermediate_size=530))


def hub_id(folder: Path) -> str:
    return "MIT/ast-finetuned-audioset-12-12-0.447"


def too_short_for_it(folder: Path) -> str:
    save_sequence_model("wav2vec2", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "conv_stride": [997, 13]}))
    return str(folder)


FAILURES: dict[Callable[[Path], str], str] = {
    no_folder: "There is no checkpoint '",
    no_head: "'failing' has no trained weights for 4 parts of the model, classifier.",
    text_classifier: "'failing' is of type 'bert', which is no audio classifier. Expected an Audio Spectrogram",
    too_large: "The weights of 'failing' take ",
    hub_id: "'MIT/ast-finetuned-audioset-12-12-0.447' is not on this machine yet, and the Hugging Face Hub cannot be",
    too_short_for_it: "'failing' cannot be run on 'knock.wav' (0.61 s): ",
}
LIMITED = Settings(max_checkpoint_mb=3)  # the others take 0.2 MB, `too_large` 10 MB


@pytest.mark.parametrize("make", FAILURES, ids=lambda make: make.__name__)
def test_a_failing_checkpoint_leaves_the_others_standing(
    make: Callable[[Path], str], folders: dict[str, str], tmp_path: Path
) -> None:
    failing = make(tmp_path / "failing")
    comparison = compare(CLIP, [folders["first"], failing, folders["same"]], CheckpointCache(LIMITED).load)
    assert [one.checkpoint.name for one in comparison.inspections] == ["first", "same"]
    for one in comparison.inspections:
        assert numbers(one) == numbers(inspect(CLIP, load_checkpoint(folders[one.checkpoint.name])))
    (failure,) = comparison.failures
    assert failure.checkpoint == failing
    assert failure.message.startswith(FAILURES[make])
    assert "\n" not in failure.message
    assert comparison.agreement == compared(folders, "first", "same").agreement
    assert summarise_comparison(comparison)["failures"] == [{"checkpoint": failing, "message": failure.message}]


def test_one_left_agrees_with_nobody(folders: dict[str, str], tmp_path: Path) -> None:
    comparison = compare(CLIP, ["nowhere", folders["first"]], load_checkpoint)
    assert (comparison.agreement, describe(comparison)) == (None, [])
    assert numbers(comparison.inspections[0]) == numbers(inspect(CLIP, load_checkpoint(folders["first"])))
    assert write_comparison(comparison, tmp_path)[0].parent.name == "1-first"


def test_none_is_left(tmp_path: Path) -> None:
    comparison = compare(CLIP, ["nowhere", "elsewhere"], load_checkpoint)
    assert [failure.checkpoint for failure in comparison.failures] == ["nowhere", "elsewhere"]
    assert draw_comparison(comparison) == []
    assert write_comparison(comparison, tmp_path) == [tmp_path / "comparison.json"]


def never(reference: str) -> Checkpoint:
    raise AssertionError("Nothing should be loaded.")


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "Expected 2 to 4 checkpoints to compare, got 0."),
        (["a"], "Expected 2 to 4 checkpoints to compare, got 1."),
        (["a", "b", "c", "d", "e"], "Expected 2 to 4 checkpoints to compare, got 5."),
        (["a", "b", "a"], "Expected different checkpoints to compare, got 'a' twice."),
        (["a", "b", "./a/"], "Expected different checkpoints to compare, got './a/' twice."),
        (["MIT/one", " MIT/one"], "Expected different checkpoints to compare, got ' MIT/one' twice."),
    ],
)
def test_what_cannot_be_compared(references: list[str], message: str) -> None:
    with pytest.raises(CheckpointError) as error:
        compare(CLIP, references, never)
    assert str(error.value) == message


# The command line.


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "knock.wav"
    soundfile.write(path, noise(0.61), SAMPLE_RATE)
    return path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> Callable[..., tuple[int, str, str]]:
    """`compare` on the clip, in this process: exit code, standard output, standard error."""

    def call(references: Sequence[str], *options: str) -> tuple[int, str, str]:
        chosen = [word for reference in references for word in ("--checkpoint", reference)]
        monkeypatch.setattr(sys, "argv", ["ast_demo", "compare", str(clip), *chosen, *options])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


def test_the_command(run, folders: dict[str, str], clip: Path) -> None:
    names = ("first", "alike", "apart")
    code, out, err = run([folders[name] for name in names], "--top", "2")
    comparison = compare(read_audio(clip), [folders[name] for name in names], load_checkpoint)
    expected = []
    for one in comparison.inspections:
        expected += [one.checkpoint.name, *(f"{score:7.2%}  {label}" for label, score in one.prediction.top(2))]
    assert out.splitlines() == [*expected, *describe(comparison)]
    assert code == 0
    # `alike` hears 0.545 s of the 0.61 s.
    assert err == "Note: alike hears the first 0.55 s only; 0.07 s are cut off.\n"


def test_the_command_as_json(run, folders: dict[str, str], clip: Path) -> None:
    code, out, err = run([folders["first"], folders["alike"]], "--json")
    assert (code, err) == (0, "")
    summary = json.loads(out, parse_constant=pytest.fail)  # no NaN in it
    waveform = read_audio(clip)
    comparison = compare(waveform, [folders["first"], folders["alike"]], load_checkpoint)
    assert summary["clip"] == "knock.wav"
    assert summary["failures"] == []
    for got, one in zip(summary["inspections"], comparison.inspections, strict=True):
        expected = json.loads(json.dumps(summarise(one)))
        assert {**got, "seconds": 0} == {**expected, "seconds": 0}  # all but the time that it took
    agreement, (pair,) = comparison.agreement, comparison.agreement.pairs
    assert summary["agreement"] == {
        "shared_labels": ["door_bell", "Dog Bark", "rain"],
        "unshared_labels": [
            {"checkpoint": "first", "labels": ["seven", "Sea  waves"]},
            {"checkpoint": "alike", "labels": ["siren", "clock tick", "clap"]},
        ],
        "ensemble": [{"label": label, "score": score} for label, score in agreement.ensemble],
        "pairs": [
            {
                "checkpoints": ["first", "alike"],
                "same_winner": pair.same_winner,
                "divergence_bits": pair.divergence,
                "rollout_correlation": pair.rollout_correlation,
            }
        ],
    }


@pytest.mark.parametrize("make", FAILURES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_the_command_with_a_failing_checkpoint(
    make: Callable[[Path], str], options: tuple[str, ...], run, folders: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("AST_DEMO_MAX_CHECKPOINT_MB", "3")
    failing = make(tmp_path / "failing")
    code, out, err = run([failing, folders["first"], folders["same"]], *options)
    assert code == 2
    assert err.startswith(FAILURES[make])
    assert err.count("\n") == 1
    if options:
        summary = json.loads(out)
        assert [one["checkpoint"] for one in summary["inspections"]] == ["first", "same"]
        assert summary["failures"] == [{"checkpoint": failing, "message": err.strip()}]
        assert summary["agreement"]["shared_labels"] == list(FIRST)
    else:
        assert [line for line in out.splitlines() if line in ("first", "same", "failing")] == ["first", "same"]
        assert "first and same: " in out


def test_the_command_when_all_fail(run) -> None:
    code, out, err = run(["nowhere", "elsewhere"])
    assert (code, out) == (2, "")
    nowhere, elsewhere = err.splitlines()
    assert nowhere.startswith("There is no checkpoint 'nowhere'. ")
    assert elsewhere.startswith("There is no checkpoint 'elsewhere'. ")


@pytest.mark.parametrize(
    ("references", "message"),
    [
        (["a"], "Expected 2 to 4 checkpoints to compare, got 1.\n"),
        (["a", "b", "c", "d", "e"], "Expected 2 to 4 checkpoints to compare, got 5.\n"),
        (["a", "a"], "Expected different checkpoints to compare, got 'a' twice.\n"),
    ],
)
def test_the_command_with_too_few_too_many_and_the_same(references: list[str], message: str, run) -> None:
    assert run(references) == (2, "", message)


def test_the_command_writes_files(run, folders: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code, out, err = run([folders["waves"], folders["first"]], "--output", str(folder))
    assert code == 0
    assert out.startswith("waves\n")
    written = [line.removeprefix("Wrote ") for line in err.splitlines()]
    assert sorted(map(Path, written)) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in folder.iterdir()} == {"1-waves", "2-first", "comparison.json"}


# A cache that is smaller than what is compared.


def test_a_checkpoint_that_is_put_out_while_in_use(folders: dict[str, str]) -> None:
    cache = CheckpointCache(Settings(checkpoint_cache_mb=0.001))
    expected = numbers(inspect(CLIP, load_checkpoint(folders["first"])))
    held = cache.load(folders["first"])
    cache.load(folders["same"])
    assert cache.load(folders["first"]) is not held  # it was put out
    assert numbers(inspect(CLIP, held)) == expected


def test_visitors_on_a_cache_that_holds_one(folders: dict[str, str]) -> None:
    names = ["first", "same", "alike", "apart"]
    alone = {name: numbers(inspect(CLIP, load_checkpoint(folders[name]))) for name in names}
    cache = CheckpointCache(Settings(checkpoint_cache_mb=0.001))
    together = threading.Barrier(3)
    got: list[Comparison] = []

    def visit(first: int) -> None:
        together.wait()
        for _ in range(3):
            got.append(compare(CLIP, [folders[name] for name in names[first:] + names[:first]], cache.load))

    threads = [threading.Thread(target=visit, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 9
    for comparison in got:
        assert comparison.failures == ()
        assert {one.checkpoint.name: numbers(one) for one in comparison.inspections} == alone
