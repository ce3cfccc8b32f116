"""Matching of units against brute force, planted matches and the published conv1 matrices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import kstest

from convergent import folds
from convergent.errors import InputError
from convergent.folds import Moments, Pair
from convergent.measures import matching as measure
from convergent.measures.matching import OF_ROWS, STATISTICS, matching

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
K = 5
ROTATIONS = 3
ROWS = list(OF_ROWS)


def match(moments: xr.Dataset) -> xr.Dataset:
    return matching(moments, rotations=ROTATIONS, generator=np.random.default_rng(0))


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def correlations(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, columns))


def mean_r(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Mean r with the best partners of x, of y, and one to one."""
    r = np.corrcoef(x, y, rowvar=False)[: x.shape[1], x.shape[1] :]
    return [r.max(axis=1).mean(), r.max(axis=0).mean(), r[linear_sum_assignment(-r)].mean()]


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Networks of 6 and 5 units that share part of what they see."""
    x = generator.standard_normal((100, 6))
    return x, x[:, [3, 1, 4, 0, 5]] + generator.standard_normal((100, 5))


@pytest.fixture
def conv1(reference: Path) -> Pair:
    """The published conv1 correlations as moments."""
    a, b, ab = (
        np.loadtxt(reference / f"conv1_{name}.csv", delimiter=",")
        for name in ("within_net1", "within_net2", "between_net1_net2")
    )
    zero = np.zeros(96)
    return Pair(*(Moments(1, zero, zero, matrix) for matrix in (a, b, ab)))


def test_summarise__by_hand() -> None:
    r = np.array([[0.9, 0.6, 0.0], [0.8, 0.1, 0.2]])
    # semi a: 0, 0; one to one: row 0 with 1 and row 1 with 0; semi b: 0, 0, 1
    assert named(measure.summarise(r)) == pytest.approx(
        {
            "n_live_a": 2,
            "n_live_b": 3,
            "mean_r_semi_a": 0.85,
            "mean_r_semi_b": (0.9 + 0.6 + 0.2) / 3,
            "mean_r_one_to_one": 0.7,
            "share_same_partner_a": 1 / 2,
            "share_same_partner_b": 1 / 3,
            "share_no_partner_semi_a": 0,
            "share_no_partner_semi_b": 1 / 3,
            "share_no_partner_one_to_one_a": 0,
            "share_no_partner_one_to_one_b": 1 / 3,
            "share_distinct_partners_a": 1 / 2,
            "share_distinct_partners_b": 2 / 3,
            "n_mutual_nearest": 1,
        }
    )


def test_summarise__a_partner_is_above_one_half() -> None:
    found = named(measure.summarise(np.array([[0.5, 0.0], [0.0, np.nextafter(0.5, 1)]])))
    assert found["share_no_partner_semi_a"] == found["share_no_partner_one_to_one_b"] == 0.5


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_summarise__is_indifferent_to_the_order_of_units(seed: int, rows: int, columns: int) -> None:
    r = correlations(seed, rows, columns)
    generator = np.random.default_rng(seed)
    permuted = r[generator.permutation(rows)][:, generator.permutation(columns)]
    np.testing.assert_allclose(measure.summarise(permuted), measure.summarise(r), rtol=1e-12)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_summarise__exchanged_exchanges_the_sides(seed: int, rows: int, columns: int) -> None:
    r = correlations(seed, rows, columns)
    forth, back = named(measure.summarise(r)), named(measure.summarise(r.T))
    exchange = {"_a": "_b", "_b": "_a"}
    for name, value in forth.items():
        other = name[:-2] + exchange[name[-2:]] if name[-2:] in exchange else name
        assert back[other] == pytest.approx(value, rel=1e-12)


def test_summarise__published_values_of_conv1(conv1: Pair) -> None:
    """Li et al. 2016, table and notebook, on the matrices read from their figures to ±.006."""
    found = named(measure.summarise(conv1.ab.comoment))
    assert found["mean_r_semi_a"] == pytest.approx(0.7033, abs=5e-5)
    assert found["mean_r_semi_a"] == pytest.approx(0.70299, abs=0.006)
    assert found["mean_r_semi_b"] == pytest.approx(0.7217, abs=5e-5)
    assert found["mean_r_one_to_one"] == pytest.approx(0.6630, abs=5e-5)
    assert found["mean_r_one_to_one"] == pytest.approx(0.662868, abs=0.006)
    counts = {
        "share_same_partner_a": 70,
        "share_no_partner_semi_a": 16,
        "share_no_partner_one_to_one_a": 24,
        "share_distinct_partners_a": 72,
    }
    assert {name: round(96 * found[name], 9) for name in counts} == counts
    assert found["n_mutual_nearest"] == 59


def test_rotate__published_null_of_conv1(conv1: Pair) -> None:
    drawn = [named(measure.summarise(r)) for r in measure.rotate(conv1, 30, np.random.default_rng(0))]
    for name, mean, deviation in (("mean_r_semi_a", 0.209, 0.009), ("mean_r_one_to_one", 0.183, 0.008)):
        values = [one[name] for one in drawn]
        assert np.mean(values) == pytest.approx(mean, abs=deviation / 2)
        assert np.std(values, ddof=1) == pytest.approx(deviation, rel=0.5)


def canonical_correlations(pair: Pair, r: np.ndarray) -> np.ndarray:
    """Of a correlation matrix with the covariances of a pair."""

    def whitener(within: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(within)
        return vectors[:, values > 1e-8] / np.sqrt(values[values > 1e-8])

    a, b = whitener(folds.correlation_within(pair.a)), whitener(folds.correlation_within(pair.b))
    return np.linalg.svd(a.T @ r @ b, compute_uv=False)


@pytest.mark.parametrize("b_units", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0]], ids=["independent", "one copied"])
def test_rotate__turns_axes_and_keeps_the_space(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray], b_units: list[int]
) -> None:
    """The space that the units of B span does not move, so that canonical correlations stay and units' r change."""
    x, y = data
    whole = folds.total(pair(x, y[:, b_units]))
    r = folds.correlation(whole)
    for turned in measure.rotate(whole, 5, np.random.default_rng(0)):
        assert np.abs(turned - r).max() > 0.1
        np.testing.assert_allclose(canonical_correlations(whole, turned), canonical_correlations(whole, r), rtol=1e-8)


def test_rotate__leaves_dead_units_dead(pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (side * (np.arange(side.shape[1]) != 2) for side in data)
    for turned in measure.rotate(folds.total(pair(x, y)), 2, np.random.default_rng(0)):
        np.testing.assert_array_equal(np.isnan(turned), np.add.outer(np.arange(6) == 2, np.arange(5) == 2))


def test_matching__golden_values(pair: Callable[..., xr.Dataset]) -> None:
    rs = np.random.RandomState(0)
    x, w, noise = rs.standard_normal((500, 20)), rs.standard_normal((20, 24)), rs.standard_normal((500, 24))
    found = named(match(pair(x, 0.3 * (x @ w) + noise))["summary"])
    assert found["mean_r_one_to_one"] == pytest.approx(0.33449634165183395, rel=1e-9)
    assert found["mean_r_semi_a"] == pytest.approx(0.34663441885879437, rel=1e-9)


def test_matching__finds_a_planted_match_by_its_labels(
    pair: Callable[..., xr.Dataset], generator: np.random.Generator
) -> None:
    x = generator.standard_normal((200, 6))
    order = np.array([4, 2, 0, 5, 1, 3])
    y = x[:, order] * 3 + 100 + 0.1 * generator.standard_normal((200, 6))
    labels_a, labels_b = np.arange(6) + 10, np.arange(6) + 50
    found = match(pair(x, y).assign_coords(unit_a=labels_a, unit_b=labels_b))
    for kind in ("semi", "one_to_one"):
        np.testing.assert_array_equal(found[f"partner_{kind}_a"], labels_b[np.argsort(order)])
        np.testing.assert_array_equal(found[f"partner_{kind}_b"], labels_a[order])
        assert (found[f"r_{kind}_a"] > 0.99).all()
    np.testing.assert_array_equal(found["mutual_nearest_a"], np.ones(6))
    assert named(found["summary"])["n_mutual_nearest"] == 6


def test_matching__of_identical_networks_is_perfect(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = match(pair(data[0], data[0]))
    perfect = [6, 6, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 6]
    np.testing.assert_allclose(found["summary"], perfect, rtol=1e-12)
    means = [str(name).startswith("mean_") for name in found["statistic"].values]
    np.testing.assert_allclose(found["summary_standard_error"][means], 0, atol=1e-12)
    assert found["summary_standard_error"][np.logical_not(means)].isnull().all()  # counts and shares have none
    np.testing.assert_array_equal(found["partner_one_to_one_b"], np.arange(6))


def test_matching__an_opposite_unit_is_no_partner(
    pair: Callable[..., xr.Dataset], generator: np.random.Generator
) -> None:
    x = generator.standard_normal((50, 1))
    assert named(match(pair(x, -x))["summary"])["mean_r_semi_a"] == pytest.approx(-1)


def test_matching__sides_agree_with_each_other_and_with_the_summary(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = match(pair(*data))
    values, partner = named(found["summary"]), found["partner_one_to_one_a"].values
    r = np.corrcoef(*data, rowvar=False)[:6, 6:]
    np.testing.assert_allclose(found["r_semi_a"], r.max(axis=1), rtol=1e-10)
    np.testing.assert_allclose(found["r_semi_b"], r.max(axis=0), rtol=1e-10)
    rows, columns = linear_sum_assignment(-r)
    assert partner[rows].tolist() == columns.tolist()
    for unit_b, unit_a in enumerate(found["partner_one_to_one_b"].values):
        assert partner[unit_a] == unit_b
    assert (partner < 0).sum() == np.isnan(found["r_one_to_one_a"]).sum() == 1
    assert float(found["r_one_to_one_a"].mean()) == pytest.approx(values["mean_r_one_to_one"])
    assert found["mutual_nearest_a"].sum() == found["mutual_nearest_b"].sum() == values["n_mutual_nearest"]


def test_matching__standard_errors_agree_with_leaving_out_images(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    fold = np.arange(100) // (100 // K)
    values = np.array([mean_r(*(side[fold != k] for side in data)) for k in range(K)])
    expected = np.sqrt((K - 1) / K * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
    error = named(match(pair(*data))["summary_standard_error"])
    names = ("mean_r_semi_a", "mean_r_semi_b", "mean_r_one_to_one")
    np.testing.assert_allclose([error[name] for name in names], expected, rtol=1e-7)


def test_matching__nulls_lie_below_what_is_shared(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = match(pair(*data, permutations=2))
    assert found["null_kind"].values.tolist() == ["permuted", "rotated"]
    for null in found["summary_null"]:
        assert named(null)["mean_r_one_to_one"] < named(found["summary"])["mean_r_one_to_one"] - 0.1
    assert named(found["rotated_standard_deviation"])["mean_r_semi_a"] > 0


def test_matching__ranks_the_best_partners_of_each_null(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    """Mean over draws at each rank, dead units last; their mean is that of the summary, the first one the highest."""
    x, y = data
    moments = pair(np.where(np.arange(6) == 1, 7, x), y, permutations=2)
    found = match(moments)
    assert isinstance(found["null_kind"].dtype, np.dtypes.StringDType)
    drawn = measure.rotate(folds.total(moments), ROTATIONS, np.random.default_rng(0))
    permuted = [folds.correlation(folds.total(moments, i)) for i in range(2)]
    for side, axis in (("a", 1), ("b", 0)):
        ranked = found[f"r_semi_ranked_null_{side}"]
        assert ranked.dims == ("null_kind", f"rank_{side}")
        for kind, matrices in (("rotated", drawn), ("permuted", permuted)):
            best = [np.where(np.isnan(matrix), -np.inf, matrix).max(axis=axis) for matrix in matrices]
            expected = np.mean([np.sort(one)[::-1] for one in best], axis=0)
            np.testing.assert_allclose(ranked.sel(null_kind=kind).fillna(-np.inf), expected, rtol=1e-12)
            mean = found["summary_null"].sel(null_kind=kind, statistic=f"mean_r_semi_{side}")
            np.testing.assert_allclose(ranked.sel(null_kind=kind).mean(), mean, rtol=1e-12)


def test_matching__follows_the_generator(pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*data)
    xr.testing.assert_identical(match(moments), match(moments))
    other = matching(moments, rotations=ROTATIONS, generator=np.random.default_rng(1))
    assert (other["summary_null"] != match(moments)["summary_null"]).any()


def test_matching__dead_units_stay_unmatched(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    found = match(pair(np.where(np.arange(6) == 1, 7, x), np.where(np.arange(5) == 4, 0, y)))
    for side, dead in (("a", 1), ("b", 4)):
        for kind in ("semi", "one_to_one"):
            assert found[f"partner_{kind}_{side}"][dead] == -1
            assert np.isnan(found[f"r_{kind}_{side}"][dead])
        assert found[f"mutual_nearest_{side}"][dead] == 0
        assert dead not in found[f"partner_semi_{'b' if side == 'a' else 'a'}"]
    alive = match(pair(np.delete(x, 1, axis=1), np.delete(y, 4, axis=1)))
    np.testing.assert_allclose(found["summary"], alive["summary"], rtol=1e-12)


@pytest.mark.parametrize("dead", ["a", "b", "both"])
@pytest.mark.parametrize("units", [1, 5])
def test_matching__with_a_dead_network_is_undefined(
    pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray], dead: str, units: int
) -> None:
    x, y = (side[:, :units] for side in data)
    found = match(pair(x * (dead == "b"), y * (dead == "a")))
    live = {"n_live_a": units * (dead == "b"), "n_live_b": units * (dead == "a")}
    values = named(found["summary"])
    assert {name: values[name] for name in live} == live
    assert np.isnan([values[name] for name in STATISTICS if name.startswith(("mean", "share"))]).all()
    for name in ("partner_semi_a", "partner_semi_b", "partner_one_to_one_a", "partner_one_to_one_b"):
        assert (found[name] == -1).all()


def test_matching__of_one_unit(pair: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data[0][:, 1:2], data[1][:, 1:2]
    found = match(pair(x, y))
    r = np.corrcoef(x, y, rowvar=False)[0, 1]
    assert found["r_semi_a"].item() == found["r_one_to_one_b"].item() == pytest.approx(r)
    assert named(found["summary"])["share_same_partner_a"] == 1


@pytest.fixture
def matched(
    pair: Callable[..., xr.Dataset], layer: Callable[..., xr.DataArray], data: tuple[np.ndarray, np.ndarray]
) -> xr.Dataset:
    """The networks matched by samples and by rows, which here are the same."""
    return matching(pair(*data), *map(layer, data), rotations=ROTATIONS, permutations=99)


def test_matching__of_rows_is_that_of_samples_where_samples_are_rows(matched: xr.Dataset) -> None:
    samples = [name.replace("pooled_", "") for name in ROWS]
    for variable in ("summary", "summary_standard_error"):
        found = matched[variable]
        np.testing.assert_allclose(found.sel(statistic=ROWS), found.sel(statistic=samples), rtol=1e-9)
    assert matched["summary_null"].sel(statistic=ROWS, null_kind="rotated").isnull().all()


@pytest.mark.parametrize("side", ["rows_a", "rows_b"])
def test_matching__refuses_rows_of_one_side_alone(
    pair: Callable[..., xr.Dataset], layer: Callable[..., xr.DataArray], data: tuple[np.ndarray, np.ndarray], side: str
) -> None:
    with pytest.raises(InputError, match="rows of one side alone; pass both or none"):
        matching(pair(*data), **{side: layer(data[0])})


def test_matching__permutes_the_rows(matched: xr.Dataset, data: tuple[np.ndarray, np.ndarray]) -> None:
    """The null is that of permuted images, and what is shared lies above every order."""
    x, y = data
    generator = np.random.default_rng(3)
    drawn = np.array([mean_r(x, y[generator.permutation(100)]) for _ in range(200)])
    of_rows = matched.sel(statistic=ROWS)
    error = drawn.std(axis=0, ddof=1) * np.sqrt(1 / 200 + 1 / 99)
    assert (np.abs(of_rows["summary_null"].sel(null_kind="permuted") - drawn.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(of_rows["permuted_95th_percentile"], np.quantile(drawn, 0.95, axis=0), atol=0.03)
    np.testing.assert_allclose(of_rows["p_value"], 0.01)


def test_matching__p_values_of_unrelated_rows_are_uniform(
    pair: Callable[..., xr.Dataset], layer: Callable[..., xr.DataArray]
) -> None:
    generator = np.random.default_rng(4)
    found = []
    for _ in range(60):
        x, y = generator.standard_normal((2, 30, 3))
        found.append(matching(pair(x, y), layer(x), layer(y), permutations=19, generator=generator)["p_value"][-1])
    assert kstest(found, lambda p: np.floor(20 * p + 1e-9) / 20).pvalue > 0.01


def test_matching__of_dead_rows_is_undefined(
    pair: Callable[..., xr.Dataset], layer: Callable[..., xr.DataArray], data: tuple[np.ndarray, np.ndarray]
) -> None:
    dead = np.ones_like(data[1])
    found = matching(pair(data[0], dead), layer(data[0]), layer(dead), permutations=2).sel(statistic=ROWS)
    for name in ("summary", "summary_standard_error", "p_value", "permuted_95th_percentile"):
        assert found[name].isnull().all()
