"""How the tokens of a model lie over the sound: on a grid of patches, or one after the other in time.

Both answer the same questions, so that nobody else has to ask which of the two it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ast_demo.features.log_mel import InputSettings
from ast_demo.features.raster import FRAME_S, frames_to_time, samples_to_time, time_to_frames, time_to_samples


class TokenLayout(ABC):
    """Where the tokens of a model lie. A map on them has the shape (n_frequency, n_time), row 0 the lowest band."""

    n_special: int

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(n_frequency, n_time)."""

    @property
    @abstractmethod
    def column_s(self) -> float:
        """Seconds from one column to the next."""

    @abstractmethod
    def edges_s(self) -> np.ndarray:
        """Seconds at which columns meet where they are drawn, (n_time + 1,)."""

    @abstractmethod
    def padding_of_columns(self, n_samples: int) -> np.ndarray:
        """Share of each column, (n_time,), that is padding where the clip has so many samples."""

    @abstractmethod
    def over_frames(self, row: np.ndarray, n_frames: int) -> np.ndarray:
        """A row (n_time,) on frames, (n_frames,), each with the value of the column it lies in; nan where none is."""

    @abstractmethod
    def on_bins(self, values: np.ndarray, n_frames: int) -> np.ndarray:
        """A map on mel bins and frames, (n_mels, n_frames), by the nearest token; nan where none is.

        (n_frames,) where the layout knows no bins.
        """

    @abstractmethod
    def spread_over_clip(self, values: np.ndarray, n_samples: int) -> np.ndarray:
        """A map on the mel bins and frames of a clip of so many samples, straight lines between the middles of tokens.

        Returns:
            (n_mels, frames of the clip without the padding).
        """

    def read_by_classifier(self) -> np.ndarray:
        """What the classifier takes of each token, (tokens,) float32 with a sum of 1: special tokens alone, or all."""
        n_tokens = self.n_special + self.shape[0] * self.shape[1]
        n_read = self.n_special or n_tokens
        return np.where(np.arange(n_tokens) < n_read, 1 / n_read, 0).astype(np.float32)

    def to_map(self, rows: np.ndarray) -> np.ndarray:
        """Rows over tokens (…, tokens) to maps (…, n_frequency, n_time): special tokens are dropped."""
        return rows[..., self.n_special :].reshape(*rows.shape[:-1], *self.shape)


@dataclass(frozen=True)
class TimeAxis(TokenLayout):
    """Tokens one after the other, each for an equal stretch of the input.

    Attributes:
        n_tokens: All of them; none is special.
        input_s: Seconds of sound that they have room for.
    """

    n_tokens: int
    input_s: float
    n_special: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.n_tokens

    @property
    def column_s(self) -> float:
        return self.input_s / self.n_tokens

    def edges_s(self) -> np.ndarray:
        return np.linspace(0, self.input_s, self.n_tokens + 1)

    def padding_of_columns(self, n_samples: int) -> np.ndarray:
        heard = samples_to_time(n_samples) / self.input_s * self.n_tokens
        return 1 - np.clip(heard - np.arange(self.n_tokens), 0, 1)

    def over_frames(self, row: np.ndarray, n_frames: int) -> np.ndarray:
        middle_s = frames_to_time(np.arange(n_frames), FRAME_S / 2)
        token = (middle_s / self.input_s * self.n_tokens).astype(int)
        return np.where(token < self.n_tokens, row[np.minimum(token, self.n_tokens - 1)], np.nan)

    def on_bins(self, values: np.ndarray, n_frames: int) -> np.ndarray:
        return self.over_frames(values[0], n_frames)

    def spread_over_clip(self, values: np.ndarray, n_samples: int) -> np.ndarray:
        clip_s = min(samples_to_time(n_samples), self.input_s)
        middle_s = frames_to_time(np.arange(max(1, round(time_to_frames(clip_s)))) + 0.5)
        row = np.interp(middle_s, (np.arange(self.n_tokens) + 0.5) / self.n_tokens * self.input_s, values[0])
        return np.tile(row, (InputSettings().n_mels, 1))  # all mel bins alike

    def token_of_samples(self, n_samples: int) -> np.ndarray:
        """The token that each of so many samples belongs to, (n_samples,)."""
        place = np.arange(n_samples) / time_to_samples(self.input_s) * self.n_tokens
        return np.minimum(place, self.n_tokens - 1).astype(int)
