"""The algebra of moments against NumPy on raw data: `whole`, `left out` and `alone` are selections of images."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import folds
from convergent.folds import Moments, Pair

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
OFFSETS = (0.0, 100.0)  # mean over spread; at 100 raw sums of squares would lose four digits more
K = 5


def moments_of(x: np.ndarray, y: np.ndarray) -> Moments:
    """By definition, in two passes."""
    return Moments(len(x), x.mean(axis=0), y.mean(axis=0), (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)))


def pair_of(x: np.ndarray, y: np.ndarray) -> Pair:
    return Pair(moments_of(x, x), moments_of(y, y), moments_of(x, y))


def correlation_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.corrcoef(x, y, rowvar=False)[: x.shape[1], x.shape[1] :]


def assert_same(found: Moments, expected: Moments, x: np.ndarray, y: np.ndarray) -> None:
    """Equal to 1e-10·√(C_uu C_vv), the scale of the whole data x, y."""
    scale = np.outer(np.linalg.norm(x - x.mean(axis=0), axis=0), np.linalg.norm(y - y.mean(axis=0), axis=0))
    assert found.n == expected.n
    np.testing.assert_allclose(found.mean_a, expected.mean_a, rtol=1e-12)
    np.testing.assert_allclose(found.mean_b, expected.mean_b, rtol=1e-12)
    assert (np.abs(found.comoment - expected.comoment) <= 1e-10 * scale).all()


def activations(seed: int, offset: float, images: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Two networks that share part of what they see, 4 and 3 units."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((images, 4))
    return x + offset, x[:, :3] + generator.standard_normal((images, 3)) - offset


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 39), st.sampled_from(OFFSETS))
def test_merge__agrees_with_the_moments_of_all_samples(seed: int, cut: int, offset: float) -> None:
    x, y = activations(seed, offset)
    merged = folds.merge(moments_of(x[:cut], y[:cut]), moments_of(x[cut:], y[cut:]))
    assert_same(merged, moments_of(x, y), x, y)


@pytest.mark.parametrize("offset", OFFSETS)
def test_merge__is_indifferent_to_order(offset: float) -> None:
    x, y = activations(0, offset)
    parts = [moments_of(x[s], y[s]) for s in (slice(0, 3), slice(3, 4), slice(4, 25), slice(25, 40))]
    for order in itertools.permutations(parts):
        p, q, r, s = order
        assert_same(folds.merge(folds.merge(folds.merge(p, q), r), s), moments_of(x, y), x, y)
        assert_same(folds.merge(folds.merge(p, q), folds.merge(r, s)), moments_of(x, y), x, y)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 38), st.sampled_from(OFFSETS))
def test_without__undoes_merge(seed: int, cut: int, offset: float) -> None:
    x, y = activations(seed, offset)
    rest = folds.without(moments_of(x, y), moments_of(x[:cut], y[:cut]))
    assert_same(rest, moments_of(x[cut:], y[cut:]), x, y)


def test_fold__gives_the_moments_of_its_images(pair: Callable[..., xr.Dataset]) -> None:
    x, y = activations(0, 100.0)
    moments = pair(x, y, folds=K)
    for k, (part_x, part_y) in enumerate(zip(np.split(x, K), np.split(y, K), strict=True)):
        found, expected = folds.fold(moments, k), pair_of(part_x, part_y)
        assert_same(found.a, expected.a, x, x)
        assert_same(found.b, expected.b, y, y)
        assert_same(found.ab, expected.ab, x, y)


def test_fold__takes_the_permuted_comoment_of_the_replicate(pair: Callable[..., xr.Dataset]) -> None:
    moments = pair(*activations(0, 0.0), permutations=2)
    for replicate in (0, 1):
        found = folds.fold(moments, 3, replicate)
        np.testing.assert_array_equal(found.ab.comoment, moments["comoment_permuted"][replicate, 3])
        np.testing.assert_array_equal(found.a.comoment, moments["comoment_a"][3])
        np.testing.assert_array_equal(found.b.comoment, moments["comoment_b"][3])


@pytest.mark.parametrize("offset", OFFSETS)
def test_total__is_the_moments_of_all_images(pair: Callable[..., xr.Dataset], offset: float) -> None:
    x, y = activations(1, offset)
    found, expected = folds.total(pair(x, y)), pair_of(x, y)
    assert_same(found.a, expected.a, x, x)
    assert_same(found.b, expected.b, y, y)
    assert_same(found.ab, expected.ab, x, y)


def test_total__is_indifferent_to_the_order_of_folds(pair: Callable[..., xr.Dataset]) -> None:
    x, y = activations(2, 100.0)
    moments = pair(x, y)
    for order in itertools.permutations(range(K)):
        assert_same(folds.total(moments.isel(fold=list(order))).ab, moments_of(x, y), x, y)


@pytest.mark.parametrize("offset", OFFSETS)
def test_leave_one_out__is_the_moments_of_all_other_images(pair: Callable[..., xr.Dataset], offset: float) -> None:
    x, y = activations(3, offset)
    moments = pair(x, y)
    left_out = list(folds.leave_one_out(moments, folds.total(moments)))
    assert len(left_out) == K
    for k, (rest, part) in enumerate(left_out):
        out = np.arange(len(x)) // (len(x) // K) == k
        assert_same(rest.a, moments_of(x[~out], x[~out]), x, x)
        assert_same(rest.b, moments_of(y[~out], y[~out]), y, y)
        assert_same(rest.ab, moments_of(x[~out], y[~out]), x, y)
        assert_same(part.ab, moments_of(x[out], y[out]), x, y)


@pytest.mark.parametrize("elsewhere", [0.0, 0.1, 1e6])
def test_leave_one_out__unit_that_lives_in_one_fold_is_dead_without_it(
    pair: Callable[..., xr.Dataset], elsewhere: float
) -> None:
    x, y = activations(4, 0.0)
    x[:, 1], y[:, 2] = elsewhere, elsewhere
    x[16:24, 1], y[32:, 2] = np.arange(8), np.arange(8)  # alive in folds 2 and 4
    moments = pair(x, y)
    for k, (rest, _) in enumerate(folds.leave_one_out(moments, folds.total(moments))):
        np.testing.assert_array_equal(rest.live_a, [True, k != 2, True, True])
        np.testing.assert_array_equal(rest.live_b, [True, True, k != 4])
        dead = ~np.outer(rest.live_a, rest.live_b)
        np.testing.assert_array_equal(np.isnan(folds.correlation(rest)), dead)
        assert not rest.ab.comoment[dead].any()


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_live__is_false_for_a_constant_and_true_for_a_small_spread(
    pair: Callable[..., xr.Dataset], constant: float, generator: np.random.Generator
) -> None:
    small = constant + 1e-6 * max(abs(constant), 1) * generator.standard_normal(1000)
    x = np.column_stack([np.full(1000, constant), small])
    np.testing.assert_array_equal(folds.live(folds.total(pair(x, x)).a), [False, True])


@PROPERTY
@given(st.integers(0, 2**31), st.sampled_from(OFFSETS))
def test_correlation__agrees_with_numpy(seed: int, offset: float) -> None:
    x, y = activations(seed, offset)
    np.testing.assert_allclose(folds.correlation(pair_of(x, y)), correlation_of(x, y), atol=1e-10)


def test_correlation__is_nan_for_dead_units_alone() -> None:
    x, y = activations(5, 0.0)
    x[:, 2], y[:, 0] = 7, 0
    r = folds.correlation(pair_of(x, y))
    np.testing.assert_array_equal(np.isnan(r), np.add.outer(np.arange(4) == 2, np.arange(3) == 0))


def test_correlation__of_the_exchanged_pair_is_transposed() -> None:
    pair = pair_of(*activations(6, 100.0))
    np.testing.assert_allclose(folds.correlation(pair.exchanged), folds.correlation(pair).T, rtol=1e-14)
    np.testing.assert_array_equal(pair.exchanged.ab.mean_a, pair.b.mean_a)


def test_correlation__stays_within_one_for_a_copied_unit() -> None:
    x = np.random.default_rng(7).random((50, 200))
    r = folds.correlation(pair_of(x, x * np.where(np.arange(200) % 2, -3, 7)))
    assert np.abs(r).max() == 1
    np.testing.assert_allclose(np.diag(r), np.where(np.arange(200) % 2, -1, 1), rtol=1e-12)


def test_correlation_within__agrees_with_numpy_and_has_diagonal_one() -> None:
    x, _ = activations(8, 100.0)
    x[:, 1] = 3
    r = folds.correlation_within(moments_of(x, x))
    live = [0, 2, 3]
    np.testing.assert_allclose(r[np.ix_(live, live)], np.corrcoef(x[:, live], rowvar=False), atol=1e-10)
    np.testing.assert_array_equal(np.diag(r), [1, np.nan, 1, 1])
    assert np.isnan(r[1]).all()
    assert np.isnan(r[:, 1]).all()


def test_jackknife__agrees_with_leaving_out_images(pair: Callable[..., xr.Dataset]) -> None:
    x, y = activations(9, 100.0)
    fold = np.arange(len(x)) // (len(x) // K)
    left_out = np.stack([correlation_of(x[fold != k], y[fold != k]) for k in range(K)])
    expected = np.sqrt((K - 1) / K * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    moments = pair(x, y)
    found = folds.jackknife(moments, folds.total(moments), folds.correlation)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_jackknife__is_nan_for_a_unit_that_lives_in_one_fold(pair: Callable[..., xr.Dataset]) -> None:
    x, y = activations(10, 0.0)
    x[:, 0] = np.where(np.arange(len(x)) < 8, x[:, 0], 0)
    moments = pair(x, y)
    error = folds.jackknife(moments, folds.total(moments), folds.correlation)
    np.testing.assert_array_equal(np.isnan(error), np.repeat([[True], [False], [False], [False]], 3, axis=1))


def test_standard_error__by_hand() -> None:
    # mean 3, deviations −2, −1, 3; and a statistic that never moves
    left_out = iter([np.array([1.0, 5.0]), np.array([2.0, 5.0]), np.array([6.0, 5.0])])
    np.testing.assert_allclose(folds.standard_error(left_out), [np.sqrt(2 / 3 * 14), 0], rtol=1e-15)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(2, 12))
def test_standard_error__of_a_mean_is_its_textbook_value(seed: int, k: int) -> None:
    values = 100 + np.random.default_rng(seed).standard_normal(k)
    left_out = [np.delete(values, i).mean(keepdims=True) for i in range(k)]
    np.testing.assert_allclose(folds.standard_error(left_out), values.std(ddof=1) / np.sqrt(k), rtol=1e-9)
