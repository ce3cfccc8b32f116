"""Canonical correlations from moments against QR, SVD and scikit-learn on the raw data."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA

from convergent import folds
from convergent.folds import Moments, Pair
from convergent.measures import cca

PROPERTY = settings(max_examples=25)


def whole(x: np.ndarray, y: np.ndarray) -> Pair:
    """The moments of raw data [sample, unit]."""
    n, a, b = float(len(x)), x.mean(axis=0), y.mean(axis=0)
    x, y = x - a, y - b
    return Pair(Moments(n, a, a, x.T @ x), Moments(n, b, b, y.T @ y), Moments(n, a, b, x.T @ y))


def data(seed: int, samples: int = 200, units: tuple[int, int] = (6, 8)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((units[0], units[0])))[0]
    x = rng.standard_normal((samples, units[0])) * np.geomspace(1, 5, units[0]) @ rotation
    y = 0.4 * x @ rng.standard_normal(units) + rng.standard_normal((samples, units[1])) * np.arange(1, units[1] + 1)
    return x + 5, y - 3


def by_qr(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Canonical correlations and the variates of x, of unit norm (Björck, Golub 1973)."""
    q, r = (np.linalg.qr(z - z.mean(axis=0))[0] for z in (x, y))
    left, singular, _ = np.linalg.svd(q.T @ r, full_matrices=False)
    return singular, q @ left


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_canonical__agrees_with_qr(seed: int, units_a: int, units_b: int) -> None:
    x, y = data(seed, 50, (units_a, units_b))
    found = cca.canonical(whole(x, y))
    fewer, other = (x, y) if units_a <= units_b else (y, x)
    singular, variates = by_qr(fewer, other)
    np.testing.assert_allclose(found.correlation, singular, rtol=1e-7, atol=1e-9)
    weight = np.abs(variates.T @ (fewer - fewer.mean(axis=0))).sum(axis=1)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-5)
    assert (found.rank_a, found.rank_b) == (units_a, units_b)


def test_canonical__agrees_with_scikit_learn() -> None:
    x, y = data(0, 200, (3, 4))
    expected = [
        np.corrcoef(u, v)[0, 1]
        for u, v in zip(*(z.T for z in CCA(3, tol=1e-12, max_iter=10_000).fit_transform(x, y)), strict=True)
    ]
    np.testing.assert_allclose(cca.canonical(whole(x, y)).correlation, expected, rtol=1e-5)


@PROPERTY
@given(st.integers(0, 2**31))
def test_canonical__ignores_invertible_maps(seed: int) -> None:
    x, y = data(seed)
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    mixed = x @ left @ np.diag(np.geomspace(1, 30, 6)) @ right
    expected = cca.canonical(whole(x, y)).correlation
    np.testing.assert_allclose(cca.canonical(whole(mixed, y)).correlation, expected, rtol=1e-8)
    np.testing.assert_allclose(cca.canonical(whole(y, x)).correlation, expected, rtol=1e-8)
    np.testing.assert_allclose(cca.canonical(whole(x, mixed)).correlation, 1, rtol=1e-9)


def test_canonical__counts_units_of_every_scale() -> None:
    x, y = data(1)
    expected, found = cca.canonical(whole(x, y)), cca.canonical(whole(x * np.geomspace(1e-5, 1e5, 6), y))
    assert found.rank_a == 6
    np.testing.assert_allclose(found.correlation, expected.correlation, rtol=1e-8)


def test_canonical__counts_copies_and_mixtures_of_units_once() -> None:
    x, y = data(2)
    more = np.hstack([x, 2 * x[:, :1] - 7, x[:, 1:2] - x[:, 2:3], np.full((200, 1), 4.0)])
    found = cca.canonical(whole(more, y))
    assert (found.rank_a, found.rank_b) == (6, 8)
    np.testing.assert_allclose(found.correlation, by_qr(x, y)[0], rtol=1e-8)
    # Eight live units on both sides: the variates of A, which its copies weigh more.
    live = more[:, :-1]
    weight = np.abs(by_qr(x, y)[1].T @ (live - live.mean(axis=0))).sum(axis=1)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-7)


def test_canonical__more_ranks_than_samples_are_undefined() -> None:
    for samples, defined in ((14, False), (15, True)):
        found = cca.canonical(whole(*data(3, samples)))
        assert len(found.correlation) == 6
        assert np.isnan(found.correlation).all() != defined
    principal = cca.singular_vector_canonical(whole(*data(3, 14)), 0.5)
    assert not np.isnan(principal.correlation).any()


def test_canonical__of_imprecise_moments_is_undefined() -> None:
    pair = whole(*data(4, units=(3, 3)))
    inflated = pair.ab.comoment * 1.01 / cca.canonical(pair).correlation[0]
    ab = Moments(pair.ab.n, pair.ab.mean_a, pair.ab.mean_b, inflated)
    assert np.isnan(cca.canonical(Pair(pair.a, pair.b, ab)).correlation).all()


def test_canonical__of_a_dead_network_is_empty() -> None:
    x, y = data(5)
    for pair, ranks in ((whole(x * 0, y), (0, 8)), (whole(x, y * 0 + 0.1), (6, 0)), (whole(x * 0, y * 0), (0, 0))):
        for found in (cca.canonical(pair), cca.singular_vector_canonical(pair, 1.0)):
            assert found.correlation.size == 0
            assert (found.rank_a, found.rank_b) == ranks


@pytest.mark.parametrize("variance", [0.3, 0.9, 0.99, 1.0])
def test_singular_vector_canonical__agrees_with_projected_data(variance: float) -> None:
    x, y = data(6, 300)
    projected = []
    for z in (x, y):
        u, s, _ = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        share = np.cumsum(s**2) / (s**2).sum()
        kept = int(np.argmax(share >= variance - 1e-12)) + 1
        projected.append(u[:, :kept] * s[:kept])
    found = cca.singular_vector_canonical(whole(x, y), variance)
    assert (found.rank_a, found.rank_b) == tuple(z.shape[1] for z in projected)
    np.testing.assert_allclose(found.correlation, by_qr(*projected)[0], rtol=1e-7)


def test_canonical__takes_joined_moments(pair: Callable[..., xr.Dataset]) -> None:
    x, y = data(7)
    found, expected = cca.canonical(folds.total(pair(x, y))), cca.canonical(whole(x, y))
    np.testing.assert_allclose(found.correlation, expected.correlation, rtol=1e-9)
