"""Anyone's activations as a labelled layer: NumPy, Dask or xarray in, what every pass reads out.

A layer is ``activation[image, ..., unit]``: samples are images, and positions where there are axes between. It has
the coordinates ``image_id``, ``label``, ``fold``, ``unit``, and Dask chunks along ``image`` alone, none across a fold.
"""

import math
from collections import Counter
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from convergent.errors import InputError

CHUNK_BYTES = 16 * 2**20


def label(values: Any, *, folds: int = 10) -> xr.DataArray:
    """Label activations that were recorded elsewhere.

    Parameters
    ----------
    values : ``[image, ..., unit]``, float; a NumPy or Dask array, or a DataArray. Of a DataArray the dimensions
        ``image`` and ``unit`` are found by name, else the first and the last are taken; its coordinates
        ``image_id`` (or the index of ``image``), ``label`` (the class of an image, a whole number; else all are of
        one), ``fold`` and ``unit`` are kept
    folds : of consecutive images, of sizes that differ by one at most; of no use where ``fold`` is there

    Returns
    -------
    the same values, as the module describes

    Raises
    ------
    InputError : where there is no axis of units, no image or unit, a unit twice, or fewer than two images a fold

    Examples
    --------
    >>> label(np.ones((20, 8, 8, 3)), folds=5).sizes
    Frozen({'image': 20, 'y': 8, 'x': 8, 'unit': 3})
    """
    array = _named(values)
    images, units = array.sizes["image"], array.sizes["unit"]
    if array.dtype.kind != "f":
        raise InputError(f"activations are of type {array.dtype}; make them floating point")
    if folds < 2:
        raise InputError(f"{folds} folds; errors and nulls need at least 2")
    if units == 0:
        raise InputError("the layer has no unit")
    if "image_id" not in array.coords and "image" in array.coords:
        array = array.assign_coords(image_id=("image", array["image"].values.astype(np.dtypes.StringDType())))
    if "image_id" not in array.coords:
        array = array.assign_coords(image_id=("image", np.arange(images).astype(np.dtypes.StringDType())))
    if "label" not in array.coords:
        array = array.assign_coords(label=("image", np.zeros(images, dtype=np.int64)))
    if "fold" not in array.coords:
        parts = np.array_split(np.arange(images), folds)
        array = array.assign_coords(fold=("image", np.repeat(np.arange(folds), [len(part) for part in parts])))
    if "unit" not in array.coords:
        array = array.assign_coords(unit=np.arange(units))
    wrong = [unit for unit in array["unit"].values.tolist() if not isinstance(unit, int) or unit < 0]
    if wrong:
        raise InputError(f"unit {wrong[0]} is no whole number from 0 on; number the units, or drop their labels")
    if repeated := [unit for unit, count in Counter(array["unit"].values.tolist()).items() if count > 1]:
        raise InputError(f"unit {repeated[0]} is there more than once; number the units, or drop their labels")
    fold = array["fold"].values
    starts = np.flatnonzero(np.diff(fold, prepend=fold[:1] - 1))
    sizes = np.diff([*starts, images])
    if len(np.unique(fold)) != len(starts):
        raise InputError("the images of a fold do not follow one another; sort them by fold")
    if len(starts) < 2 or sizes.min() < 2:
        raise InputError(
            f"{images} images in {len(starts)} folds; errors and nulls need at least 2 folds of at least 2 images"
        )
    image_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
    # At least two images a chunk: the permuted null exchanges the images of a chunk.
    pieces = [min(max(math.ceil(size * image_bytes / CHUNK_BYTES), 1), size // 2) for size in sizes]
    chunks = tuple(len(part) for size, n in zip(sizes, pieces, strict=True) for part in np.array_split(range(size), n))
    return array.drop_vars(set(array.coords) - {"image_id", "label", "fold", "unit"}).chunk(
        {dim: chunks if dim == "image" else -1 for dim in array.dims}
    )


def pooled(values: Any, *, folds: int = 10) -> xr.DataArray:
    """Spatial means ``[image, unit]``, float64, of activations, labelled: the rows of `similarity` and `cross_layer`.

    Parameters
    ----------
    values, folds : as in `label`

    Examples
    --------
    >>> pooled(np.ones((20, 8, 8, 3)), folds=5).sizes
    Frozen({'image': 20, 'unit': 3})
    """
    layer = label(values, folds=folds)
    between = [dim for dim in layer.dims if dim not in ("image", "unit")]
    return layer.mean(between, skipna=False, dtype=np.float64)  # of float16, dask adds up in float16


def _named(values: Any) -> xr.DataArray:
    """As a DataArray ``[image, ..., unit]``."""
    if not isinstance(values, xr.DataArray):
        array = values if isinstance(values, da.Array) else np.asarray(values)
        between = {2: (), 3: ("position",), 4: ("y", "x")}.get(array.ndim)
        if between is None:
            raise InputError(f"activations of {array.ndim} axes; [image, unit] and [image, y, x, unit] are known")
        return xr.DataArray(array, dims=("image", *between, "unit"))
    named: xr.DataArray = values
    if named.ndim < 2:
        raise InputError(f"activations with the dimensions {named.dims}; [image, ..., unit] is needed")
    for name, place in (("image", 0), ("unit", -1)):
        if name not in named.dims:
            if named.dims[place] in ("image", "unit"):
                raise InputError(f"activations with the dimensions {named.dims}; call both image and unit")
            named = named.rename({named.dims[place]: name})
    return named.transpose("image", ..., "unit")
