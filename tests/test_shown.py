"""Which units are shown, by hand."""

import numpy as np
import xarray as xr

from convergent import shown


def matching(r: list[float], partners: list[int]) -> xr.Dataset:
    return xr.Dataset(
        {"r_one_to_one_a": ("unit_a", r), "partner_one_to_one_a": ("unit_a", partners)},
        {"unit_a": 10 + np.arange(len(r))},
    )


def test_matched__are_the_best_and_the_worst_without_the_dead() -> None:
    found = shown.matched(matching([0.3, np.nan, 0.9, -0.1, 0.5, 0.2], [5, -1, 1, 2, 0, 7]), 2)
    assert found["unit_a"].values.tolist() == [12, 14, 13, 15]
    assert found["unit_b"].values.tolist() == [1, 0, 2, 7]
    assert found["r"].values.tolist() == [0.9, 0.5, -0.1, 0.2]
    assert found["best"].values.tolist() == [True, True, False, False]


def test_matched__shows_no_match_twice() -> None:
    found = shown.matched(matching([0.3, 0.9, 0.5], [0, 1, 2]), 2)
    assert found["unit_a"].values.tolist() == [11, 12, 10]
    assert found["best"].values.tolist() == [True, True, False]
    assert shown.matched(matching([np.nan], [-1]), 2).sizes["match"] == 0


def subspaces(of_a: list[list[int]], of_b: list[list[int]]) -> xr.Dataset:
    return xr.Dataset(
        {
            "minimal_member_a": (("start", "unit_a"), np.array(of_a, dtype=bool).reshape(-1, 3)),
            "minimal_member_b": (("start", "unit_b"), np.array(of_b, dtype=bool).reshape(-1, 4)),
        },
        {"unit_a": [7, 8, 9], "unit_b": [0, 1, 2, 3]},
    )


def test_minimal__is_the_smallest_of_three_units_at_least() -> None:
    found = shown.minimal(
        subspaces([[1, 0, 0], [1, 1, 1], [0, 1, 1]], [[0, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]), units=1
    )
    assert found["unit_a"].values.tolist() == [8, 9]
    assert found["unit_b"].values.tolist() == [0, 1]
    assert found.attrs == {"size_a": 2, "size_b": 3}


def test_minimal__is_a_pair_where_there_are_only_pairs_and_nothing_where_there_is_nothing() -> None:
    pairs = shown.minimal(subspaces([[0, 0, 1]], [[1, 0, 0, 0]]), units=3)
    assert (pairs["unit_a"].values.tolist(), pairs["unit_b"].values.tolist()) == ([9], [0])
    nothing = shown.minimal(subspaces([], []), units=3)
    assert nothing.sizes == {"member_a": 0, "member_b": 0}
    assert nothing.attrs == {"size_a": 0, "size_b": 0}
