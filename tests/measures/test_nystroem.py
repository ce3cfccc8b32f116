"""Clusters by the Nyström method against the exact ones."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from convergent.measures import nystroem, spectral


def planted(generator: np.random.Generator, groups: int, members: int, noise: float) -> np.ndarray:
    """The graph of units that follow the signal of their group."""
    signal = np.repeat(generator.standard_normal((300, groups)), members, axis=1)
    return spectral.affinities(np.corrcoef(signal + noise * generator.standard_normal(signal.shape), rowvar=False), 0.2)


@pytest.mark.parametrize(("groups", "members", "noise"), [(8, 20, 0.5), (10, 16, 1.5)])
def test_normalised__agrees_with_the_exact_clusters(
    generator: np.random.Generator, groups: int, members: int, noise: float
) -> None:
    affinity, seeds = planted(generator, groups, members, noise), np.array([0, 1])
    expected = spectral.normalised(affinity, groups, seeds[:1])[0]
    assert adjusted_rand_score(expected, np.repeat(range(groups), members)) >= 0.95
    for labels in nystroem.normalised(affinity, groups, seeds, len(affinity) // 2):
        assert adjusted_rand_score(labels, expected) >= 0.95


def test_embedding__of_nearly_all_units_spans_the_exact_one(generator: np.random.Generator) -> None:
    affinity = planted(generator, 5, 8, 1.0)
    degree = np.sqrt(affinity.sum(axis=1))
    _, vectors = np.linalg.eigh(affinity / degree[:, None] / degree)
    rows = vectors[:, -5:] / np.linalg.norm(vectors[:, -5:], axis=1, keepdims=True)
    found = nystroem.embedding(affinity, 5, 0, 39)
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, atol=0.02)


def test_normalised__leaves_out_what_no_sampled_unit_reaches() -> None:
    """Pairs of units, of which a sample of half the units misses some altogether; of the others it takes both."""
    (labels,) = nystroem.normalised(np.kron(np.eye(30), [[0, 0.9], [0.9, 0]]), 30, np.array([0]), 30)
    pairs = labels.reshape(30, 2)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    found = pairs[pairs[:, 0] >= 0, 0]
    assert 15 <= len(found) < 30
    assert len(set(found)) == len(found)


def test_normalised__follows_the_seed(generator: np.random.Generator) -> None:
    affinity = planted(generator, 4, 10, 1.0)
    first, second, again = (nystroem.normalised(affinity, 4, np.array([seed]), 12) for seed in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert (nystroem.embedding(affinity, 4, 0, 12) != nystroem.embedding(affinity, 4, 1, 12)).any()
    assert first.shape == second.shape == (1, 40)
