"""The one out-of-core pass: activations in Dask blocks → moments for each fold.

Per fold f: n_f, mean_f[unit], comoment_f[u, v] = Σ (x_u − mean_u)(x_v − mean_v), within a network and between two,
and the same between with the images of the second permuted within each block. Blocks are multiplied in tiles that are
centred on about their mean, set right by the mean itself, and merged in float64 by Chan, Golub and LeVeque (1979);
never raw sums of squares.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute as dask_compute
from dask.delayed import Delayed, delayed

from convergent import activations, blocks, device, engine
from convergent.errors import InputError, at_least
from convergent.folds import Array, Moments, check_same_folds, check_same_images, joined, merge
from convergent.tiles import ROWS, Tiles, spans

MEMORY = 256 * 2**20  # bytes that a task holds, besides chunks and tiles of activations
STATES = 4  # as many comoments of a block of units: two that are merged, their sum, and what sets it right
HELD = 64 * 2**20  # bytes of comoments that a step holds; those of wider layers stream into their store


def block(
    a: np.ndarray,
    b: np.ndarray | None,
    orders: Sequence[np.ndarray],
    precision: str,
    image_ids: np.ndarray,
    units_a: np.ndarray,
    units_b: np.ndarray,
) -> Moments:
    """Moments of one block of images.

    Parameters
    ----------
    a, b : [image, ..., unit], any float type; b None for the moments within a
    orders : of the images of b, one for each permuted replicate
    precision : of the products, ``float64`` or ``float32``
    image_ids, units_a, units_b : [image], [unit_a], [unit_b], for the error where a value is not finite

    Returns
    -------
    its comoment is [1 + replicate, unit_a, unit_b]: the images as they are, then permuted
    """
    a = a.reshape(len(a), -1, a.shape[-1])
    left = Tiles(a, image_ids, units_a, precision)
    right = left if b is None else Tiles(b.reshape(*a.shape[:2], -1), image_ids, units_b, precision)
    comoment = np.zeros((1 + len(orders), len(left.centre), len(right.centre)))
    product = np.empty(comoment.shape[1:], precision)
    for images in spans(len(a), a.shape[1], max(comoment.shape[1:]), precision):
        rows = left.fill(images)
        _add_product(comoment[0], rows, rows if b is None else right.fill(images), product)
        for added, order in zip(comoment[1:], orders, strict=True):
            _add_product(added, rows, right.fill(order[images], counted=False), product)
    n = a.shape[0] * a.shape[1]
    offset_a, offset_b = left.total / n, right.total / n
    comoment -= n * np.outer(offset_a, offset_b)
    comoment *= np.outer(left.scale, right.scale)
    return Moments(n, left.centre + offset_a * left.scale, right.centre + offset_b * right.scale, comoment)


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
    a: xr.DataArray,
    b: xr.DataArray | None,
    *,
    precision: str = "float64",
    permutations: int = 0,
    seed: int = 0,
    memory: int = MEMORY,
) -> list[list[list[Delayed]]]:
    """Moments of each fold, of each block of units of a with each of b; computed together, every chunk is read once.

    Parameters
    ----------
    a, b : activations ``[image, ..., unit]`` as Dask arrays with the coordinate ``fold``, chunked along
        ``image`` alone and no chunk across a fold; b None for the moments within a
    precision : of the products
    permutations : replicates with the images of b permuted within each block, positions kept
    seed : of the permutations
    memory : bytes that a task holds at most, besides chunks and tiles of activations: `STATES` times the comoments of
        a block of units of a with one of b; one unit a block is the least

    Returns
    -------
    [fold][block of a][block of b], each a `Moments` once it is computed
    """
    blocks_a = blocks.unchecked(a)
    chunks = a.variable.chunksizes["image"]
    blocks_b = [None] * len(blocks_a) if b is None else blocks.unchecked(b.chunk(image=chunks))
    on_device = engine.on_device()
    parts_a = _parts(a.sizes["unit"], memory, permutations)
    parts_b = parts_a if b is None else _parts(b.sizes["unit"], memory, permutations)
    names_a, names_b = (delayed(side["unit"].values) for side in (a, a if b is None else b))  # once for all blocks
    of_fold = blocks.folds(a)
    orders = [
        [displaced(size, np.random.default_rng([seed, replicate, i])) for replicate in range(permutations)]
        for i, size in enumerate(chunks)
    ]

    def merged(fold: int, columns_a: slice, columns_b: slice) -> Delayed:
        states = [
            delayed(_block_of_units)(x, y, order, precision, ids, columns_a, columns_b, names_a, names_b, on_device)
            for x, y, order, ids, f in zip(blocks_a, blocks_b, orders, blocks.image_ids(a), of_fold, strict=True)
            if f == fold
        ]
        return blocks.add(states, merge)

    def of_one(fold: int) -> list[list[Delayed]]:
        if b is not None:
            return [[merged(fold, p, q) for q in parts_b] for p in parts_a]
        upper = {(i, j): merged(fold, parts_a[i], parts_a[j]) for i, j in _upper(len(parts_a))}
        whole = upper | {(j, i): delayed(_transposed)(state) for (i, j), state in upper.items() if i < j}
        return [[whole[i, j] for j in range(len(parts_a))] for i in range(len(parts_a))]

    return [of_one(fold) for fold in np.unique(of_fold)]


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
        and image, or too large to be squared; and for what `activations.label` refuses

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
    pair = between(a, b, precision=precision, permutations=permutations, seed=seed, compute=False)
    sides = (within(side, precision=precision, compute=False) for side in (a, b))
    return joined(*dask_compute(*sides, pair))  # every block is read once for all three


def within(
    activation: xr.DataArray, *, precision: str = "float64", memory: int = MEMORY, compute: bool = True
) -> xr.Dataset:
    """Moments of one network: ``n[fold] mean[fold, unit] comoment[fold, unit, unit_other]``; else as `between`."""
    states = gather(activation, None, precision=precision, memory=memory)
    n, mean, _, comoment = _arrays(states, activation.sizes["unit"], activation.sizes["unit"], 0, memory)
    unit = activation["unit"].values
    dataset = xr.Dataset(
        {
            "n": ("fold", n, {"long_name": "samples"}),
            "mean": (("fold", "unit"), mean, {"long_name": "mean activation"}),
            "comoment": (("fold", "unit", "unit_other"), comoment[0], {"long_name": "Σ (x − mean)(y − mean)"}),
        },
        {"fold": np.arange(len(states)), "unit": unit, "unit_other": unit},
        {"spatial": spatial(activation), "precision": precision},
    )
    return dataset.compute() if compute else dataset


def between(
    a: xr.DataArray,
    b: xr.DataArray,
    *,
    precision: str = "float64",
    permutations: int = 1,
    seed: int = 0,
    memory: int = MEMORY,
    compute: bool = True,
) -> xr.Dataset:
    """Moments between two networks on the same images and positions.

    Parameters
    ----------
    a, b, precision, permutations, seed, memory : as of `gather`
    compute : now; else the Dataset holds Dask arrays, for layers whose moments do not fit into memory

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
    states = gather(a, b, precision=precision, permutations=permutations, seed=seed, memory=memory)
    n, mean_a, mean_b, comoment = _arrays(states, a.sizes["unit"], b.sizes["unit"], permutations, memory)
    dims = ("fold", "unit_a", "unit_b")
    dataset = xr.Dataset(
        {
            "n": ("fold", n, {"long_name": "samples"}),
            "mean_a": (("fold", "unit_a"), mean_a, {"long_name": "mean activation"}),
            "mean_b": (("fold", "unit_b"), mean_b, {"long_name": "mean activation"}),
            "comoment": (dims, comoment[0], {"long_name": "Σ (x_a − mean)(x_b − mean)"}),
            "comoment_permuted": (
                ("replicate", *dims),
                comoment[1:],
                {"long_name": "the same, the images of B permuted within blocks"},
            ),
        },
        {"fold": np.arange(len(states)), "unit_a": a["unit"].values, "unit_b": b["unit"].values},
        {"spatial": spatial(a), "precision": precision},
    )
    return dataset.compute() if compute else dataset


def fits(a: xr.DataArray, b: xr.DataArray, permutations: int = 0) -> bool:
    """Whether the comoments of all folds of two layers are to be held at once."""
    folds = len(np.unique(a["fold"]))
    return 8 * (1 + permutations) * folds * a.sizes["unit"] * b.sizes["unit"] <= HELD


def check_same_samples(a: xr.DataArray, b: xr.DataArray) -> None:
    """Refuse two layers not recorded on the same images, folds and positions; the error names the first difference."""
    check_same_images(a["image_id"].values, b["image_id"].values)
    check_same_folds(a["fold"].values, b["fold"].values)
    if a.shape[1:-1] != b.shape[1:-1]:
        raise InputError(
            f"the two layers have positions {a.shape[1:-1]} and {b.shape[1:-1]}; compare layers of one grid"
        )
    sampled = "position" in a.dims and {"y", "x"} <= a.coords.keys() & b.coords.keys()
    if sampled and any(not np.array_equal(a[name], b[name]) for name in "yx"):
        raise InputError("the two layers were recorded at different positions; record layers of one grid")


def spatial(activation: xr.DataArray) -> str:
    """What a sample is: ``positions`` of each image, as in a convolutional layer, or images."""
    return "positions" if activation.ndim > 2 else "images"


def _add_product(comoment: Array, a: np.ndarray, b: np.ndarray, product: np.ndarray) -> None:
    """Add aᵀb in float64, float32 of at most `ROWS` samples at a time; `product` is room for it."""
    for start in range(0, len(a), ROWS):
        np.matmul(a[start : start + ROWS].T, b[start : start + ROWS], out=product)
        comoment += product


def _parts(units: int, memory: int, permutations: int) -> list[slice]:
    """Blocks of units so that a task on two of them keeps to the memory."""
    side = max(math.isqrt(memory // (STATES * 8 * (1 + permutations))), 1)
    return [slice(start, min(start + side, units)) for start in range(0, units, side)]


def _upper(parts: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations_with_replacement(range(parts), 2)


def _transposed(state: Moments) -> Moments:
    return Moments(state.n, state.mean_b, state.mean_a, state.comoment.swapaxes(1, 2))


def _block_of_units(
    a: np.ndarray,
    b: np.ndarray | None,
    orders: list[np.ndarray],
    precision: str,
    image_ids: np.ndarray,
    columns_a: slice,
    columns_b: slice,
    units_a: np.ndarray,
    units_b: np.ndarray,
    on_device: bool,
) -> Moments:
    if b is None and columns_a != columns_b:
        b = a
    b = None if b is None else b[..., columns_b]
    names = units_a[columns_a], units_b[columns_b]
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        state = (device.block if on_device else block)(a[..., columns_a], b, orders, precision, image_ids, *names)
        total = state.comoment.sum()
    if not np.isfinite(total) and len(infinite := np.argwhere(~np.isfinite(state.comoment))):
        _, i, j = infinite[0]
        raise InputError(
            f"units {names[0][i]} and {names[1][j]}: their products leave float64; scale the activations down"
        )
    return state


def _arrays(
    states: list[list[list[Delayed]]], units_a: int, units_b: int, permutations: int, memory: int
) -> tuple[da.Array, da.Array, da.Array, da.Array]:
    """Samples [fold], means [fold, unit] of both sides and comoments [1 + replicate, fold, unit_a, unit_b]."""
    parts_a, parts_b = (_parts(units, memory, permutations) for units in (units_a, units_b))

    def array(state: Delayed, name: str, *shape: int, dtype: str = "f8") -> da.Array:
        found: da.Array = da.from_delayed(delayed(_of_state)(state, name), shape, dtype)
        return found

    def size(part: slice) -> int:
        return int(part.stop - part.start)

    n = [array(of_fold[0][0], "n", dtype="i8") for of_fold in states]
    mean_a = [
        da.concatenate([array(row[0], "mean_a", size(p)) for row, p in zip(of_fold, parts_a, strict=True)])
        for of_fold in states
    ]
    mean_b = [
        da.concatenate([array(state, "mean_b", size(q)) for state, q in zip(of_fold[0], parts_b, strict=True)])
        for of_fold in states
    ]
    comoment = [
        da.block(
            [
                [
                    array(state, "comoment", 1 + permutations, size(p), size(q))
                    for state, q in zip(row, parts_b, strict=True)
                ]
                for row, p in zip(of_fold, parts_a, strict=True)
            ]
        )
        for of_fold in states
    ]
    return da.stack(n), da.stack(mean_a), da.stack(mean_b), da.stack(comoment, axis=1)


def _of_state(state: Moments, name: str) -> np.ndarray:
    return np.asarray(getattr(state, name))
