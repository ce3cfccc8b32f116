"""Least squares from correlations against NumPy on raw activations."""

import numpy as np
import pytest

from convergent.measures.least_squares import least_squares


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def correlations(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within the predictors, and with the targets."""
    x, y = standardised(x), standardised(y)
    return x.T @ x / len(x), x.T @ y / len(x)


@pytest.mark.parametrize("predictors", [1, 7])
def test_least_squares__agrees_with_numpy_and_keeps_to_live_predictors(
    generator: np.random.Generator, predictors: int
) -> None:
    x, y = generator.standard_normal((20, predictors)), generator.standard_normal((20, 3))
    x = standardised(np.column_stack([x, x[:, 0]]))  # a copy: of all solutions the one of least norm
    within, between = correlations(x, y)
    dead = np.insert(np.insert(within, 1, 0, axis=0), 1, 0, axis=1), np.insert(between, 1, 0, axis=0)
    expected = np.linalg.lstsq(x, standardised(y), rcond=1e-6)[0].T
    np.testing.assert_allclose(least_squares(within, between), expected, atol=1e-12)
    np.testing.assert_allclose(least_squares(*dead), np.insert(expected, 1, 0, axis=1), atol=1e-12)
    assert not least_squares(*dead)[:, 1].any()
