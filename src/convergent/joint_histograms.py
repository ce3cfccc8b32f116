"""The out-of-core pass for what moments cannot tell: joint histograms of all pairs of units → mutual information.

Each unit is cut into `bins`. From the counts n_uv of a pair, and the entropy H = ln N − Σ n ln n / N of a histogram,
follow

    I = H_a + H_b − H_ab     in nats,     I − (K_ab − K_a − K_b + 1) / 2N     (K: occupied bins)

with Miller and Madow's correction (1955), for all folds together and without each in turn, and with the images of B
permuted. The histograms themselves, [unit_a, unit_b, code_a, code_b] for every fold, exist for one block of units of A
at a time. Source: Li et al. 2016 (arXiv 1511.07543), section 3.2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import Delayed, delayed
from numba import njit

from convergent import activations, blocks
from convergent.bins import codes, edges
from convergent.errors import InputError
from convergent.folds import Array
from convergent.moments import check_same_samples, displaced, spatial

MEMORY = 512 * 2**20
TABLES = 4  # tables of counts that take turns
N_LOG_N = np.arange(2**16) * np.log(np.maximum(np.arange(2**16), 1))

# What is known of a pair of units: dimensions and meaning.
VARIABLES = {
    "information": (("unit_a", "unit_b"), "mutual information in nats"),
    "information_corrected": (("unit_a", "unit_b"), "mutual information in nats, Miller–Madow corrected"),
    "occupied": (("unit_a", "unit_b"), "occupied cells of the joint histogram"),
    "entropy_a": (("unit_a",), "entropy of the binned activation in nats"),
    "entropy_b": (("unit_b",), "entropy of the binned activation in nats"),
    "occupied_a": (("unit_a",), "occupied bins"),
    "occupied_b": (("unit_b",), "occupied bins"),
}


@dataclass(frozen=True)
class Block:
    """A block of images of both sides, and the random numbers that permute it, for each replicate."""

    a: Delayed
    b: Delayed
    generators: Sequence[np.random.Generator]


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
    memory : bytes that joint histograms may take; every chunk is read once where those of all pairs of units fit, and
        otherwise once for each block of units of a

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
    parts = [
        _pass(a.isel(unit=slice(u, u + rows)), b, edge_a[u : u + rows], edge_b, permutations, seed)
        for u in range(0, len(edge_a), rows)
    ]
    found = {
        name: np.concatenate([part[name] for part in parts], axis=1) if "unit_a" in dims else parts[0][name]
        for name, (dims, _) in VARIABLES.items()
    }
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
        {"n": ("fold", parts[0]["n"], {"long_name": "samples"}), **variables},
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


def information(tables: np.ndarray) -> dict[str, np.ndarray]:
    """The `VARIABLES` of joint histograms [unit_a, unit_b, code_a, code_b]."""
    units_a, units_b, codes_a, codes_b = tables.shape
    joint, occupied = _entropy(tables.reshape(-1, codes_a * codes_b))
    joint, occupied = joint.reshape(units_a, units_b), occupied.reshape(units_a, units_b)
    entropy_a, occupied_a = _entropy(tables[:, 0].sum(axis=2, dtype=tables.dtype))
    entropy_b, occupied_b = _entropy(tables[0].sum(axis=1, dtype=tables.dtype))
    # With a constant it is exactly 0: one of the entropies is, and the other is that of the pair, summed in one order.
    shared = np.maximum(entropy_a[:, None] + entropy_b - joint, 0.0)  # rounding may fall below
    excess = occupied - occupied_a[:, None] - occupied_b + 1
    return {
        "information": shared,
        "information_corrected": shared - excess / (2 * tables[0, 0].sum()),
        "occupied": occupied,
        "entropy_a": entropy_a,
        "entropy_b": entropy_b,
        "occupied_a": occupied_a,
        "occupied_b": occupied_b,
    }


def _edges_of(activation: xr.DataArray, edges: xr.Dataset) -> Array:
    if not np.array_equal(activation["unit"], edges["unit"]):
        raise InputError("the edges are of other units than the activations; make them anew")
    return np.asarray(edges["edge"].values, dtype=np.float64)


def _pass(
    a: xr.DataArray, b: xr.DataArray, edge_a: Array, edge_b: Array, permutations: int, seed: int
) -> dict[str, np.ndarray]:
    """One pass over the images: `n[fold]` and the `VARIABLES` [set, ...] of the sets that `_sets` lists."""
    sides = zip(blocks.of(a), blocks.of(b.chunk(image=a.variable.chunksizes["image"])), strict=True)
    numbered = [
        Block(x, y, [np.random.default_rng([seed, replicate, i]) for replicate in range(permutations)])
        for i, (x, y) in enumerate(sides)
    ]
    of_fold = blocks.folds(a)
    tables = [
        delayed(
            partial(_tables, [one for one, f in zip(numbered, of_fold, strict=True) if f == fold], edge_a, edge_b)
        )()
        for fold in np.unique(of_fold)
    ]
    (found,) = compute(delayed(_sets)(tables))
    return dict(found)


def _tables(of_fold: Sequence[Block], edge_a: Array, edge_b: Array) -> np.ndarray:
    """Joint histograms of a fold [set, unit_a, unit_b, code_a, code_b]: the images as they are, then permuted.

    One task, which reads block after block: a task a block would have to copy the tables, or share them, and Dask would
    read ahead, a whole fold at worst.
    """
    sets = 1 + len(of_fold[0].generators)
    tables = np.zeros((sets, len(edge_a), len(edge_b), edge_a.shape[1] + 1, edge_b.shape[1] + 1), dtype=np.uint32)
    for block in of_fold:
        _add(block, edge_a, edge_b, tables)
    return tables


def _add(block: Block, edge_a: Array, edge_b: Array, tables: np.ndarray) -> None:
    a, b = compute(block.a, block.b, scheduler="synchronous")
    codes_a, codes_b = codes(a, edge_a), codes(b, edge_b)
    _count(codes_a, codes_b, tables[0])
    images = codes_b.reshape(len(codes_b), len(b), -1)
    for permuted, generator in zip(tables[1:], block.generators, strict=True):
        _count(codes_a, images[:, displaced(len(b), generator)].reshape(codes_b.shape), permuted)


def _sets(tables: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Of the tables of the folds: all samples, all without each fold, and all with each permutation."""
    total = tables[0].copy()
    for fold in tables[1:]:
        total += fold
    rest = np.empty_like(total[0])
    found = [information(total[0])]
    found += [information(np.subtract(total[0], fold[0], out=rest)) for fold in tables]
    found += [information(permuted) for permuted in total[1:]]
    n = np.array([fold[0, 0, 0].sum() for fold in tables])
    return {"n": n} | {name: np.stack([one[name] for one in found]) for name in VARIABLES}


def _entropy(counts: np.ndarray) -> tuple[Array, np.ndarray]:
    """Entropy in nats and occupied cells of histograms [histogram, cell]."""
    entropy, occupied = np.empty(len(counts)), np.empty(len(counts), dtype=np.int32)
    _sum_entropy(counts, N_LOG_N, entropy, occupied)
    return entropy, occupied


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _sum_entropy(counts: np.ndarray, n_log_n: np.ndarray, entropy: np.ndarray, occupied: np.ndarray) -> None:
    """ln N − Σ n ln n / N of each row of counts, cell after cell, so that empty cells change nothing."""
    for row in range(len(counts)):
        total, cells, summed = 0, 0, 0.0
        for n in counts[row]:
            total += n
            cells += n > 0
            summed += n_log_n[n] if n < len(n_log_n) else n * math.log(n)
        whole = n_log_n[total] if total < len(n_log_n) else total * math.log(total)
        entropy[row] = (whole - summed) / total
        occupied[row] = cells
