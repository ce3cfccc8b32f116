"""Affine maps that put the units of one network in the place of those of the other.

    ŷ_i = μ_i + Σ_j w_ij (σ_i/σ_j) (x_j − μ_j)          (i: a unit of the receiver, j: of the sender)

w are standardised coefficients: of the LASSO, of least squares, or r of one unit j, the one-to-one partner of i or the
unit of the same number. All follow from the moments of the folds that a map is fitted on, the first half of them or
the second. μ_i alone: no unit is told from its mean.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError
from convergent.folds import Array, Pair
from convergent.measures.assignment import one_to_one_match
from convergent.measures.held_out import correlations
from convergent.measures.lasso import solve

SINGLE = ("mean", "identity", "one_to_one")
LEAST_SQUARES = "least_squares"
DIRECTIONS = ("ab", "ba")


def maps(moments: xr.Dataset, *, alphas: Sequence[float]) -> xr.Dataset:
    """The maps of a pair, fitted on each half of the folds.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    alphas : penalties of the LASSO, above 0; from max|r| on all weights are 0

    Returns
    -------
    for each direction d, ``ab``, which puts units of A in the place of units of B, and ``ba``:
    ``weight_{d}[half, map, receiver, sender]`` and ``intercept_{d}[half, map, receiver]``, in units of activation;
    ``n_weights_{d}[half, map]``, the mean number of weights that are not zero over the live units of the receiver.
    ``map`` is ``mean``, ``identity``, ``one_to_one``, ``lasso_{α}`` or ``least_squares``, with the coordinate
    ``alpha[map]`` (NaN: none); ``half`` is the half that was fitted, ``half_of[fold]`` that which a fold is in. Dead
    units of the receiver keep their mean

    Raises
    ------
    InputError : for fewer than 2 folds, and where a duality gap of the LASSO stays above 1e-6
    """
    count = moments.sizes["fold"]
    if count < 2:
        raise InputError(f"{count} fold; maps are fitted on half of them, at least 2 are needed")
    half_of = (np.arange(count) >= count // 2).astype(np.int8)
    halves = [folds.together(folds.fold(moments, int(i)) for i in np.flatnonzero(half_of == half)) for half in (0, 1)]
    grid = np.array(sorted(alphas, reverse=True))
    result = xr.Dataset(coords={"half_of": ("fold", half_of, {"long_name": "half that the fold is in"})})
    for direction in DIRECTIONS:
        sender, receiver = (f"unit_{side}" for side in direction)
        fitted = [_fit(pair if direction == "ab" else pair.exchanged, grid) for pair in halves]
        weight, intercept, n_weights = (np.stack(values) for values in zip(*fitted, strict=True))
        result[f"weight_{direction}"] = (
            ("half", "map", receiver, sender),
            weight.astype(np.float32),
            {"long_name": "weight of a unit of the sender"},
        )
        result[f"intercept_{direction}"] = (("half", "map", receiver), intercept, {"long_name": "intercept"})
        result[f"n_weights_{direction}"] = (
            ("half", "map"),
            n_weights,
            {"long_name": "mean number of weights that are not zero"},
        )
    names = [*SINGLE, *(f"lasso_{alpha:g}" for alpha in grid), LEAST_SQUARES]
    alpha = np.concatenate([np.full(len(SINGLE), np.nan), grid, [np.nan]])
    return result.assign_coords(
        unit_a=moments["unit_a"].values,
        unit_b=moments["unit_b"].values,
        half=[0, 1],
        map=np.array(names, dtype=np.dtypes.StringDType()),
        alpha=("map", alpha),
    )


def _fit(pair: Pair, grid: Array) -> tuple[Array, Array, Array]:
    """Weights [map, receiver, sender], intercepts [map, receiver] and numbers of weights [map], of B's units from A."""
    r = folds.correlation(pair)
    within, between = correlations(pair)
    units = np.arange(r.shape[1])
    same = np.where(units < len(r), units, -1)
    single = [_of_partners(between, partner) for partner in (np.full_like(units, -1), same, one_to_one_match(r.T))]
    coefficients = np.concatenate([np.stack(single), solve(within, between, np.append(grid, 0.0))])
    scale_a, scale_b = folds.standard_deviation(pair.a), folds.standard_deviation(pair.b)
    weight = coefficients * scale_b[:, None] / np.where(scale_a > 0, scale_a, 1.0)
    counted = np.count_nonzero(weight, axis=2)[:, pair.live_b]
    n_weights = counted.mean(axis=1) if counted.size else np.full(len(weight), np.nan)
    return weight, pair.b.mean_a - weight @ pair.a.mean_a, n_weights


def _of_partners(between: Array, partner: np.ndarray) -> Array:
    """The coefficients of one unit each, [target, predictor], from their correlations; −1: none."""
    coefficients = np.zeros(between.T.shape)
    matched = np.flatnonzero(partner >= 0)
    coefficients[matched, partner[matched]] = between[partner[matched], matched]
    return coefficients
