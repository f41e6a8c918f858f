"""The grid of patches that an AST cuts a spectrogram into: token ↔ box ↔ hertz and seconds.

A patch is a square of mel bins × frames, taken at every stride; with a stride below the patch size, patches
overlap. Tokens are numbered frequency-major, after the special tokens (CLS and distillation): token index =
n_special + f · n_time + t, where f = 0 is the lowest band. Source: `ASTPatchEmbeddings` of 🤗 Transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ast_demo.features.layout import TokenLayout
from ast_demo.features.raster import (
    FIRST_FRAME_S,
    FRAME_S,
    count_frames,
    frames_to_time,
    mel_band_edges_hz,
    nearest_patch,
    patch_centres,
)


@dataclass(frozen=True)
class PatchBox:
    """What one patch sees. Bins and frames are half-open ranges: start, and one beyond the end."""

    mel_start: int
    mel_stop: int
    frame_start: int
    frame_stop: int
    low_hz: float
    high_hz: float
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class PatchGrid(TokenLayout):
    """Geometry of the patches of one checkpoint.

    Attributes:
        n_mels, n_frames: Size of the spectrogram.
        patch_size: Mel bins, and frames, of each patch.
        frequency_stride, time_stride: Bins, and frames, from one patch to the next.
        n_special: Tokens in front of the patches: CLS and distillation.
    """

    n_mels: int
    n_frames: int
    patch_size: int
    frequency_stride: int
    time_stride: int
    n_special: int = 2

    @property
    def n_frequency(self) -> int:
        return (self.n_mels - self.patch_size) // self.frequency_stride + 1

    @property
    def n_time(self) -> int:
        return (self.n_frames - self.patch_size) // self.time_stride + 1

    @property
    def n_patches(self) -> int:
        return self.n_frequency * self.n_time

    @property
    def n_tokens(self) -> int:
        return self.n_special + self.n_patches

    @property
    def seen_mels(self) -> int:
        """Bins from 0 up to here are seen by some patch; those from here on, by none."""
        return (self.n_frequency - 1) * self.frequency_stride + self.patch_size

    @property
    def seen_frames(self) -> int:
        """Frames from 0 up to here are seen by some patch; those from here on, by none."""
        return (self.n_time - 1) * self.time_stride + self.patch_size

    def token(self, frequency: int, time: int) -> int:
        """Index in the sequence of the patch in row `frequency` (0 is the lowest) and column `time`.

        Raises:
            IndexError: Outside the grid.
        """
        if not (0 <= frequency < self.n_frequency and 0 <= time < self.n_time):
            raise IndexError(
                f"There is no patch ({frequency}, {time}) in a grid of {self.n_frequency} × {self.n_time}."
            )
        return self.n_special + frequency * self.n_time + time

    def position(self, token: int) -> tuple[int, int]:
        """(frequency, time) of a token.

        Raises:
            IndexError: A special token, or none at all.
        """
        if not self.n_special <= token < self.n_tokens:
            raise IndexError(f"Token {token} is no patch: patches are {self.n_special} to {self.n_tokens - 1}.")
        frequency, time = divmod(token - self.n_special, self.n_time)
        return frequency, time

    def box(self, frequency: int, time: int) -> PatchBox:
        """What the patch in row `frequency` and column `time` sees.

        In hertz, from where its lowest filter begins to where its highest ends; in seconds, from the start of the
        window of its first frame to the end of the window of its last.

        Raises:
            IndexError: Outside the grid.
        """
        self.token(frequency, time)
        mel, frame = frequency * self.frequency_stride, time * self.time_stride
        edges = mel_band_edges_hz(self.n_mels)
        return PatchBox(
            mel_start=mel,
            mel_stop=mel + self.patch_size,
            frame_start=frame,
            frame_stop=frame + self.patch_size,
            low_hz=float(edges[mel]),
            high_hz=float(edges[mel + self.patch_size + 1]),
            start_s=frames_to_time(frame),
            stop_s=frames_to_time(frame + self.patch_size - 1, FRAME_S),
        )

    def patch_at(self, mel: float, frame: float) -> tuple[int, int] | None:
        """(frequency, time) of the patch whose centre is nearest to a point, in bins and frames; None where no patch sees."""
        if not (0 <= mel < self.seen_mels and 0 <= frame < self.seen_frames):
            return None
        return int(self.rows_at(np.array(mel))), int(self.columns_at(np.array(frame)))

    def rows_at(self, mels: np.ndarray) -> np.ndarray:
        """For places on the axis of mel bins, the row of patches whose middle is nearest."""
        return nearest_patch(mels, self.n_frequency, self.frequency_stride, self.patch_size)

    def columns_at(self, frames: np.ndarray) -> np.ndarray:
        """For places on the axis of frames, the column of patches whose middle is nearest."""
        return nearest_patch(frames, self.n_time, self.time_stride, self.patch_size)

    def on_bins(self, values: np.ndarray, n_frames: int) -> np.ndarray:
        raster = values[self.rows_at(np.arange(self.n_mels) + 0.5)][:, self.columns_at(np.arange(n_frames) + 0.5)]
        raster[self.seen_mels :] = np.nan
        raster[:, self.seen_frames :] = np.nan
        return raster

    def spread_over_bins(self, values: np.ndarray) -> np.ndarray:
        """A map (n_frequency, n_time) on mel bins and frames, straight lines between the middles of the patches.

        Beyond the outermost middles, so also where no patch sees, it goes on as it was there.

        Returns:
            (n_mels, n_frames), float64.
        """
        mel_centres = patch_centres(self.n_frequency, self.frequency_stride, self.patch_size)
        frame_centres = patch_centres(self.n_time, self.time_stride, self.patch_size)
        mels, frames = np.arange(self.n_mels) + 0.5, np.arange(self.n_frames) + 0.5
        over_time = np.stack([np.interp(frames, frame_centres, row) for row in values])
        return np.stack([np.interp(mels, mel_centres, column) for column in over_time.T], axis=1)

    def spread_over_clip(self, values: np.ndarray, n_samples: int) -> np.ndarray:
        return self.spread_over_bins(values)[:, : count_frames(n_samples)]

    def over_frames(self, row: np.ndarray, n_frames: int) -> np.ndarray:
        raster = row[self.columns_at(np.arange(n_frames) + 0.5)]
        raster[self.seen_frames :] = np.nan
        return raster

    def padding_of_columns(self, n_samples: int) -> np.ndarray:
        starts = np.arange(self.n_time) * self.time_stride
        return np.clip(starts + self.patch_size - count_frames(n_samples), 0, self.patch_size) / self.patch_size

    @property
    def shape(self) -> tuple[int, int]:
        return self.n_frequency, self.n_time

    @property
    def column_s(self) -> float:
        return frames_to_time(self.time_stride)

    def edges_s(self) -> np.ndarray:
        return frames_to_time(self.tile_edges()[1], FIRST_FRAME_S)

    def tile_edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in mel bins (n_frequency + 1,) and frames (n_time + 1,) that part patches half-way between middles."""
        mels = patch_centres(self.n_frequency + 1, self.frequency_stride, self.patch_size) - self.frequency_stride / 2
        frames = patch_centres(self.n_time + 1, self.time_stride, self.patch_size) - self.time_stride / 2
        mels[[0, -1]], frames[[0, -1]] = (0, self.seen_mels), (0, self.seen_frames)
        return mels, frames

    def frames_of_column(self, time: int) -> range:
        """Frames that the patches of column `time` see."""
        return range(time * self.time_stride, time * self.time_stride + self.patch_size)
