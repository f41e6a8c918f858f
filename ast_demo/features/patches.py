"""The grid of patches that an AST cuts a spectrogram into: token ↔ box ↔ hertz and seconds.

A patch is a square of mel bins × frames, taken at every stride; with a stride below the patch size, patches
overlap. Tokens are numbered frequency-major, after the special tokens (CLS and distillation): token index =
n_special + f · n_time + t, where f = 0 is the lowest band. Source: `ASTPatchEmbeddings` of 🤗 Transformers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ast_demo.features.log_mel import FRAME_S, HOP_S, mel_band_edges_hz


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
class PatchGrid:
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
            start_s=frame * HOP_S,
            stop_s=(frame + self.patch_size - 1) * HOP_S + FRAME_S,
        )

    def patch_at(self, mel: float, frame: float) -> tuple[int, int] | None:
        """(frequency, time) of the patch whose centre is nearest to a point, in bins and frames; None where no patch sees."""
        if not (0 <= mel < self.seen_mels and 0 <= frame < self.seen_frames):
            return None
        # Halves up, not `round`, which takes them to even numbers: a box holds its first bin, not the one beyond its last.
        frequency = math.floor((mel - self.patch_size / 2) / self.frequency_stride + 0.5)
        time = math.floor((frame - self.patch_size / 2) / self.time_stride + 0.5)
        return min(max(frequency, 0), self.n_frequency - 1), min(max(time, 0), self.n_time - 1)

    def frames_of_column(self, time: int) -> range:
        """Frames that the patches of column `time` see."""
        return range(time * self.time_stride, time * self.time_stride + self.patch_size)
