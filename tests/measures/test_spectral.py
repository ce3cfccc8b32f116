"""Spectral clusters against scikit-learn, planted graphs and the published conv1 matrices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from convergent.measures import spectral as measure

GROUPS = 4


@pytest.fixture
def planted(generator: np.random.Generator) -> np.ndarray:
    """|r| of units that follow the signal of their group, 5 in each of 4; diagonal 0."""
    x = np.repeat(generator.standard_normal((300, GROUPS)), 5, axis=1) + 0.5 * generator.standard_normal((300, 20))
    affinity = np.abs(np.corrcoef(x, rowvar=False))
    np.fill_diagonal(affinity, 0)
    return affinity


@pytest.mark.parametrize("variant", [measure.normalised, measure.li2016])
def test_variants__on_tensors_find_the_same_clusters(planted: np.ndarray, variant: Callable) -> None:
    seeds = np.array([0, 1])
    host = variant(planted, GROUPS, seeds)
    tensors = variant(planted, GROUPS, seeds, torch.asarray)
    assert [adjusted_rand_score(*pair) for pair in zip(host, tensors, strict=True)] == [1, 1]


@pytest.fixture
def conv1(reference: Path) -> tuple[np.ndarray, np.ndarray]:
    """The graph of the published conv1 units, and the net of each."""
    a, b, ab = (
        np.loadtxt(reference / f"conv1_{name}.csv", delimiter=",")
        for name in ("within_net1", "within_net2", "between_net1_net2")
    )
    affinity = measure.affinities(np.block([[a, ab], [ab.T, b]]), 0.2)
    connected = affinity.any(axis=1)
    return affinity[np.ix_(connected, connected)], np.repeat([0, 1], 96)[connected]


def test_affinities__by_hand() -> None:
    joint = np.array([[1.0, 0.2, 0.3, np.nan], [0.2, 1, -0.9, np.nan], [0.3, -0.9, 1, np.nan], [np.nan] * 4])
    found = measure.affinities(joint, 0.2)  # up to the threshold there is no edge
    np.testing.assert_array_equal(found, [[0, 0, 0.3, 0], [0, 0, 0, 0], [0.3, 0, 0, 0], [0, 0, 0, 0]])


def test_normalised__agrees_with_scikit_learn(planted: np.ndarray) -> None:
    found = measure.normalised(planted, GROUPS, np.array([1, 2]))
    assert found.shape == (2, 20)
    other = SpectralClustering(GROUPS, affinity="precomputed", random_state=0).fit_predict(planted)
    for labels in found:
        assert adjusted_rand_score(labels, other) == 1


def test_normalised__separates_by_the_normalised_laplacian() -> None:
    """A weak clique beside two strong ones that hang together: by size of edge the cut would go between those."""
    affinity = np.zeros((12, 12))
    affinity[:4, :4] = 0.01
    affinity[4:, 4:] = 0.5
    affinity[4:8, 4:8] = affinity[8:, 8:] = 1.0
    affinity[3, 4] = affinity[4, 3] = 0.001
    np.fill_diagonal(affinity, 0)
    (labels,) = measure.normalised(affinity, 2, np.array([0]))
    assert adjusted_rand_score(labels, np.repeat([0, 1], [4, 8])) == 1


def test_unnormalised__takes_the_vectors_of_the_plain_laplacian(planted: np.ndarray) -> None:
    """Its rows are the smallest eigenvectors of D − W, so that components of the graph are its first clusters."""
    planted[:10, 10:] = planted[10:, :10] = 0
    (labels,) = measure.unnormalised(planted, 2, np.array([0]))
    assert adjusted_rand_score(labels, np.repeat([0, 1], 10)) == 1
    (labels,) = measure.unnormalised(planted, GROUPS, np.array([0]))
    assert adjusted_rand_score(labels, np.repeat(range(GROUPS), 5)) == 1


def test_li2016__of_balanced_groups_splits_none(planted: np.ndarray) -> None:
    (labels,) = measure.li2016(planted, GROUPS, np.array([0]))
    assert adjusted_rand_score(labels, np.repeat(range(GROUPS), 5)) == 1


def test_li2016__splits_a_cluster_above_the_limit_by_its_own_graph() -> None:
    """A graph of 12 pairs and a clique of 36 that is a ring of four parts: above 2·.025·60 and 2·60/13 units."""
    affinity = np.zeros((60, 60))
    for pair in range(12):
        affinity[2 * pair, 2 * pair + 1] = 1
    for part in range(4):
        inside = slice(24 + 9 * part, 33 + 9 * part)
        affinity[inside, inside] = 1
    for part in range(3):
        affinity[32 + 9 * part, 33 + 9 * part] = 0.1
    affinity = np.maximum(affinity, affinity.T)
    np.fill_diagonal(affinity, 0)
    placed = []

    def array(matrix: np.ndarray) -> torch.Tensor:
        placed.append(len(matrix))
        return torch.asarray(matrix)

    (before,), (after,) = (f(affinity, 13, np.array([0]), array) for f in (measure.unnormalised, measure.li2016))
    assert placed == [60, 60, 36]
    assert np.sort(np.bincount(before)).tolist() == [2] * 12 + [36]
    # ceil(36 / (2·60/13)) = 4
    assert adjusted_rand_score(after, np.concatenate([np.repeat(range(12), 2), 12 + np.repeat(range(4), 9)])) == 1
    assert sorted(set(after)) == list(range(16))


def test_li2016__degenerates_on_the_published_conv1_matrices(conv1: tuple[np.ndarray, np.ndarray]) -> None:
    """One large cluster and many units alone, which the split again hardly cures; the normalised one is balanced."""
    affinity, net = conv1
    (degenerate,), (split,), (balanced,) = (
        f(affinity, 40, np.array([0])) for f in (measure.unnormalised, measure.li2016, measure.normalised)
    )
    size = np.bincount(degenerate)
    assert len(size) == 40
    assert size.max() >= 80
    assert (size == 1).sum() >= 25
    again = np.bincount(split)
    assert len(again) > 40
    assert again.max() < size.max()
    both = [set(net[balanced == cluster]) == {0, 1} for cluster in range(40)]
    assert sum(both) >= 36
    assert np.bincount(balanced).max() <= 20
