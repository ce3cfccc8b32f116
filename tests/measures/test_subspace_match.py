"""Subspace match against its definition, planted subspaces and the properties of maximum matches."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import folds
from convergent.errors import InputError
from convergent.measures import peeling
from convergent.measures import subspace_match as measure
from convergent.measures.peeling import checked_epsilons, critical_epsilons, peel, regressions
from convergent.measures.subspace_match import scaled, subspace_match, unit_gram

PROPERTY = settings(max_examples=25)
SEEDS = st.integers(0, 2**31)
RIDGE = 1e-6
K = 5
PairOf = Callable[..., xr.Dataset]


def gram_of(*networks: np.ndarray) -> np.ndarray:
    """Of the units of two networks, the columns of their samples."""
    joint = np.hstack(networks)
    return scaled(joint.T @ joint, joint.any(axis=0))


def maximum_match(gram: np.ndarray, size_a: int, epsilon: float) -> np.ndarray:
    """Which units are in the maximum ε-match; a dead one, NaN, is not."""
    return critical_epsilons(gram, size_a, RIDGE) <= epsilon


def networks(seed: int, size_a: int = 6, size_b: int = 5, samples: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rectified units of two networks that see the same few things, some more clearly than others."""
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((samples, 4))
    a, b = (
        shared @ generator.standard_normal((4, size)) + generator.uniform(0, 1, size) * noise
        for size, noise in ((size, generator.standard_normal((samples, size))) for size in (size_a, size_b))
    )
    return np.maximum(a, 0), np.maximum(b, 0)


def defined(a: np.ndarray, b: np.ndarray, epsilon: float, generator: np.random.Generator) -> np.ndarray:
    """The maximum match by definition: units too far from the other side leave, in any order, until none is."""
    size_a = a.shape[1]
    joint = np.hstack([a, b]) / np.linalg.norm(np.hstack([a, b]), axis=0)
    member = np.ones(joint.shape[1], dtype=bool)
    while True:
        far = []
        for unit in np.flatnonzero(member):
            others = np.flatnonzero(member & ((np.arange(len(member)) < size_a) != (unit < size_a)))
            widened = np.vstack([joint[:, others], np.sqrt(RIDGE) * np.eye(len(others))])
            target = np.concatenate([joint[:, unit], np.zeros(len(others))])
            residual = target - widened @ np.linalg.lstsq(widened, target)[0]
            if residual @ residual > epsilon**2 + 2 * RIDGE:
                far.append(unit)
        if not far:
            return member
        member[generator.choice(far)] = False


def summary_of(result: xr.Dataset, variable: str = "summary", **kind: str) -> dict[str, float]:
    values = result[variable].sel(**kind)
    return dict(zip(map(str, values["statistic"].values), values.values.tolist(), strict=True))


@PROPERTY
@given(SEEDS, st.floats(0.05, 0.99))
def test_maximum_match__agrees_with_its_definition_in_any_order_of_leaving(seed: int, epsilon: float) -> None:
    a, b = networks(seed)
    found = maximum_match(gram_of(a, b), a.shape[1], epsilon)
    for order in range(2):
        np.testing.assert_array_equal(found, defined(a, b, epsilon, np.random.default_rng(order)))


@pytest.mark.parametrize(("sizes", "rank"), [((5, 7), 3), ((150, 90), 40), ((0, 3), 2)])
def test_peel__agrees_with_new_regressions_at_every_step(sizes: tuple[int, int], rank: int) -> None:
    generator = np.random.default_rng(0)
    joint = np.maximum(generator.standard_normal((300, rank)) @ generator.standard_normal((rank, sum(sizes))), 0)
    gram = gram_of(joint)
    order, farthest = peel(gram, sizes[0], RIDGE)
    assert sorted(order) == list(range(sum(sizes)))
    for step in range(len(order)):
        rest = np.sort(order[step:])
        _, squared = regressions(gram[np.ix_(rest, rest)], int((rest < sizes[0]).sum()), RIDGE)
        assert farthest[step] == pytest.approx(squared.max(), rel=1e-9)
        assert squared[rest == order[step]] == pytest.approx(squared.max(), rel=1e-9)


@pytest.mark.parametrize("ridge", [measure.SMALLEST_RIDGE, *measure.RIDGES])
def test_checked_epsilons__round_less_than_the_bound_where_units_are_collinear(ridge: float) -> None:
    generator = np.random.default_rng(0)
    joint = generator.standard_normal((300, 20)) @ generator.standard_normal((20, 128))
    _, error = checked_epsilons(gram_of(joint), 64, ridge)
    assert 0 < error < 1e-15 / ridge


def test_checked_epsilons__tell_a_wrong_downdate(monkeypatch: pytest.MonkeyPatch) -> None:
    gram = gram_of(*networks(0))
    monkeypatch.setattr(peeling, "peel", lambda *given: (peel(*given)[0], peel(*given)[1] + 0.25))
    assert checked_epsilons(gram, 6, RIDGE)[1] == pytest.approx(0.25)


@PROPERTY
@given(SEEDS)
def test_critical_epsilons__are_invariant(seed: int) -> None:
    """To the order of units, their scale and sign, the networks exchanged, and any rotation of the samples."""
    a, b = networks(seed)
    generator = np.random.default_rng(seed)
    expected = critical_epsilons(gram_of(a, b), 6)
    tolerance = {"rtol": 1e-8, "atol": 1e-10}
    order_a, order_b = generator.permutation(6), generator.permutation(5)
    permuted = critical_epsilons(gram_of(a[:, order_a], b[:, order_b]), 6)
    np.testing.assert_allclose(permuted, expected[np.concatenate([order_a, 6 + order_b])], **tolerance)
    scale = generator.choice([-1, 1], 11) * np.exp(generator.uniform(-9, 9, 11))
    np.testing.assert_allclose(critical_epsilons(gram_of(a * scale[:6], b * scale[6:]), 6), expected, **tolerance)
    np.testing.assert_allclose(np.roll(critical_epsilons(gram_of(b, a), 5), 6), expected, **tolerance)
    rotation = np.linalg.qr(generator.standard_normal((60, 60)))[0]
    np.testing.assert_allclose(critical_epsilons(gram_of(rotation @ a, rotation @ b), 6), expected, **tolerance)
    # Monotone: a larger distance keeps every unit.
    assert not (maximum_match(gram_of(a, b), 6, 0.4) & ~maximum_match(gram_of(a, b), 6, 0.6)).any()


@pytest.mark.parametrize("samples", [4, 60])
def test_critical_epsilons__of_identical_networks_are_zero(samples: int) -> None:
    a, _ = networks(0, samples=samples)
    a = np.hstack([a, a[:, :2]])
    critical = critical_epsilons(gram_of(a, a), 8)
    np.testing.assert_array_equal(critical, np.where(np.tile(a.any(axis=0), 2), 0, np.nan))


@PROPERTY
@given(SEEDS)
def test_maximum_match__of_an_invertible_mixing_is_everything(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((100, 12))
    left, right = (np.linalg.qr(generator.standard_normal((12, 12)))[0] for _ in range(2))
    mixing = left @ np.diag(np.linspace(1, 10, 12)) @ right
    assert maximum_match(gram_of(a, a @ mixing), 12, 0.05).all()


def test_critical_epsilons__of_johnson_2019() -> None:
    """arXiv 1901.00884: two layers with the same output and no match below √(2/3)."""
    a, b = np.array([[1, 0, 1], [0, 1, -1.0]]).T, np.array([[1, 0, -1], [0, 1, 1.0]]).T
    np.testing.assert_allclose(critical_epsilons(gram_of(a, b), 2), np.sqrt(2 / 3), atol=1e-5)


def test_maximum_match__finds_planted_subspaces() -> None:
    rs = np.random.RandomState(1)
    u = rs.standard_normal((4, 300))
    x = np.vstack([rs.standard_normal((6, 4)) @ u, rs.standard_normal((5, 300))])
    y = np.vstack([rs.standard_normal((7, 4)) @ u, rs.standard_normal((3, 300))])
    member = maximum_match(gram_of(x.T, y.T), 11, 0.1)
    assert np.flatnonzero(member).tolist() == [*range(6), *range(11, 18)]


def test_subspace_match__reports_planted_subspaces_by_their_labels(pair: PairOf) -> None:
    generator = np.random.default_rng(1)
    shared = generator.standard_normal((300, 2))
    a = np.hstack([shared @ generator.standard_normal((2, 3)), generator.standard_normal((300, 2))])
    b = np.hstack([generator.standard_normal((300, 1)), shared @ generator.standard_normal((2, 2))])
    moments = pair(a, b).assign_coords(unit_a=np.arange(5) + 10, unit_b=np.arange(3) + 50)
    found = subspace_match(moments, minimal_epsilon=0.2, starts=9, orders=3)
    values = summary_of(found)
    assert [values[f"n_{kind}_{side}"] for kind in ("units", "dead") for side in "ab"] == [5, 3, 0, 0]
    np.testing.assert_array_equal(found["critical_epsilon_a"] < 0.01, [True] * 3 + [False] * 2)
    np.testing.assert_array_equal(found["critical_epsilon_b"] < 0.01, [False] + [True] * 2)
    assert [values[f"similarity_at_{e:g}"] for e in measure.EPSILONS] == [5 / 8] * 5
    np.testing.assert_array_equal(found["similarity"].sel(epsilon=0.3), 5 / 8)
    # Units of two planes: four of the five units are needed to hold one of them and its partners.
    labels = set(zip(found["minimal_net"].values.tolist(), found["minimal_unit"].values.tolist(), strict=True))
    assert labels == {(0, 10), (0, 11), (0, 12), (1, 51), (1, 52)}
    assert (found["minimal_size"] == 4).all()
    assert values["median_minimal_size"] == 4
    assert values["share_minimal_pairs"] == 0
    for net, unit, member_a, member_b in zip(
        found["minimal_net"].values,
        found["minimal_unit"].values,
        found["minimal_member_a"],
        found["minimal_member_b"],
        strict=True,
    ):
        chosen = [member_a["unit_a"].values[member_a], member_b["unit_b"].values[member_b]]
        assert unit in chosen[net]
        assert [len(side) for side in chosen] == [2, 2]
    np.testing.assert_array_equal(found["minimal_count"], np.where(found["minimal_net"] == 0, 2, 3))
    assert not found["minimal_capped"].any()


@pytest.mark.parametrize("centred", [False, True])
def test_subspace_match__agrees_with_the_samples(pair: PairOf, centred: bool) -> None:
    a, b = networks(3, samples=100)
    found = subspace_match(pair(a, b), centred=centred, starts=2)
    rows = [x - x.mean(axis=0) * centred for x in (a, b)]
    critical = critical_epsilons(gram_of(*rows), 6)
    np.testing.assert_allclose(np.concatenate([found["critical_epsilon_a"], found["critical_epsilon_b"]]), critical)
    for name, points in (("similarity", measure.EPSILONS), ("curve", measure.DISTANCES)):
        np.testing.assert_array_equal(found[name], [(critical <= point).mean() for point in points])
    values, error = summary_of(found), summary_of(found, "summary_standard_error")
    assert values["epsilon_full"] == pytest.approx(critical.max())
    fine = np.linspace(0, 1, 100_001)
    assert values["area"] == pytest.approx(np.mean([(critical <= point).mean() for point in fine]), abs=2e-5)
    left_out = []
    for k in range(K):
        rest = [x[np.arange(100) // (100 // K) != k] for x in (a, b)]
        critical = critical_epsilons(gram_of(*(x - x.mean(axis=0) * centred for x in rest)), 6)
        left_out.append([np.mean(1 - critical), critical.max()])
    expected = np.sqrt((K - 1) / K * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose([error["area"], error["epsilon_full"]], expected, rtol=1e-6)
    assert all(np.isnan(value) for name, value in error.items() if name not in ("area", "epsilon_full"))


def test_subspace_match__chance_is_that_of_networks_that_share_nothing_but_means(pair: PairOf) -> None:
    """Every sample of A beside every sample of B: the moments within stay, and nothing is common but the means."""
    a, b = networks(5, samples=20)
    found = subspace_match(pair(a, b), starts=2)
    unrelated = critical_epsilons(gram_of(np.repeat(a, 20, axis=0), np.tile(b, (20, 1))), 6)
    np.testing.assert_array_equal(found["curve_chance"], measure.similarity(unrelated, measure.DISTANCES))
    chance = summary_of(found, "summary_null", null_kind="chance")
    assert chance["epsilon_full"] == pytest.approx(unrelated.max(), rel=1e-9)
    assert chance["area"] == pytest.approx(np.mean(1 - unrelated), rel=1e-9)
    assert np.isnan([chance["n_units_a"], chance["median_minimal_size"]]).all()


def test_subspace_match__permuted_null_lies_below_what_is_shared(pair: PairOf) -> None:
    a, b = networks(5, samples=200)
    moments = pair(a, b, permutations=2)
    found = subspace_match(moments, starts=2)
    areas = []
    for replicate in range(2):
        whole = folds.total(moments, replicate)
        areas.append(np.mean(1 - critical_epsilons(unit_gram(whole), 6)))
    permuted = summary_of(found, "summary_null", null_kind="permuted")
    assert permuted["area"] == pytest.approx(np.mean(areas))
    assert permuted["area"] < summary_of(found)["area"] - 0.1
    assert float(found["curve_permuted"].mean()) == pytest.approx(np.mean(areas), abs=0.02)


def test_subspace_match__of_fewer_samples_than_units_is_no_better_than_permuted(pair: PairOf) -> None:
    generator = np.random.default_rng(0)
    found = subspace_match(pair(*generator.standard_normal((2, 10, 16))), starts=2)
    permuted = summary_of(found, "summary_null", null_kind="permuted")
    assert summary_of(found)["area"] == pytest.approx(1, abs=0.01)
    assert permuted["area"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("dead", "others", "share"), [("unmatched", 4, 9), ("matched", 7, 9), ("exclude", 4, 6)])
def test_subspace_match__counts_dead_units_as_asked(
    pair: PairOf, centred: bool, dead: str, others: int, share: int
) -> None:
    """Two identical networks of two live units, two and one dead ones, and a live unit of each that nothing is like."""
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((100, 5)), generator.standard_normal((100, 4))
    b[:, :2] = a[:, :2]
    a[:, 3:], b[:, 3:] = 0, 0
    found = subspace_match(pair(a + 0.1 * centred, b - 0.3 * centred), centred=centred, dead=dead, starts=2)
    values = summary_of(found)
    assert (values["n_dead_a"], values["n_dead_b"]) == (2, 1)
    np.testing.assert_array_equal(np.isnan(found["critical_epsilon_a"]), [False] * 3 + [True] * 2)
    assert values["similarity_at_0.3"] == others / share
    assert 0.9 < values["epsilon_full"] < 1
    np.testing.assert_allclose(values["area"], others / share, atol=0.05)


@pytest.mark.parametrize("died", ["a", "b", "both"])
@pytest.mark.parametrize("dead", ["unmatched", "matched", "exclude"])
@pytest.mark.parametrize("units", [1, 3])
def test_subspace_match__with_a_dead_network_matches_nothing(pair: PairOf, died: str, dead: str, units: int) -> None:
    a, b = networks(0, units, units)
    found = subspace_match(pair(a * (died == "b"), b * (died == "a")), dead=dead, starts=2)
    values = summary_of(found)
    assert values["n_dead_a"] == units * (died != "b")
    assert values["n_dead_b"] == units * (died != "a")
    if died == "both":
        assert np.isnan([values["area"], values["epsilon_full"], values["similarity_at_0.5"]]).all()
        assert found["curve"].isnull().all()
    else:
        assert values["epsilon_full"] == pytest.approx(1, abs=1e-5)
        assert values["similarity_at_0.5"] == (0.5 if dead == "matched" else 0)
    assert found.sizes["start"] == 0
    assert np.isnan(values["median_minimal_size"])


def test_subspace_match__of_one_unit_is_the_angle_between_them(pair: PairOf) -> None:
    a, b = networks(0, 1, 1)
    cosine = (a.T @ b).item() / np.linalg.norm(a) / np.linalg.norm(b)
    found = subspace_match(pair(a, b))
    for side in "ab":
        squared = 1 - cosine**2 / (1 + RIDGE) - 2 * RIDGE
        assert found[f"critical_epsilon_{side}"].item() == pytest.approx(np.sqrt(squared), rel=1e-12)


@pytest.mark.parametrize("centred", [False, True])
def test_subspace_match__units_that_live_in_one_fold_are_dead_without_it(pair: PairOf, centred: bool) -> None:
    """What the other folds hold of them is rounding, which would be a unit like any other when scaled."""
    a, b = networks(0, 40, 5, samples=100)
    a[20:, 3:] = 0
    moments = pair(a, b)
    whole = folds.total(moments)
    rest, _ = next(folds.leave_one_out(moments, whole))
    assert np.flatnonzero(np.diag(unit_gram(rest, centred, whole))).tolist() == [0, 1, 2, *range(40, 45)]
    left_out = []
    for k in range(K):
        others = [x[np.arange(100) // 20 != k] for x in (a, b)]
        critical = critical_epsilons(gram_of(*(x - x.mean(axis=0) * centred for x in others)), 40)
        left_out.append(measure.summarise(critical, (), "unmatched"))
    error = summary_of(subspace_match(moments, centred=centred, starts=0), "summary_standard_error")
    expected = np.sqrt((K - 1) / K * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose([error["area"], error["epsilon_full"]], expected, rtol=1e-6)


def test_unit_gram__is_scaled_to_length_one() -> None:
    generator = np.random.default_rng(0)
    joint = generator.standard_normal((50, 5)) + 2
    mean, comoment = joint.mean(axis=0), np.cov(joint, rowvar=False, bias=True) * 50
    a, b = slice(0, 3), slice(3, 5)
    whole = folds.Pair(
        *(folds.Moments(50, mean[p], mean[q], comoment[p, q]) for p, q in ((a, a), (b, b), (a, b))),
    )
    np.testing.assert_allclose(unit_gram(whole), gram_of(joint), rtol=1e-12)
    np.testing.assert_allclose(unit_gram(whole, True), np.corrcoef(joint, rowvar=False), rtol=1e-12, atol=1e-12)
    constant = replace(whole, b=folds.Moments(50, mean[b], mean[b], np.zeros((2, 2))))
    assert np.diag(unit_gram(constant)).tolist() == [1] * 5  # constant, but not of length 0
    assert np.diag(unit_gram(constant, True)).tolist() == [1, 1, 1, 0, 0]


def test_subspace_match__hardly_depends_on_the_ridge(pair: PairOf) -> None:
    found = subspace_match(pair(*networks(0, samples=200)), ridge=1e-6)
    assert found["ridge"].values.tolist() == [1e-8, 1e-6, 1e-4]
    np.testing.assert_array_equal(found["curve_ridge"].sel(ridge=1e-6), found["curve"])
    np.testing.assert_allclose(found["area_ridge"], summary_of(found)["area"], atol=1e-3)
    assert (np.diff(found["area_ridge"]) != 0).all()


def test_subspace_match__follows_the_generator(pair: PairOf) -> None:
    moments = pair(*networks(0, 12, 12))
    first = subspace_match(moments, minimal_epsilon=0.9, starts=5)
    xr.testing.assert_identical(first, subspace_match(moments, minimal_epsilon=0.9, starts=5))
    other = subspace_match(moments, minimal_epsilon=0.9, starts=5, generator=np.random.default_rng(1))
    assert (other["minimal_unit"] != first["minimal_unit"]).any()
    assert (first["minimal_size"].std("order") > 0).any()
    np.testing.assert_array_equal(other["curve"], first["curve"])


def test_subspace_match__refuses_what_rounding_would_decide(pair: PairOf) -> None:
    moments = pair(*networks(0))
    with pytest.raises(InputError, match=r"use at least 1e-09"):
        subspace_match(moments, ridge=1e-12)
    with pytest.raises(InputError, match=r"set moments.precision to float64"):
        subspace_match(moments.assign_attrs(precision="float32"))


def test_subspace_match__names_every_variable(pair: PairOf) -> None:
    found = subspace_match(pair(*networks(0)), epsilons=(0.2, 1.0))
    assert all(variable.attrs["long_name"] for variable in found.data_vars.values())
    assert found["statistic"].values.tolist() == list(measure.statistics((0.2, 1.0)))
    assert summary_of(found)["similarity_at_1"] == 1
