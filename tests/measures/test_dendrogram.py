"""The dendrogram of sparse weights by hand and against brute force."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

from convergent.measures import dendrogram as measure


def average_linkage(distance: np.ndarray) -> list[float]:
    """Heights of the merges, by brute force over all pairs of groups."""
    groups, heights = [[i] for i in range(len(distance))], []
    while len(groups) > 1:
        height, i, j = min(
            (distance[np.ix_(p, q)].mean(), i, j) for i, p in enumerate(groups) for j, q in enumerate(groups[:i])
        )
        groups = [g for k, g in enumerate(groups) if k not in (i, j)] + [groups[i] + groups[j]]
        heights.append(height)
    return heights


def test_dendrogram__leaves_carry_the_labels_of_live_units() -> None:
    weights = np.zeros((8, 12))
    weights[3, 5] = -0.9
    coefficient = xr.DataArray(
        weights, {"unit_b": np.arange(8) + 200, "unit_a": np.arange(12) + 100}, ("unit_b", "unit_a")
    )
    found = measure.dendrogram(coefficient, np.arange(12) != 0, np.full(8, True))
    np.testing.assert_array_equal(found["leaf_net"], [0] * 11 + [1] * 8)
    np.testing.assert_array_equal(found["leaf_unit"], [*range(101, 112), *range(200, 208)])
    first = found["linkage"][0, :2].astype(int).values
    assert found["leaf_unit"][first].values.tolist() == [105, 203]
    assert sorted(found["leaf_order"].values) == list(range(19))


def test_tree__by_hand() -> None:
    # Leaves 0, 1 of A and 2, 3 of B; all other pairs lie at the largest weight.
    found = measure.tree(np.array([[0.0, -0.9], [0.4, 0.0]]))
    np.testing.assert_allclose(found, [[0, 3, 0.0, 2], [1, 2, 0.5, 2], [4, 5, 0.9, 4]])


@pytest.mark.parametrize("seed", range(5))
def test_tree__agrees_with_brute_force(seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(-1, 1, (4, 3))
    joint = np.abs(np.block([[np.zeros((4, 4)), weights], [weights.T, np.zeros((3, 3))]]))
    distance = squareform(squareform(joint.max() - joint, checks=False))
    np.testing.assert_allclose(measure.tree(weights)[:, 2], average_linkage(distance))
    np.testing.assert_allclose(measure.tree(weights.T)[:, 2], average_linkage(distance))
