"""Held-out errors against explicit predictions of raw activations."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.measures import held_out

K = 5
Moments = Callable[..., xr.Dataset]


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The last unit of each is dead, and the first of the predictors but for one fold."""
    x, y = 100 + generator.standard_normal((60, 4)), generator.standard_normal((60, 3)) - 700
    x[:, 3], y[:, 2], x[12:, 0] = 5, 0, 99
    return x, y + x[:, 1:2] * [2, 0, 0]


def test_scores__agree_with_explicit_predictions(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> None:
    x, y = data
    weights = generator.standard_normal((2, 3, 4))
    split = held_out.splits(pair(x, y))
    found, total = held_out.scores(split, held_out.score(lambda within, between: weights))
    for k in range(K):
        known, out = np.arange(60) // 12 != k, np.arange(60) // 12 == k
        spread = x[known].std(axis=0)
        standard = (x[out] - x[known].mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
        error = y[out] - y[known].mean(axis=0) - standard @ weights.transpose(0, 2, 1) * y[known].std(axis=0)
        np.testing.assert_allclose(found[k], (error**2).sum(axis=1), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(total[k], ((y[out] - y[known].mean(axis=0)) ** 2).sum(axis=0), rtol=1e-8, atol=1e-8)


def test_scores__fit_sees_the_correlations_of_the_other_folds(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def fit(within: np.ndarray, between: np.ndarray) -> np.ndarray:
        seen.append((within, between))
        return np.zeros_like(between.T)

    held_out.scores(held_out.splits(pair(x, y)), held_out.score(fit))
    for k, (within, between) in enumerate(seen):
        live = [1, 2] if k == 0 else [0, 1, 2]
        known = np.arange(60) // 12 != k
        r = np.corrcoef(x[known][:, live], y[known][:, :2], rowvar=False)
        expected = np.zeros((4, 4)), np.zeros((4, 3))
        expected[0][np.ix_(live, live)] = r[: len(live), : len(live)]
        expected[1][np.ix_(live, [0, 1])] = r[: len(live), len(live) :]
        np.testing.assert_allclose(within, expected[0], atol=1e-9)
        np.testing.assert_allclose(between, expected[1], atol=1e-9)


def test_exchanged__exchanges_the_networks(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    turned, other = held_out.exchanged(held_out.splits(pair(x, y))), held_out.splits(pair(y, x))
    none = held_out.score(lambda within, between: np.zeros_like(between.T))
    for found, expected in zip(held_out.scores(turned, none), held_out.scores(other, none), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    for (training, _), (expected, _) in zip(turned, other, strict=True):
        np.testing.assert_allclose(held_out.correlations(training)[1], held_out.correlations(expected)[1], atol=1e-9)


def test_splits__of_a_replicate_take_its_comoment(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*data, permutations=2)
    for replicate in range(2):
        for k, (training, part) in enumerate(held_out.splits(moments, replicate)):
            permuted = moments["comoment_permuted"][replicate]
            np.testing.assert_array_equal(part.ab.comoment, permuted[k])
            np.testing.assert_array_equal(part.b.comoment, moments["comoment_b"][k])
            assert training.ab.n == 48
