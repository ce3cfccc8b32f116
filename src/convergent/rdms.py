"""Dissimilarity of every two images in one layer (RDM): activations in Dask blocks → image × image.

    euclidean ‖x_i − x_j‖,   correlation 1 − r_ij = ½ ‖u_i − u_j‖² with u = (x − x̄) / ‖x − x̄‖

x[feature] is the flattened activation of an image, unit × position. The distances are dask-ml's, of float64: it
keeps the type it is given, and ‖x‖² + ‖y‖² − 2xy overflows in float16 and loses close images in float32.
Source: Kriegeskorte, Mur, Bandettini 2008 (doi 10.3389/neuro.06.004.2008).
"""

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute, persist
from dask_ml.metrics import euclidean_distances

from convergent.errors import InputError
from convergent.folds import Array

# Images are held in panels of this size, and all that follow stream past. Not in blocks of features: a stored chunk
# has all features of its images, so that each block would read everything.
HELD_BYTES = 256 * 2**20


def of(activation: xr.DataArray, images: int = 2000) -> xr.Dataset:
    """Dissimilarities of the first images of the probe.

    Parameters
    ----------
    activation : ``[image, ..., unit]`` as a Dask array, chunked along ``image`` alone, with the coordinates
        ``image_id``, ``label`` and ``fold``
    images : how many, at most; rounded down to a multiple of the folds K of the probe

    Returns
    -------
    ``euclidean[image, image_other]`` and ``correlation[image, image_other]`` (0…2), symmetric, diagonal 0; where an
    image has the same value in all features its correlation is NaN. ``fold`` is new, K equal groups of consecutive
    images: the first images of a larger probe are of few of its folds, too few for a standard error

    Raises
    ------
    InputError : for fewer images than folds, or activations that are not finite
    """
    folds = len(np.unique(activation["fold"]))
    n = min(images, len(activation)) // folds * folds
    if n < folds:
        raise InputError(f"{images} images make no {folds} equal folds; ask for {folds} at least")
    first = activation[:n]
    euclidean, correlation = (_symmetric(lower) for lower in _lower(first.data.reshape(n, -1).astype(np.float64)))
    if (bad := np.isnan(np.diag(euclidean))).any():
        raise InputError(
            f"image {first['image_id'].values[np.argmax(bad)]!r}: activations are not finite; record them anew"
        )
    dims = ("image", "image_other")
    return xr.Dataset(
        {
            "euclidean": (dims, euclidean, {"long_name": "Euclidean distance"}),
            "correlation": (dims, correlation, {"long_name": "1 − Pearson correlation"}),
        },
        {name: first[name].variable.compute() for name in ("image_id", "label")}
        | {"fold": ("image", np.arange(n) // (n // folds), {"long_name": "fold"})},
        {"spatial": "flatten", "features": int(np.prod(first.shape[1:]))},
    )


def _lower(features: da.Array) -> tuple[Array, Array]:
    """Both dissimilarities of the rows of features[image, feature]; nothing right of the panels of the diagonal."""
    n, width = features.shape
    chunk = features.chunksize[0]
    step = max(HELD_BYTES // (8 * width) // chunk, 1) * chunk
    euclidean, correlation = np.zeros((2, n, n))
    for start in range(0, n, step):
        panel = slice(start, None), slice(start, start + step)
        euclidean[panel], correlation[panel] = _from_panel(features[start : start + step], features[start + step :])
    return euclidean, correlation


def _from_panel(near: da.Array, far: da.Array) -> tuple[Array, Array]:
    """Both dissimilarities of the rows of near, then far, from those of near, which are held in memory."""
    near = near.rechunk(-1)
    # Distances are the same from anywhere; from one of the images, no digits are lost to a common offset.
    origin, held, held_unit = persist(near[0], near - near[0], da.map_blocks(_unit, near, dtype=np.float64))
    unit = da.concatenate([held_unit, da.map_blocks(_unit, far, dtype=np.float64)])
    euclidean, correlation = compute(
        euclidean_distances(da.concatenate([held, far - origin]), held),
        euclidean_distances(unit, held_unit, squared=True) / 2,
    )
    return euclidean, correlation


def _unit(rows: Array) -> Array:
    """Rows centred and scaled to length 1; NaN where a row is constant."""
    mean = rows.mean(axis=1, keepdims=True)
    centred = rows - mean
    length = np.sqrt(np.einsum("if,if->i", centred, centred))[:, None]
    # The second term is the rounding of a row that is constant but not zero.
    constant = length <= 1e-12 * np.sqrt(rows.shape[1]) * np.abs(mean)
    centred /= np.where(constant, np.nan, length)
    return np.asarray(centred)


def _symmetric(lower: Array) -> Array:
    """The lower triangle mirrored; the diagonal 0, not what rounding made of it, or NaN where it is undefined."""
    below = np.tril(lower, -1)
    below += below.T
    np.fill_diagonal(below, np.where(np.isnan(np.diag(lower)), np.nan, 0.0))
    return below
