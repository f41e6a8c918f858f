"""Embeddings to points on a plane: what is near in the one is near in the other, as far as two dimensions allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST_FITTED = 2000  # clips: the time and the memory of t-SNE stay bounded however many there are
_NEIGHBOURS = 5


def spread(n: int, most: int = MOST_FITTED) -> np.ndarray:
    """Places of at most so many of n clips, evenly spread, in rising order: those that a map is fitted to."""
    return np.arange(min(n, most)) * n // max(1, min(n, most))


def fit_coordinates(embeddings: np.ndarray) -> np.ndarray:
    """Two coordinates for each clip, (clips, 2): t-SNE, seeded; principal components where there are few clips; zeros where all are the same."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(embeddings)
    if n < 3 or not np.ptp(embeddings, axis=0).any():  # a map of one point
        return np.zeros((n, 2))
    if n < 30:
        return PCA(n_components=2, random_state=0).fit_transform(embeddings)
    return TSNE(n_components=2, init="pca", perplexity=min(30, n / 4), random_state=0).fit_transform(embeddings)


def place_others(embeddings: np.ndarray, coordinates: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Where clips lie that no map was fitted to: in the middle of the nearest that are on it, nearer ones count more.

    Args:
        embeddings: (clips, size), of the fitted clips.
        coordinates: (clips, 2), theirs.

    Returns:
        A function of (others, size) that gives (others, 2). A fitted clip stays where it is.
    """
    from sklearn.neighbors import KNeighborsRegressor

    model = KNeighborsRegressor(min(_NEIGHBOURS, len(embeddings)), weights="distance").fit(embeddings, coordinates)
    return model.predict
