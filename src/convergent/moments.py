"""The one out-of-core pass: activations in Dask blocks → moments for each fold.

Per fold f: n_f, mean_f[unit], comoment_f[u, v] = Σ (x_u − mean_u)(x_v − mean_v), within a network and between two,
and the same between with the images of the second permuted within each block. Blocks are centred on their own
mean, multiplied, and merged in float64 by Chan, Golub and LeVeque (1979); never raw sums of squares.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import delayed

from convergent import activations, blocks
from convergent.errors import InputError, at_least
from convergent.folds import Array, Moments, check_same_images, joined, merge

FLOAT32_ROWS = 4096  # samples in one float32 product; products are merged in float64


def block(a: np.ndarray, b: np.ndarray | None, generators: Sequence[np.random.Generator], precision: str) -> Moments:
    """Moments of one block of images.

    Parameters
    ----------
    a, b : [image, ..., unit], any float type; b None for the moments within a
    generators : one for each permuted replicate
    precision : of the products, ``float64`` or ``float32``

    Returns
    -------
    its comoment is [1 + replicate, unit_a, unit_b]: the images as they are, then permuted
    """
    mean_a, centred_a, scale_a = _centre(a, precision)
    mean_b, centred_b, scale_b = (mean_a, centred_a, scale_a) if b is None else _centre(b, precision)
    products = [_product(centred_a, centred_b)]
    products += [_product(centred_a, centred_b[displaced(len(centred_b), generator)]) for generator in generators]
    n = centred_a.size // a.shape[-1]
    return Moments(n, mean_a, mean_b, np.stack(products) * np.outer(scale_a, scale_b))


def displaced(images: int, generator: np.random.Generator) -> np.ndarray:
    """An order in which every image takes the place of another, one random cycle.

    A plain permutation leaves one image in its place on average, and with it r divided by the images of a block.
    """
    if images < 2:
        raise InputError("a chunk of one image cannot be permuted; record at least two images a chunk")
    order = generator.permutation(images)
    moved = np.empty(images, dtype=np.intp)
    moved[order] = np.roll(order, 1)
    return moved


def gather(
    a: xr.DataArray, b: xr.DataArray | None, *, precision: str = "float64", permutations: int = 0, seed: int = 0
) -> list[Moments]:
    """Moments of each fold, every chunk read once.

    Parameters
    ----------
    a, b : activations ``[image, ..., unit]`` as Dask arrays with the coordinate ``fold``, chunked along
        ``image`` alone and no chunk across a fold; b None for the moments within a
    precision : of the products
    permutations : replicates with the images of b permuted within each block, positions kept
    seed : of the permutations
    """
    blocks_a = blocks.of(a)
    blocks_b = blocks.of(b.chunk(image=a.variable.chunksizes["image"])) if b is not None else [None] * len(blocks_a)
    states = []
    for i, (x, y) in enumerate(zip(blocks_a, blocks_b, strict=True)):
        generators = [np.random.default_rng([seed, replicate, i]) for replicate in range(permutations)]
        states.append(delayed(block)(x, y, generators, precision))
    of_fold = blocks.folds(a)
    merged = [
        blocks.add([s for s, f in zip(states, of_fold, strict=True) if f == fold], merge) for fold in np.unique(of_fold)
    ]
    return list(compute(*merged))


def of(
    x: Any, y: Any, *, folds: int = 10, precision: str = "float64", permutations: int = 1, seed: int = 0
) -> xr.Dataset:
    """The moments of any two sets of activations of the same images, the input of the measures.

    Parameters
    ----------
    x, y : ``[image, ..., unit]`` as NumPy, Dask or xarray arrays, see `activations.label`; units may differ in
        number, images and positions must be the same
    folds : of consecutive images, for standard errors and cross-validation; shuffle images that are sorted
    precision : of the products, ``float64`` or ``float32``
    permutations, seed : replicates with the images of y permuted, the permuted null, and their seed

    Raises
    ------
    InputError : where images or positions differ, naming the first; where an activation is not finite, naming unit
        and image; and for what `activations.label` refuses

    Examples
    --------
    >>> from convergent.measures.matching import matching
    >>> generator = np.random.default_rng(0)
    >>> shared = generator.standard_normal((500, 4))
    >>> x = shared + 0.5 * generator.standard_normal((500, 4))
    >>> y = shared[:, [2, 0, 3, 1]] + 0.5 * generator.standard_normal((500, 4))
    >>> matching(of(x, y))["partner_one_to_one_a"].values
    array([1, 3, 0, 2])
    """
    if precision not in ("float64", "float32"):
        raise InputError(f"precision {precision!r}; float64 and float32 are known")
    a, b = activations.label(x, folds=folds), activations.label(y, folds=folds)
    pair = between(a, b, precision=precision, permutations=permutations, seed=seed)
    return joined(within(a, precision=precision), within(b, precision=precision), pair)


def within(activation: xr.DataArray, *, precision: str = "float64") -> xr.Dataset:
    """Moments of one network: ``n[fold] mean[fold, unit] comoment[fold, unit, unit_other]``."""
    states = gather(activation, None, precision=precision)
    unit = activation["unit"].values
    return xr.Dataset(
        {
            "n": ("fold", [s.n for s in states], {"long_name": "samples"}),
            "mean": (("fold", "unit"), np.stack([s.mean_a for s in states]), {"long_name": "mean activation"}),
            "comoment": (
                ("fold", "unit", "unit_other"),
                np.stack([s.comoment[0] for s in states]),
                {"long_name": "Σ (x − mean)(y − mean)"},
            ),
        },
        {"fold": np.arange(len(states)), "unit": unit, "unit_other": unit},
        {"spatial": spatial(activation), "precision": precision},
    )


def between(
    a: xr.DataArray, b: xr.DataArray, *, precision: str = "float64", permutations: int = 1, seed: int = 0
) -> xr.Dataset:
    """Moments between two networks on the same images and positions.

    Returns
    -------
    ``n[fold] mean_a[fold, unit_a] mean_b[fold, unit_b] comoment[fold, unit_a, unit_b]`` and
    ``comoment_permuted[replicate, fold, unit_a, unit_b]``

    Raises
    ------
    InputError : where the two sides differ in their images or in their grid of positions
    """
    at_least(1, permutations=permutations)
    check_same_samples(a, b)
    states = gather(a, b, precision=precision, permutations=permutations, seed=seed)
    comoments = np.stack([s.comoment for s in states], axis=1)
    dims = ("fold", "unit_a", "unit_b")
    return xr.Dataset(
        {
            "n": ("fold", [s.n for s in states], {"long_name": "samples"}),
            "mean_a": (("fold", "unit_a"), np.stack([s.mean_a for s in states]), {"long_name": "mean activation"}),
            "mean_b": (("fold", "unit_b"), np.stack([s.mean_b for s in states]), {"long_name": "mean activation"}),
            "comoment": (dims, comoments[0], {"long_name": "Σ (x_a − mean)(x_b − mean)"}),
            "comoment_permuted": (
                ("replicate", *dims),
                comoments[1:],
                {"long_name": "the same, the images of B permuted within blocks"},
            ),
        },
        {"fold": np.arange(len(states)), "unit_a": a["unit"].values, "unit_b": b["unit"].values},
        {"spatial": spatial(a), "precision": precision},
    )


def check_same_samples(a: xr.DataArray, b: xr.DataArray) -> None:
    """Refuse two layers not recorded on the same images and positions; the error names the first difference."""
    check_same_images(a["image_id"].values, b["image_id"].values)
    if a.shape[1:-1] != b.shape[1:-1]:
        raise InputError(
            f"the two layers have positions {a.shape[1:-1]} and {b.shape[1:-1]}; compare layers of one grid"
        )


def spatial(activation: xr.DataArray) -> str:
    """What a sample is: ``positions`` of each image, as in a convolutional layer, or images."""
    return "positions" if activation.ndim > 2 else "images"


def _centre(values: np.ndarray, precision: str) -> tuple[Array, np.ndarray, Array]:
    """The mean over samples, the centred values [image, position, unit], and what each unit of them was divided by.

    A power of two, which rounds nothing: products of very small or large activations would leave the range of float32.
    """
    values = values.reshape(len(values), -1, values.shape[-1])
    mean = values.mean(axis=(0, 1), dtype=np.float64)
    centred = values - mean
    if precision == "float64":
        return mean, centred, np.ones_like(mean)
    scale = np.exp2(np.frexp(np.abs(centred).max(axis=(0, 1)))[1])
    return mean, (centred / scale).astype(precision), scale


def _product(a: np.ndarray, b: np.ndarray) -> Array:
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    if a.dtype == np.float64:
        return np.asarray(a.T @ b)
    product = np.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), FLOAT32_ROWS):
        product += a[start : start + FLOAT32_ROWS].T @ b[start : start + FLOAT32_ROWS]
    return product
