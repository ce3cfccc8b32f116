"""Minimal matches against brute force over all subsets, the theorems of Wang et al. 2018 and planted blocks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching, shortest_path

from convergent.measures import removal
from convergent.measures.minimal_matches import minimal_matches
from convergent.measures.peeling import critical_epsilons, regressions
from convergent.measures.removal import Match
from convergent.measures.subspace_match import scaled

PROPERTY = settings(max_examples=40)
SEEDS, FEW = st.integers(0, 2**31), st.integers(1, 4)
RIDGE = 1e-6
Units = frozenset[int]


def maximum_match(gram: np.ndarray, size_a: int, epsilon: float) -> np.ndarray:
    """Which units are in the maximum ε-match; a dead one, NaN, is not."""
    return critical_epsilons(gram, size_a, RIDGE) <= epsilon


def networks(seed: int, size_a: int, size_b: int) -> np.ndarray:
    """Units of two networks as columns of length 1: linear maps of a few shared directions, with noise."""
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((12, 3))
    samples = shared @ generator.standard_normal((3, size_a + size_b))
    samples += generator.uniform(0, 1) * generator.standard_normal(samples.shape)
    return samples / np.linalg.norm(samples, axis=0)


def squared_distance(x: np.ndarray, others: np.ndarray) -> float:
    """min_c ‖x − S c‖² + λ‖c‖², as least squares on samples."""
    widened = np.vstack([others, np.sqrt(RIDGE) * np.eye(others.shape[1])])
    target = np.concatenate([x, np.zeros(others.shape[1])])
    residual = target - widened @ np.linalg.lstsq(widened, target)[0]
    return float(residual @ residual)


def brute_force(samples: np.ndarray, size_a: int, epsilon: float) -> list[Units]:
    """All matches that are not empty, by definition, from the distances of all units from all subsets."""
    a, b = range(size_a), range(size_a, samples.shape[1])

    def subsets(units: range) -> list[Units]:
        return [frozenset(s) for k in range(len(units) + 1) for s in itertools.combinations(units, k)]

    near: dict[Units, Units] = {}
    for own, other in ((a, b), (b, a)):
        for subset in subsets(other):
            near[subset | {-1 - own[0]}] = frozenset(
                u for u in own if squared_distance(samples[:, u], samples[:, sorted(subset)]) <= epsilon**2 + 2 * RIDGE
            )
    return [
        x | y
        for x, y in itertools.product(subsets(a), subsets(b))
        if x | y and x <= near[y | {-1}] and y <= near[x | {-1 - size_a}]
    ]


def minimal(matches: list[Units], unit: int) -> set[Units]:
    holding = [match for match in matches if unit in match]
    return {match for match in holding if not any(other < match for other in holding)}


def simple(matches: list[Units]) -> set[Units]:
    """Those that are not the union of strictly smaller ones."""
    return {match for match in matches if frozenset().union(*(m for m in matches if m < match)) != match}


def minimum_matches(gram: np.ndarray, size_a: int) -> np.ndarray:
    """The least match [unit, member] of every unit in the exact case: independent units on both sides, of one space.

    There Y = T X, intersections of matches are matches, and the least match of v is all that v reaches along the
    support of T and back along any perfect matching in it.
    """
    a, b = slice(0, size_a), slice(size_a, None)
    transform = np.linalg.solve(gram[a, a], gram[a, b]).T
    np.testing.assert_allclose(gram[b, b], transform @ gram[a, b], atol=1e-6)
    support = np.abs(transform) > 1e-6
    partner = maximum_bipartite_matching(csr_array(support), perm_type="row")  # of each unit of A
    assert (partner >= 0).all()
    edges = np.zeros(gram.shape, dtype=bool)
    edges[b, a] = support
    edges[np.arange(size_a), size_a + partner] = True
    return np.isfinite(shortest_path(csr_array(edges), unweighted=True))


def searched(samples: np.ndarray, size_a: int, epsilon: float, member: np.ndarray) -> Match:
    kept = samples[:, member]
    size = int(member[:size_a].sum())
    return Match(*regressions(kept.T @ kept, size, RIDGE), size, epsilon**2 + 2 * RIDGE)


def listed(samples: np.ndarray, size_a: int, epsilon: float) -> dict[int, set[Units]]:
    """All minimal matches of all units, as the code finds them."""
    member = maximum_match(samples.T @ samples, size_a, epsilon)
    match, units = searched(samples, size_a, epsilon, member), np.flatnonzero(member)
    found = {}
    for target, unit in enumerate(units):
        matches, capped = removal.all_minimal_matches(match, target, [], 1000, np.random.default_rng(0))
        assert not capped
        found[int(unit)] = {frozenset(units[members].tolist()) for members in matches}
        assert len(found[int(unit)]) == len(matches)
    return found


@PROPERTY
@given(SEEDS, FEW, FEW, st.floats(0.05, 0.95))
def test_all_minimal_matches__agree_with_brute_force(seed: int, size_a: int, size_b: int, epsilon: float) -> None:
    samples = networks(seed, size_a, size_b)
    matches = brute_force(samples, size_a, epsilon)
    maximum = frozenset().union(*matches)
    assert frozenset(np.flatnonzero(maximum_match(samples.T @ samples, size_a, epsilon)).tolist()) == maximum
    found = listed(samples, size_a, epsilon)
    assert found == {unit: minimal(matches, unit) for unit in maximum}
    # Lemma 2: the union of matches is one.
    assert {p | q for p in matches for q in matches} <= set(matches)
    # Theorem 10: simple matches are the minimal ones of some unit.
    of_some = set().union(*found.values())
    assert of_some == simple(matches)
    # Theorem 5: every match is a union of simple ones.
    for match in matches:
        assert frozenset().union(*(part for part in of_some if part <= match)) == match


@PROPERTY
@given(SEEDS, FEW, FEW, st.floats(0.2, 0.95))
def test_minimal_match__is_minimal_and_avoids_what_it_must(seed: int, size_a: int, size_b: int, epsilon: float) -> None:
    samples, generator = networks(seed, size_a, size_b), np.random.default_rng(seed)
    matches = brute_force(samples, size_a, epsilon)
    member = maximum_match(samples.T @ samples, size_a, epsilon)
    match, units = searched(samples, size_a, epsilon, member), np.flatnonzero(member)
    for target in range(len(units)):
        others = np.delete(np.arange(len(units)), target)
        avoided = generator.choice(others, generator.integers(len(units)), replace=False)
        members = removal.minimal_match(match, target, generator.permutation(len(units)), avoided)
        found = frozenset(units[members].tolist())
        rest = [other for other in matches if not other & set(units[avoided].tolist())]
        assert found in minimal(rest, int(units[target])) or (not found and not minimal(rest, int(units[target])))


@PROPERTY
@given(SEEDS, FEW, FEW, st.floats(0.2, 0.95))
def test_minimal_matches__tell_sizes_and_the_smallest(seed: int, size_a: int, size_b: int, epsilon: float) -> None:
    samples = networks(seed, size_a, size_b)
    matches = brute_force(samples, size_a, epsilon)
    units = sorted(frozenset().union(*matches))
    kept = samples[:, units]
    found = minimal_matches(
        kept.T @ kept,
        int((np.array(units) < size_a).sum()),
        np.array(units, dtype=int),
        epsilon=epsilon,
        ridge=RIDGE,
        starts=9,
        orders=2,
        enumerated=1000,
        generator=np.random.default_rng(seed),
    )
    assert sorted(found["minimal_unit"].values.tolist()) == units
    np.testing.assert_array_equal(found["minimal_net"], found["minimal_unit"] >= size_a)
    for start in range(len(units)):
        one = found.isel(start=start)
        expected = minimal(matches, one["minimal_unit"].item())
        assert set(one["minimal_size"].values.tolist()) <= {len(match) for match in expected}
        assert one["minimal_count"].item() == len(expected)
        assert frozenset(np.array(units)[one["minimal_member"].values].tolist()) in expected
        assert one["minimal_member"].sum() == min(len(match) for match in expected)


@pytest.mark.parametrize("epsilon", [0.6, 0.8])
def test_minimal_match__of_a_wide_layer_is_a_match_and_loses_its_unit_with_any_other(epsilon: float) -> None:
    """More than `PENDING` units leave one by one, and each deletion is downdated."""
    generator = np.random.default_rng(1)
    samples = generator.standard_normal((200, 30)) @ generator.standard_normal((30, 160))
    samples += 2 * generator.standard_normal(samples.shape)
    samples = np.maximum(samples, 0)
    samples /= np.linalg.norm(samples, axis=0)
    gram = samples.T @ samples
    member = maximum_match(gram, 80, epsilon)
    assert member.sum() > 2 * removal.PENDING
    match, units = searched(samples, 80, epsilon, member), np.flatnonzero(member)
    target = 3
    members = units[removal.minimal_match(match, target, generator.permutation(len(units)))]

    def of_rest(kept: np.ndarray) -> np.ndarray:
        return kept[maximum_match(gram[np.ix_(kept, kept)], int((kept < 80).sum()), epsilon)]

    np.testing.assert_array_equal(of_rest(members), members)
    for other in members[members != units[target]]:
        assert units[target] not in of_rest(members[members != other])


def block_mixing(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, int, np.ndarray]:
    """Orthogonal units, and mixtures of those of one block each, in any order: Gram matrix, size of A, block."""
    generator = np.random.default_rng(seed)
    size = sum(sizes)
    mixing, block = np.zeros((size, size)), np.repeat(np.arange(len(sizes)), sizes)
    for k, length in enumerate(sizes):
        u, _, v = np.linalg.svd(generator.standard_normal((length, length)))
        mixing[np.ix_(block == k, block == k)] = u @ np.diag(np.linspace(1, 3, length)) @ v
    order = generator.permutation(size)
    joint = np.hstack([np.eye(size), mixing[:, order]])
    gram = scaled(joint.T @ joint, np.ones(2 * size, dtype=bool))
    return gram, size, np.concatenate([block, block[order]])


def test_minimal_matches__of_a_block_mixing_are_its_blocks() -> None:
    gram, size, block = block_mixing([1, 2, 3, 5, 7, 22])
    assert maximum_match(gram, size, 0.05).all()
    found = minimal_matches(
        gram,
        size,
        np.arange(2 * size) % size,
        epsilon=0.05,
        ridge=RIDGE,
        starts=100,
        orders=2,
        enumerated=20,
        generator=np.random.default_rng(0),
    )
    target = found["minimal_unit"].values + size * found["minimal_net"].values
    assert sorted(target) == list(range(2 * size))
    np.testing.assert_array_equal(found["minimal_member"], block[target][:, None] == block)
    np.testing.assert_array_equal(found["minimal_size"][:, 1], (block[target][:, None] == block).sum(axis=1))
    np.testing.assert_array_equal(found["minimal_count"], 1)
    assert not found["minimal_capped"].any()
    np.testing.assert_array_equal(minimum_matches(gram, size), block[:, None] == block)


@PROPERTY
@given(SEEDS, FEW)
def test_minimum_matches__in_the_exact_case_agree_with_brute_force(seed: int, size: int) -> None:
    """Lemma 6: intersections of matches are matches; theorem 8: simple matches are the least ones of some unit."""
    generator = np.random.default_rng(seed)
    sparse = generator.uniform(0.5, 1.5, (size, size)) * (generator.random((size, size)) < 0.3)
    transform = (np.triu(sparse, 1) + np.diag(generator.uniform(1, 2, size)))[generator.permutation(size)]
    a = np.linalg.qr(generator.standard_normal((10, size)))[0]
    samples = np.hstack([a, a @ transform.T])
    samples /= np.linalg.norm(samples, axis=0)
    matches = brute_force(samples, size, 0.01)
    assert {p & q for p in matches for q in matches if p & q} <= set(matches)
    least = [frozenset(np.flatnonzero(row).tolist()) for row in minimum_matches(samples.T @ samples, size)]
    assert least == [frozenset.intersection(*(m for m in matches if unit in m)) for unit in range(2 * size)]
    assert set(least) == simple(matches)
    assert listed(samples, size, 0.01) == {unit: {members} for unit, members in enumerate(least)}


def copies(count: int) -> np.ndarray:
    """The Gram matrix of `count` copies of one unit in each network: any two of both are a minimal match."""
    return np.ones((2 * count, 2 * count))


def test_all_minimal_matches__says_when_there_may_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    match = Match(*regressions(copies(6), 6, RIDGE), 6, 0.1)

    def search(most: int) -> tuple[int, bool]:
        matches, capped = removal.all_minimal_matches(match, 0, [], most, np.random.default_rng(0))
        assert all(members[0] and members.sum() == 2 for members in matches)
        return len(matches), capped

    assert search(20) == (6, False)
    assert search(4) == (4, True)
    monkeypatch.setattr(removal, "NODES", 3)
    assert search(20) == (3, True)


@pytest.mark.parametrize(("narrow", "searches"), [(12, 5), (24, 5), (6, 0), (10, 2)])
def test_all_minimal_matches__searches_less_in_wider_matches(
    monkeypatch: pytest.MonkeyPatch, narrow: int, searches: int
) -> None:
    """12 units; a search takes the cube of their number."""
    monkeypatch.setattr(removal, "NODES", 5)
    monkeypatch.setattr(removal, "NARROW", narrow)
    match = Match(*regressions(copies(6), 6, RIDGE), 6, 0.1)
    matches, capped = removal.all_minimal_matches(match, 0, [], 20, np.random.default_rng(0))
    assert (len(matches), capped) == (searches, True)


def test_all_minimal_matches__reuse_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    match = Match(*regressions(copies(6), 6, RIDGE), 6, 0.1)
    known = [np.isin(np.arange(12), [0, partner]) for partner in range(6, 12)]
    searches = []
    search = removal.minimal_match
    monkeypatch.setattr(removal, "minimal_match", lambda *arguments: searches.append(1) or search(*arguments))
    matches, capped = removal.all_minimal_matches(match, 0, known * 2, 20, np.random.default_rng(0))
    assert (len(matches), capped, len(searches)) == (6, False, 1)  # the last finds that there is no other


def test_minimal_matches__of_an_empty_match_are_none() -> None:
    found = minimal_matches(
        np.zeros((0, 0)),
        0,
        np.zeros(0, dtype=int),
        epsilon=0.5,
        ridge=RIDGE,
        starts=4,
        orders=2,
        enumerated=0,
        generator=np.random.default_rng(0),
    )
    assert found["minimal_size"].shape == (0, 2)
    assert "minimal_count" not in found


def test_minimal_match__at_distance_one_is_the_unit_alone() -> None:
    match = Match(*regressions(np.eye(3), 2, RIDGE), 2, 1 + 2 * RIDGE)
    for target in range(3):
        np.testing.assert_array_equal(removal.minimal_match(match, target, np.arange(3)), np.arange(3) == target)
        assert len(removal.all_minimal_matches(match, target, [], 20, np.random.default_rng(0))[0]) == 1


@pytest.mark.parametrize("size_a", [0, 1, 3, 5])
def test_regressions__are_ridge_least_squares(size_a: int) -> None:
    samples = networks(5, size_a, 5 - size_a)
    _, squared = regressions(samples.T @ samples, size_a, RIDGE)
    other = np.arange(5) < size_a
    expected = [squared_distance(samples[:, u], samples[:, other != other[u]]) for u in range(5)]
    np.testing.assert_allclose(squared, expected, rtol=1e-9)


def test_regressions__refuse_what_is_no_gram_matrix() -> None:
    with pytest.raises(ArithmeticError, match="eigenvalue below"):
        regressions(np.array([[1, 1.1, 0], [1.1, 1, 0], [0, 0, 1]]), 2, RIDGE)
