"""Every layer of A beside every layer of B, unit by unit, whatever their networks: how alike, and to which layer.

Shapes [layer_a, layer_b]. The samples of two layers are the positions of the coarser of their grids, onto which the
finer one was averaged (`grids`). From the moments of each two: linear CKA, the mean r of units matched one to one, and
the held-out R² of least squares from all units of the other layer. For networks of one architecture the like is known
layer by layer; between architectures this tells which layers correspond.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from convergent import folds
from convergent.folds import Array, Pair
from convergent.measures import held_out
from convergent.measures.assignment import one_to_one_match, with_partner
from convergent.measures.held_out import Split
from convergent.measures.least_squares import least_squares
from convergent.measures.summary import mean, summary

INDICES = {
    "cka": "linear CKA of the samples",
    "r_one_to_one": "mean r of the units matched one to one",
    "r2_ab": "mean held-out R² of the units of B by least squares from those of A",
    "r2_ba": "mean held-out R² of the units of A by least squares from those of B",
}
# Of each side the index that says how well the other network has what a layer has.
BEST = (("cka", "ab"), ("r_one_to_one", "ab"), ("r2_ba", "a"), ("r2_ab", "b"))
STATISTICS = {
    f"best_{index}_{side}": f"mean over the layers of {side.upper()} of their largest {index}"
    for index, sides in BEST
    for side in sides
} | {
    f"depth_correlation_{side}": f"rank correlation, over the layers of {side.upper()}, of depth and the depth of the "
    "layer of largest CKA"
    for side in "ab"
}
Indices = tuple[Array, Array, Array]


def indices(moments: xr.Dataset) -> Indices:
    """The indices of two layers, from the moments of both on one grid.

    Parameters
    ----------
    moments : from `moments.of` or `folds.joined`

    Returns
    -------
    [index] as they are, [fold, index] without each fold, and [index] with the images of B permuted, mean over
    replicates; NaN where a layer is dead
    """
    whole = folds.total(moments)
    left_out = np.array([_of_pair(rest) for rest, _ in folds.leave_one_out(moments, whole)])
    permuted = [_of_pair(folds.total(moments, i)) for i in range(moments.sizes["replicate"])]
    split = held_out.splits(moments)
    null = [_predicted(held_out.splits(moments, i)) for i in range(moments.sizes["replicate"])]
    return (
        np.array([*_of_pair(whole), *_predicted(split)]),
        np.hstack([left_out, _predicted_left_out(split)]),
        np.hstack([np.mean(permuted, axis=0), np.mean(null, axis=0)]),
    )


def layer_pairs(
    found: Mapping[tuple[str, str], Indices], grids: Mapping[tuple[str, str], tuple[int, int]]
) -> xr.Dataset:
    """All layers of a pair of networks.

    Parameters
    ----------
    found : `indices` of every layer of A with every layer of B
    grids : [y, x] on which they were compared

    Returns
    -------
    ``cka[layer_a, layer_b]`` 0–1, ``r_one_to_one`` −1–1, ``r2_ab`` and ``r2_ba`` ≤ 1, each with its
    ``…_standard_error`` (jackknife over folds of images) and ``…_permuted`` (the images of B permuted within blocks);
    ``grid_y`` and ``grid_x``; and the summary with the coordinate ``definition[statistic]`` and the null ``permuted``
    """
    layers_a, layers_b = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))

    def table(part: int) -> Array:
        """[..., index, layer_a, layer_b]"""
        values = np.array([[found[a, b][part] for b in layers_b] for a in layers_a])
        return np.moveaxis(values, (0, 1), (-2, -1))

    value, left_out, permuted = table(0), table(1), table(2)
    error = folds.standard_error(left_out)
    result = summary(
        STATISTICS,
        summarise(value),
        folds.standard_error(summarise(one) for one in left_out),
        {"permuted": summarise(permuted)},
    )
    dims = ("layer_a", "layer_b")
    for i, (name, text) in enumerate(INDICES.items()):
        result[name] = (dims, value[i], {"long_name": text})
        result[f"{name}_standard_error"] = (dims, error[i], {"long_name": f"standard error of {text}, over images"})
        result[f"{name}_permuted"] = (dims, permuted[i], {"long_name": f"{text}, the images of B permuted"})
    for i, axis in enumerate("yx"):
        sizes = np.array([[grids[a, b][i] for b in layers_b] for a in layers_a])
        result[f"grid_{axis}"] = (dims, sizes, {"long_name": f"positions along {axis} on which they are compared"})
    names = np.dtypes.StringDType()
    return result.assign_coords(layer_a=np.array(layers_a, dtype=names), layer_b=np.array(layers_b, dtype=names))


def summarise(value: Array) -> Array:
    """The summary in the order of `STATISTICS`, from the indices [index, layer_a, layer_b]."""
    of = dict(zip(INDICES, value, strict=True))
    best = [_best(of[index] if side == "a" else of[index].T) for index, sides in BEST for side in sides]
    return np.array([*best, _depth_correlation(of["cka"]), _depth_correlation(of["cka"].T)])


def _best(values: Array) -> float:
    """Mean over the rows of their largest entry; rows that are not defined are left out."""
    defined = ~np.isnan(values).all(axis=1)
    return mean(np.where(np.isnan(values), -np.inf, values)[defined].max(axis=1))


def _depth_correlation(values: Array) -> float:
    """Rank correlation of the places of rows and of their largest entries; NaN where it is not defined."""
    rows = np.flatnonzero(~np.isnan(values).all(axis=1))
    nearest = np.where(np.isnan(values), -np.inf, values)[rows].argmax(axis=1)
    if len(rows) < 3 or len(set(nearest.tolist())) == 1:
        return np.nan
    return float(spearmanr(rows, nearest).statistic)


def _of_pair(pair: Pair) -> Sequence[float]:
    """CKA and mean r one to one."""
    a, b = pair.live_a, pair.live_b
    within = (np.linalg.norm(m.comoment[np.ix_(live, live)]) for m, live in ((pair.a, a), (pair.b, b)))
    norm = np.prod(list(within))
    r = folds.correlation(pair)
    matched = with_partner(r, one_to_one_match(r))
    cka = (pair.ab.comoment[np.ix_(a, b)] ** 2).sum() / norm if norm > 0 else np.nan
    return cka, mean(matched[~np.isnan(matched)])


def _predicted(split: Sequence[Split]) -> Array:
    """Mean held-out R² both ways, [2]."""
    score = held_out.score(least_squares)
    return np.array([_mean_r2(*held_out.scores(one, score)) for one in (split, held_out.exchanged(split))])


def _predicted_left_out(split: Sequence[Split]) -> Array:
    """The same without each fold, [fold, 2]."""
    score = held_out.score(least_squares)
    sides = [held_out.scores_left_out(one, score) for one in (split, held_out.exchanged(split))]
    return np.array([[_mean_r2(*of_side) for of_side in both] for both in zip(*sides, strict=True)])


def _mean_r2(squared: Array, total: Array) -> float:
    """Mean over live targets of R² pooled over folds, from [fold, target]."""
    whole = total.sum(axis=0)
    live = whole > 0
    return mean(1 - squared.sum(axis=0)[live] / whole[live])
