"""Code types by hand."""

import numpy as np

from convergent.measures.code_types import n_needed, shares


def test_n_needed__by_hand() -> None:
    few = np.array(
        [
            [0.90, 0.89, 0.1, -0.5, 0.0, np.nan, 0.95],  # the last: more than enough at first, then it overfits
            [0.95, 0.90, 0.2, -0.5, 0.3, np.nan, 0.50],
        ]
    )
    largest = np.array([1.0, 1.0, 1.0, 0.01, 0.011, np.nan, 1.0])
    assert n_needed(few, largest, 9).tolist() == [1, 2, 3, 0, 2, -1, 1]


def test_shares__are_of_live_targets() -> None:
    np.testing.assert_allclose(shares(np.array([1, 1, 2, 5, 6, 0, -1, 1])), [3 / 7, 2 / 7, 1 / 7, 1 / 7])
    assert np.isnan(shares(np.array([-1, -1]))).all()


def test_n_needed__is_never_more_than_there_are() -> None:
    """Forward selection has tried all three; that they fall short of the best penalty does not make a fourth."""
    few = np.array([[0.1], [0.2], [0.3], [0.3], [0.3]])
    np.testing.assert_array_equal(n_needed(few, np.array([0.9]), 3), [3])
    np.testing.assert_array_equal(n_needed(few, np.array([0.9]), 6), [6])
