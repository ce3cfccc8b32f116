"""Mutual information of every unit of A with every unit of B, and whether matching by it agrees with matching by r.

    I[u, v] = Σ p(a, b) ln(p(a, b) / (p(a) p(b)))     in nats, of binned activations (`joint_histograms`)

I sees any dependence, r only a linear one. I is too high where few samples fill many bins; the correction of Miller
and Madow takes most of that away and may leave less than 0: judge either against the permuted null. NaN for dead units.
Source: Li et al. 2016 (arXiv 1511.07543), section 3.2.
"""

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError
from convergent.folds import Array, Pair
from convergent.measures.assignment import labelled, one_to_one_match, semi_match, with_partner
from convergent.measures.summary import mean, summary

STATISTICS = (
    "n_live_a",
    "n_live_b",
    "mean_entropy_a",
    "mean_entropy_b",
    "mean_information_semi_a",
    "mean_information_semi_b",
    "mean_information_one_to_one",
    "mean_corrected_semi_a",
    "mean_corrected_semi_b",
    "mean_corrected_one_to_one",
    "rank_correlation",
    "rank_correlation_absolute",
    "share_same_semi_a",
    "share_same_semi_b",
    "share_same_one_to_one",
    "n_best_8_shared",
)
BEST = 8  # Li et al. compare so many: 7 of them were the same in conv1
MEASURED = ("information", "information_corrected", "entropy_a", "entropy_b")


def mutual_information(histograms: xr.Dataset, moments: xr.Dataset) -> xr.Dataset:
    """Mutual information of a pair, the matches it makes, and how far they are those of correlation.

    Parameters
    ----------
    histograms : of the pair, from `joint_histograms.between`
    moments : of the pair, from `moments.of` or `folds.joined`, with the same permutations

    Returns
    -------
    ``information[unit_a, unit_b]`` in nats, ``information_standard_error`` (jackknife over folds of images),
    ``information_corrected`` (Miller–Madow), ``information_permuted`` (first replicate), ``occupied`` (cells of the
    joint histogram); for each side s of a, b ``entropy_s[unit_s]``, what a copy of the unit would reach,
    ``occupied_s``, ``partner_semi_s`` (labels of the other side's units, −1: none), ``information_semi_s``;
    ``partner_one_to_one_a[unit_a]``; and the summary over live units with the null ``permuted`` (mean over
    replicates): means of the entropy and of the information with the partner, in nats; Spearman's rank correlation of
    information with r, and with its magnitude, over all pairs; the share of units that have the same partner by both,
    one to one of the pairs by information; and of the eight best units of A with their partners, how many are the same

    Raises
    ------
    InputError : where the two were not made from the same activations and permutations
    """
    if not (
        all(np.array_equal(histograms[name], moments[name]) for name in ("n", "unit_a", "unit_b"))
        and histograms.sizes["replicate"] == moments.sizes["replicate"]
    ):
        raise InputError(
            "the joint histograms and the moments come from different activations or permutations; make them anew"
        )
    whole = folds.total(moments)

    def summarised(suffix: str, r: Array, **index: int) -> Array:
        live = _set(histograms, suffix, **index).isel(unit_a=whole.live_a, unit_b=whole.live_b)
        information, corrected, *entropies = (live[name].values for name in MEASURED)
        means = [mean(entropy) for entropy in entropies] + _means(information) + _means(corrected)
        agreement = _agreement(information, r[np.ix_(whole.live_a, whole.live_b)])
        return np.array([whole.live_a.sum(), whole.live_b.sum(), *means, *agreement])

    left_out = enumerate(rest for rest, _ in folds.leave_one_out(moments, whole))
    error = folds.standard_error(summarised("_left_out", folds.correlation(rest), fold=k) for k, rest in left_out)
    # The jackknife fails for counts and shares, which jump where a best partner changes.
    error[[not name.startswith(("mean_", "rank_")) for name in STATISTICS]] = np.nan
    permuted = [
        summarised("_permuted", folds.correlation(folds.total(moments, i)), replicate=i)
        for i in range(histograms.sizes["replicate"])
    ]
    null = np.mean(permuted, axis=0)
    null[:4] = np.nan  # live units and entropies are the same by construction
    value = summarised("", folds.correlation(whole))
    result = summary(STATISTICS, value, error, {"permuted": null}).assign(_of_pairs(histograms, whole))
    information = matchable(result["information"].values)
    result = result.assign(_of_side(information, "a", result["unit_b"].values))
    result = result.assign(_of_side(information.T, "b", result["unit_a"].values))
    partner = labelled(one_to_one_match(information), result["unit_b"].values)
    return result.assign(partner_one_to_one_a=("unit_a", partner, {"long_name": "one-to-one partner by information"}))


def matchable(information: Array) -> Array:
    """Information with NaN for the units that share none with any other: they have no partner."""
    shared = information > 0
    return np.where(np.logical_and.outer(shared.any(axis=1), shared.any(axis=0)), information, np.nan)


def rank_correlation(x: Array, y: Array) -> float:
    """Spearman's rank correlation where both are defined; NaN where either does not vary."""
    defined = ~(np.isnan(x) | np.isnan(y))
    ranks = np.stack([_ranks(x[defined]), _ranks(y[defined])])
    centred = ranks - ranks.mean(axis=1, keepdims=True) if ranks.size else ranks
    norm = np.sqrt((centred**2).sum(axis=1).prod())
    return float(centred[0] @ centred[1] / norm) if norm else np.nan


def _set(histograms: xr.Dataset, suffix: str, **index: int) -> xr.Dataset:
    """What was measured of all samples, without a fold or permuted, under the names it has for all samples."""
    names = {name + suffix: name for name in MEASURED}
    return histograms[list(names)].rename(names).isel(index)


def _means(information: Array) -> list[float]:
    """Mean information of the live units of A, of B and of the pairs one to one with their best partners."""
    if not information.size:
        return [np.nan] * 3
    partner = one_to_one_match(information)
    matched = partner >= 0
    one_to_one = information[matched, partner[matched]]
    return [mean(information.max(axis=1)), mean(information.max(axis=0)), mean(one_to_one)]


def _agreement(information: Array, r: Array) -> list[float]:
    """The statistics from `rank_correlation` on, of the live units."""
    if not information.size:
        return [np.nan] * 6
    by_information = matchable(information)
    one_to_one = one_to_one_match(by_information)
    matched = one_to_one >= 0
    same = len(_best(by_information) & _best(r)) if len(r) >= BEST else np.nan
    return [
        rank_correlation(information, r),
        rank_correlation(information, np.abs(r)),
        mean(semi_match(by_information) == semi_match(r)),
        mean(semi_match(by_information.T) == semi_match(r.T)),
        mean((one_to_one == one_to_one_match(r))[matched]),
        same,
    ]


def _best(values: Array) -> set[tuple[int, int]]:
    """The best rows with their partners."""
    partner = semi_match(values)
    rows = np.argsort(-with_partner(values, partner), kind="stable")[:BEST]  # NaN comes last
    return {(int(row), int(partner[row])) for row in rows}


def _of_pairs(histograms: xr.Dataset, whole: Pair) -> xr.Dataset:
    """What is known of each pair of units and of the bins of each unit; NaN for dead ones."""
    live_a, live_b = xr.DataArray(whole.live_a, dims="unit_a"), xr.DataArray(whole.live_b, dims="unit_b")
    error = xr.zeros_like(histograms["information"])
    error[:] = folds.standard_error(one.values for one in histograms["information_left_out"])
    error.attrs["long_name"] = "standard error of the mutual information over images"
    matrices = {
        "information": histograms["information"],
        "information_standard_error": error,
        "information_corrected": histograms["information_corrected"],
        "information_permuted": histograms["information_permuted"][0],
    }
    found = histograms[["occupied", "occupied_a", "occupied_b"]].assign(
        {name: matrix.where(live_a & live_b) for name, matrix in matrices.items()}
    )
    return found.assign(
        entropy_a=histograms["entropy_a"].where(live_a), entropy_b=histograms["entropy_b"].where(live_b)
    )


def _of_side(information: Array, side: str, labels: np.ndarray) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """The best partner of each row, and the information they share."""
    partner = semi_match(information)
    return {
        f"partner_semi_{side}": (
            f"unit_{side}",
            labelled(partner, labels),
            {"long_name": "best partner by information"},
        ),
        f"information_semi_{side}": (
            f"unit_{side}",
            with_partner(information, partner),
            {"long_name": "mutual information with the best partner in nats"},
        ),
    }


def _ranks(values: Array) -> Array:
    """Ranks from 1, ties at their mean; also of what differs by rounding, as units active on few images do."""
    _, inverse, counts = np.unique(values.round(12), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
