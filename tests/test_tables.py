"""The tidy table and its error over seeds, by hand."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergent import tables
from convergent.measures.summary import summary
from convergent.store import Store
from convergent.tables import Result

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
PAIRS = ("net-s0-final--net-s1-final", "net-s0-final--net-s2-final", "net-s1-final--net-s2-final")
VALUES = (1.0, 2.0, 6.0)
NULL = 0.25
# Leaving out seed 0, 1, 2 leaves the pairs of 6, 2, 1: mean 3, deviations 3, −1, −2.
ERROR = np.sqrt(2 / 3 * 14)


def store(value: float, nulls: bool = True) -> Store:
    """A measure with two statistics, value and −value, in layers conv1 and fc."""
    own = {"permuted": np.array([NULL, -NULL])} if nulls else None
    measured = summary(("plus", "minus"), np.array([value, -value]), np.array([0.1, np.nan]), own)
    return Store({"conv1": measured, "fc": measured + xr.zeros_like(measured)}, {})


def results(
    values: tuple[float, ...] = VALUES, *, network: str = "net", untrained: bool = True, nulls: bool = True
) -> list[Result]:
    return [
        Result(
            "same",
            pair.replace("net", network),
            "matching",
            store(value, nulls),
            store(value / 2) if untrained else None,
        )
        for pair, value in zip(PAIRS, values, strict=False)
    ]


@pytest.fixture
def table() -> pd.DataFrame:
    return tables.summarise(results())


def test_rows__hold_every_statistic_with_every_null() -> None:
    found = pd.DataFrame(tables.rows(results()[1]), columns=tables.COLUMNS)
    expected = [
        ("same", PAIRS[1], layer, "matching", statistic, sign * 2, error, null, kind)
        for layer in ("conv1", "fc")
        for statistic, sign, error in (("plus", 1, 0.1), ("minus", -1, np.nan))
        for null, kind in ((sign * 1.0, "untrained"), (sign * NULL, "permuted"))
    ]
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected, columns=tables.COLUMNS), check_dtype=False)


def test_rows__take_the_untrained_value_of_the_same_statistic() -> None:
    (result, *_) = results()
    assert result.untrained is not None
    turned = {layer: dataset.isel(statistic=[1, 0]) for layer, dataset in result.untrained.layers.items()}
    other = replace(result, untrained=Store(turned, {}))
    pd.testing.assert_frame_equal(pd.DataFrame(tables.rows(other)), pd.DataFrame(tables.rows(result)))


def test_rows__without_a_null_leave_it_empty() -> None:
    found = pd.DataFrame(tables.rows(results(untrained=False, nulls=False)[0]), columns=tables.COLUMNS)
    assert len(found) == 4
    assert (found["null_kind"] == "").all()
    assert found["null"].isna().all()


@pytest.mark.parametrize(("own", "plus"), [(NULL, (NULL, "permuted")), (np.nan, (np.nan, ""))])
def test_rows__leave_out_a_null_that_is_not_defined(own: float, plus: tuple[float, str]) -> None:
    """Of plus the untrained value is not defined, and where its own null is not either, one row without stays."""
    measured, untrained = store(2), store(1)
    for layer in ("conv1", "fc"):
        measured.layers[layer]["summary_null"][:, 0] = own
        untrained.layers[layer]["summary"][0] = np.nan
    result = Result("same", PAIRS[0], "matching", measured, untrained)
    columns = ["layer", "statistic", "value", "null", "null_kind"]
    expected = [
        (layer, *row)
        for layer in ("conv1", "fc")
        for row in (("plus", 2.0, *plus), ("minus", -2.0, -1.0, "untrained"), ("minus", -2.0, -NULL, "permuted"))
    ]
    found = pd.DataFrame(tables.rows(result), columns=tables.COLUMNS)
    pd.testing.assert_frame_equal(found[columns], pd.DataFrame(expected, columns=columns))


def test_summarise__adds_the_mean_over_pairs(table: pd.DataFrame) -> None:
    assert list(table.columns) == [*tables.COLUMNS, *tables.OF_MEANS]
    over = table[table["pair"] == "net-all"]
    assert len(table) == len(over) * 4 == 32
    row = over[(over["layer"] == "fc") & (over["statistic"] == "minus")].set_index("null_kind")
    np.testing.assert_allclose(row["value"], -3)
    np.testing.assert_allclose(row["standard_error"], ERROR)
    assert row["null"].to_dict() == pytest.approx({"untrained": -1.5, "permuted": -NULL})
    assert row["excess_standard_error"].to_dict() == pytest.approx({"untrained": ERROR / 2, "permuted": ERROR})
    assert set(row["verdict"]) == {"not told apart"}
    assert row["excess"].to_dict() == pytest.approx({"untrained": -1.5, "permuted": -3 + NULL})
    of_pairs = table[table["pair"] != "net-all"]
    assert of_pairs[["excess", "excess_standard_error"]].isna().all(axis=None)
    assert (of_pairs["verdict"] == "").all()


def test_summarise__keeps_comparisons_and_measures_apart() -> None:
    other = [Result(c, PAIRS[0], m, store(9), None) for c, m in (("other", "matching"), ("same", "correlation"))]
    table = tables.summarise([*results(), *other])
    over = table[(table["pair"] == "net-all") & (table["statistic"] == "plus") & (table["layer"] == "fc")]
    found = over.groupby(["comparison", "measure"])["value"].unique().map(list).to_dict()
    assert found == {("same", "matching"): [3.0], ("other", "matching"): [9.0], ("same", "correlation"): [9.0]}


def test_summarise__keeps_networks_apart() -> None:
    """Two networks of one comparison with the same layers; the name of one begins with that of the other."""
    both = [*results(), *results((10.0, 20.0, 60.0), network="net_s")]
    table = tables.summarise([both[i] for i in (0, 3, 1, 4, 5, 2)])
    assert table["pair"].str.endswith("-all").sum() * 4 == len(table) == 64
    for network, scale in (("net", 1), ("net_s", 10)):
        of = ("same", network, "matching", "plus")
        assert tables.means(table, *of) == pytest.approx({"conv1": 3 * scale, "fc": 3 * scale})
        over = table[(table["pair"] == f"{network}-all") & (table["statistic"] == "plus") & (table["layer"] == "fc")]
        np.testing.assert_allclose(over["standard_error"], ERROR * scale)
        assert over.set_index("null_kind")["null"].to_dict() == pytest.approx(
            {"untrained": 1.5 * scale, "permuted": NULL}
        )
        found = tables.against(table, *of, "permuted")
        assert list(found) == ["conv1", "fc"]
        assert found["fc"][:2] == pytest.approx((3 * scale - NULL, ERROR * scale))


@pytest.mark.parametrize("values", [(np.nan,), (np.nan, 2.0, 3.0)])
def test_summarise__shows_what_is_not_defined(values: tuple[float, ...]) -> None:
    table = tables.summarise(results(values, untrained=False))
    over = table[table["pair"] == "net-all"]
    assert over["value"].isna().all()
    assert over["standard_error"].isna().all()
    np.testing.assert_allclose(over["null"].abs(), NULL)


def test_over_seeds__by_hand() -> None:
    assert tables.over_seeds(PAIRS, np.array(VALUES)) == pytest.approx((3.0, ERROR))


def test_over_seeds__leaves_out_a_seed_with_all_its_pairs() -> None:
    pairs = [f"net-s{p}-final--net-s{q}-final" for p in range(4) for q in range(p)]
    values = np.random.default_rng(0).standard_normal(6)
    left_out = [
        np.mean(
            [
                v
                for v, (p, q) in zip(values, ((p, q) for p in range(4) for q in range(p)), strict=True)
                if s not in (p, q)
            ]
        )
        for s in range(4)
    ]
    mean, error = tables.over_seeds(pairs, values)
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(np.sqrt(3 / 4 * ((left_out - np.mean(left_out)) ** 2).sum()))


@PROPERTY
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=8))
def test_over_seeds__of_single_snapshots_is_the_error_of_a_mean(values: list[float]) -> None:
    snapshots = [f"net-s{seed}-epoch5" for seed in range(8, 8 + len(values))]  # 8, 9, 10: of one and two digits
    _, error = tables.over_seeds(snapshots, np.array(values))
    assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-9)


def test_over_seeds__counts_one_seed_of_two_networks_as_two_trainings() -> None:
    snapshots = [f"{network}-s{seed}-final" for network in ("net", "other") for seed in (0, 1)]
    _, error = tables.over_seeds(snapshots, np.array([1.0, 2.0, 6.0, 7.0]))
    assert error == pytest.approx(np.std([1, 2, 6, 7], ddof=1) / 2)
    # Of one training, two snapshots are left out together.
    assert np.isnan(tables.over_seeds(["net-s0-init", "net-s0-final", "net-s1-final"], np.arange(3.0))[1])


@pytest.mark.parametrize("pairs", [PAIRS[:1], ["net-s0-init", "net-s1-init"]])
def test_over_seeds__below_three_has_no_error(pairs: list[str]) -> None:
    mean, error = tables.over_seeds(pairs, np.arange(len(pairs)) + 1.0)
    assert mean == (len(pairs) + 1) / 2
    assert np.isnan(error)


def test_over_seeds__has_no_error_where_every_pair_shares_a_seed() -> None:
    mean, error = tables.over_seeds(PAIRS[:2], np.array(VALUES[:2]))  # seed 0 left out leaves nothing
    assert mean == 1.5
    assert np.isnan(error)


def test_against__is_the_difference_to_the_null_by_layer(table: pd.DataFrame) -> None:
    of = ("same", "net", "matching", "plus")
    found = tables.against(table, *of, "untrained")
    assert list(found) == ["conv1", "fc"]
    assert found["fc"] == (pytest.approx(1.5), pytest.approx(ERROR / 2), "not told apart")
    assert tables.against(table, *of, "permuted")["fc"][:2] == pytest.approx((3 - NULL, ERROR))
    assert tables.against(table, *of, "rotated") == {}
    assert tables.against(table, "same", "other", "matching", "plus", "permuted") == {}


@pytest.mark.parametrize("lacking", [(0, 1, 2), (1,)])
def test_against__names_a_layer_whose_null_is_not_defined_for_every_pair(lacking: tuple[int, ...]) -> None:
    of_pairs = results()
    for i in lacking:
        of_pairs[i].store.layers["fc"]["summary_null"][:] = np.nan
    found = tables.against(tables.summarise(of_pairs), "same", "net", "matching", "plus", "permuted")
    assert list(found) == ["conv1", "fc"]
    assert np.isfinite(found["conv1"][:2]).all()
    assert np.isnan(found["fc"][:2]).all()
    assert found["fc"][2] == ""


def test_over_pairs__takes_each_null_of_its_own_pair(table: pd.DataFrame) -> None:
    """In whatever order the rows are; and a pair without a null leaves none for the mean, and no row without one."""
    of_pairs = table.loc[table["pair"] != "net-all", tables.COLUMNS]
    keys = ["layer", "statistic", "null_kind"]
    expected, found = (
        tables.over_pairs(rows).sort_values(keys, ignore_index=True)
        for rows in (of_pairs, of_pairs.sample(frac=1, random_state=0))
    )
    pd.testing.assert_frame_equal(found, expected)
    without = of_pairs["pair"].eq(PAIRS[1]) & of_pairs["null_kind"].eq("permuted")
    lacking = of_pairs.mask(without, of_pairs.assign(null=np.nan, null_kind=""))
    found = tables.over_pairs(lacking).set_index(keys)
    assert found["excess"].isna().groupby("null_kind").unique().map(list).to_dict() == {
        "untrained": [False],
        "permuted": [True],
    }


def test_read__gives_what_was_written(tmp_path: Path) -> None:
    other = [replace(one, comparison="null") for one in results(untrained=False, nulls=False, network="other")]
    table = tables.summarise([*results(), *other])
    table.to_csv(tmp_path / "summary.csv", index=False)
    pd.testing.assert_frame_equal(tables.read(tmp_path / "summary.csv"), table)


def test_against__counts_seeds_not_pairs() -> None:
    """Six pairs of four seeds: the interval has three degrees of freedom."""
    pairs = [f"net-s{p}-final--net-s{q}-final" for p in range(8, 12) for q in range(8, p)]
    bound = stats.t(3).ppf(0.975) * tables.over_seeds(pairs, np.arange(6.0))[1]
    for beyond, verdict in ((0.99, "not told apart"), (1.01, "larger")):
        values = np.arange(6) - 2.5 + NULL + beyond * bound
        of_pairs = (Result("same", pair, "matching", store(i), None) for pair, i in zip(pairs, values, strict=True))
        found = tables.against(tables.summarise(of_pairs), "same", "net", "matching", "plus", "permuted")["fc"]
        assert found[:2] == pytest.approx(tables.over_seeds(pairs, values - NULL))
        assert found[2] == verdict


@pytest.mark.parametrize(
    ("excess", "error", "left_out", "verdict"),
    [
        (4.31, 1.0, 3, "larger"),  # Student's t of two degrees of freedom: 4.303
        (4.29, 1.0, 3, "not told apart"),
        (-4.29, 1.0, 3, "not told apart"),
        (-4.31, 1.0, 3, "smaller"),
        (3.19, 1.0, 4, "larger"),  # of three: 3.182
        (3.17, 1.0, 4, "not told apart"),
        (0.0, 0.0, 3, "no spread"),
        (0.5, 1e-10, 3, "no spread"),
        (2e10, 1.0, 3, "no spread"),
        (np.nan, np.nan, 3, ""),
        (0.5, np.nan, 2, ""),
    ],
)
def test_verdict__is_students_t(excess: float, error: float, left_out: int, verdict: str) -> None:
    assert tables.verdict(excess, error, left_out) == verdict


def test_means__are_by_layer(table: pd.DataFrame) -> None:
    assert tables.means(table, "same", "net", "matching", "minus") == pytest.approx({"conv1": -3, "fc": -3})
    assert list(tables.means(table, "same", "net", "matching", "plus")) == ["conv1", "fc"]
    for of in (("other", "net", "matching"), ("same", "other", "matching"), ("same", "net", "correlation")):
        assert tables.means(table, *of, "plus") == {}


def test_correlation_over_seeds__leaves_out_a_seed_with_all_its_pairs(generator: np.random.Generator) -> None:
    pairs = [f"net-s{a}-final--net-s{b}-final" for a, b in itertools.combinations(range(4), 2)]
    x, y = generator.standard_normal((2, 6))
    found, error, seeds = tables.correlation_over_seeds(pairs, x, y)
    assert (found, seeds) == (pytest.approx(stats.pearsonr(x, y)[0]), 4)
    kept = [[f"-s{seed}-" not in pair for pair in pairs] for seed in range(4)]
    left_out = [stats.pearsonr(x[rest], y[rest])[0] for rest in kept]
    assert error == pytest.approx(np.sqrt(3 / 4 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)))


@pytest.mark.parametrize("y", [[1.0, 2.0, np.nan], [2.0, 2.0, 2.0]])
def test_correlation_over_seeds__is_undefined_where_a_side_is(y: list[float]) -> None:
    pairs = [f"net-s{a}-final--net-s{b}-final" for a, b in itertools.combinations(range(3), 2)]
    assert np.isnan(tables.correlation_over_seeds(pairs, np.arange(3.0), np.array(y))[:2]).all()


def test_correlation_over_seeds__of_three_seeds_has_no_error() -> None:
    pairs = [f"net-s{a}-final--net-s{b}-final" for a, b in itertools.combinations(range(3), 2)]
    found, error, _ = tables.correlation_over_seeds(pairs, np.arange(3.0), np.array([3.0, 5.0, 7.0]))
    assert found == pytest.approx(1)
    assert np.isnan(error)
