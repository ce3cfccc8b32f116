"""Layers of different grids of positions, made comparable: average pooling of the finer grid onto the coarser one.

Cell i of m along an axis of n positions is the mean of those from ⌊i n / m⌋ to before ⌈(i + 1) n / m⌉, as in adaptive
average pooling; where m divides n these are the equal parts. A layer without positions is of the grid 1 × 1.
"""

from typing import Any

import numpy as np
import xarray as xr

from convergent.errors import InputError
from convergent.folds import Array

Grid = tuple[int, int]


def matched(a: xr.DataArray, b: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, Grid]:
    """Two layers on the coarser of their grids, along each axis, and that grid.

    Parameters
    ----------
    a, b : activations ``[image, y, x, unit]`` or ``[image, unit]`` as Dask arrays in chunks along ``image`` alone

    Returns
    -------
    both as ``[image, y, x, unit]``, or ``[image, unit]`` on the grid 1 × 1, and the grid [y, x]

    Raises
    ------
    InputError : where only a sample of the positions was recorded
    """
    grids = [_grid(layer) for layer in (a, b)]
    grid = min(y for y, _ in grids), min(x for _, x in grids)
    return pooled(a, grid), pooled(b, grid), grid


def pooled(activation: xr.DataArray, grid: Grid) -> xr.DataArray:
    """A layer on a coarser grid, [y, x], float32; as it is where that is its own."""
    if activation.ndim == 2 or (grid == _grid(activation) and grid != (1, 1)):
        return activation
    means = tuple(_means(activation.sizes[dim], size) for dim, size in zip("yx", grid, strict=True))
    chunks = activation.data.chunks
    shape = () if grid == (1, 1) else ((grid[0],), (grid[1],))
    data = activation.data.map_blocks(
        _pool, *means, dtype=np.float32, chunks=(chunks[0], *shape, chunks[3]), drop_axis=[] if shape else [1, 2]
    )
    names = ("image_id", "label", "fold", "unit")
    return xr.DataArray(
        data,
        {name: activation[name] for name in names},
        ("image", "y", "x", "unit") if shape else ("image", "unit"),
    )


def _grid(activation: xr.DataArray) -> Grid:
    if "position" in activation.dims:
        raise InputError(
            "a sample of positions was recorded, which cannot be pooled; record all (recording.positions: all)"
        )
    return (1, 1) if activation.ndim == 2 else (activation.sizes["y"], activation.sizes["x"])


def _means(size: int, cells: int) -> Array:
    """What makes the means of the cells of an axis of so many positions, [cell, position]."""
    place, cell = np.arange(size), np.arange(cells)[:, None]
    inside = (place >= cell * size // cells) & (place < -(-(cell + 1) * size // cells))
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))


def _pool(block: Any, of_y: Array, of_x: Array) -> np.ndarray:
    """[image, y, x, unit] → [image, cell y, cell x, unit], or [image, unit] of one cell."""
    widened = block.astype(np.float32)
    rows = np.einsum("py,iyxu->ipxu", of_y.astype(np.float32), widened, optimize=True)
    cells: np.ndarray = np.einsum("qx,ipxu->ipqu", of_x.astype(np.float32), rows, optimize=True)
    return cells if cells.shape[1:3] != (1, 1) else cells[:, 0, 0]
