"""The products of `cka` of every layer of A with every layer of B, from blocks of their rows: none is held whole.

One row an image; leave-one-fold-out index 0 is all images, 1 … K those without one fold.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from convergent.errors import InputError, about
from convergent.folds import RESOLUTION, Array
from convergent.measures import cka

IMAGES = 2048  # of a block
TILE_BYTES = 64 * 2**20  # comoments of a tile of units: of every fold, and what is made of them


@dataclass(frozen=True)
class Side:
    """The layers of a network, their units beside one another.

    Attributes
    ----------
    layers : ``[image, unit]`` each, perhaps on disk
    units : of each layer
    fold : [image], 1 … K
    mean : [unit]
    dead : bool[unit]
    mean_kept : of the centred values of the images that are kept, [1 + fold, unit]
    """

    layers: tuple[xr.DataArray, ...]
    units: tuple[slice, ...]
    fold: np.ndarray
    mean: Array
    dead: np.ndarray
    mean_kept: Array


def of(layers: Mapping[str, xr.DataArray]) -> Side:
    """The layers of a network, which it reads twice.

    Parameters
    ----------
    layers : ``[image, unit]`` with the coordinate ``fold``, the same of all

    Raises
    ------
    InputError : where a value is not finite
    """
    arrays = tuple(layer.transpose("image", "unit") for layer in layers.values())
    fold = np.unique(arrays[0]["fold"].values, return_inverse=True)[1] + 1
    found = []
    for name, layer in zip(layers, arrays, strict=True):
        with about(name):
            found.append(_means(layer, fold))
    mean, dead, mean_kept = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    ends = np.cumsum([layer.sizes["unit"] for layer in arrays]).tolist()
    return Side(arrays, tuple(map(slice, [0, *ends], ends)), fold, mean, dead, mean_kept)


def products(a: Side, b: Side) -> Array:
    """The products of every layer of A with every layer of B.

    Returns
    -------
    [1 + fold, 3, layer_a, layer_b], as `cka.products` of each two. Costs n·Σp·Σq multiplications for n images and
    layers of p and q units, whatever the number of folds.
    """
    together = trace_a = trace_b = np.zeros(1)
    for images in _spans(len(a.fold), IMAGES):
        norms_a, norms_b = _image_norms(a, images), _image_norms(b, images)
        together = together + norms_a @ norms_b.swapaxes(1, 2)
        trace_a, trace_b = trace_a + norms_a.sum(axis=2), trace_b + norms_b.sum(axis=2)
    kept = len(a.fold) - np.bincount(a.fold)
    return cka.of_sums(kept, _squares(a, b), together, trace_a[:, :, None] * trace_b[:, None])


def within(side: Side) -> Array:
    """The products of every layer with itself, [1 + fold, 3, layer]."""
    alone = [_alone(side, layer) for layer in range(len(side.layers))]
    return np.stack([products(layer, layer)[..., 0, 0] for layer in alone], axis=-1)


def _means(layer: xr.DataArray, fold: np.ndarray) -> tuple[Array, np.ndarray, Array]:
    """`mean`, `dead` and `mean_kept` of one layer."""
    blocks = _spans(len(fold), IMAGES)
    mean = sum(_read(layer, images).sum(axis=0, dtype=np.float64) for images in blocks) / len(fold)
    if not np.isfinite(mean).all():
        unit = layer["unit"].values[np.argmin(np.isfinite(mean))]
        raise InputError(f"unit {unit}: activations are not finite; record them anew")
    squares, sums = np.zeros(len(mean)), np.zeros((fold.max() + 1, len(mean)))
    for images in blocks:
        values = _read(layer, images) - mean
        squares += (values**2).sum(axis=0)
        sums += (np.arange(len(sums))[:, None] == fold[images]) @ values
    dead = squares <= len(fold) * (RESOLUTION * mean) ** 2  # as in folds.live
    sums[:, dead] = 0
    return mean, dead, (sums.sum(axis=0) - sums) / (len(fold) - np.bincount(fold))[:, None]


def _alone(side: Side, layer: int) -> Side:
    units = side.units[layer]
    of_units = side.mean[units], side.dead[units], side.mean_kept[:, units]
    return Side((side.layers[layer],), (slice(0, units.stop - units.start),), side.fold, *of_units)


def _values(side: Side, images: slice, units: slice) -> Array:
    """Centred values of a block, dead units 0, [image, unit]."""
    parts = [_read(side.layers[layer], images, own) for layer, own, _ in _layers(side, units)]
    values = np.concatenate(parts, axis=1) - side.mean[units]
    values[:, side.dead[units]] = 0
    return values


def _layers(side: Side, units: slice) -> Iterator[tuple[int, slice, slice]]:
    """The layers that some units are of, and where these are in the layer and among the units."""
    for layer, own in enumerate(side.units):
        start, stop = max(own.start, units.start), min(own.stop, units.stop)
        if start < stop:
            yield layer, slice(start - own.start, stop - own.start), slice(start - units.start, stop - units.start)


def _image_norms(side: Side, images: slice) -> Array:
    """‖x̃ᵢ‖² about the mean of the images that are kept, [1 + fold, layer, image]; 0 for images left out."""
    norms = []
    for units in side.units:
        values, mean = _values(side, images, units), side.mean_kept[:, units]
        norms.append((values**2).sum(axis=1) - 2 * mean @ values.T + (mean**2).sum(axis=1, keepdims=True))
    kept = np.arange(len(side.mean_kept))[:, None] != side.fold[images]
    return np.where(kept, np.stack(norms), 0).swapaxes(0, 1)


def _squares(a: Side, b: Side) -> Array:
    """‖X̃ᵀỸ‖² of every layer of A with every layer of B, [1 + fold, layer_a, layer_b]."""
    found = np.zeros((len(a.mean_kept), len(a.layers), len(b.layers)))
    edge = math.isqrt(TILE_BYTES // (8 * (len(found) + 3)))
    for units_a in _spans(len(a.mean), edge):
        for units_b in _spans(len(b.mean), edge):
            for left_out, comoment in enumerate(_comoments(a, b, units_a, units_b)):
                squares = comoment**2
                for i, _, rows in _layers(a, units_a):
                    for j, _, columns in _layers(b, units_b):
                        found[left_out, i, j] += squares[rows, columns].sum()
    return found


def _comoments(a: Side, b: Side, units_a: slice, units_b: slice) -> Iterator[Array]:
    """X̃ᵀỸ of a tile, of all images and without each fold, each about its own means."""
    counts = np.bincount(a.fold)
    of_fold = np.zeros((len(counts), units_a.stop - units_a.start, units_b.stop - units_b.start))
    for images in _spans(len(a.fold), IMAGES):
        x, y, fold = _values(a, images, units_a), _values(b, images, units_b), a.fold[images]
        for k in np.unique(fold):
            of_fold[k] += x[fold == k].T @ y[fold == k]
    whole = of_fold.sum(axis=0)
    for left_out, count in enumerate(counts):
        means = np.outer(a.mean_kept[left_out, units_a], b.mean_kept[left_out, units_b])
        yield whole - of_fold[left_out] - (len(a.fold) - count) * means


def _read(layer: xr.DataArray, images: slice, units: slice = slice(None)) -> np.ndarray:
    return layer.isel(image=images, unit=units).values


def _spans(number: int, most: int) -> list[slice]:
    """All of a number of images or units, at most so many at a time."""
    return [slice(start, min(start + most, number)) for start in range(0, number, most)]
