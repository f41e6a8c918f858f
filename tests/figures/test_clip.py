"""The pictures are read back, from matplotlib's own objects and from pixels, and held to the numbers they show."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ast_demo.explain.maps import RelevanceMap, rollout_map
from ast_demo.features.log_mel import InputSettings, compute_spectrograms
from ast_demo.features.patches import PatchGrid
from ast_demo.features.raster import hz_to_mel_bin
from ast_demo.figures import (
    Look,
    attention_figure,
    confusion_figure,
    map_thumbnail,
    patch_at_pixel,
    patch_grid_figure,
    reliability_figure,
    rollout_figure,
    spectrogram_figure,
    spectrogram_thumbnail,
    to_png,
    waveform_figure,
)
from ast_demo.inspection.inspection import Inspection, PatchInspection
from ast_demo.inspection.rollout import Rollout
from ast_demo.models.checkpoint import CheckpointFacts
from ast_demo.models.prediction import Prediction
from tests.clips import REPOSITORY, noise, tone, waveform
from tests.pictures import box_in_pixels, pixel_of

BLIND = PatchGrid(128, 512, 16, 10, 10)  # 12 × 50: no patch reaches bins 126 and 127, and frames 506 to 511
WHOLE = PatchGrid(128, 512, 16, 16, 16)  # 8 × 32: every bin and frame is in one patch
UNEVEN = PatchGrid(41, 103, 7, 3, 5)  # 12 × 20: other strides for frequency and time; blind to bin 40 and frame 102
FIRST_FRAME_S = 0.0075  # frame 0 is drawn round 12.5 ms, the middle of its window, 10 ms wide
N_LAYERS = 3
LOOKS = {
    "wide": Look(900),
    "dark": Look(900, dark=True),
    "zoomed": Look(900, zoom=True),
    "narrow": Look(358),
    "narrow, zoomed": Look(358, zoom=True, scale=3.0),
}
FIGURES = (waveform_figure, spectrogram_figure, patch_grid_figure, rollout_figure)


def inspection_of(samples: np.ndarray, grid: PatchGrid = BLIND, seed: int = 0) -> Inspection:
    """An inspection with a rollout drawn by lot: pictures have to show whatever there is."""
    random = np.random.default_rng(seed)
    clip, settings = waveform(samples), InputSettings(grid.n_mels, grid.n_frames)
    (spectrogram,) = compute_spectrograms([clip], settings)
    facts = CheckpointFacts("random", "AST", ("a", "b"), settings, grid, "softmax", "of a test", N_LAYERS, 2, 1000)
    return Inspection(
        waveform=clip,
        checkpoint=facts,
        spectrogram=spectrogram,
        prediction=Prediction(("a", "b"), np.array([0.25, 0.75]), np.array([0.0, 1.1]), np.zeros(4)),
        rollout=rollout_by_lot(grid, random),
        input_s=settings.duration_s,
        seconds=0.1,
        precision="float32",
    )


def rollout_by_lot(grid: PatchGrid, random: np.random.Generator) -> Rollout:
    maps = random.dirichlet(np.full(grid.n_patches, 0.2), N_LAYERS).reshape(N_LAYERS, grid.n_frequency, grid.n_time)
    return Rollout((0.75 * maps).astype(np.float32), np.full(N_LAYERS, 0.25), np.zeros(N_LAYERS))


def patch_by_lot(grid: PatchGrid, frequency: int, time: int) -> PatchInspection:
    random = np.random.default_rng(7)
    rollout = rollout_by_lot(grid, random)
    rollout.maps[:, frequency, time] = 0.5  # half of each layer is the patch's own residual
    return PatchInspection(frequency, time, rollout, rollout_by_lot(grid, random).maps)


def pixels(figure: Figure, look: Look) -> np.ndarray:
    """(height, width, 3), 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(to_png(figure, look))).convert("RGB")).astype(int)


# Waveform


@pytest.mark.parametrize(("seconds", "look"), [(0.3, LOOKS["wide"]), (3.21, LOOKS["narrow"]), (7.0, LOOKS["zoomed"])])
def test_waveform_is_the_lowest_and_highest_sample_of_each_stretch(seconds: float, look: Look) -> None:
    samples = noise(seconds, seed=3)
    samples[4000] = 0.97  # a click of one sample must be seen
    figure = waveform_figure(inspection_of(samples), look)
    (filled,) = figure.axes[0].collections
    points = filled.get_paths()[0].vertices
    times = np.unique(points[:, 0])
    half = (times[1] - times[0]) / 2 * 16_000
    last_s = figure.axes[0].get_xlim()[1]
    shown = samples[: math.ceil(last_s * 16_000)]
    seen = 0
    for time in times:
        first, beyond = round(time * 16_000 - half), round(time * 16_000 + half)
        assert first == seen  # stretches follow each other without a gap
        seen = beyond
        at = points[points[:, 0] == time][:, 1]
        # Vertices are doubles of float32 samples.
        assert (at.min(), at.max()) == (min(shown[first:beyond]), max(shown[first:beyond]))
    assert seen >= len(shown)
    assert max(points[:, 1]) == np.float32(0.97)
    # A stretch is no wider than the pixels of the picture, so none of them swallows what a pixel could show.
    assert 2 * half <= last_s * 16_000 / look.width_px + 1


def test_waveform_of_silence_is_a_flat_line_in_the_middle() -> None:
    figure = waveform_figure(inspection_of(np.zeros(16_000)))
    low, high = figure.axes[0].get_ylim()
    assert low == -high < 0
    assert "peak 0 of 1" in " ".join(text.get_text() for text in figure.texts)
    to_png(figure)


# Spectrogram


@pytest.mark.parametrize("grid", [BLIND, UNEVEN])
@pytest.mark.parametrize("figure_of", [spectrogram_figure, patch_grid_figure, rollout_figure])
def test_the_spectrogram_that_is_drawn_is_the_one_that_was_fed(figure_of, grid: PatchGrid) -> None:
    inspection = inspection_of(noise(0.8), grid)
    axes = figure_of(inspection).axes[0]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), inspection.spectrogram.values.T)
    assert image.origin == "lower"
    assert image.get_extent() == pytest.approx([FIRST_FRAME_S, FIRST_FRAME_S + grid.n_frames * 0.01, 0, grid.n_mels])
    assert axes.get_ylim() == (0, grid.n_mels)
    # The colours span the clip: padding, a constant, must not stretch them.
    clip = inspection.spectrogram.values[: inspection.spectrogram.clip_frames]
    assert image.get_clim() == pytest.approx((clip.min(), clip.max()))


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("hz", [300, 2000, 6000])
def test_a_tone_is_brightest_at_its_hertz_and_only_in_its_seconds(hz: float, look: Look) -> None:
    samples = noise(4.0, level=1e-4)
    samples[16_000:24_000] += tone(hz, 0.5).astype(np.float32)
    figure = spectrogram_figure(inspection_of(samples), look)
    shown = pixels(figure, look).sum(axis=2)
    x, y = pixel_of(figure, look, 1.25, hz_to_mel_bin(hz, 128))
    _, top = pixel_of(figure, look, 0, 128)
    _, bottom = pixel_of(figure, look, 0, 0)
    inside = slice(round(top) + 4, round(bottom) - 4)  # without the frame
    brightest = shown[inside, round(x)].argmax() + inside.start
    # A mel bin is 210 / 128 CSS pixels high, and the tone may fall between two bins.
    assert abs(brightest - y) <= 2 * look.scale * 210 / 128
    row = shown[brightest, round(pixel_of(figure, look, 0.05, 0)[0]) : round(pixel_of(figure, look, 3.9, 0)[0])]
    loud = np.flatnonzero(row > (int(row.max()) + int(row.min())) / 2) + round(pixel_of(figure, look, 0.05, 0)[0])
    # A frame looks 25 ms wide and is drawn 10 ms wide round its middle.
    per_second = pixel_of(figure, look, 1, 0)[0] - pixel_of(figure, look, 0, 0)[0]
    assert loud[0] == pytest.approx(pixel_of(figure, look, 1.0, 0)[0], abs=0.025 * per_second + 1)
    assert loud[-1] == pytest.approx(pixel_of(figure, look, 1.5, 0)[0], abs=0.025 * per_second + 1)


def test_frequencies_are_written_where_their_bins_are() -> None:
    axes = spectrogram_figure(inspection_of(noise(1.0))).axes[0]
    written = {label.get_text(): y for label, y in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    assert list(written) == ["100 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz", "8 kHz"]
    # By Kaldi's formula: mel = 1127 ln(1 + hz / 700), 129 steps from 20 Hz to 8 kHz, a bin's peak in its middle.
    mel = [1127 * np.log(1 + hz / 700) for hz in (20, 1000, 8000)]
    assert written["1 kHz"] == pytest.approx((mel[1] - mel[0]) / (mel[2] - mel[0]) * 129 - 0.5)


# Patch grid and rollout


def middle_edges(grid: PatchGrid) -> tuple[list[float], list[float]]:
    """Edges of the tiles in frames and mel bins, literally: half-way between the centres of neighbours."""
    boxes = [grid.box(0, time) for time in range(grid.n_time)]
    centres = [(box.frame_start + box.frame_stop) / 2 for box in boxes]
    frames = [0.0, *((a + b) / 2 for a, b in pairwise(centres)), float(boxes[-1].frame_stop)]
    boxes = [grid.box(frequency, 0) for frequency in range(grid.n_frequency)]
    centres = [(box.mel_start + box.mel_stop) / 2 for box in boxes]
    mels = [0.0, *((a + b) / 2 for a, b in pairwise(centres)), float(boxes[-1].mel_stop)]
    return frames, mels


@pytest.mark.parametrize("grid", [BLIND, WHOLE, UNEVEN])
def test_lines_of_the_grid_part_the_patches_half_way_between_their_centres(grid: PatchGrid) -> None:
    upright, level = patch_grid_figure(inspection_of(noise(0.8), grid)).axes[0].collections
    frames, mels = middle_edges(grid)
    assert [line[0, 0] for line in upright.get_segments()] == pytest.approx([FIRST_FRAME_S + f * 0.01 for f in frames])
    assert [line[0, 1] for line in level.get_segments()] == pytest.approx(mels)


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
@pytest.mark.parametrize("grid", [BLIND, WHOLE, UNEVEN])
def test_a_rollout_tile_holds_its_patchs_share_times_the_number_of_patches(grid: PatchGrid, depth: int | None) -> None:
    inspection = inspection_of(noise(0.8), grid)
    figure = rollout_figure(inspection, depth=depth)
    (mesh,) = figure.axes[0].collections
    expected = inspection.rollout.maps[(depth or N_LAYERS) - 1] * grid.n_patches
    np.testing.assert_array_equal(mesh.get_array(), expected)
    corners = mesh.get_coordinates()
    frames, mels = middle_edges(grid)
    assert list(corners[0, :, 0]) == pytest.approx([FIRST_FRAME_S + f * 0.01 for f in frames])
    assert list(corners[:, 0, 1]) == pytest.approx(mels)
    # Every depth has the same colours, or the slider would compare nothing.
    assert mesh.get_clim() == (0, pytest.approx(float(inspection.rollout.final.max()) * grid.n_patches))
    # And where a depth goes beyond the scale of the last one, the key says so.
    goes_beyond = expected.max() > inspection.rollout.final.max() * grid.n_patches * 1.000001
    assert any(text.get_text().startswith("≥") for text in figure.texts) == goes_beyond
    title = {None: "all 3 layers", 1: ", 1 layer", 2: ", 2 layers", 3: "all 3 layers"}[depth]
    assert figure.texts[0].get_text().endswith(title)


def test_from_a_patch_its_own_residual_does_not_set_the_scale() -> None:
    inspection, patch = inspection_of(noise(3.0)), patch_by_lot(BLIND, 4, 9)
    others = patch.rollout.final.copy()
    others[4, 9] = 0
    figure = rollout_figure(inspection, patch=patch)
    (mesh,) = figure.axes[0].collections
    np.testing.assert_array_equal(mesh.get_array(), patch.rollout.maps[-1] * BLIND.n_patches)
    assert mesh.get_clim() == (0, pytest.approx(float(others.max()) * BLIND.n_patches))
    assert figure.texts[0].get_text().startswith("Rollout from the chosen patch")


@pytest.mark.parametrize("depth", [1, 3, None])
def test_attention_of_a_patch_is_that_of_the_layer_that_is_named(depth: int | None) -> None:
    inspection, patch = inspection_of(noise(3.0)), patch_by_lot(BLIND, 4, 9)
    figure = attention_figure(inspection, patch, depth=depth)
    (mesh,) = figure.axes[0].collections
    np.testing.assert_array_equal(mesh.get_array(), patch.attention[(depth or 3) - 1] * BLIND.n_patches)
    assert figure.texts[0].get_text().endswith(f"layer {depth or 3}")


@pytest.mark.parametrize(
    "figure_of",
    [
        lambda inspection: patch_grid_figure(inspection, selected=(3, 5)),
        lambda inspection: rollout_figure(inspection, patch=patch_by_lot(UNEVEN, 3, 5)),
        lambda inspection: attention_figure(inspection, patch_by_lot(UNEVEN, 3, 5)),
    ],
)
def test_the_outline_of_a_chosen_patch_is_its_true_box(figure_of) -> None:
    axes = figure_of(inspection_of(noise(0.8), UNEVEN)).axes[0]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert len(outlines) == 2  # black below white, to be seen on any ground
    for outline in outlines:
        # Frames 25 to 31 and bins 9 to 15: 5 · 5, 3 · 3, and 7 of each.
        assert outline.get_xy() == pytest.approx((FIRST_FRAME_S + 0.25, 9))
        assert (outline.get_width(), outline.get_height()) == pytest.approx((0.07, 7))


# Hatches


def hatched(axes: Axes) -> list[tuple[str, list[float]]]:
    return [
        (
            patch.get_hatch(),
            [patch.get_x(), patch.get_x() + patch.get_width(), patch.get_y(), patch.get_y() + patch.get_height()],
        )
        for patch in axes.patches
        if patch.get_hatch()
    ]


def named(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


END = FIRST_FRAME_S + 5.12  # where the last of 512 frames is drawn to end
PADDING, CUT_OFF, UNSEEN = "////", "xxxx", "....."
WINDOW = 511 * 160 + 400  # samples that fill 512 frames
UNSEEN_BOXES = [
    (UNSEEN, [FIRST_FRAME_S, FIRST_FRAME_S + 5.06, 126, 128]),
    (UNSEEN, [FIRST_FRAME_S + 5.06, END, 0, 128]),
]
# Clip in samples: what is hatched in every picture, and how that is named.
LENGTHS = {
    "short": (WINDOW - 100 * 160, [(PADDING, [END - 1, END, 0, 128])], ["padding 1.00 s"]),
    "one frame": (400, [(PADDING, [FIRST_FRAME_S + 0.01, END, 0, 128])], ["padding 5.11 s"]),
    "exact": (WINDOW, [], []),
    # The axis goes on to the end of the clip, or for 15 % of the input's 5.135 s where that is less.
    "too long": (WINDOW + 8_000, [(CUT_OFF, [END, 5.135 + 0.5, 0, 128])], ["cut off 0.50 s"]),
    "far too long": (3 * WINDOW, [(CUT_OFF, [END, 1.15 * 5.135, 0, 128])], ["cut off 10.27 s"]),
}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("grid", [BLIND, WHOLE])
def test_padding_what_is_cut_off_and_what_no_patch_sees_is_hatched_and_named(length: str, grid: PatchGrid) -> None:
    n, boxes, names = LENGTHS[length]
    inspection = inspection_of(noise(n / 16_000), grid)
    unseen = grid is BLIND
    for figure_of in FIGURES:
        figure = figure_of(inspection)
        in_no_patch = unseen and figure_of in (patch_grid_figure, rollout_figure)
        expected = boxes + (UNSEEN_BOXES if in_no_patch else [])
        got = hatched(figure.axes[0])
        assert [hatch for hatch, _ in got] == [hatch for hatch, _ in expected]
        low, high = figure.axes[0].get_ylim()
        for (_, box), (_, (left, right, bottom, top)) in zip(got, expected, strict=True):
            from_to = (low, high) if figure_of is waveform_figure else (bottom, top)
            assert box == pytest.approx([left, right, *from_to])
        assert named(figure) == names + (["in no patch: 2 bins, 6 frames"] if in_no_patch else [])


def test_zoomed_to_a_clip_nothing_is_named_that_is_not_seen() -> None:
    inspection, look = inspection_of(noise(1.0), BLIND), Look(zoom=True)
    for figure_of in FIGURES:
        figure = figure_of(inspection, look)
        assert figure.axes[0].get_xlim() == (0, 1.0)
        # Of the padding, the 10 ms of the clip that fill no whole frame may show.
        shown = [box for _, box in hatched(figure.axes[0]) if box[0] < 1.0 and box[1] > 0]
        assert len(named(figure)) == len(shown)


def test_where_only_one_side_is_blind_only_that_is_named() -> None:
    inspection = inspection_of(noise(0.4), PatchGrid(41, 102, 7, 3, 5))
    assert named(patch_grid_figure(inspection))[-1] == "in no patch: 1 bin"


# All pictures of a clip


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("seconds", [1.0, 20.0])
def test_pictures_of_a_clip_line_up_to_the_pixel(look: Look, seconds: float) -> None:
    inspection, patch = inspection_of(noise(seconds)), patch_by_lot(BLIND, 4, 9)
    figures = [figure_of(inspection, look) for figure_of in FIGURES]
    figures += [rollout_figure(inspection, look, 2, patch), attention_figure(inspection, patch, look)]
    boxes = [box_in_pixels(figure, look) for figure in figures]
    assert {(round(left, 6), round(right, 6)) for left, right, _, _ in boxes} == {(52, look.width_px - 16)}
    assert len({figure.axes[0].get_xlim() for figure in figures}) == 1
    assert len({(round(bottom, 6), round(top, 6)) for _, _, bottom, top in boxes[1:]}) == 1
    for figure in figures[::3]:
        height, width, _ = pixels(figure, look).shape
        assert width == look.width_px * look.scale
        assert height == pytest.approx(figure.get_size_inches()[1] * 100 * look.scale)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("grid", [BLIND, WHOLE, UNEVEN])
def test_the_patch_under_the_centre_of_each_drawn_box_is_that_patch(grid: PatchGrid, look: Look) -> None:
    inspection = inspection_of(noise(0.8), grid)
    figure = patch_grid_figure(inspection, look)
    last_s = figure.axes[0].get_xlim()[1]
    found = 0
    for frequency in range(grid.n_frequency):
        for time in range(grid.n_time):
            box = grid.box(frequency, time)
            seconds = FIRST_FRAME_S + (box.frame_start + box.frame_stop) / 2 * 0.01
            if seconds > last_s:
                continue
            x, y = pixel_of(figure, look, seconds, (box.mel_start + box.mel_stop) / 2)
            assert patch_at_pixel(inspection, look, x, y) == (frequency, time)
            found += 1
    # Zoomed to a clip of 0.8 s, the columns are seen whose centre lies in it.
    columns = (
        grid.n_time
        if not look.zoom
        else sum(t * grid.time_stride + grid.patch_size / 2 <= 79.25 for t in range(grid.n_time))
    )
    assert found == grid.n_frequency * columns


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_there_is_no_patch_outside_the_axes_or_where_no_patch_sees(look: Look) -> None:
    inspection = inspection_of(noise(9.0))
    figure = rollout_figure(inspection, look)
    left, right, bottom, top = (value * look.scale for value in box_in_pixels(figure, look))
    height = figure.get_size_inches()[1] * 100 * look.scale
    middle = (left + right) / 2, height - (bottom + top) / 2
    assert patch_at_pixel(inspection, look, *middle) is not None
    for x, y in (
        (left - 2, middle[1]),
        (right + 2, middle[1]),
        (middle[0], height - top - 2),
        (middle[0], height - bottom + 2),
        pixel_of(figure, look, 1.0, 127),  # bins 126 and 127
        pixel_of(figure, look, FIRST_FRAME_S + 5.08, 50),  # frames 506 to 511
        pixel_of(figure, look, 5.13, 50),  # cut off
    ):
        assert patch_at_pixel(inspection, look, x, y) is None


def test_beside_a_zoomed_clip_there_is_no_patch() -> None:
    inspection, look = inspection_of(noise(1.0)), Look(zoom=True)
    figure = rollout_figure(inspection, look)
    _, right, bottom, top = (value * look.scale for value in box_in_pixels(figure, look))
    height = figure.get_size_inches()[1] * 100 * look.scale
    y = height - (bottom + top) / 2
    assert patch_at_pixel(inspection, look, right - 2, y) is not None
    assert patch_at_pixel(inspection, look, right + 6, y) is None


@pytest.mark.parametrize(("dark", "background"), [(False, (255, 255, 255)), (True, (0x14, 0x17, 0x1F))])
def test_light_and_dark(dark: bool, background: tuple[int, int, int]) -> None:
    for figure_of in FIGURES:
        look = Look(dark=dark)
        picture = pixels(figure_of(inspection_of(noise(1.0)), look), look)
        for corner in (picture[0, 0], picture[-1, 0], picture[0, -1], picture[-1, -1]):
            assert tuple(corner) == background


def test_comparisons_can_share_a_time_axis_and_a_colour_scale() -> None:
    look = Look(seconds=7.5, relevance_max=12.0)
    inspection = inspection_of(noise(1.0))
    assert {figure_of(inspection, look).axes[0].get_xlim() for figure_of in FIGURES} == {(0, 7.5)}
    (mesh,) = rollout_figure(inspection, look).axes[0].collections
    assert mesh.get_clim() == (0, 12)


def test_a_model_without_a_grid_has_a_rollout_over_time() -> None:
    inspection = inspection_of(noise(1.0))
    maps = np.random.default_rng(0).dirichlet(np.ones(49), N_LAYERS)[:, None].astype(np.float32)
    inspection = replace(
        inspection,
        checkpoint=replace(inspection.checkpoint, input=None, grid=None),
        spectrogram=None,
        rollout=Rollout(maps, np.zeros(N_LAYERS), np.zeros(N_LAYERS)),
        input_s=2.0,
    )
    figure = rollout_figure(inspection, depth=2)
    steps = next(patch for patch in figure.axes[0].patches if not patch.get_hatch())
    values, edges, _ = steps.get_data()
    np.testing.assert_array_equal(values, maps[1, 0] * 49)
    assert edges == pytest.approx(np.arange(50) * 2.0 / 49)
    assert named(figure) == ["padding 1.00 s"]
    assert box_in_pixels(figure, Look())[:2] == pytest.approx(box_in_pixels(waveform_figure(inspection), Look())[:2])


# Shared by all visitors


def test_drawing_in_eight_threads_gives_what_it_gives_alone() -> None:
    inspections = [inspection_of(noise(0.5 + 0.5 * seed, seed), seed=seed) for seed in range(8)]
    looks = [Look(400 + 50 * seed, dark=seed % 2 == 0, scale=1.0) for seed in range(8)]

    def draw(seed: int) -> list[bytes]:
        return [to_png(figure_of(inspections[seed], looks[seed]), looks[seed]) for figure_of in FIGURES]

    alone = [draw(seed) for seed in range(8)]
    assert len({picture for pictures in alone for picture in pictures}) == 32
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(draw, range(8))) == alone
    assert Gcf.get_num_fig_managers() == 0


def test_pyplot_is_not_even_imported() -> None:
    code = (
        "import sys, ast_demo.figures, ast_demo.export; from matplotlib.figure import Figure; "
        "ast_demo.figures.to_png(Figure()); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Several clips and checkpoints


def key_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_where_a_depth_goes_beyond_the_scale_of_all_layers_the_key_says_so() -> None:
    inspection = inspection_of(noise(1.0))
    highest = [float(one.max()) * BLIND.n_patches for one in inspection.rollout.maps]
    inspection.rollout.maps[0] *= 2 * highest[2] / highest[0]
    inspection.rollout.maps[1] *= 0.5 * highest[2] / highest[1]
    assert f"≥ {highest[2]:.2g}" in key_texts(rollout_figure(inspection, depth=1))
    for depth in (2, 3):
        assert f"{highest[2]:.2g}" in key_texts(rollout_figure(inspection, depth=depth))


def test_a_confusion_matrix_counts_labels_in_rows_and_predictions_in_columns() -> None:
    figure = confusion_figure(["dog", "dog", "rain", "dog"], ["dog", "rain", "rain", "rain"], "small")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 2], [0, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "rain"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dog", "rain"]
    assert {(text.get_text(), *text.get_position()) for text in axes.texts} == {("1", 0, 0), ("2", 1, 0), ("1", 1, 1)}
    assert (axes.get_ylabel(), axes.get_xlabel(), axes.get_title()) == ("label", "predicted", "small")
    to_png(figure)


def test_thumbnails_have_a_pixel_for_each_frame_and_leave_the_padding_grey() -> None:
    samples = noise(2.0, level=1e-4)
    samples[16_000:24_000] += tone(2000, 0.5).astype(np.float32)
    inspection = inspection_of(samples)
    clip_frames = inspection.spectrogram.clip_frames
    values = rollout_map(inspection).values
    values[:, clip_frames // BLIND.time_stride - 1 :] = 0  # nothing rests on padding
    for thumbnail in (spectrogram_thumbnail(inspection), map_thumbnail(inspection, RelevanceMap(values, "rollout"))):
        picture = np.asarray(Image.open(io.BytesIO(thumbnail))).astype(int)
        assert picture.shape == (256, 512, 3)
        assert (picture[:, clip_frames:] == 127).all()
    picture = np.asarray(Image.open(io.BytesIO(spectrogram_thumbnail(inspection)))).astype(int).sum(axis=2)
    brightest = 255 - picture[:, 125].argmax()  # rows run downwards, two for each bin
    assert brightest / 2 == pytest.approx(hz_to_mel_bin(2000, 128), abs=1.5)


def test_a_small_map_shows_what_rests_on_padding_and_nothing_where_no_patch_sees() -> None:
    inspection = inspection_of(noise(2.0))
    values = np.zeros((BLIND.n_frequency, BLIND.n_time), np.float32)
    values[-1, -1] = 1
    picture = np.asarray(Image.open(io.BytesIO(map_thumbnail(inspection, RelevanceMap(values, "energy")))))
    coloured = np.argwhere(np.ptp(picture[::-1].astype(int), axis=2) > 0)  # rows run upwards now, two for each bin
    assert coloured[:, 1].min() >= inspection.spectrogram.clip_frames
    assert coloured.max(axis=0).tolist() == [2 * BLIND.seen_mels - 1, BLIND.seen_frames - 1]


def test_a_reliability_diagram_shows_how_often_each_confidence_is_right() -> None:
    right = np.array([True, False, True, True, False, True])
    confidence = np.array([0.31, 0.35, 0.39, 0.92, 0.97, 1.0])
    axes = reliability_figure(right, confidence, "one").axes[0]
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in axes.patches]
    assert bars == [pytest.approx((0.3, 0.1, 2 / 3)), pytest.approx((0.9, 0.1, 2 / 3))]
    assert [text.get_text() for text in axes.texts] == ["3", "3"]


@pytest.mark.parametrize("start_s", [0.0, 2.56, 313.37])
def test_a_window_of_a_recording_is_drawn_at_its_own_seconds(start_s: float) -> None:
    inspection = inspection_of(noise(5.135))
    moved = replace(inspection, waveform=replace(inspection.waveform, start_s=start_s))
    for figure_of in FIGURES:
        axes = figure_of(moved).axes[0]
        axes.figure.draw_without_rendering()
        ticks = [tick for tick in axes.xaxis.get_major_ticks() if 0 <= tick.get_loc() <= 5.135]
        assert len(ticks) >= 5
        for tick in ticks:
            told = float(tick.label1.get_text().removesuffix(" s"))
            assert told == pytest.approx(tick.get_loc() + start_s, abs=1e-6)
            assert told == round(told, 1)
