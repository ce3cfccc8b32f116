"""Matching of units: each with its best partner, and one to one.

semi-matching: every unit takes the partner of highest r in the other network, many to one.
one-to-one: the assignment that maximises Σ r (maximum-weight bipartite matching).

Signed r; dead units stay unmatched (partner −1, r NaN). Means and shares run over the live units of the row net,
the mean one to one over the pairs that are matched. Means have a standard error; counts and shares do not. Of spatial
means, one row an image, the images of B can be permuted so often that each mean has a p value.
Source: Li et al. 2016 (arXiv 1511.07543), section 3.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array, Pair
from convergent.measures import rows
from convergent.measures.assignment import inverse, labelled, mutual_nearest, one_to_one_match, semi_match, with_partner
from convergent.measures.summary import among_permuted, mean, summary

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
OF_ROWS = ("mean_r_pooled_semi_a", "mean_r_pooled_semi_b", "mean_r_pooled_one_to_one")
PARTNER = 0.5  # a unit whose best r is not above this has no partner


def matching(
    moments: xr.Dataset,
    rows_a: xr.DataArray | None = None,
    rows_b: xr.DataArray | None = None,
    *,
    rotations: int = 20,
    permutations: int = 200,
    generator: np.random.Generator | None = None,
) -> xr.Dataset:
    """Match the units of a pair, with standard errors over images and two nulls.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    rows_a, rows_b : spatial means of the layer ``[image, unit]``, with the coordinates ``image_id`` and ``fold``; none:
        they are not matched
    rotations : draws of the rotated null
    permutations : of the rows of B
    generator : of the rotations and permutations; none: seed 0

    Returns
    -------
    for each side s of a, b and [unit_s]: ``partner_semi_s`` and ``partner_one_to_one_s`` (labels of the other
    side's units, −1: none), ``r_semi_s``, ``r_one_to_one_s``, ``mutual_nearest_s`` (0 or 1); and the summary with
    the nulls ``permuted`` (images of B permuted, mean over replicates, of rows over permutations) and ``rotated`` (B's
    axes turned at random with its covariance unchanged, mean over draws; ``rotated_standard_deviation[statistic]``
    between draws). Under the same nulls, ``r_semi_ranked_null_s[null_kind, rank_s]``: r of the units of s with their
    best partners from high to low, mean over draws at each rank. With rows, the mean r of their matches too:
    ``mean_r_pooled_…``, with ``p_value[statistic]`` (share of orders of the images with at least its value, the
    recorded one among them) and ``permuted_95th_percentile[statistic]``

    Raises
    ------
    InputError : for fewer than 2 rotations or 1 permutation, for rows of one side alone, or where the rows are not of
        the units of the moments or not of the same images
    """
    at_least(2, rotations=rotations)
    at_least(1, permutations=permutations)
    if (rows_a is None) != (rows_b is None):
        raise InputError("rows of one side alone; pass both or none")
    generator = generator or np.random.default_rng(0)
    whole = folds.total(moments)
    under = {
        "permuted": _of_draws([folds.correlation(folds.total(moments, i)) for i in range(moments.sizes["replicate"])]),
        "rotated": _of_draws(rotate(whole, rotations, generator)),
    }
    nulls = {kind: of_draws["statistic"].mean(axis=0) for kind, of_draws in under.items()}
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
    result["rotated_standard_deviation"] = ("statistic", under["rotated"]["statistic"].std(axis=0, ddof=1), spread)
    if rows_a is not None and rows_b is not None:
        rows.check(moments, rows_a, rows_b)
        of_rows = _of_rows(rows.of(rows_a), rows.of(rows_b), permutations, generator)
        result = xr.concat([result, of_rows], "statistic", join="outer")
    for side in "ab":
        ranked = [under[kind][f"rank_{side}"].mean(axis=0) for kind in result["null_kind"].values]
        ranks = {"long_name": "r with the best partner, from high to low, under a null"}
        result[f"r_semi_ranked_null_{side}"] = (("null_kind", f"rank_{side}"), ranked, ranks)
    partner = one_to_one_match(r)
    sides = (("a", "b", r, partner), ("b", "a", r.T, inverse(partner, r.shape[1])))
    for side, other, matrix, one_to_one in sides:
        result = result.assign(_of_side(matrix, one_to_one, side, moments[f"unit_{other}"].values))
        result = result.assign_coords({f"unit_{side}": moments[f"unit_{side}"].values})
    return result


def summarise(r: Array) -> Array:
    """The summary of a correlation matrix r[unit_a, unit_b], in the order of `STATISTICS`."""
    partner = one_to_one_match(r)
    a, b = _side(r, partner), _side(r.T, inverse(partner, r.shape[1]))
    shares = [side[name] for name in ("same", "no_semi", "no_one_to_one", "distinct") for side in (a, b)]
    return np.array([a["live"], b["live"], *means(r, partner), *shares, mutual_nearest(r).sum()], dtype=np.float64)


def means(r: Array, partner: np.ndarray) -> Array:
    """Mean r of the live rows with their best partners, of the live columns, and of the rows one to one, [3]."""
    matches = ((r, semi_match(r)), (r.T, semi_match(r.T)), (r, partner))
    return np.array([mean(matrix[found >= 0, found[found >= 0]]) for matrix, found in matches])


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


def _of_rows(a: rows.Rows, b: rows.Rows, permutations: int, generator: np.random.Generator) -> xr.Dataset:
    """The mean r of the matches of spatial means, with its errors and its null."""
    norm_a, norm_b = rows.norms(a), rows.norms(b)
    value, *left_out = (
        _matched(comoment / np.outer(*norms))
        for comoment, *norms in zip(rows.comoments(a, b), norm_a, norm_b, strict=True)
    )
    unit_a, unit_b = a.values / norm_a[0], b.values / norm_b[0]
    null = np.array([_matched(unit_a.T @ unit_b[generator.permutation(len(unit_b))]) for _ in range(permutations)])
    result = summary(OF_ROWS, value, folds.standard_error(left_out), {"permuted": null.mean(axis=0)})
    return result.assign(among_permuted(value, null))


def _matched(r: Array) -> Array:
    r = np.clip(r, -1.0, 1.0)  # rounding may leave a copied unit a hair above 1
    return means(r, one_to_one_match(r))


def _side(r: Array, partner: np.ndarray) -> dict[str, float]:
    """Count of the live rows, and shares of them, of a correlation matrix, given their one-to-one partners."""
    live = ~np.isnan(r).all(axis=1)
    semi, one_to_one = semi_match(r)[live], partner[live]
    r_one_to_one = np.where(one_to_one >= 0, r[live, one_to_one], -np.inf)
    return {
        "live": float(live.sum()),
        "same": mean(semi == one_to_one),
        "no_semi": mean(r[live, semi] <= PARTNER),
        "no_one_to_one": mean(r_one_to_one <= PARTNER),
        "distinct": len(np.unique(semi)) / live.sum() if live.any() else np.nan,
    }


def _of_draws(drawn: Sequence[Array]) -> dict[str, Array]:
    """Of correlation matrices of a null, ``statistic[draw, statistic]``, and ``rank_s[draw, unit]`` of both sides: r of
    the units with their best partners, from high to low, dead ones last."""

    def ranked(r: Array) -> Array:
        return -np.sort(-with_partner(r, semi_match(r)))

    return {
        "statistic": np.stack([summarise(r) for r in drawn]),
        "rank_a": np.stack([ranked(r) for r in drawn]),
        "rank_b": np.stack([ranked(r.T) for r in drawn]),
    }


def _of_side(
    r: Array, one_to_one: np.ndarray, side: str, labels: np.ndarray
) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """The variables of the rows of a correlation matrix, given their one-to-one partners."""
    unit, variables = f"unit_{side}", {}
    for kind, partner, name in (
        ("semi", semi_match(r), "best partner"),
        ("one_to_one", one_to_one, "one-to-one partner"),
    ):
        variables[f"partner_{kind}_{side}"] = (unit, labelled(partner, labels), {"long_name": name})
        variables[f"r_{kind}_{side}"] = (unit, with_partner(r, partner), {"long_name": f"r with the {name}"})
    mutual = mutual_nearest(r).astype(np.int8)
    return variables | {
        f"mutual_nearest_{side}": (unit, mutual, {"long_name": "1: the best partner of its best partner"})
    }
