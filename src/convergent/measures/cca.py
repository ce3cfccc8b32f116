"""Canonical correlations of two layers from moments, and what SVCCA and PWCCA make of them.

    ρ_i = singular values of Λ_a^(−½) V_aᵀ C_ab V_b Λ_b^(−½),   C_a = V_a Λ_a V_aᵀ on the axes that count

CCA takes C as correlations, so that the scale of a unit does not decide which axes count; SVCCA (Raghu et al. 2017,
arXiv 1706.05806) takes covariances and keeps the first principal components; PWCCA (Morcos et al. 2018,
arXiv 1806.05759) weighs ρ_i by Σ_j |⟨h_i, x̃_j⟩|: how much of the centred units x̃ is in the variate h_i.
"""

from dataclasses import dataclass

import numpy as np

from convergent import folds
from convergent.folds import Array, Pair

RANK = 1e-6  # axes with an eigenvalue above this share of the largest count
LARGEST = 1.001  # a canonical correlation above it: the moments are too imprecise for these layers


@dataclass(frozen=True)
class Canonical:
    """Canonical correlations of a pair.

    Attributes
    ----------
    correlation : [variate], from large to small, 0–1, min(rank_a, rank_b) of them; NaN where n ≤ rank_a + rank_b, since
        any data would then correlate perfectly, or where one exceeds `LARGEST`
    weight : [variate], in PWCCA
    rank_a, rank_b : axes that count
    """

    correlation: Array
    weight: Array
    rank_a: int
    rank_b: int


def canonical(pair: Pair) -> Canonical:
    """Canonical correlations of all live units, with the weights of the side with fewer of them, A on a tie."""
    (values_a, axes_a), (values_b, axes_b) = (
        _principal(folds.correlation_within(side)[np.ix_(live, live)]) for side, live in _sides(pair)
    )
    r = folds.correlation(pair)[np.ix_(pair.live_a, pair.live_b)]
    left, correlation, right = np.linalg.svd(
        (axes_a / np.sqrt(values_a)).T @ r @ (axes_b / np.sqrt(values_b)), full_matrices=False
    )
    norm_a, norm_b = (np.sqrt(np.diag(side.comoment)[live]) for side, live in _sides(pair))
    # X̃ = Z D with Z of unit norm and ZᵀZ = V Λ Vᵀ has the variates H = Z V Λ^(−½) U, and X̃ᵀH = D V Λ^½ U.
    if len(norm_a) <= len(norm_b):
        weight = norm_a @ np.abs(axes_a * np.sqrt(values_a) @ left)
    else:
        weight = norm_b @ np.abs(axes_b * np.sqrt(values_b) @ right.T)
    ranks = len(values_a), len(values_b)
    return Canonical(_defined(correlation, pair.ab.n, *ranks), weight, *ranks)


def singular_vector_canonical(pair: Pair, variance: float) -> Canonical:
    """Canonical correlations of the first principal components, unweighted.

    Parameters
    ----------
    variance : the fewest components are kept that hold this share of a side's variance
    """
    (values_a, axes_a), (values_b, axes_b) = (
        _principal(side.comoment[np.ix_(live, live)], variance) for side, live in _sides(pair)
    )
    between = pair.ab.comoment[np.ix_(pair.live_a, pair.live_b)]
    whitened = (axes_a / np.sqrt(values_a)).T @ between @ (axes_b / np.sqrt(values_b))
    correlation = np.linalg.svd(whitened, compute_uv=False)
    ranks = len(values_a), len(values_b)
    return Canonical(_defined(correlation, pair.ab.n, *ranks), np.ones_like(correlation), *ranks)


def _sides(pair: Pair) -> tuple[tuple[folds.Moments, np.ndarray], tuple[folds.Moments, np.ndarray]]:
    return (pair.a, pair.live_a), (pair.b, pair.live_b)


def _principal(within: Array, variance: float = 1.0) -> tuple[Array, Array]:
    """Eigenvalues from large to small and eigenvectors [unit, axis] of the axes that count."""
    values, axes = np.linalg.eigh(within)
    values, axes = values[::-1], axes[:, ::-1]
    before = np.cumsum(values) - values
    kept = (values > RANK * values[:1]) & (before < variance * values.sum())
    return values[kept], axes[:, kept]


def _defined(correlation: Array, n: float, rank_a: int, rank_b: int) -> Array:
    if n <= rank_a + rank_b or correlation.max(initial=0) > LARGEST:
        return np.full_like(correlation, np.nan)
    return np.minimum(correlation, 1.0)
