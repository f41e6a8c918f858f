"""The grid of patches, held to the convolution that really cuts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import ASTConfig
from transformers.models.audio_spectrogram_transformer.modeling_audio_spectrogram_transformer import (
    ASTEmbeddings,
    ASTPatchEmbeddings,
)

from ast_demo.features.patches import PatchGrid
from ast_demo.features.raster import mel_band_edges_hz

# mel bins, frames, patch size, frequency stride, time stride: primes, so that no axis can stand for another.
GEOMETRIES = [
    (43, 89, 5, 3, 5),
    (31, 53, 7, 5, 3),
    (29, 47, 11, 11, 7),
    (17, 19, 13, 2, 5),
    (23, 41, 3, 2, 1),
    (13, 13, 13, 7, 5),
]
GRIDS = [PatchGrid(*geometry) for geometry in GEOMETRIES]


@pytest.fixture(params=GRIDS, ids=lambda grid: "-".join(map(str, (grid.n_mels, grid.n_frames, grid.patch_size))))
def grid(request: pytest.FixtureRequest) -> PatchGrid:
    return request.param


def config_of(grid: PatchGrid) -> ASTConfig:
    return ASTConfig(
        hidden_size=1,
        num_mel_bins=grid.n_mels,
        max_length=grid.n_frames,
        patch_size=grid.patch_size,
        frequency_stride=grid.frequency_stride,
        time_stride=grid.time_stride,
    )


def sensitivity(grid: PatchGrid) -> np.ndarray:
    """Which token responds to which pixel, (tokens, mels, frames), by 🤗 Transformers' own patch embedding."""
    config = config_of(grid)
    patches = ASTPatchEmbeddings(config)
    torch.nn.init.ones_(patches.projection.weight)
    torch.nn.init.zeros_(patches.projection.bias)
    # Each input of the batch is black but for one pixel. The model's input is (batch, frames, mels).
    pixels = torch.eye(grid.n_mels * grid.n_frames).reshape(-1, grid.n_mels, grid.n_frames).transpose(1, 2)
    with torch.inference_mode():
        responds = patches(pixels)[..., 0] == 1
    return responds.T.reshape(-1, grid.n_mels, grid.n_frames).numpy()


def test_each_token_sees_its_box_and_nothing_else(grid: PatchGrid) -> None:
    responds = sensitivity(grid)
    assert len(responds) == grid.n_patches
    for frequency in range(grid.n_frequency):
        for time in range(grid.n_time):
            box = grid.box(frequency, time)
            expected = np.zeros((grid.n_mels, grid.n_frames), dtype=bool)
            expected[box.mel_start : box.mel_stop, box.frame_start : box.frame_stop] = True
            np.testing.assert_array_equal(responds[grid.token(frequency, time) - grid.n_special], expected)
            assert list(grid.frames_of_column(time)) == list(range(box.frame_start, box.frame_stop))


def test_unseen_margins_are_what_no_token_responds_to(grid: PatchGrid) -> None:
    seen = sensitivity(grid).any(axis=0)
    expected = np.zeros_like(seen)
    expected[: grid.seen_mels, : grid.seen_frames] = True
    np.testing.assert_array_equal(seen, expected)


def test_patch_at_is_the_nearest_that_sees_the_point(grid: PatchGrid) -> None:
    responds = sensitivity(grid)
    centre = (grid.patch_size - 1) / 2  # of a patch's bins, in whole bins from its first
    for mel in range(grid.n_mels):
        for frame in range(grid.n_frames):
            patch = grid.patch_at(mel + 0.5, frame + 0.5)
            if not responds[:, mel, frame].any():
                assert patch is None
                continue
            frequency, time = patch
            assert responds[grid.token(*patch) - grid.n_special, mel, frame]
            nearest_row = min(abs(row * grid.frequency_stride + centre - mel) for row in range(grid.n_frequency))
            nearest_column = min(abs(column * grid.time_stride + centre - frame) for column in range(grid.n_time))
            assert abs(frequency * grid.frequency_stride + centre - mel) == nearest_row
            assert abs(time * grid.time_stride + centre - frame) == nearest_column


def test_patch_at_on_the_line_between_two_patches() -> None:
    """A box holds its first bin and not the one beyond its last, so a line belongs to the patch above it."""
    grid = PatchGrid(n_mels=48, n_frames=80, patch_size=16, frequency_stride=16, time_stride=16)
    assert [grid.patch_at(line, line) for line in (0, 16, 32)] == [(0, 0), (1, 1), (2, 2)]
    assert grid.patch_at(15.99, 79.99) == (0, 4)


@pytest.mark.parametrize(("mel", "frame"), [(-0.1, 5), (5, -0.1), (41, 5), (5, 85), (43, 89), (1e9, 5)])
def test_patch_at_where_no_patch_sees(mel: float, frame: float) -> None:
    grid = GRIDS[0]
    assert (grid.seen_mels, grid.seen_frames) == (41, 85)
    assert grid.patch_at(mel, frame) is None


def test_tokens_and_positions_round_trip(grid: PatchGrid) -> None:
    tokens = [grid.token(frequency, time) for frequency in range(grid.n_frequency) for time in range(grid.n_time)]
    assert tokens == list(range(2, grid.n_tokens))
    for token in tokens:
        assert grid.token(*grid.position(token)) == token


def test_the_position_embeddings_agree_on_the_number_of_tokens(grid: PatchGrid) -> None:
    config = config_of(grid)
    assert ASTEmbeddings(config).position_embeddings.shape[1] == grid.n_tokens


@pytest.mark.parametrize(("frequency", "time"), [(-1, 0), (0, -1), (13, 0), (0, 17)])
def test_no_such_patch(frequency: int, time: int) -> None:
    for call in (GRIDS[0].token, GRIDS[0].box):
        with pytest.raises(IndexError, match=rf"\AThere is no patch \({frequency}, {time}\) in a grid of 13 × 17\.\Z"):
            call(frequency, time)


@pytest.mark.parametrize("token", [-1, 0, 1, 223])
def test_no_such_token(token: int) -> None:
    with pytest.raises(IndexError, match=rf"\AToken {token} is no patch: patches are 2 to 222\.\Z"):
        GRIDS[0].position(token)


def test_a_box_in_hertz_and_seconds() -> None:
    grid = PatchGrid(n_mels=128, n_frames=1024, patch_size=16, frequency_stride=10, time_stride=10)
    edges = mel_band_edges_hz(128)
    box = grid.box(3, 7)
    assert (box.mel_start, box.mel_stop, box.frame_start, box.frame_stop) == (30, 46, 70, 86)
    # Bin 30 begins at corner 30; bin 45, the last, ends two corners further.
    assert (box.low_hz, box.high_hz) == (edges[30], edges[47])
    # Frame 70 begins at 0.7 s; frame 85, the last, begins at 0.85 s and lasts 25 ms.
    assert (box.start_s, box.stop_s) == (pytest.approx(0.7), pytest.approx(0.875))
    assert grid.box(0, 0).low_hz == pytest.approx(20)
    assert grid.box(11, 0).high_hz == pytest.approx(edges[127])


@pytest.mark.parametrize(
    ("n_frames", "stride", "rows", "columns", "seen"),
    [
        (1024, 10, 12, 101, (126, 1016)),
        (1024, 12, 10, 85, (124, 1024)),
        (1024, 14, 9, 73, (128, 1024)),
        (1024, 16, 8, 64, (128, 1024)),
        (128, 10, 12, 12, (126, 126)),
    ],
    ids=["audioset-10-10", "audioset-12-12", "audioset-14-14", "audioset-16-16", "speech-commands"],
)
def test_the_grids_of_the_published_checkpoints(
    n_frames: int, stride: int, rows: int, columns: int, seen: tuple[int, int]
) -> None:
    grid = PatchGrid(128, n_frames, 16, stride, stride)
    assert (grid.n_frequency, grid.n_time) == (rows, columns)
    assert (grid.seen_mels, grid.seen_frames) == seen
    assert grid.n_tokens == rows * columns + 2
