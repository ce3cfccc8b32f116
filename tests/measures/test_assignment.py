"""Partners of rows against brute force and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.measures import assignment

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def brute_force(r: np.ndarray) -> tuple[float, list[int]]:
    """The largest Σ r over all one-to-one partners of the rows; −1: none."""
    rows, columns = r.shape
    partners = itertools.permutations([*range(columns), *[-1] * max(rows - columns, 0)], rows)
    return max((sum(r[i, p] for i, p in enumerate(partner) if p >= 0), list(partner)) for partner in partners)


def correlations(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, columns))


def test_semi_match__takes_the_largest_of_each_row() -> None:
    r = np.array([[0.1, -0.9, 0.3], [-0.2, -0.1, -0.3], [np.nan, np.nan, np.nan], [0.4, np.nan, 0.2]])
    np.testing.assert_array_equal(assignment.semi_match(r), [2, 1, -1, 0])


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 5))
def test_one_to_one_match__agrees_with_brute_force(seed: int, rows: int, columns: int) -> None:
    r = correlations(seed, rows, columns)
    best, partner = brute_force(r)
    found = assignment.one_to_one_match(r)
    assert found.tolist() == partner
    assert r[found >= 0, found[found >= 0]].sum() == pytest.approx(best)


def test_one_to_one_match__leaves_dead_units_out() -> None:
    r = correlations(0, 5, 6)
    r[3], r[:, 1] = np.nan, np.nan
    found = assignment.one_to_one_match(r)
    live = np.ix_([0, 1, 2, 4], [0, 2, 3, 4, 5])
    _, partner = brute_force(r[live])
    assert found[3] == -1
    assert found[[0, 1, 2, 4]].tolist() == live[1].ravel()[partner].tolist()


def test_mutual_nearest__by_hand() -> None:
    # Row 0 and column 1 choose each other; row 1 also wants column 1; row 2 is dead.
    r = np.array([[0.2, 0.9, 0.1], [0.3, 0.8, 0.4], [np.nan] * 3])
    np.testing.assert_array_equal(assignment.mutual_nearest(r), [True, False, False])
