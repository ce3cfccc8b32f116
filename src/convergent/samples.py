"""The out-of-core pass for samples drawn at random: activations in Dask blocks → uncentred Gram matrices.

Each draw takes samples without replacement from the positions of all images, the same of both networks, and sums
Gram_uv = Σ x_u x_v within and between them in float64. Draws share a pass as far as their samples fit the memory; the
Gram matrices, which do not when layers are wide, exist for one draw at a time.
Source of the protocol: Wang et al. 2018 (arXiv 1810.11750), section 5.
"""

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import delayed

from convergent import blocks
from convergent.errors import at_least
from convergent.moments import check_same_samples, spatial

MEMORY = 512 * 2**20
TILE = 2048  # samples that are converted to float64 together


def between(
    a: xr.DataArray, b: xr.DataArray, *, positions: int, draws: int, seed: int, memory: int = MEMORY
) -> Iterator[xr.Dataset]:
    """Gram matrices of samples drawn from two networks.

    Parameters
    ----------
    a, b : activations ``[image, ..., unit]`` of the same images as Dask arrays, chunked along ``image`` alone
    positions : samples of one draw; where there are fewer, each draw holds all
    draws : how many
    seed : of the draws, which do not depend on the chunks
    memory : bytes that drawn samples may take; every chunk is read once where those of all draws fit, and otherwise
        once for as many draws as do

    Returns
    -------
    draw by draw ``gram_a[unit_a, unit_a_other]``, ``gram_b``, ``gram_ab[unit_a, unit_b]``, ``mean_a[unit_a]`` and
    ``mean_b``, with the attributes ``n``, samples of the draw, and ``spatial``

    Raises
    ------
    InputError : where the two sides differ in their images or positions, and, when a draw is taken, where a value is
        not finite
    """
    check_same_samples(a, b)
    at_least(2, positions=positions, draws=draws)
    total = math.prod(a.shape[:-1])
    count = min(positions, total)
    row = a.shape[-1] * a.dtype.itemsize + b.shape[-1] * b.dtype.itemsize
    together = draws if total * row <= memory else max(memory // (count * row), 1)

    def drawn() -> Iterator[xr.Dataset]:
        for first in range(0, draws, together):
            chosen = [
                np.sort(np.random.default_rng([seed, draw]).choice(total, count, replace=False))
                for draw in range(first, min(first + together, draws))
            ]
            taken = np.unique(np.concatenate(chosen))
            x, y = _read(a, b, taken)
            for of_draw in chosen:
                yield _gram(x, y, np.searchsorted(taken, of_draw), a, b)

    return drawn()


def take(a: np.ndarray, b: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some samples of one block of images, [sample, unit] of both sides; `rows` counts images and positions."""
    return a.reshape(-1, a.shape[-1])[rows], b.reshape(-1, b.shape[-1])[rows]


def _read(a: xr.DataArray, b: xr.DataArray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples that are taken, ascending, of both sides, in one pass."""
    edges = blocks.edges(a) * math.prod(a.shape[1:-1])
    blocks_b = blocks.of(b.chunk(image=a.variable.chunksizes["image"]))
    parts = [
        delayed(take)(x, y, taken[slice(*np.searchsorted(taken, [first, end]))] - first)
        for x, y, first, end in zip(blocks.of(a), blocks_b, edges[:-1], edges[1:], strict=True)
    ]
    of_a, of_b = zip(*compute(*parts), strict=True)
    return np.concatenate(of_a), np.concatenate(of_b)


def _gram(x: np.ndarray, y: np.ndarray, rows: np.ndarray, a: xr.DataArray, b: xr.DataArray) -> xr.Dataset:
    """The sums over some rows of the samples x[sample, unit_a] and y[sample, unit_b]."""
    units_a, units_b = a["unit"].values, b["unit"].values
    gram_a, gram_b, gram_ab = (
        np.zeros((len(p), len(q))) for p, q in ((units_a, units_a), (units_b, units_b), (units_a, units_b))
    )
    sum_a, sum_b = np.zeros(len(units_a)), np.zeros(len(units_b))
    for start in range(0, len(rows), TILE):
        p, q = (side[rows[start : start + TILE]].astype(np.float64) for side in (x, y))
        for gram, left, right in ((gram_a, p, p), (gram_b, q, q), (gram_ab, p, q)):
            gram += left.T @ right
        sum_a += p.sum(axis=0)
        sum_b += q.sum(axis=0)
    return xr.Dataset(
        {
            "gram_a": (("unit_a", "unit_a_other"), gram_a, {"long_name": "Σ x_a x_a"}),
            "gram_b": (("unit_b", "unit_b_other"), gram_b, {"long_name": "Σ x_b x_b"}),
            "gram_ab": (("unit_a", "unit_b"), gram_ab, {"long_name": "Σ x_a x_b"}),
            "mean_a": ("unit_a", sum_a / len(rows), {"long_name": "mean activation"}),
            "mean_b": ("unit_b", sum_b / len(rows), {"long_name": "mean activation"}),
        },
        {"unit_a": units_a, "unit_b": units_b},
        {"n": len(rows), "spatial": spatial(a)},
    )
