"""The out-of-core pass for samples drawn at random: activations in Dask blocks → uncentred Gram matrices.

Each draw takes samples without replacement from the positions of all images, the same of both networks, and sums
Gram_uv = Σ x_u x_v within and between them in float64; all draws share the one pass.
Source of the protocol: Wang et al. 2018 (arXiv 1810.11750), section 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from dask.delayed import delayed

from convergent import blocks
from convergent.errors import at_least
from convergent.folds import Array
from convergent.moments import check_same_samples, spatial


@dataclass(frozen=True)
class Sums:
    """Sums over the samples of each draw, to be added: [draw, unit, unit] and [draw, unit], the units of A first."""

    gram: Array
    total: Array


def block(a: np.ndarray, b: np.ndarray, chosen: Sequence[np.ndarray]) -> Sums:
    """Sums over the chosen samples of one block of images.

    Parameters
    ----------
    a, b : [image, ..., unit]
    chosen : for each draw the samples to take, counted over images and positions
    """
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    drawn = (np.hstack([a[rows], b[rows]]).astype(np.float64) for rows in chosen)
    grams, totals = zip(*((values.T @ values, values.sum(axis=0)) for values in drawn), strict=True)
    return Sums(np.stack(grams), np.stack(totals))


def merge(p: Sums, q: Sums) -> Sums:
    """Sums over two disjoint sets of samples together."""
    return Sums(p.gram + q.gram, p.total + q.total)


def between(a: xr.DataArray, b: xr.DataArray, *, positions: int, draws: int, seed: int) -> xr.Dataset:
    """Gram matrices of samples drawn from two networks, every chunk read once.

    Parameters
    ----------
    a, b : activations ``[image, ..., unit]`` of the same images as Dask arrays, chunked along ``image`` alone
    positions : samples of one draw; where there are fewer, each draw holds all
    draws : how many
    seed : of the draws, which do not depend on the chunks

    Returns
    -------
    ``n[draw]``, ``gram_a[draw, unit_a, unit_a_other]``, ``gram_b``, ``gram_ab[draw, unit_a, unit_b]``,
    ``mean_a[draw, unit_a]`` and ``mean_b``

    Raises
    ------
    InputError : where the two sides differ in their images or positions, or a value is not finite
    """
    check_same_samples(a, b)
    at_least(2, positions=positions, draws=draws)
    per_image = math.prod(a.shape[1:-1])
    count = min(positions, len(a) * per_image)
    chosen = [
        np.sort(np.random.default_rng([seed, draw]).choice(len(a) * per_image, count, replace=False))
        for draw in range(draws)
    ]
    edges = blocks.edges(a) * per_image
    blocks_b = blocks.of(b.chunk(image=a.variable.chunksizes["image"]))
    states = []
    for x, y, first, end in zip(blocks.of(a), blocks_b, edges[:-1], edges[1:], strict=True):
        of_block = [rows[slice(*np.searchsorted(rows, [first, end]))] - first for rows in chosen]
        states.append(delayed(block)(x, y, of_block))
    sums: Sums = blocks.add(states, merge).compute()
    units = {"unit_a": a["unit"].values, "unit_b": b["unit"].values}
    size_a = len(units["unit_a"])
    gram, mean = sums.gram, sums.total / count
    return xr.Dataset(
        {
            "n": ("draw", np.full(draws, count), {"long_name": "samples"}),
            "gram_a": (("draw", "unit_a", "unit_a_other"), gram[:, :size_a, :size_a], {"long_name": "Σ x_a x_a"}),
            "gram_b": (("draw", "unit_b", "unit_b_other"), gram[:, size_a:, size_a:], {"long_name": "Σ x_b x_b"}),
            "gram_ab": (("draw", "unit_a", "unit_b"), gram[:, :size_a, size_a:], {"long_name": "Σ x_a x_b"}),
            "mean_a": (("draw", "unit_a"), mean[:, :size_a], {"long_name": "mean activation"}),
            "mean_b": (("draw", "unit_b"), mean[:, size_a:], {"long_name": "mean activation"}),
        },
        units,
        {"spatial": spatial(a)},
    )
