"""Blocks of images as Dask tasks, and the tree that adds up what each of them becomes.

Every out-of-core pass is the same: each block of images → a small state; states of disjoint images add.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed

from convergent.errors import InputError


def of(activation: xr.DataArray) -> list[Delayed]:
    """The blocks of an activation ``[image, ..., unit]``, chunked along ``image`` alone, in order of images."""
    chunks = activation.variable.chunksizes
    assert all(len(sizes) == 1 for dim, sizes in chunks.items() if dim != "image"), "chunked along image alone"
    return list(activation.data.to_delayed().ravel())


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
