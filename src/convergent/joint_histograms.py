"""The out-of-core pass for what moments cannot tell: joint histograms of all pairs of units → mutual information.

Each unit is cut into `bins`; the counts of a pair give its `information`, for all folds together and without each in
turn, and with the images of B permuted. The histograms themselves, [unit_a, unit_b, code_a, code_b] for every fold,
exist for one block of units of A at a time.
Source: Li et al. 2016 (arXiv 1511.07543), section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import getitem
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute, persist
from dask.delayed import Delayed, delayed

from convergent import activations, blocks
from convergent.bins import codes, edges
from convergent.compiled import compiled
from convergent.errors import InputError
from convergent.folds import Array
from convergent.information import VARIABLES, information
from convergent.moments import check_same_samples, displaced, spatial

MEMORY = 512 * 2**20
TABLES = 4  # tables of counts that take turns


@dataclass(frozen=True)
class Block:
    """The codes of a block of images: of A [unit_a, sample]; of B as they are, then permuted [set, unit_b, sample]."""

    a: Delayed
    b: Delayed


def between(
    a: xr.DataArray,
    b: xr.DataArray,
    edges_a: xr.Dataset,
    edges_b: xr.Dataset,
    *,
    permutations: int = 1,
    seed: int = 0,
    memory: int = MEMORY,
) -> xr.Dataset:
    """Mutual information of all pairs of units of two layers on the same images and positions.

    Parameters
    ----------
    a, b : activations ``[image, ..., unit]`` as Dask arrays with the coordinate ``fold``, chunked along
        ``image`` alone and no chunk across a fold
    edges_a, edges_b : of the same units, from `edges`
    permutations : replicates with the images of b permuted within each block, positions kept; the permutations of
        `moments.between` with the same seed
    seed : of the permutations
    memory : bytes that joint histograms may take, and where those of all pairs of units do not fit, the codes of all
        samples as many again; every chunk is read once where either fits, and otherwise once for each block of units
        of a

    Returns
    -------
    ``n[fold]`` and the `VARIABLES`: ``information[unit_a, unit_b]``, ``information_corrected``, ``occupied``,
    ``entropy_a[unit_a]``, … of all samples; information and entropy also without each fold and permuted,
    ``information_left_out[fold, unit_a, unit_b]``, ``information_permuted[replicate, unit_a, unit_b]``, …
    Information is at least 0, and 0 with a unit of one occupied bin; corrected, it may be negative.

    Raises
    ------
    InputError : where the two sides differ in their images or positions, edges are of other units, there is but one
        fold, or an activation is not finite
    """
    check_same_samples(a, b)
    edge_a, edge_b = _edges_of(a, edges_a), _edges_of(b, edges_b)
    folds = len(np.unique(a["fold"].values))
    if folds < 2:
        raise InputError("all images are in one fold; leaving one out needs at least two")
    cells = (edge_a.shape[1] + 1) * len(edge_b) * (edge_b.shape[1] + 1)
    row = cells * np.dtype(np.uint32).itemsize * ((folds + 1) * (permutations + 1) + 1)
    rows = max(memory // row, 1)
    of_fold = blocks.folds(a)

    def coded(units: slice) -> list[Block]:
        return _codes(a.isel(unit=units), b, edge_a[units], edge_b, permutations, seed)

    parts = [slice(u, min(u + rows, len(edge_a))) for u in range(0, len(edge_a), rows)]
    samples = a.size // len(edge_a)
    kept = len(parts) > 1 and samples * (len(edge_a) + len(edge_b) * (1 + permutations)) <= memory
    held = _held(coded(slice(None)), of_fold) if kept else []
    of_blocks = np.unique(of_fold) if kept else of_fold
    found: dict[str, np.ndarray] = {}
    for units in parts:
        of_units = [Block(delayed(getitem)(block.a, units), block.b) for block in held] or coded(units)
        for name, values in _pass(of_units, of_blocks, edge_a[units], edge_b, kept).items():
            if "unit_a" in VARIABLES[name][0]:
                whole = found.setdefault(name, np.empty((len(values), len(edge_a), *values.shape[2:]), values.dtype))
                whole[:, units] = values
            else:
                found[name] = values
    n = np.bincount(np.unique(a["fold"].values, return_inverse=True)[1]) * (samples // len(a))
    sets: list[tuple[str, tuple[str, ...], Any, str]] = [
        ("", (), 0, ""),
        ("_left_out", ("fold",), slice(1, 1 + folds), ", without the fold"),
        ("_permuted", ("replicate",), slice(1 + folds, None), ", the images of B permuted within blocks"),
    ]
    variables = {
        name + suffix: ((*dim, *dims), found[name][chosen], {"long_name": meaning + how})
        for suffix, dim, chosen, how in sets
        for name, (dims, meaning) in VARIABLES.items()
        if not (suffix and name.startswith("occupied"))
    }
    return xr.Dataset(
        {"n": ("fold", n, {"long_name": "samples"}), **variables},
        {"fold": np.arange(folds), "unit_a": a["unit"].values, "unit_b": b["unit"].values},
        {"spatial": spatial(a)},
    )


def of(
    x: Any, y: Any, *, folds: int = 10, bins: int = 20, samples: int = 200_000, permutations: int = 1, seed: int = 0
) -> xr.Dataset:
    """The same of any two sets of activations of the same images, as `moments.of` takes them.

    Parameters
    ----------
    x, y, folds : as in `moments.of`
    bins, samples : as in `edges`
    permutations, seed : as in `between`

    Examples
    --------
    >>> x = np.random.default_rng(0).random((5000, 1))
    >>> y = (x - 0.5) ** 2  # does not correlate with x
    >>> bool(of(x, y)["information"] > 2)
    True
    """
    a, b = activations.label(x, folds=folds), activations.label(y, folds=folds)
    edges_a, edges_b = (edges(side, bins=bins, samples=samples) for side in (a, b))
    return between(a, b, edges_a, edges_b, permutations=permutations, seed=seed)


def _edges_of(activation: xr.DataArray, edges: xr.Dataset) -> Array:
    if not np.array_equal(activation["unit"], edges["unit"]):
        raise InputError("the edges are of other units than the activations; make them anew")
    return np.asarray(edges["edge"].values, dtype=np.float64)


def _codes(a: xr.DataArray, b: xr.DataArray, edge_a: Array, edge_b: Array, permutations: int, seed: int) -> list[Block]:
    """The codes of every block of images."""
    sides = zip(blocks.of(a), blocks.of(b.chunk(image=a.variable.chunksizes["image"])), strict=True)
    return [
        Block(
            delayed(codes)(x, edge_a),
            delayed(_permuted)(y, edge_b, [[seed, replicate, i] for replicate in range(permutations)]),
        )
        for i, (x, y) in enumerate(sides)
    ]


def _permuted(values: np.ndarray, edge: Array, seeds: Sequence[Sequence[int]]) -> np.ndarray:
    """Codes [set, unit, sample] of a block: its images as they are, then in the order of each seed."""
    straight = codes(values, edge)
    images = straight.reshape(len(straight), len(values), -1)
    orders = (displaced(len(values), np.random.default_rng(seed)) for seed in seeds)
    return np.stack([straight, *(images[:, order].reshape(straight.shape) for order in orders)])


def _held(coded: Sequence[Block], of_fold: np.ndarray) -> list[Block]:
    """The same, read and coded, one block a fold."""
    folds = [[block for block, f in zip(coded, of_fold, strict=True) if f == fold] for fold in np.unique(of_fold)]
    joined = delayed(np.concatenate)
    sides = persist(
        *(joined([block.a for block in fold], axis=1) for fold in folds),
        *(joined([block.b for block in fold], axis=2) for fold in folds),
    )
    return [Block(x, y) for x, y in zip(sides[: len(folds)], sides[len(folds) :], strict=True)]


def _pass(
    coded: Sequence[Block], of_fold: np.ndarray, edge_a: Array, edge_b: Array, held: bool
) -> dict[str, np.ndarray]:
    """One pass over the images, or codes that are held: the `VARIABLES` [set, ...] of the sets that `_sets` lists."""
    cells = len(edge_a), len(edge_b), edge_a.shape[1] + 1, edge_b.shape[1] + 1
    folds = [[one for one, f in zip(coded, of_fold, strict=True) if f == fold] for fold in np.unique(of_fold)]
    # Codes that are held may be in another process: to Dask they are arguments; blocks that are yet to be read are not.
    tables = [delayed(_tables)(fold, cells) if held else delayed(partial(_tables, fold, cells))() for fold in folds]
    (found,) = compute(delayed(_sets)(tables))
    return dict(found)


def _tables(of_fold: Sequence[Block], cells: tuple[int, ...]) -> np.ndarray:
    """Joint histograms of a fold [set, unit_a, unit_b, code_a, code_b]: the images as they are, then permuted.

    One task, which reads block after block: a task a block would have to copy the tables, or share them, and Dask would
    read ahead, a whole fold at worst.
    """
    tables = np.zeros(0, dtype=np.uint32)
    for block in of_fold:
        codes_a, sets = compute(block.a, block.b, scheduler="synchronous")
        if not len(tables):
            tables = np.zeros((len(sets), *cells), dtype=np.uint32)
        for i, codes_b in enumerate(sets):
            _count(codes_a, codes_b, tables[i])
    return tables


def _sets(tables: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Of the tables of the folds: all samples, all without each fold, and all with each permutation.

    Occupied bins are told of all samples alone.
    """
    total = tables[0].copy()
    for fold in tables[1:]:
        total += fold
    rest = np.empty_like(total[0])
    found = [information(total[0])]
    found += [information(np.subtract(total[0], fold[0], out=rest)) for fold in tables]
    found += [information(permuted) for permuted in total[1:]]
    return {
        name: np.stack([one[name] for one in (found[:1] if name.startswith("occupied") else found)])
        for name in VARIABLES
    }


@compiled
def _count(codes_a: np.ndarray, codes_b: np.ndarray, tables: np.ndarray) -> None:
    """Add codes [unit, sample] of both sides to tables [unit_a, unit_b, code_a, code_b]."""
    units_a, units_b, width_a, width_b = tables.shape
    cells = width_a * width_b
    samples = codes_a.shape[1]
    row = np.empty(samples, dtype=np.uint32)
    count = np.empty(TABLES * cells, dtype=np.uint32)
    for u in range(units_a):
        # Neighbouring samples often fall in one cell, and an increment waits for the one before it: tables take turns.
        for i in range(samples):
            row[i] = codes_a[u, i] * width_b + i % TABLES * cells
        for v in range(units_b):
            count[:] = 0
            column = codes_b[v]
            for i in range(samples):
                count[row[i] + column[i]] += 1
            table = tables[u, v].reshape(-1)
            for turn in range(TABLES):
                for k in range(cells):
                    table[k] += count[turn * cells + k]
