"""Forward selection against scikit-learn's orthogonal matching pursuit and the best of all single predictors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp_gram

from convergent.measures.forward_selection import select
from convergent.measures.least_squares import least_squares

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def correlations(seed: int, predictors: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((40, predictors)) + 0.7 * generator.standard_normal((40, 1))
    y = x @ generator.standard_normal((predictors, targets)) + generator.standard_normal((40, targets))
    r = np.corrcoef(x, y, rowvar=False)
    return r[:predictors, :predictors], r[:predictors, predictors:]


@PROPERTY
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(1, 4))
def test_select__agrees_with_scikit_learn(seed: int, predictors: int, targets: int) -> None:
    within, between = correlations(seed, predictors, targets)
    for step, found in enumerate(select(within, between, 5)):
        most = min(step + 1, predictors)
        expected = orthogonal_mp_gram(within, between, n_nonzero_coefs=most, copy_Xy=True)
        np.testing.assert_allclose(found, expected.reshape(predictors, targets).T, atol=1e-9)
        assert (np.count_nonzero(found, axis=1) == most).all()


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_select__begins_with_the_best_and_ends_with_all(seed: int, predictors: int) -> None:
    within, between = correlations(seed, predictors, 3)
    found = select(within, between, predictors)
    np.testing.assert_allclose(np.abs(found[0]).max(axis=1), np.abs(between).max(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found[-1], least_squares(within, between), atol=1e-9)


def test_select__never_chooses_a_unit_twice() -> None:
    """Copies and dead units add nothing to a prediction that is perfect."""
    within = np.array([[1.0, 1, 0, 0.5], [1, 1, 0, 0.5], [0, 0, 0, 0], [0.5, 0.5, 0, 1]])
    found = select(within, within[:, :1], 6)
    np.testing.assert_allclose(found @ within, np.broadcast_to(within[0], (6, 1, 4)), atol=1e-12)
    assert not found[:, :, 2].any()


@pytest.mark.parametrize(("predictors", "targets"), [(0, 2), (3, 0), (0, 0)])
def test_select__without_predictors_or_targets(predictors: int, targets: int) -> None:
    found = select(np.eye(predictors), np.zeros((predictors, targets)), 2)
    np.testing.assert_array_equal(found, np.zeros((2, targets, predictors)))


def test_select__by_hand() -> None:
    # The third predictor correlates most with y = x0 + x1, and is left with nothing once both are in.
    within = np.array([[1, 0, 0.7], [0, 1, 0.7], [0.7, 0.7, 1]])
    between = within[:, :2].sum(axis=1, keepdims=True) / np.sqrt(2)
    found = select(within, between, 3)[:, 0]
    np.testing.assert_allclose(found[0], [0, 0, 1.4 / np.sqrt(2)], atol=1e-12)
    np.testing.assert_allclose(found[2], [1 / np.sqrt(2), 1 / np.sqrt(2), 0], atol=1e-9)
