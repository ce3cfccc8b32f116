"""Blocks of images as Dask tasks, and the tree that adds up what each of them becomes.

Every out-of-core pass is the same: each block of images → a small state; states of disjoint images add.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed

from convergent.errors import InputError


def of(activation: xr.DataArray) -> list[Delayed]:
    """The blocks of an activation ``[image, ..., unit]``, chunked along ``image`` alone, in order of images.

    Each raises InputError when it is computed and holds a value that is not finite.
    """
    units = delayed(activation["unit"].values)  # once for all blocks
    return [delayed(finite)(x, ids, units) for x, ids in zip(unchecked(activation), image_ids(activation), strict=True)]


def unchecked(activation: xr.DataArray) -> list[Delayed]:
    """The same, of values that may not be finite."""
    chunks = activation.variable.chunksizes
    assert all(len(sizes) == 1 for dim, sizes in chunks.items() if dim != "image"), "chunked along image alone"
    return list(activation.data.to_delayed().ravel())


def image_ids(activation: xr.DataArray) -> list[np.ndarray]:
    """The images of each block."""
    ids = activation["image_id"].values
    return [ids[start:stop] for start, stop in itertools.pairwise(edges(activation))]


def finite(values: np.ndarray, image_ids: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The values of a block [image, ..., unit] as they are.

    Raises
    ------
    InputError : naming the unit and the image of the first value that is not finite
    """
    if not _all_finite(values):
        where = tuple(np.argwhere(~np.isfinite(values))[0])
        unit, image_id = units[where[-1]], image_ids[where[0]]
        raise InputError(f"unit {unit}, image {image_id}: activation {values[where]} is not finite; record it anew")
    return values


def edges(activation: xr.DataArray) -> np.ndarray:
    """Where blocks begin and end, in images: block i holds the images from edges[i] to before edges[i + 1]."""
    return np.cumsum([0, *activation.variable.chunksizes["image"]])


def folds(activation: xr.DataArray) -> np.ndarray:
    """The fold of each block.

    Raises
    ------
    InputError : where a block crosses a fold
    """
    bounds, fold = edges(activation), activation["fold"].values
    first = fold[bounds[:-1]]
    if (first != fold[bounds[1:] - 1]).any():
        raise InputError("a chunk of activations crosses a fold; rechunk along image so that none does")
    return np.asarray(first)


def add(states: Sequence[Delayed], merge: Callable[[Any, Any], Any]) -> Delayed:
    """Add states as a tree, so that no task waits for more than two others."""
    states = list(states)
    while len(states) > 1:
        states = [reduce(delayed(merge), states[i : i + 2]) for i in range(0, len(states), 2)]
    return states[0]


def _all_finite(values: np.ndarray) -> bool:
    if values.dtype == np.float16:  # its bits tell three times as fast
        return bool((values.view(np.uint16) & 0x7C00).max() < 0x7C00)
    return bool(np.isfinite(values).all())
