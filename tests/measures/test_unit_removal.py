"""Removal of units: which are removed in which order, and the summary by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from convergent import moments
from convergent.measures.unit_removal import ORDERS, masks, shares_of, unit_removal, units

R = np.array([0.9, 0.1, np.nan, 0.5, 0.7])  # unit 2 has no partner; 4 is dead
VARIANCE = np.array([2.0, 3.0, 1.0, 4.0, 0.0])


def test_masks__remove_by_r_and_by_variance(generator: np.random.Generator) -> None:
    found = masks(R, VARIANCE, np.array([0, 0.25, 0.5, 1]), 2, generator)
    assert found.shape == (len(ORDERS) + 2, 4, 5)
    assert not found[:, 0].any()
    for order, (first, second) in zip(range(4), ((2, 1), (0, 3), (2, 0), (3, 1)), strict=True):
        assert np.flatnonzero(found[order, 1]).tolist() == [first], ORDERS[order]
        assert np.flatnonzero(found[order, 2]).tolist() == sorted([first, second]), ORDERS[order]
    assert (found[:, 3] == (VARIANCE > 0)).all()


def test_masks__at_random_are_nested_and_of_live_units() -> None:
    found = masks(R, VARIANCE, np.array([0, 0.25, 0.5, 1]), 40, np.random.default_rng(1))[len(ORDERS) :]
    assert (found.sum(axis=2) == [0, 1, 2, 4]).all()
    assert (found[:, :-1] <= found[:, 1:]).all()
    assert not found[..., 4].any()
    assert found[:, 1].sum(axis=0)[:4].min() > 3  # of 40 draws, each unit is the first ten times


def test_units__are_those_of_the_activations(
    layer: Callable[..., xr.DataArray], generator: np.random.Generator
) -> None:
    values = np.maximum(generator.standard_normal((20, 3, 3, 4)) + np.arange(4), 0)
    values[..., 2] = 0.3
    mean, variance = units(moments.within(layer(values)))
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(variance, values.var(axis=(0, 1, 2)), atol=1e-12)
    assert variance[2] == 0


def test_shares_of__has_none_and_the_quarter() -> None:
    assert shares_of([0.5, 1]).tolist() == [0, 0.25, 0.5, 1]
    assert shares_of([0.25]).tolist() == [0, 0.25]


@pytest.fixture
def accuracy() -> xr.DataArray:
    """Two sides, four orders and two at random, nothing or a quarter removed, two folds .1 apart."""
    lost = np.array([[0.1, 0.3, 0.05, 0.2, 0.1, 0.2], [0.1, 0.5, 0.15, 0.2, 0.3, 0.4]])
    values = np.stack([np.full_like(lost, 0.8), 0.8 - lost], axis=2)[..., None] + np.array([0, 0.1])
    values[:, 0, 1, 1] += 0.04  # the rare cost less in fold 1
    return xr.DataArray(values, {"share": [0, 0.25]}, ("side", "order", "share", "fold"))


def value(result: xr.Dataset, statistic: str, variable: str = "summary", **chosen: str) -> float:
    return float(result[variable].sel(statistic=statistic, **chosen))


def test_unit_removal__summarises_by_hand(accuracy: xr.DataArray) -> None:
    result = unit_removal(accuracy, [R, R], [VARIANCE, VARIANCE[::-1]])
    assert value(result, "accuracy_intact") == pytest.approx(0.85)
    assert value(result, "lost_rare") == pytest.approx(0.08)  # .1 and .06
    assert value(result, "lost_shared") == pytest.approx(0.4)
    assert value(result, "lost_shared_minus_rare") == pytest.approx(0.32)
    error = pytest.approx(0.02)  # of two folds .04 apart
    assert value(result, "lost_rare", "summary_standard_error") == error
    assert value(result, "lost_shared_minus_rare", "summary_standard_error") == error
    assert value(result, "lost_shared", "summary_standard_error") == pytest.approx(0)
    for statistic in ("lost_rare", "lost_shared"):
        assert value(result, statistic, "summary_null", null_kind="random_units") == pytest.approx(0.25)
    assert value(result, "lost_shared_minus_rare", "summary_null", null_kind="random_units") == 0
    assert value(result, "lost_rare", "summary_null", null_kind="variance") == pytest.approx(0.1)
    assert value(result, "lost_shared", "summary_null", null_kind="variance") == pytest.approx(0.2)
    assert value(result, "lost_shared_minus_rare", "summary_null", null_kind="variance") == pytest.approx(0.1)
    matched = ~np.isnan(R)
    expected = [spearmanr(R[matched], of[matched])[0] for of in (VARIANCE, VARIANCE[::-1])]
    assert value(result, "rank_correlation_r_variance") == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(result["accuracy"].sel(order="shared", share=0.25), [0.55, 0.35])
    np.testing.assert_allclose(result["accuracy_random"].sel(share=0.25), [[0.75, 0.65], [0.55, 0.45]])


def test_unit_removal__of_a_dead_layer_loses_nothing(accuracy: xr.DataArray) -> None:
    none = np.full(5, np.nan)
    result = unit_removal(accuracy * 0 + 0.1, [none, none], [np.zeros(5)] * 2)
    assert value(result, "lost_shared_minus_rare") == 0
    assert np.isnan(value(result, "rank_correlation_r_variance"))
