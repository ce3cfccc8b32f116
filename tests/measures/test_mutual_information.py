"""Mutual information of units against scikit-learn and SciPy, planted matches, and units that have no partner."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import mutual_info_score

from convergent import joint_histograms, moments
from convergent.errors import InputError
from convergent.measures import mutual_information as measure
from convergent.measures.mutual_information import STATISTICS, mutual_information

PROPERTY = settings(max_examples=8)
K, BINS = 5, 4
Pair = tuple[np.ndarray, np.ndarray]


def inputs(x: np.ndarray, y: np.ndarray, bins: int = BINS, permutations: int = 1) -> tuple[xr.Dataset, xr.Dataset]:
    histograms = joint_histograms.of(x, y, folds=K, bins=bins, permutations=permutations)
    return histograms, moments.of(x, y, folds=K, permutations=permutations)


def named(values: object) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def codes(values: np.ndarray) -> np.ndarray:
    edges = [[1e-6, *np.quantile(u[u > 1e-6], np.arange(1, BINS) / BINS, method="inverted_cdf")] for u in values.T]
    return (values.T[:, :, None] > np.array(edges)[:, None]).sum(axis=-1)


def scores(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([[mutual_info_score(u, v) for v in y] for u in x])


@pytest.fixture
def data(generator: np.random.Generator) -> Pair:
    """Networks of 9 and 10 units, with zeros, that share part of what they see."""
    x = generator.standard_normal((200, 9))
    y = x[:, [3, 1, 4, 0, 5, 8, 7, 6, 2, 2]] + 0.6 * generator.standard_normal((200, 10))
    return np.maximum(x, 0), np.maximum(y, 0)


def test_mutual_information__agrees_with_scikit_learn_and_scipy(data: Pair) -> None:
    x, y = data
    found = mutual_information(*inputs(x, y))
    information, r = scores(codes(x), codes(y)), np.corrcoef(x, y, rowvar=False)[:9, 9:]
    np.testing.assert_allclose(found["information"], information, rtol=1e-10)
    np.testing.assert_array_equal(found["partner_semi_a"], information.argmax(axis=1))
    np.testing.assert_array_equal(found["partner_semi_b"], information.argmax(axis=0))
    np.testing.assert_allclose(found["information_semi_a"], information.max(axis=1), rtol=1e-10)
    np.testing.assert_allclose(found["information_semi_b"], information.max(axis=0), rtol=1e-10)
    rows, columns = linear_sum_assignment(information, maximize=True)
    np.testing.assert_array_equal(found["partner_one_to_one_a"], columns)
    summary = named(found["summary"])
    best, best_r = ({(i, m[i].argmax()) for i in np.argsort(-m.max(axis=1))[: measure.BEST]} for m in (information, r))
    assert summary == pytest.approx(
        {
            "n_live_a": 9,
            "n_live_b": 10,
            "mean_entropy_a": np.mean([stats.entropy(np.bincount(u)) for u in codes(x)]),
            "mean_entropy_b": np.mean([stats.entropy(np.bincount(u)) for u in codes(y)]),
            "mean_information_semi_a": information.max(axis=1).mean(),
            "mean_information_semi_b": information.max(axis=0).mean(),
            "mean_information_one_to_one": information[rows, columns].mean(),
            "mean_corrected_semi_a": found["information_corrected"].values.max(axis=1).mean(),
            "mean_corrected_semi_b": found["information_corrected"].values.max(axis=0).mean(),
            "mean_corrected_one_to_one": found["information_corrected"]
            .values[linear_sum_assignment(found["information_corrected"], maximize=True)]
            .mean(),
            "rank_correlation": stats.spearmanr(information.ravel(), r.ravel()).statistic,
            "rank_correlation_absolute": stats.spearmanr(information.ravel(), np.abs(r).ravel()).statistic,
            "share_same_semi_a": (information.argmax(axis=1) == r.argmax(axis=1)).mean(),
            "share_same_semi_b": (information.argmax(axis=0) == r.argmax(axis=0)).mean(),
            "share_same_one_to_one": (columns == linear_sum_assignment(r, maximize=True)[1]).mean(),
            "n_best_8_shared": len(best & best_r),
        },
        rel=1e-10,
    )


def test_mutual_information__standard_errors_agree_with_leaving_out_images(data: Pair) -> None:
    x, y = data
    u, v = codes(x), codes(y)
    fold = np.arange(200) // (200 // K)
    entries, statistics = [], []
    for k in range(K):
        information = scores(u[:, fold != k], v[:, fold != k])
        r = np.corrcoef(x[fold != k], y[fold != k], rowvar=False)[:9, 9:]
        entries.append(information)
        statistics.append([information.max(axis=1).mean(), stats.spearmanr(information.ravel(), r.ravel()).statistic])
    found = mutual_information(*inputs(x, y))
    for values, error in (
        (entries, found["information_standard_error"].values),
        (statistics, found["summary_standard_error"].sel(statistic=["mean_information_semi_a", "rank_correlation"])),
    ):
        values = np.array(values)
        expected = np.sqrt((K - 1) / K * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
        np.testing.assert_allclose(error, expected, rtol=1e-7)
    jump = [not name.startswith(("mean_", "rank_")) for name in STATISTICS]
    assert found["summary_standard_error"][jump].isnull().all()
    assert found["summary_standard_error"][np.logical_not(jump)].notnull().all()


def test_mutual_information__of_identical_networks(data: Pair) -> None:
    x = data[0]
    found = mutual_information(*inputs(x, x))
    summary = named(found["summary"])
    np.testing.assert_array_equal(np.diag(found["information"]), found["entropy_a"])
    for name in ("semi_a", "semi_b", "one_to_one"):
        assert summary[f"mean_information_{name}"] == pytest.approx(summary["mean_entropy_a"], rel=1e-12)
    for name in ("share_same_semi_a", "share_same_semi_b", "share_same_one_to_one"):
        assert summary[name] == 1
    np.testing.assert_array_equal(found["partner_one_to_one_a"], np.arange(9))


def test_mutual_information__finds_what_correlation_cannot_see(generator: np.random.Generator) -> None:
    """Unit 0 of B is a curve of unit 0 of A without correlation, unit 1 is noise that correlates a little."""
    x = generator.random((2000, 2))
    y = np.stack([(x[:, 0] - x[:, 0].mean()) ** 2, 0.2 * x[:, 0] + generator.random(2000)], axis=1)
    histograms, pair = inputs(x, y, bins=10)
    labels = {"unit_a": [10, 11], "unit_b": [50, 51]}
    found = mutual_information(histograms.assign_coords(labels), pair.assign_coords(labels))
    assert found["partner_semi_a"][0] == 50
    assert found["partner_semi_b"][0] == 10
    assert found["partner_one_to_one_a"].values.tolist() == [50, 51]
    assert found["information_semi_a"][0] > 1.5 > 20 * found["information_corrected"][0, 1]
    assert named(found["summary"])["share_same_semi_a"] < 1


def test_mutual_information__null_has_the_bias_and_no_more(generator: np.random.Generator) -> None:
    x, y = generator.random((300, 8)), generator.random((300, 8))
    found = mutual_information(*inputs(x, y, bins=10, permutations=3))
    assert found["null_kind"].values.tolist() == ["permuted"]
    null, value, error = (
        named(found[name].squeeze()) for name in ("summary_null", "summary", "summary_standard_error")
    )
    bias = 81 / 600  # 10 × 10 bins full
    assert null["mean_information_semi_a"] == pytest.approx(value["mean_information_semi_a"], abs=0.03)
    assert np.mean(found["information"]) == pytest.approx(bias, rel=0.1)
    assert np.mean(found["information_corrected"]) == pytest.approx(0, abs=0.2 * bias)
    assert abs(null["rank_correlation"]) < 0.3
    assert np.isnan([null[name] for name in ("n_live_a", "n_live_b", "mean_entropy_a", "mean_entropy_b")]).all()
    assert 0 < error["mean_corrected_semi_a"] < 0.05


def test_mutual_information__null_is_the_mean_over_replicates(data: Pair) -> None:
    histograms, pair = inputs(*data, permutations=2)
    nulls = [
        mutual_information(histograms.isel(replicate=[i]), pair.isel(replicate=[i]))["summary_null"] for i in range(2)
    ]
    both = mutual_information(histograms, pair)
    np.testing.assert_allclose(both["summary_null"], (nulls[0] + nulls[1]) / 2, rtol=1e-12)
    np.testing.assert_array_equal(both["information_permuted"], histograms["information_permuted"][0])


def test_mutual_information__null_is_of_one_permutation_for_both(generator: np.random.Generator) -> None:
    """Of units that are 0 in one half of the images and 1 in the other, information is a function of r squared."""
    x, y = (generator.permuted(np.tile([0.0, 1.0], (8, 100)), axis=1).T for _ in range(2))
    null = mutual_information(*inputs(x, y, permutations=2))["summary_null"]
    assert named(null.squeeze())["rank_correlation_absolute"] > 0.95


def test_mutual_information__dead_units_and_units_of_one_bin_have_no_partner(data: Pair) -> None:
    """Unit 2 of both is dead; unit 4 of A lives, but below the edge of the first bin."""
    x, y = (side.copy() for side in data)
    x[:, 2], y[:, 2] = 0, 3
    x[:, 4] = -x[:, 4]
    found = mutual_information(*inputs(x, y))
    dead = np.add.outer(np.arange(9) == 2, np.arange(10) == 2)
    for name in ("information", "information_standard_error", "information_corrected", "information_permuted"):
        np.testing.assert_array_equal(np.isnan(found[name]), dead)
    np.testing.assert_array_equal(np.isnan(found["entropy_a"]), np.arange(9) == 2)
    np.testing.assert_array_equal(np.isnan(found["entropy_b"]), np.arange(10) == 2)
    assert (found["information"].values[4, np.arange(10) != 2] == 0).all()
    for name in ("partner_semi_a", "partner_one_to_one_a"):
        np.testing.assert_array_equal(found[name] < 0, np.isin(np.arange(9), [2, 4]))
    np.testing.assert_array_equal(found["partner_semi_b"] < 0, np.arange(10) == 2)
    assert not np.isin(found["partner_semi_b"], [2, 4]).any()
    summary = named(found["summary"])
    assert (summary["n_live_a"], summary["n_live_b"]) == (8, 9)
    assert summary["mean_information_semi_a"] == pytest.approx(float(found["information_semi_a"].sum()) / 8, rel=1e-12)
    live = mutual_information(*inputs(np.delete(x, 2, axis=1), np.delete(y, 2, axis=1)))
    np.testing.assert_allclose(found["summary"], live["summary"], rtol=1e-12)
    np.testing.assert_allclose(found["summary_standard_error"], live["summary_standard_error"], rtol=1e-9)


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.s_[:, :1], np.s_[:, :1]), (np.s_[:, :1], np.s_[:, :3]), (np.s_[:, :3], np.s_[:, :1])],
)
def test_mutual_information__of_single_units_is_defined(data: Pair, a: tuple, b: tuple) -> None:
    found = mutual_information(*inputs(data[0][a], data[1][b]))
    summary = named(found["summary"])
    assert summary["mean_information_one_to_one"] == pytest.approx(float(found["information"].max()))
    assert np.isnan(summary["n_best_8_shared"])
    assert np.isnan(summary["rank_correlation"]) == (found["information"].size == 1)


def test_mutual_information__of_dead_networks_is_counted(data: Pair) -> None:
    found = mutual_information(*inputs(np.zeros_like(data[0]), data[1]))
    summary = found["summary"].values
    assert summary[:2].tolist() == [0, 10]
    assert np.isnan(summary[2])
    assert np.isnan(summary[4:]).all()
    assert (found["partner_semi_a"] == -1).all()
    assert (found["partner_semi_b"] == -1).all()


@PROPERTY
@given(st.integers(0, 2**31))
def test_mutual_information__is_indifferent_to_the_order_of_units(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.random((300, 9)), generator.random((300, 8))
    y[:, :4] += x[:, 1:5]
    histograms, pair = inputs(x, y, bins=10)
    straight = mutual_information(histograms, pair)
    orders = {"unit_a": generator.permutation(9), "unit_b": generator.permutation(8)}
    others = {f"{name}_other": order for name, order in orders.items()}
    turned = mutual_information(histograms.isel(orders), pair.isel({**orders, **others}))
    np.testing.assert_allclose(turned["summary"], straight["summary"], rtol=1e-12)
    np.testing.assert_array_equal(turned["partner_semi_a"], straight["partner_semi_a"][orders["unit_a"]])


def test_mutual_information__exchanged_exchanges_the_sides(data: Pair) -> None:
    forth, back = (named(mutual_information(*inputs(*pair))["summary"]) for pair in (data, data[::-1]))
    exchange = {"_a": "_b", "_b": "_a"}
    for name, value in forth.items():
        if name != "n_best_8_shared":  # of the units of A
            assert back[name[:-2] + exchange.get(name[-2:], name[-2:])] == pytest.approx(value, rel=1e-10)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(1, 10))
def test_rank_correlation__agrees_with_scipy(seed: int, size: int, values: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, values, (2, size)).astype(float)
    x[generator.random(size) < 0.1] = np.nan
    defined = ~np.isnan(x)
    found = measure.rank_correlation(x, y)
    if len(np.unique(x[defined])) < 2 or len(np.unique(y[defined])) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(x[defined], y[defined]).statistic, abs=1e-12)


def test_rank_correlation__takes_what_differs_by_rounding_for_a_tie() -> None:
    x, y = np.array([0.1 + 0.2, 0.3, 0.5, 0.4]), np.array([1.0, 2.0, 3.0, 4.0])
    assert x[0] > x[1]
    expected = stats.spearmanr([0.3, 0.3, 0.5, 0.4], y).statistic
    assert measure.rank_correlation(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda moments: moments.assign_coords(unit_a=np.arange(9) + 1),
        lambda moments: moments.assign(n=moments["n"] + 1),
        lambda moments: moments.isel(replicate=slice(0)),
    ],
)
def test_mutual_information__refuses_other_activations(data: Pair, change: Callable[[xr.Dataset], xr.Dataset]) -> None:
    histograms, pair = inputs(*data)
    with pytest.raises(InputError, match="come from different activations or permutations; make them anew"):
        mutual_information(histograms, change(pair))


def test_mutual_information__names_what_it_gives(data: Pair) -> None:
    found = mutual_information(*inputs(*data))
    assert all("long_name" in variable.attrs for variable in found.values())
    assert set(found.dims) == {"unit_a", "unit_b", "statistic", "null_kind"}
