"""Clusters of units against planted groups, scikit-learn, brute force and the published conv1 matrices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from convergent.measures import clustering as measure
from convergent.measures.clustering import STATISTICS, clustering

Moments = Callable[..., xr.Dataset]
GROUPS = 4
UNITS_A, UNITS_B = np.repeat(range(GROUPS), 3), np.repeat(range(GROUPS), 2)  # the planted group of each unit
SETTINGS = {"threshold": 0.2, "units_per_cluster": 5, "repeats": 2}


def cluster(moments: xr.Dataset, weights: np.ndarray | None = None, seed: int = 0, **settings: float) -> xr.Dataset:
    """Clusters, with the LASSO weights [unit_a, unit_b] of no importance unless given."""
    a, b = moments["unit_a"].values, moments["unit_b"].values
    weights = np.zeros((len(a), len(b))) if weights is None else weights
    coefficient = xr.DataArray(weights.T, {"unit_b": b, "unit_a": a}, ("unit_b", "unit_a"))
    return clustering(moments, coefficient, **(SETTINGS | settings), generator=np.random.default_rng(seed))


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def labels_of(found: xr.Dataset) -> np.ndarray:
    return np.concatenate([found["label_a"], found["label_b"]])


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


@pytest.fixture
def planted(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Units that follow the signal of their group: 3 of A and 2 of B in each of 4."""
    signal = generator.standard_normal((300, GROUPS))
    return tuple(signal[:, units] + 0.5 * generator.standard_normal((300, len(units))) for units in (UNITS_A, UNITS_B))


@pytest.fixture
def conv1(reference: Path) -> xr.Dataset:
    """The published conv1 correlations as moments of one fold."""
    a, b, ab = (
        np.loadtxt(reference / f"conv1_{name}.csv", delimiter=",")[None]
        for name in ("within_net1", "within_net2", "between_net1_net2")
    )
    zero = np.zeros((1, 96))
    return xr.Dataset(
        {
            "n": ("fold", [1.0]),
            "mean_a": (("fold", "unit_a"), zero),
            "mean_b": (("fold", "unit_b"), zero),
            "comoment_a": (("fold", "unit_a", "unit_a_other"), a),
            "comoment_b": (("fold", "unit_b", "unit_b_other"), b),
            "comoment": (("fold", "unit_a", "unit_b"), ab),
        },
        {"unit_a": np.arange(96), "unit_b": np.arange(96)},
    )


def test_clustering__finds_planted_groups(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    found = cluster(pair(*planted))
    assert adjusted_rand_score(labels_of(found), np.concatenate([UNITS_A, UNITS_B])) == 1
    np.testing.assert_array_equal(found["size_a"], [3] * GROUPS)
    np.testing.assert_array_equal(found["size_b"], [2] * GROUPS)
    values = named(found["summary"])
    assert values["n_clusters"] == GROUPS
    assert values["share_clusters_with_both"] == values["stability"] == 1
    assert values["n_isolated_a"] == values["n_isolated_b"] == 0


def test_clustering__mean_correlations_agree_with_numpy(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    found = cluster(pair(*planted))
    r = np.corrcoef(np.hstack(planted), rowvar=False)
    group, net = np.concatenate([UNITS_A, UNITS_B]), np.repeat([0, 1], [12, 8])
    different = ~np.eye(20, dtype=bool)
    for k, label in enumerate(found["cluster"].values):
        (planted_group,) = set(UNITS_A[found["label_a"] == label])
        inside = group == planted_group
        for name, p, q in (("r_within_a", 0, 0), ("r_within_b", 1, 1), ("r_between", 0, 1)):
            chosen = np.outer(inside & (net == p), inside & (net == q)) & different
            assert float(found[name][k]) == pytest.approx(r[chosen].mean(), rel=1e-9)
    together = np.equal.outer(group, group) & different
    assert named(found["summary"])["mean_r_within_clusters"] == pytest.approx(r[together].mean(), rel=1e-9)


def test_clustering__permuted_labels_forget_the_groups(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    found = cluster(pair(*planted), repeats=10)
    null = named(found["summary_null"].sel(null_kind="permuted_labels"))
    r = np.corrcoef(np.hstack(planted), rowvar=False)
    assert null["mean_r_within_clusters"] == pytest.approx(r[~np.eye(20, dtype=bool)].mean(), abs=0.05)
    assert all(np.isnan(null[name]) for name in ("n_clusters", "n_isolated_a", "n_isolated_b"))  # no null of these


@pytest.mark.parametrize("seed", range(2))
def test_clustering__is_indifferent_to_the_order_of_units_and_nets(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    x, y = planted
    generator = np.random.default_rng(seed)
    p, q = generator.permutation(12), generator.permutation(8)
    straight = cluster(pair(x, y))
    permuted, exchanged = cluster(pair(x[:, p], y[:, q])), cluster(pair(y, x))
    reordered = np.concatenate([straight["label_a"][p], straight["label_b"][q]])
    assert adjusted_rand_score(labels_of(permuted), reordered) == 1
    swapped = np.concatenate([straight["label_b"], straight["label_a"]])
    assert adjusted_rand_score(labels_of(exchanged), swapped) == 1
    np.testing.assert_allclose(permuted["summary"], straight["summary"], rtol=1e-10)


def test_clustering__dead_and_isolated_units_have_no_label(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> None:
    x, y = planted
    alone, dead = generator.standard_normal((300, 1)), np.full((300, 1), 3.0)
    found = cluster(pair(np.hstack([dead, x, alone]), np.hstack([y, dead])))
    np.testing.assert_array_equal(found["label_a"] == -1, [True, *[False] * 12, True])
    np.testing.assert_array_equal(found["label_b"] == -1, [*[False] * 8, True])
    values = named(found["summary"])
    assert (values["n_isolated_a"], values["n_isolated_b"]) == (1, 0)
    assert values["n_clusters"] == GROUPS
    assert found["size_a"].sum() == 12
    assert found.sizes["leaf"] == 12 + 1 + 8


def test_clustering__of_identical_networks_of_independent_units(pair: Moments, generator: np.random.Generator) -> None:
    """As many components as units, more than clusters asked for: a unit and its copy stay together."""
    x = generator.standard_normal((500, 12))
    found = cluster(pair(x, x), threshold=0.5)
    assert (found["label_a"] >= 0).all()
    np.testing.assert_array_equal(found["label_a"], found["label_b"])
    assert named(found["summary"])["share_clusters_with_both"] == 1


@pytest.mark.parametrize(("alive_a", "alive_b"), [(0, 0), (1, 0), (0, 1)])
def test_clustering__with_a_dead_network(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray], alive_a: int, alive_b: int
) -> None:
    x, y = planted
    found = cluster(pair(x * alive_a, y * alive_b))
    assert (found["label_a"] >= 0).all() == alive_a
    assert (found["label_b"] >= 0).all() == alive_b
    values = named(found["summary"])
    if alive_a + alive_b:
        assert values["share_clusters_with_both"] == 0
    else:
        assert found.sizes["cluster"] == found.sizes["leaf"] == found.sizes["merge"] == 0
        assert np.isnan([values["share_clusters_with_both"], values["stability"]]).all()


@pytest.mark.parametrize("shared", [True, False])
def test_clustering__of_one_unit(pair: Moments, planted: tuple[np.ndarray, np.ndarray], shared: bool) -> None:
    x, y = planted
    found = cluster(pair(x[:, :1], y[:, [0 if shared else -1]]))
    assert labels_of(found).tolist() == ([0, 0] if shared else [-1, -1])
    assert named(found["summary"])["n_clusters"] == shared
    assert found["linkage"].shape == (1, 4)


def test_clustering__follows_the_generator(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*planted)
    xr.testing.assert_identical(cluster(moments), cluster(moments))


def test_clustering__published_conv1_matrices_are_balanced(conv1: xr.Dataset) -> None:
    found = cluster(conv1, units_per_cluster=192 / 40, repeats=2)
    assert found.sizes["cluster"] == 40
    both = (found["size_a"] > 0) & (found["size_b"] > 0)
    assert both.sum() >= 36
    assert named(found["summary"])["share_clusters_with_both"] == pytest.approx(both.mean().item())
    assert (found["size_a"] + found["size_b"]).max() <= 20  # the unnormalised Laplacian: one cluster of 80


def test_clustering__leaves_carry_the_labels_of_live_units(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = np.where(np.arange(12) == 0, 0, planted[0]), planted[1]
    weights = np.zeros((12, 8))
    weights[5, 3] = -0.9
    found = cluster(pair(x, y).assign_coords(unit_a=np.arange(12) + 100, unit_b=np.arange(8) + 200), weights)
    np.testing.assert_array_equal(found["leaf_net"], [0] * 11 + [1] * 8)
    np.testing.assert_array_equal(found["leaf_unit"], [*range(101, 112), *range(200, 208)])
    first = found["linkage"][0, :2].astype(int).values
    assert found["leaf_unit"][first].values.tolist() == [105, 203]
    assert sorted(found["leaf_order"].values) == list(range(19))


def test_joint_correlation__agrees_with_numpy(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    found = measure.joint_correlation(measure.folds.total(pair(*planted)))
    np.testing.assert_allclose(found, np.corrcoef(np.hstack(planted), rowvar=False), atol=1e-12)
    np.testing.assert_array_equal(np.diag(found), np.ones(20))


def test_affinities__by_hand() -> None:
    joint = np.array([[1.0, 0.2, 0.3, np.nan], [0.2, 1, -0.9, np.nan], [0.3, -0.9, 1, np.nan], [np.nan] * 4])
    found = measure.affinities(joint, 0.2)  # up to the threshold there is no edge
    np.testing.assert_array_equal(found, [[0, 0, 0.3, 0], [0, 0, 0, 0], [0.3, 0, 0, 0], [0, 0, 0, 0]])


def test_spectral__agrees_with_scikit_learn(planted: tuple[np.ndarray, np.ndarray]) -> None:
    affinity = np.abs(np.corrcoef(np.hstack(planted), rowvar=False))
    np.fill_diagonal(affinity, 0)
    found = measure.spectral(affinity, GROUPS, np.array([1, 2]))
    assert found.shape == (2, 20)
    other = SpectralClustering(GROUPS, affinity="precomputed", random_state=0).fit_predict(affinity)
    for labels in found:
        assert adjusted_rand_score(labels, other) == 1


def test_spectral__separates_by_the_normalised_laplacian() -> None:
    """A weak clique beside two strong ones that hang together: by size of edge the cut would go between those."""
    affinity = np.zeros((12, 12))
    affinity[:4, :4] = 0.01
    affinity[4:, 4:] = 0.5
    affinity[4:8, 4:8] = affinity[8:, 8:] = 1.0
    affinity[3, 4] = affinity[4, 3] = 0.001
    np.fill_diagonal(affinity, 0)
    (labels,) = measure.spectral(affinity, 2, np.array([0]))
    assert adjusted_rand_score(labels, np.repeat([0, 1], [4, 8])) == 1


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
