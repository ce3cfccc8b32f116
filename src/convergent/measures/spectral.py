"""Spectral clusters of a graph of units.

normalised (Ng, Jordan, Weiss 2001): the k leading eigenvectors of D^(−½) W D^(−½), rows scaled to unit length, k-means.
li2016 (Li et al. 2016, arXiv 1511.07543): the k last eigenvectors of D − W, k-means; a cluster of more than 2·α of all
units, α = .025, is split once more by the same method. W is the affinity, D the diagonal of its row sums.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device
from scipy.linalg import eigh
from sklearn.cluster import KMeans

from convergent.folds import Array

ALPHA = 0.025
Place = Callable[[Array], Any]  # where an eigenproblem is solved: ``cupy.asarray`` puts it on a GPU


def affinities(joint: Array, threshold: float) -> Array:
    """Correlations above a threshold; 0 elsewhere, on the diagonal and for dead units."""
    affinity = np.where(joint > threshold, joint, 0.0)  # NaN > τ is False
    np.fill_diagonal(affinity, 0.0)
    return affinity


def normalised(affinity: Array, k: int, seeds: np.ndarray, array: Place = np.asarray) -> np.ndarray:
    """Clusters by the normalised Laplacian, once for each k-means seed: labels[seed, unit].

    Parameters
    ----------
    affinity : symmetric, non-negative, every row with an edge
    k : clusters, at least as many as the graph has components
    seeds : of k-means
    array : puts the eigenproblem where it is solved
    """
    degree = np.sqrt(affinity.sum(axis=1))
    size = len(affinity)
    scaled = affinity / degree[:, None]
    scaled /= degree[None, :]
    vectors = _eigenvectors(scaled, slice(size - k, size), array)
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.stack([k_means(rows, k, seed) for seed in seeds])


def li2016(affinity: Array, k: int, seeds: np.ndarray, array: Place = np.asarray) -> np.ndarray:
    """Clusters by the unnormalised Laplacian, the largest split again: labels[seed, unit]; parameters as `normalised`.

    The published limit is twice the mean size of k = 40 clusters; of fewer clusters it is twice their mean size, or all
    of them would be split. A cluster above it becomes as few parts as could each keep to it.
    """
    size = len(affinity)
    limit = 2 * max(ALPHA * size, size / k)
    return np.stack(
        [
            _split(affinity, labels, limit, seed, array)
            for seed, labels in zip(seeds, unnormalised(affinity, k, seeds, array), strict=True)
        ]
    )


def unnormalised(affinity: Array, k: int, seeds: np.ndarray, array: Place = np.asarray) -> np.ndarray:
    """Clusters by the unnormalised Laplacian as they come: labels[seed, unit]."""
    vectors = _eigenvectors(np.diag(affinity.sum(axis=1)) - affinity, slice(0, k), array)
    return np.stack([k_means(vectors, k, seed) for seed in seeds])


def k_means(rows: Array, k: int, seed: int, starts: int = 10) -> np.ndarray:
    """The best of some starts: labels[row]."""
    return np.asarray(KMeans(k, n_init=starts, random_state=int(seed)).fit_predict(rows))


def _eigenvectors(matrix: Array, some: slice, array: Place) -> Array:
    """Of a symmetric matrix, which is overwritten, by ascending eigenvalue: [row, vector]."""
    placed = array(matrix)
    if isinstance(placed, np.ndarray):
        found = eigh(placed, subset_by_index=[some.start, some.stop - 1], overwrite_a=True)[1]
    else:
        found = to_device(array_namespace(placed).linalg.eigh(placed).eigenvectors[:, some], "cpu")
    return np.asarray(found)


def _split(affinity: Array, labels: np.ndarray, limit: float, seed: int, array: Place) -> np.ndarray:
    """Clusters of more units than the limit in parts, with labels of their own."""
    labels = labels.copy()
    sizes = np.bincount(labels)
    for cluster in np.flatnonzero(sizes > limit):
        units = np.flatnonzero(labels == cluster)
        k = math.ceil(len(units) / limit)
        (parts,) = unnormalised(affinity[np.ix_(units, units)], k, np.array([seed]), array)
        labels[units[parts > 0]] = labels.max() + parts[parts > 0]
    return labels
