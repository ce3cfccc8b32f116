"""Means over folds and their errors, by the textbook's formula."""

import numpy as np

from convergent.measures import by_fold


def test_mean__has_the_standard_error_of_a_mean(generator: np.random.Generator) -> None:
    values = generator.standard_normal((3, 2, 7))
    mean, error = by_fold.mean(values)
    np.testing.assert_allclose(mean, values.mean(axis=2))
    np.testing.assert_allclose(error, values.std(axis=2, ddof=1) / np.sqrt(7))


def test_mean__of_one_fold_has_no_error() -> None:
    mean, error = by_fold.mean(np.array([[0.5], [0.25]]))
    assert mean.tolist() == [0.5, 0.25]
    assert np.isnan(error).all()
