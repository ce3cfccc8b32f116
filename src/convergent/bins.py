"""Bins of every unit: one for values up to `ZERO`, and bins of equal mass for those above, as after a ReLU.

Edges are quantiles of evenly spaced images, found once for each snapshot and shared by all that counts in bins.
Source: Li et al. 2016 (arXiv 1511.07543), section 3.2.
"""

import numpy as np
import xarray as xr

from convergent.compiled import compiled
from convergent.errors import InputError
from convergent.folds import Array

ZERO = 1e-6  # values up to this share a bin
MOST = 254  # codes are of one byte
TILE = 64  # samples coded together, so that codes are written along a unit


def edges(activation: xr.DataArray, *, bins: int = 20, samples: int = 200_000) -> xr.Dataset:
    """Edges of the bins of each unit: `ZERO`, then quantiles of the values above it, as after a ReLU.

    Parameters
    ----------
    activation : ``[image, ..., unit]``
    bins : of equal mass for the values above `ZERO`, at most 254
    samples : at most so many are read, all positions of evenly spaced images, but at least one image

    Returns
    -------
    ``edge[unit, bin]``, ascending: a value lies in the bin whose number is that of the edges below it, 0 to `bins`.
    Edges are activations; equal ones are merged, and what is left over is +inf.
    """
    if not 2 <= bins <= MOST:
        raise InputError(f"{bins} bins; 2 to {MOST} fit the codes")
    images, units = activation.sizes["image"], activation.sizes["unit"]
    positions = activation.size // (images * units)
    chosen = min(images, max(samples // positions, 1))
    values = activation.isel(image=np.arange(chosen) * images // chosen).values.reshape(-1, units)
    edge = np.full((units, bins), np.inf)
    for unit in range(units):
        column = values[:, unit].astype(np.float64)
        distinct = np.unique(_quantiles(np.sort(column[column > ZERO]), bins))
        edge[unit, : len(distinct) + 1] = [ZERO, *distinct]
    return xr.Dataset(
        {"edge": (("unit", "bin"), edge, {"long_name": "values above this lie in this bin or a higher one"})},
        {"unit": activation["unit"].values, "bin": np.arange(1, bins + 1)},
        {"samples": len(values)},
    )


def codes(values: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The bin of every value: how many edges of its unit lie below it.

    Parameters
    ----------
    values : [image, ..., unit], any float type, finite
    edge : [unit, bin], ascending, at least 0

    Returns
    -------
    [unit, sample], uint8, 0 for values up to the first edge
    """
    values = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
    # The largest value of this type that is not above an edge stands for it.
    with np.errstate(over="ignore"):
        lowered = np.ascontiguousarray(edge.T, dtype=values.dtype)
    above = lowered > edge.T
    lowered[above] = np.nextafter(lowered[above], values.dtype.type(-np.inf))
    # Finite floats compare with an edge ≥ 0 as their bits do, read as integers: numba has no float16.
    bits = np.dtype(f"i{values.itemsize}")
    found = np.empty(values.shape[::-1], dtype=np.uint8)
    _encode(values.view(bits), lowered.view(bits), found)
    return found


def _quantiles(ordered: Array, bins: int) -> Array:
    """The values below or at which lie 1/bins, 2/bins, … of the sorted values, themselves among the values."""
    if not len(ordered):
        return ordered
    return ordered[-(-np.arange(1, bins) * len(ordered) // bins) - 1]


@compiled
def _encode(values: np.ndarray, edge: np.ndarray, found: np.ndarray) -> None:
    """Count the edges [bin, unit] below values [sample, unit] into found [unit, sample]."""
    samples, units = values.shape
    tile = np.empty((TILE, units), dtype=np.uint8)
    for start in range(0, samples, TILE):
        rows = min(TILE, samples - start)
        tile[:] = 0
        for i in range(rows):
            for k in range(len(edge)):
                for unit in range(units):
                    tile[i, unit] += values[start + i, unit] > edge[k, unit]
        for unit in range(units):
            for i in range(rows):
                found[unit, start + i] = tile[i, unit]
