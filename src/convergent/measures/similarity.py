"""Similarity of whole layers by every common index, beside permuted images.

From the moments of the samples: CKA, CCA, SVCCA, PWCCA, Procrustes, matched correlation. From rows, one an image: CKA
again, debiased and calibrated. `STATISTICS` says what each statistic is, in C_a, C_b, C_ab, the centred comoments;
it comes with every result as the coordinate ``definition[statistic]``.
Sources: `cka`, `cca`; Procrustes: Williams et al. 2021 (arXiv 2110.14739); matched: Li et al. 2016 (arXiv 1511.07543).
"""

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import at_least
from convergent.folds import Array, Pair
from convergent.measures import cca, cka, matching, rows
from convergent.measures.assignment import one_to_one_match
from convergent.measures.summary import mean, summary

OF_MOMENTS = {
    "n": "samples: all positions of all images where spatial is positions, else images",
    "n_live_a": "units of A with variance",
    "n_live_b": "units of B with variance",
    "rank_a": "eigenvalues of the correlation within A above 1e-6 of the largest",
    "rank_b": "eigenvalues of the correlation within B above 1e-6 of the largest",
    "rank_svcca_a": "first principal components of A that hold the share svcca_variance of its variance",
    "rank_svcca_b": "first principal components of B that hold the share svcca_variance of its variance",
    "cka": "linear CKA of the samples, ‖C_ab‖² / (‖C_a‖ ‖C_b‖), Frobenius norms; 0 to 1, too high for few samples",
    "mean_cca": "mean of the min(rank_a, rank_b) canonical correlations; NaN where n ≤ rank_a + rank_b",
    "mean_squared_cca": "mean of the squared canonical correlations; NaN where n ≤ rank_a + rank_b",
    "svcca": "mean canonical correlation of the first principal components; NaN where n ≤ rank_svcca_a + rank_svcca_b",
    "pwcca": "Σ α_i ρ_i / Σ α_i, ρ_i the canonical correlations, α_i = Σ_j |⟨h_i, x̃_j⟩|, h_i the variates, of unit "
    "norm, and x̃_j the centred units of the side with fewer live units, A on a tie; NaN where n ≤ rank_a + rank_b",
    "procrustes_angle": "arccos(‖C_ab‖_* / √(tr C_a tr C_b)), ‖·‖_* the nuclear norm; radians, from 0, equal but for "
    "rotation and scale, to π/2",
    "procrustes_size_and_shape": "√(tr C_a + tr C_b − 2‖C_ab‖_*), the distance that the best rotation leaves; "
    "activation × √samples",
    "soft_match": "mean r of the live units of A, each with its best partner in B",
    "hard_match": "mean r of the units matched one to one so that Σ r is largest",
}
OF_ROWS = {
    "cka_debiased": "debiased CKA of the samples: cka_pooled_debiased where samples are images; not defined (NaN) "
    "where they are positions, since those of one image depend on each other",
    "n_images": "images; their spatial means are the rows of all that is pooled",
    "cka_pooled": "linear CKA of the rows; its null is the exact mean over all permutations of the images",
    "cka_pooled_debiased": "linear CKA of the rows by HSIC_1, the U-statistic; its mean over all permutations is 0",
    "cka_pooled_calibrated": "(cka_pooled − null) / (1 − null), as the adjusted Rand index is; Gröger, Wen and Brbić "
    "2026 take the 95 % quantile of the null in place of its mean",
}
STATISTICS = OF_MOMENTS | OF_ROWS
# Neither an error nor a null: counts jump, and no null changes them.
COUNTED = [name == "n" or name.startswith(("n_", "rank_")) for name in STATISTICS]


def similarity(
    moments: xr.Dataset,
    rows_a: xr.DataArray,
    rows_b: xr.DataArray,
    *,
    svcca_variance: float = 0.99,
    permutations: int = 200,
    generator: np.random.Generator | None = None,
) -> xr.Dataset:
    """Similarity of a layer of a pair by every index, with standard errors over images and the permuted null.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`; the attribute ``spatial`` says what the samples are
    rows_a, rows_b : spatial means of the layer ``[image, unit]``, with the coordinates ``image_id`` and ``fold``
    svcca_variance : share of the variance that SVCCA keeps
    permutations : of the images of B, for the p value
    generator : of the permutations

    Returns
    -------
    the summary with the coordinate ``definition[statistic]`` and the null ``permuted``, for the statistics of moments
    the mean over replicates; ``canonical_correlation[variate]``, 0–1, from large to small, NaN where
    n ≤ rank_a + rank_b; ``cka_pooled_permuted[permutation]``, 0–1, and the ``cka_pooled_p_value`` of
    these draws

    Raises
    ------
    InputError : where the rows are not of the same images, or not of the units of the moments
    """
    at_least(1, permutations=permutations)
    rows.check(moments, rows_a, rows_b)
    generator = np.random.default_rng(0) if generator is None else generator
    whole = folds.total(moments)
    canonical = cca.canonical(whole)
    value = of_moments(whole, canonical, svcca_variance)
    error = folds.jackknife(moments, whole, lambda pair: of_moments(pair, cca.canonical(pair), svcca_variance))
    replicates = (folds.total(moments, i) for i in range(moments.sizes["replicate"]))
    null = np.mean([of_moments(pair, cca.canonical(pair), svcca_variance) for pair in replicates], axis=0)
    *pooled, draws, p_value = _of_rows(rows_a, rows_b, moments.attrs["spatial"], permutations, generator)
    value, error, null = (np.concatenate(parts) for parts in zip((value, error, null), pooled, strict=True))
    error[COUNTED] = null[COUNTED] = np.nan
    result = summary(STATISTICS, value, error, {"permuted": null})
    result["canonical_correlation"] = ("variate", canonical.correlation, {"long_name": "canonical correlation"})
    result["cka_pooled_permuted"] = (
        "permutation",
        draws,
        {"long_name": "linear CKA of the rows, the images of B permuted"},
    )
    result["cka_pooled_p_value"] = (
        (),
        p_value,
        {"long_name": "(1 + permutations with cka_pooled at least as large) / (1 + permutations)"},
    )
    return result


def of_moments(pair: Pair, canonical: cca.Canonical, svcca_variance: float) -> Array:
    """The statistics `OF_MOMENTS` of a pair with these canonical correlations, in their order."""
    live_a, live_b = pair.live_a, pair.live_b
    a, b = pair.a.comoment[np.ix_(live_a, live_a)], pair.b.comoment[np.ix_(live_b, live_b)]
    ab = pair.ab.comoment[np.ix_(live_a, live_b)]
    principal = cca.singular_vector_canonical(pair, svcca_variance)
    ranks = canonical.rank_a, canonical.rank_b, principal.rank_a, principal.rank_b
    r = folds.correlation(pair)
    semi_a, _, one_to_one = matching.means(r, one_to_one_match(r))
    return np.array(
        [
            *(pair.ab.n, live_a.sum(), live_b.sum(), *ranks),
            _ratio(float((ab**2).sum()), float(np.linalg.norm(a) * np.linalg.norm(b))),
            mean(canonical.correlation),
            mean(canonical.correlation**2),
            mean(principal.correlation),
            _ratio(float(canonical.weight @ canonical.correlation), float(canonical.weight.sum())),
            *procrustes(float(np.trace(a)), float(np.trace(b)), ab),
            semi_a,
            one_to_one,
        ],
        dtype=np.float64,
    )


def procrustes(trace_a: float, trace_b: float, ab: Array) -> tuple[float, float]:
    """Angle and size-and-shape distance, from the traces of C_a and C_b and from C_ab; NaN where a side is dead."""
    if trace_a * trace_b == 0:
        return np.nan, np.nan
    nuclear = float(np.linalg.svd(ab, compute_uv=False).sum())
    # Rounding may leave identical layers a hair beyond the limits.
    cosine = min(nuclear / np.sqrt(trace_a * trace_b), 1.0)
    return float(np.arccos(cosine)), float(np.sqrt(max(trace_a + trace_b - 2 * nuclear, 0.0)))


def _of_rows(
    rows_a: xr.DataArray, rows_b: xr.DataArray, spatial: str, permutations: int, generator: np.random.Generator
) -> tuple[Array, Array, Array, Array, float]:
    """Value, error and null of `OF_ROWS` in their order; CKA under each permutation, and the p value of CKA."""
    a, b = rows.of(rows_a), rows.of(rows_b)
    aa, bb = cka.products(a, a), cka.products(b, b)
    found = cka.similarities(cka.products(a, b), aa, bb)
    draws = cka.permuted(a, b, permutations, generator) / cka.norms(aa, bb)[0, 0]
    raw, debiased, calibrated, expected = found[0]
    zero_debiased, zero_calibrated = 0 * debiased, 0 * calibrated  # nulls; NaN where not defined
    error = dict(zip(cka.KINDS, folds.standard_error(found[1:]), strict=True))
    # Rounding must not make a permutation smaller that changes nothing.
    p_value = (1 + (draws >= raw * (1 - folds.RESOLUTION)).sum()) / (1 + permutations)
    undefined = np.nan if spatial == "positions" else 0.0
    return (
        np.array([debiased + undefined, len(a.values), raw, debiased, calibrated]),
        np.array([error["debiased"] + undefined, np.nan, error["raw"], error["debiased"], error["calibrated"]]),
        np.array([zero_debiased + undefined, np.nan, expected, zero_debiased, zero_calibrated]),
        draws,
        np.nan if np.isnan(raw) else p_value,
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan
