"""Clusters of units against planted groups, NumPy and the published conv1 matrices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from convergent.errors import InputError
from convergent.measures import cluster_subspaces, nystroem
from convergent.measures import clustering as measure
from convergent.measures.clustering import STATISTICS, clustering

Moments = Callable[..., xr.Dataset]
GROUPS = 4
UNITS_A, UNITS_B = np.repeat(range(GROUPS), 3), np.repeat(range(GROUPS), 2)  # the planted group of each unit
SETTINGS = {"threshold": 0.2, "units_per_cluster": 5, "repeats": 2}


def cluster(moments: xr.Dataset, seed: int = 0, **settings: Any) -> xr.Dataset:
    """Clusters, with LASSO weights of no importance."""
    a, b = moments["unit_a"].values, moments["unit_b"].values
    coefficient = xr.DataArray(np.zeros((len(b), len(a))), {"unit_b": b, "unit_a": a}, ("unit_b", "unit_a"))
    return clustering(moments, coefficient, **(SETTINGS | settings), generator=np.random.default_rng(seed))


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def labels_of(found: xr.Dataset) -> np.ndarray:
    return np.concatenate([found["label_a"], found["label_b"]])


@pytest.fixture
def planted(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Units that follow the signal of their group: 3 of A and 2 of B in each of 4."""
    signal = generator.standard_normal((300, GROUPS))
    return tuple(signal[:, units] + 0.5 * generator.standard_normal((300, len(units))) for units in (UNITS_A, UNITS_B))


@pytest.fixture
def conv1(reference: Path) -> xr.Dataset:
    """The published conv1 correlations as moments of two equal folds."""
    a, b, ab = (
        np.loadtxt(reference / f"conv1_{name}.csv", delimiter=",")[None].repeat(2, axis=0)
        for name in ("within_net1", "within_net2", "between_net1_net2")
    )
    zero = np.zeros((2, 96))
    return xr.Dataset(
        {
            "n": ("fold", [1.0, 1.0]),
            "mean_a": (("fold", "unit_a"), zero),
            "mean_b": (("fold", "unit_b"), zero),
            "comoment_a": (("fold", "unit_a", "unit_a_other"), a),
            "comoment_b": (("fold", "unit_b", "unit_b_other"), b),
            "comoment": (("fold", "unit_a", "unit_b"), ab),
            "comoment_permuted": (("replicate", "fold", "unit_a", "unit_b"), np.zeros((1, *ab.shape))),
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


def test_clustering__permuted_images_owe_as_much_to_chance_as_noise(pair: Moments) -> None:
    """Clusters are found on the images that they are scored on: noise is above permuted labels, not above this."""
    excess, r2 = [], {"statistic": "mean_r2_clusters"}
    for seed in range(6):
        generator = np.random.default_rng(seed)
        found = cluster(pair(*generator.standard_normal((2, 120, 20))), threshold=0.0)
        excess.append(float(found["summary"].sel(r2) - found["summary_null"].sel(r2 | {"null_kind": "permuted"})))
    assert abs(np.mean(excess)) < 3 * np.std(excess, ddof=1) / np.sqrt(len(excess)) + 1e-3


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


def test_joint_correlation__agrees_with_numpy(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    found = measure.joint_correlation(measure.folds.total(pair(*planted)))
    np.testing.assert_allclose(found, np.corrcoef(np.hstack(planted), rowvar=False), atol=1e-12)
    np.testing.assert_array_equal(np.diag(found), np.ones(20))


def test_clustering__says_what_a_cluster_knows_of_its_units(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    """Held-out R² by least squares on raw activations, from all units of the other net in the cluster and the best."""
    found = cluster(pair(*planted))
    fold, sides = np.arange(300) // 60, dict(zip("ab", planted, strict=True))
    r = np.corrcoef(np.hstack(planted), rowvar=False)[:12, 12:]
    of_unit: dict[str, list[float]] = {"r2": [], "best_r2": []}
    for side, other, matrix in (("a", "b", r), ("b", "a", r.T)):
        label, of_other = found[f"label_{side}"].values, found[f"label_{other}"].values
        y, x = sides[side], sides[other]
        r2: dict[str, list[float]] = {"r2": [], "best_r2": []}
        for unit, one in enumerate(label):
            inside = np.flatnonzero(of_other == one)
            error, total = np.zeros(2), 0.0
            for k in range(5):
                known, out = fold != k, fold == k
                best = inside[np.abs(np.corrcoef(x[known][:, inside], y[known, unit], rowvar=False)[-1, :-1]).argmax()]
                for i, predictors in enumerate((inside, [best])):
                    design = np.column_stack([np.ones(300), x[:, predictors]])
                    w = np.linalg.lstsq(design[known], y[known, unit], rcond=None)[0]
                    error[i] += ((y[out, unit] - design[out] @ w) ** 2).sum()
                total += ((y[out, unit] - y[known, unit].mean()) ** 2).sum()
            for name, value in zip(r2, 1 - error / total, strict=True):
                r2[name].append(value)
        for name, values in r2.items():
            expected = [np.array(values)[label == c].mean() for c in found["cluster"].values]
            np.testing.assert_allclose(found[f"{name}_{side}_from_{other}"], expected, rtol=1e-9)
            of_unit[name] += values
        best_r = [matrix[label == c][:, of_other == c].max(axis=1).mean() for c in found["cluster"].values]
        np.testing.assert_allclose(found[f"best_r_{side}"], best_r, rtol=1e-9)
    values = named(found["summary"])
    assert values["mean_r2_clusters"] == pytest.approx(np.mean(of_unit["r2"]), rel=1e-9)
    assert values["mean_best_r2_clusters"] == pytest.approx(np.mean(of_unit["best_r2"]), rel=1e-9)
    errors = named(found["summary_standard_error"])
    assert 0 < errors["mean_r2_clusters"] < 0.05
    assert np.isnan(errors["share_clusters_with_both"])


def test_clustering__finds_a_shared_subspace_without_a_shared_basis(
    pair: Moments, generator: np.random.Generator
) -> None:
    """Four clusters of four units: those of B are reflections of A's, so that together they say all, and each less."""
    common = np.repeat(generator.standard_normal((400, 4)), 4, axis=1)
    x = common + generator.standard_normal((400, 16))
    axis = np.array([1, 1, -1, -1]) / 2
    reflection = np.eye(4) - 2 * np.outer(axis, axis)  # what the units of a cluster share stays as it is
    found = cluster(pair(x, x @ np.kron(np.eye(4), reflection)), units_per_cluster=8)
    assert found.sizes["cluster"] == 4
    np.testing.assert_array_equal(found["size_a"], [4] * 4)
    np.testing.assert_array_equal(found["size_b"], [4] * 4)
    values = named(found["summary"])
    assert values["mean_r2_clusters"] == pytest.approx(1)
    assert values["mean_best_r2_clusters"] == pytest.approx(0.75**2, abs=0.05)
    null = named(found["summary_null"].sel(null_kind="permuted_labels"))
    assert null["mean_r2_clusters"] < values["mean_r2_clusters"] - 0.2


def test_clustering__null_is_of_permuted_labels(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*planted)
    found = cluster(moments, repeats=3)
    generator = np.random.default_rng(0)
    generator.integers(2**31, size=3)  # the k-means seeds
    means = []
    for repeat in range(3):
        label = generator.permutation(labels_of(found))
        (groups,) = cluster_subspaces.groups(moments, [(label[:12], label[12:])])
        errors = cluster_subspaces.errors(groups, 20, 5)
        means.append(cluster_subspaces.mean_r2(*errors))
        for kind, r2 in zip(("r2", "best_r2"), cluster_subspaces.r2(*errors), strict=True):
            for name, of_side, of_label in (("a_from_b", r2[:12], label[:12]), ("b_from_a", r2[12:], label[12:])):
                inside = [of_side[of_label == c] for c in found["cluster"].values]
                expected = [one.mean() if len(one) else np.nan for one in inside]
                np.testing.assert_allclose(found[f"{kind}_{name}_permuted_labels"][repeat], expected, rtol=1e-9)
    null = named(found["summary_null"].sel(null_kind="permuted_labels"))
    expected = dict(zip(("mean_r2_clusters", "mean_best_r2_clusters"), np.mean(means, axis=0), strict=True))
    assert {name: null[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert null["mean_r2_clusters"] < named(found["summary"])["mean_r2_clusters"] - 0.2


def test_clustering__of_the_published_conv1_in_their_variant(conv1: xr.Dataset) -> None:
    found = cluster(conv1, units_per_cluster=192 / 40, variant="li2016")
    assert found.attrs == {"variant": "li2016", "method": "exact"}
    assert found.sizes["cluster"] > 40
    both = (found["size_a"] > 0) & (found["size_b"] > 0)
    assert named(found["summary"])["share_clusters_with_both"] == both.mean() < 0.5


def test_clustering__of_wide_layers_is_approximated(pair: Moments, planted: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*planted)
    exact = cluster(moments)
    found = cluster(moments, widest_exact=12, approximate=nystroem.normalised)
    assert (exact.attrs["method"], found.attrs["method"]) == ("exact", "nystroem")
    assert adjusted_rand_score(labels_of(found), labels_of(exact)) == 1
    asked = []

    def approximate(graph: np.ndarray, *given: Any) -> np.ndarray:
        asked.append(given)
        return np.zeros((len(given[1]), len(graph)), int)

    cluster(moments, widest_exact=19, approximate=approximate)
    k, seeds, sampled = asked[0]
    assert (k, len(seeds), sampled) == (GROUPS, 2, 19)
    assert cluster(moments, widest_exact=20).attrs["method"] == "exact"
    far = np.where(np.arange(20) < 15, 0, -1)
    some = cluster(moments, widest_exact=19, approximate=lambda graph, k, seeds, sampled: np.tile(far, (len(seeds), 1)))
    assert some.attrs["method"] == "nystroem"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"widest_exact": 19},
            r"20 units are to be clustered, more than widest_exact = 19; .*approximate=nystroem.normalised",
        ),
        ({"widest_exact": 19, "variant": "li2016"}, "the variant li2016 cannot be approximated"),
        ({"widest_exact": 9, "units_per_cluster": 2}, "into 10 clusters, more than can be sampled"),
    ],
)
def test_clustering__refuses_what_it_cannot_approximate(
    pair: Moments, planted: tuple[np.ndarray, np.ndarray], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        cluster(pair(*planted), **settings)
