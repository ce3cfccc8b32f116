"""Removal of units: the accuracy that is lost where some units of a layer are held at their mean.

Units are removed in the order of their one-to-one r with the other network, the rarest or the most shared first; by
their variance, the least or the most first; and at random. r and variance go together, so that the order by variance
is what the order by r is judged by.
Source: the question is that of Li et al. 2016 (arXiv 1511.07543), whether the units that all networks learn are those
that matter; ablation as in Morcos et al. 2018 (arXiv 1803.06959).
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from convergent.folds import Array
from convergent.measures import by_fold
from convergent.measures.summary import summary

ORDERS = ("rare", "shared", "low_variance", "high_variance")
REPORTED = 0.25  # share of the units that is removed for the summary
STATISTICS = (
    "accuracy_intact",
    *(f"lost_{order}" for order in ORDERS),
    "lost_shared_minus_rare",
    "rank_correlation_r_variance",
)


def units(moments: xr.Dataset) -> tuple[Array, Array]:
    """Mean and variance of every unit, [unit], from the moments within a network; the variance of a dead one is 0."""
    n = moments["n"].values[:, None]
    means = moments["mean"].values
    squares = np.diagonal(moments["comoment"].values, axis1=1, axis2=2)
    mean = (n * means).sum(axis=0) / n.sum()
    variance = (squares + n * (means - mean) ** 2).sum(axis=0) / n.sum()
    return mean, np.where(variance > (1e-12 * mean) ** 2, variance, 0.0)  # as in folds.live


def shares_of(shares: Sequence[float]) -> Array:
    """The shares of the units that are removed, with 0 and the one that is reported."""
    return np.unique([0.0, REPORTED, *shares])


def masks(r: Array, variance: Array, shares: Array, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Which units are removed, bool[order, share, unit]: the orders of `ORDERS`, then the draws.

    Parameters
    ----------
    r : of every unit with its one-to-one partner, [unit]; NaN: none, the rarest
    variance : of every unit, [unit]; 0: dead, and never removed
    shares : of live units, 0–1
    draws : orders at random
    """
    live = np.flatnonzero(variance > 0)
    shared = np.where(np.isnan(r), -np.inf, r)[live]
    by_r, by_variance = np.argsort(shared, kind="stable"), np.argsort(variance[live], kind="stable")
    orders = [by_r, by_r[::-1], by_variance, by_variance[::-1]]
    orders += [generator.permutation(len(live)) for _ in range(draws)]
    found = np.zeros((len(orders), len(shares), len(r)), dtype=bool)
    for i, order in enumerate(orders):
        for j, share in enumerate(shares):
            found[i, j, live[order[: round(share * len(live))]]] = True
    return found


def unit_removal(accuracy: xr.DataArray, r: Sequence[Array], variance: Sequence[Array]) -> xr.Dataset:
    """What removed units cost, with standard errors over images and two nulls.

    Parameters
    ----------
    accuracy : with units removed, ``[side, order, share, fold]``, 0–1: the orders of `ORDERS`, then those at random
    r, variance : of the units of each side, [unit]

    Returns
    -------
    ``accuracy[side, order, share]``, its ``accuracy_standard_error`` and ``accuracy_of_fold``, of the orders of
    `ORDERS`; ``accuracy_random[side, draw, share]``; and the summary, means of both sides with a quarter of the live
    units removed: ``lost_{order}``, the accuracy lost; ``lost_shared_minus_rare``; and
    ``rank_correlation_r_variance``, Spearman's of r and variance, with the nulls ``random_units`` (as many units at
    random, mean over draws) and ``variance`` (ordered by variance alone: the least for the rare, the most for the
    shared)
    """
    accuracy = accuracy.transpose("side", "order", "share", "fold")
    values = accuracy.values
    named, random = values[:, : len(ORDERS)], values[:, len(ORDERS) :]
    lost = (named[:, :, :1] - named).mean(axis=0)[:, _reported(accuracy)]  # [order, fold]
    at_random = float((random[:, :, 0] - random[:, :, _reported(accuracy)]).mean())
    intact = named[:, 0, 0].mean(axis=0)
    value, error = by_fold.mean(np.stack([intact, *lost, lost[1] - lost[0]]))
    low, high = value[3:5]
    undefined = np.nan
    nulls = {
        "random_units": [undefined, *[at_random] * len(ORDERS), 0.0, undefined],
        "variance": [undefined, low, high, undefined, undefined, high - low, undefined],
    }
    together = float(np.mean([_rank_correlation(*side) for side in zip(r, variance, strict=True)]))
    result = summary(
        STATISTICS,
        np.array([*value, together]),
        np.array([*error, undefined]),
        {kind: np.array(null) for kind, null in nulls.items()},
    )
    mean, standard_error = by_fold.mean(named)
    dims = ("side", "order", "share")
    variables = {
        "accuracy": (dims, mean, "accuracy with units removed"),
        "accuracy_standard_error": (dims, standard_error, "standard error of the accuracy over images"),
        "accuracy_of_fold": ((*dims, "fold"), named, "accuracy on one fold"),
        "accuracy_random": (("side", "draw", "share"), random.mean(axis=-1), "accuracy with units removed at random"),
    }
    return result.assign(
        {name: (of, found, {"long_name": meaning}) for name, (of, found, meaning) in variables.items()}
    ).assign_coords(
        side=np.array(["a", "b"], dtype=np.dtypes.StringDType()),
        order=np.array(ORDERS, dtype=np.dtypes.StringDType()),
        share=accuracy["share"].values,
    )


def _reported(accuracy: xr.DataArray) -> int:
    return int(np.flatnonzero(accuracy["share"].values == REPORTED)[0])


def _rank_correlation(r: Array, variance: Array) -> float:
    """Spearman's, of the units that have a partner; NaN of fewer than 2, or where one of both is the same for all."""
    matched = ~np.isnan(r)
    if matched.sum() < 2:
        return np.nan
    ranks = [rankdata(values[matched]) for values in (r, variance)]
    if any(np.ptp(of) == 0 for of in ranks):
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])
