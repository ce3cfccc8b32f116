"""Matching of units: each with its best partner, and one to one.

semi-matching: every unit takes the partner of highest r in the other network, many to one.
one-to-one: the assignment that maximises Σ r (maximum-weight bipartite matching).

Signed r; dead units stay unmatched (partner −1, r NaN). Means and shares run over the live units of the row net,
the mean one to one over the pairs that are matched. Means have a standard error; counts and shares do not.
Source: Li et al. 2016 (arXiv 1511.07543), section 3.
"""

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from convergent import folds
from convergent.errors import InputError
from convergent.folds import Array, Pair
from convergent.measures.summary import summary

STATISTICS = (
    "n_live_a",
    "n_live_b",
    "mean_r_semi_a",
    "mean_r_semi_b",
    "mean_r_one_to_one",
    "share_same_partner_a",
    "share_same_partner_b",
    "share_no_partner_semi_a",
    "share_no_partner_semi_b",
    "share_no_partner_one_to_one_a",
    "share_no_partner_one_to_one_b",
    "share_distinct_partners_a",
    "share_distinct_partners_b",
    "n_mutual_nearest",
)
PARTNER = 0.5  # a unit whose best r is not above this has no partner


def matching(moments: xr.Dataset, *, rotations: int = 20, generator: np.random.Generator | None = None) -> xr.Dataset:
    """Match the units of a pair, with standard errors over images and two nulls.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    rotations : draws of the rotated null
    generator : of the rotations; none: seed 0

    Returns
    -------
    for each side s of a, b and [unit_s]: ``partner_semi_s`` and ``partner_one_to_one_s`` (labels of the other
    side's units, −1: none), ``r_semi_s``, ``r_one_to_one_s``, ``mutual_nearest_s`` (0 or 1); and the summary with
    the nulls ``permuted`` (images of B permuted, mean over replicates) and ``rotated`` (B's axes turned at random
    with its covariance unchanged, mean over draws; ``rotated_standard_deviation[statistic]`` between draws)
    """
    if rotations < 2:
        raise InputError(f"matching: {rotations} rotations; their spread needs at least 2")
    whole = folds.total(moments)
    permuted = [folds.correlation(folds.total(moments, i)) for i in range(moments.sizes["replicate"])]
    generator = generator or np.random.default_rng(0)
    rotated = np.stack([summarise(r) for r in rotate(whole, rotations, generator)])
    nulls = {"permuted": np.mean([summarise(r) for r in permuted], axis=0), "rotated": rotated.mean(axis=0)}
    r = folds.correlation(whole)
    value = summarise(r)
    value[:2] = whole.live_a.sum(), whole.live_b.sum()  # r is NaN throughout where the other network is dead
    error = folds.jackknife(moments, whole, lambda pair: summarise(folds.correlation(pair)))
    # The jackknife fails for counts and shares, which jump where a best partner or a threshold changes.
    error[[not name.startswith("mean_") for name in STATISTICS]] = np.nan
    for null in nulls.values():
        null[:2] = np.nan  # live units are the same by construction
    result = summary(STATISTICS, value, error, nulls)
    spread = {"long_name": "standard deviation of the statistic between rotations"}
    result["rotated_standard_deviation"] = ("statistic", rotated.std(axis=0, ddof=1), spread)
    partner = one_to_one_match(r)
    sides = (("a", "b", r, partner), ("b", "a", r.T, _inverse(partner, r.shape[1])))
    for side, other, matrix, one_to_one in sides:
        result = result.assign(_of_side(matrix, one_to_one, side, moments[f"unit_{other}"].values))
        result = result.assign_coords({f"unit_{side}": moments[f"unit_{side}"].values})
    return result


def semi_match(r: Array) -> Array:
    """Partner of each row: the column of highest r, −1 for a row that is dead (all NaN)."""
    dead = np.isnan(r).all(axis=1)
    return np.where(dead, -1, np.where(np.isnan(r), -np.inf, r).argmax(axis=1))


def one_to_one_match(r: Array) -> Array:
    """Partner of each row in the assignment that maximises Σ r, −1 for a row left over or dead."""
    rows, columns = np.flatnonzero(~np.isnan(r).all(axis=1)), np.flatnonzero(~np.isnan(r).all(axis=0))
    chosen_rows, chosen_columns = linear_sum_assignment(r[np.ix_(rows, columns)], maximize=True)
    partner = np.full(len(r), -1)
    partner[rows[chosen_rows]] = columns[chosen_columns]
    return partner


def mutual_nearest(r: Array) -> np.ndarray:
    """Which rows are the best partner of their best partner."""
    partner, back = semi_match(r), semi_match(r.T)
    return np.asarray((partner >= 0) & (back[partner] == np.arange(len(r))))


def summarise(r: Array) -> Array:
    """The summary of a correlation matrix r[unit_a, unit_b], in the order of `STATISTICS`."""
    partner = one_to_one_match(r)
    matched = partner >= 0
    a, b = _side(r, partner), _side(r.T, _inverse(partner, r.shape[1]))
    means = [a["live"], b["live"], a["semi"], b["semi"], _mean(r[matched, partner[matched]])]
    shares = [side[name] for name in ("same", "no_semi", "no_one_to_one", "distinct") for side in (a, b)]
    return np.array([*means, *shares, mutual_nearest(r).sum()], dtype=np.float64)


def rotate(pair: Pair, draws: int, generator: np.random.Generator) -> list[Array]:
    """Correlation matrices with B's axes turned at random and its covariance unchanged.

    R_ab → R_ab · R_b^(−½) · Q · R_b^(½) on live units, Q drawn from the Haar measure. Tests whether *units* agree,
    not just the space they span.
    """
    live = np.ix_(pair.live_a, pair.live_b)
    r = folds.correlation(pair)
    within = folds.correlation_within(pair.b)[np.ix_(pair.live_b, pair.live_b)]
    values, vectors = np.linalg.eigh(within)
    kept = values > values[-1:] * 1e-10
    # In the space that B's units span: turned outside it, they would lose variance.
    scale = np.sqrt(values[kept])
    whitened = r[live] @ (vectors[:, kept] / scale)
    root = (vectors[:, kept] * scale).T
    drawn = []
    for _ in range(draws):
        turned = np.full_like(r, np.nan)
        turned[live] = whitened @ _haar(len(scale), generator) @ root
        drawn.append(turned)
    return drawn


def _haar(size: int, generator: np.random.Generator) -> Array:
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _inverse(partner: np.ndarray, size: int) -> np.ndarray:
    """The same one-to-one match seen from the other side."""
    inverse = np.full(size, -1)
    inverse[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
    return inverse


def _side(r: Array, partner: np.ndarray) -> dict[str, float]:
    """Mean and shares over the live rows of a correlation matrix, given their one-to-one partners."""
    live = ~np.isnan(r).all(axis=1)
    semi, one_to_one = semi_match(r)[live], partner[live]
    r_semi = r[live, semi]
    r_one_to_one = np.where(one_to_one >= 0, r[live, one_to_one], -np.inf)
    return {
        "live": float(live.sum()),
        "semi": _mean(r_semi),
        "same": _mean(semi == one_to_one),
        "no_semi": _mean(r_semi <= PARTNER),
        "no_one_to_one": _mean(r_one_to_one <= PARTNER),
        "distinct": len(np.unique(semi)) / live.sum() if live.any() else np.nan,
    }


def _of_side(
    r: Array, one_to_one: np.ndarray, side: str, labels: np.ndarray
) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """The variables of the rows of a correlation matrix, given their one-to-one partners."""
    unit, rows = f"unit_{side}", np.arange(len(r))
    variables = {}
    for kind, partner, name in (
        ("semi", semi_match(r), "best partner"),
        ("one_to_one", one_to_one, "one-to-one partner"),
    ):
        found = partner >= 0
        variables[f"partner_{kind}_{side}"] = (unit, np.where(found, labels[partner], -1), {"long_name": name})
        variables[f"r_{kind}_{side}"] = (
            unit,
            np.where(found, r[rows, partner], np.nan),
            {"long_name": f"r with the {name}"},
        )
    mutual = mutual_nearest(r).astype(np.int8)
    return variables | {
        f"mutual_nearest_{side}": (unit, mutual, {"long_name": "1: the best partner of its best partner"})
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else np.nan
