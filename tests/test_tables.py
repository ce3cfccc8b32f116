"""The tidy table and its error over seeds, by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

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


def results(values: tuple[float, ...] = VALUES, *, untrained: bool = True, nulls: bool = True) -> list[Result]:
    return [
        Result("same", pair, "matching", store(value, nulls), store(value / 2) if untrained else None)
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


def test_rows__without_a_null_leave_it_empty() -> None:
    found = pd.DataFrame(tables.rows(results(untrained=False, nulls=False)[0]), columns=tables.COLUMNS)
    assert len(found) == 4
    assert (found["null_kind"] == "").all()
    assert found["null"].isna().all()


def test_summarise__adds_the_mean_over_pairs(table: pd.DataFrame) -> None:
    assert list(table.columns) == tables.COLUMNS
    over = table[table["pair"] == tables.ALL]
    assert len(table) == len(over) * 4 == 32
    row = over[(over["layer"] == "fc") & (over["statistic"] == "minus")].set_index("null_kind")
    np.testing.assert_allclose(row["value"], -3)
    np.testing.assert_allclose(row["standard_error"], ERROR)
    assert row["null"].to_dict() == pytest.approx({"untrained": -1.5, "permuted": -NULL})


def test_summarise__keeps_comparisons_and_measures_apart() -> None:
    other = [Result(c, PAIRS[0], m, store(9), None) for c, m in (("other", "matching"), ("same", "correlation"))]
    table = tables.summarise([*results(), *other])
    over = table[(table["pair"] == tables.ALL) & (table["statistic"] == "plus") & (table["layer"] == "fc")]
    found = over.groupby(["comparison", "measure"])["value"].unique().map(list).to_dict()
    assert found == {("same", "matching"): [3.0], ("other", "matching"): [9.0], ("same", "correlation"): [9.0]}


@pytest.mark.parametrize("values", [(np.nan,), (np.nan, 2.0, 3.0)])
def test_summarise__shows_what_is_not_defined(values: tuple[float, ...]) -> None:
    table = tables.summarise(results(values, untrained=False))
    over = table[table["pair"] == tables.ALL]
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


@pytest.mark.parametrize("pairs", [PAIRS[:1], ["net-s0-init", "net-s1-init"]])
def test_over_seeds__below_three_has_no_error(pairs: list[str]) -> None:
    mean, error = tables.over_seeds(pairs, np.arange(len(pairs)) + 1.0)
    assert mean == (len(pairs) + 1) / 2
    assert np.isnan(error)


def test_over_seeds__has_no_error_where_every_pair_shares_a_seed() -> None:
    mean, error = tables.over_seeds(PAIRS[:2], np.array(VALUES[:2]))  # seed 0 left out leaves nothing
    assert mean == 1.5
    assert np.isnan(error)


def test_excess__is_the_difference_to_the_null_by_layer(table: pd.DataFrame) -> None:
    found = tables.excess(table, "same", "matching", "plus", "untrained")
    assert list(found) == ["conv1", "fc"]
    assert found["fc"] == pytest.approx((1.5, ERROR / 2))
    assert tables.excess(table, "same", "matching", "plus", "permuted")["fc"] == pytest.approx((3 - NULL, ERROR))
    assert tables.excess(table, "same", "matching", "plus", "rotated") == {}


def test_of_comparison__is_by_layer_and_null(table: pd.DataFrame) -> None:
    found = tables.of_comparison(table, "same", "matching", "plus")
    assert list(found) == ["conv1", "fc"]
    assert found["conv1"]["null"].to_dict() == pytest.approx({"untrained": 1.5, "permuted": NULL})
    assert tables.of_comparison(table, "other", "matching", "plus") == {}
