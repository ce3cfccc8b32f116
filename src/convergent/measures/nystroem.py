"""Spectral clusters of graphs too large for the dense eigenproblem, by the Nyström method of dask-ml.

Some units are sampled, the others follow from their affinities with those (Fowlkes et al. 2004). The method needs a
positive matrix: each unit gets its degree as affinity with itself, which turns D^(−½) W D^(−½) into half its sum with
the identity and leaves the eigenvectors as they are. A module of its own, because dask-ml takes long to import.
"""

from typing import Any

import dask
import dask.array as da
import numpy as np
from dask_ml.cluster import SpectralClustering
from sklearn.base import BaseEstimator

from convergent.folds import Array
from convergent.measures import spectral

CHUNK = 1024  # units
SAMPLED = 2048  # units, or one for each cluster: a singular value decomposition takes the cube of them
STARTS = 2  # of k-means; choosing its first centres takes the cube of the units too


class _Embedding(BaseEstimator):  # type: ignore[misc]
    """Stands in for the k-means of dask-ml and hands out what it is given."""

    def fit(self, x: da.Array) -> "_Embedding":
        self.labels_ = np.asarray(x)
        return self


def normalised(affinity: Array, k: int, seeds: np.ndarray, sampled: int) -> np.ndarray:
    """Clusters as of `spectral.normalised`, nearly: labels[seed, unit], −1 for a unit without an edge to a sampled one.

    Parameters
    ----------
    affinity, k, seeds : as there; a seed draws the sample too
    sampled : units, at most, from k to all but one
    """
    sampled = min(sampled, max(SAMPLED, k))
    return np.stack([_labels(embedding(affinity, k, seed, sampled), k, seed) for seed in seeds])


def embedding(affinity: Array, k: int, seed: int, sampled: int) -> Array:
    """The k leading eigenvectors, rows of unit length: [unit, k]; not finite for a unit far from the sample."""
    degree = affinity.sum(axis=1)

    def look_up(x: da.Array, y: da.Array | None = None, **_: Any) -> da.Array:
        rows, columns = (np.asarray(one).ravel().astype(np.intp) for one in (x, x if y is None else y))
        own = np.where(rows[:, None] == columns, degree[rows][:, None], 0.0)
        block: da.Array = da.from_array(affinity[np.ix_(rows, columns)] + own, chunks=(-1, CHUNK))
        return block

    method = SpectralClustering(
        k, affinity=look_up, n_components=sampled, random_state=int(seed), assign_labels=_Embedding()
    )
    units = da.from_array(np.arange(len(affinity))[:, None], chunks=(CHUNK, 1))
    # In this thread, whose divisions by a degree of zero are known.
    with np.errstate(divide="ignore", invalid="ignore"), dask.config.set(scheduler="synchronous"):
        rows: Array = method.fit(units).labels_
    return rows


def _labels(rows: Array, k: int, seed: int) -> np.ndarray:
    labels = np.full(len(rows), -1)
    reached = np.isfinite(rows).all(axis=1)
    # What is reached may have fewer parts than the graph.
    different = len(np.unique(rows[reached].round(9), axis=0))
    labels[reached] = spectral.k_means(rows[reached], min(k, different), seed, STARTS)
    return labels
