"""Unit correlation against NumPy on raw activations."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.measures.correlation import STATISTICS, correlation

Moments = Callable[..., xr.Dataset]
K = 5


def correlation_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.corrcoef(x, y, rowvar=False)[: x.shape[1], x.shape[1] :]


def jackknife(x: np.ndarray, y: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Of a statistic of the correlations, by leaving out images."""
    fold = np.arange(len(x)) // (len(x) // K)
    left_out = np.stack([statistic(correlation_of(x[fold != k], y[fold != k])) for k in range(K)])
    return np.sqrt((K - 1) / K * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))


def summary_of(found: xr.Dataset) -> dict[str, float]:
    return dict(zip(STATISTICS, found["summary"].values, strict=True))


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Networks of 4 and 3 units that share part of what they see, with mean 100 times the spread."""
    x = generator.standard_normal((60, 4))
    return 100 + x, x[:, :3] - generator.standard_normal((60, 3)) - 100


def test_correlation__agrees_with_numpy(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    found = correlation(pair(x, y))
    np.testing.assert_allclose(found["r"], correlation_of(x, y), atol=1e-10)
    np.testing.assert_allclose(found["r_a"], np.corrcoef(x, rowvar=False), atol=1e-10)
    np.testing.assert_allclose(found["r_b"], np.corrcoef(y, rowvar=False), atol=1e-10)
    r = correlation_of(x, y)
    np.testing.assert_allclose(found["summary"], [4, 3, r.mean(), np.abs(r).mean()], rtol=1e-10)


def test_correlation__standard_errors_agree_with_leaving_out_images(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = correlation(pair(*data))
    np.testing.assert_allclose(found["r_standard_error"], jackknife(*data, lambda r: r), rtol=1e-7)
    expected = jackknife(*data, lambda r: np.array([np.nan, np.nan, r.mean(), np.abs(r).mean()]))
    np.testing.assert_allclose(found["summary_standard_error"], expected, rtol=1e-7)


def test_correlation__golden_value(pair: Moments) -> None:
    rs = np.random.RandomState(0)
    x, w, noise = rs.standard_normal((500, 20)), rs.standard_normal((20, 24)), rs.standard_normal((500, 24))
    found = correlation(pair(x, 0.3 * (x @ w) + noise))
    assert float(found["r"][0, 0]) == pytest.approx(-0.01895911722405686, rel=1e-9)


def test_correlation__exchanged_is_transposed(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    forth, back = correlation(pair(x, y)), correlation(pair(y, x))
    np.testing.assert_allclose(forth["r"], back["r"].values.T, atol=1e-12)
    np.testing.assert_allclose(forth["r_standard_error"], back["r_standard_error"].values.T, rtol=1e-7)
    np.testing.assert_allclose(forth["r_a"], back["r_b"], atol=1e-12)


def test_correlation__follows_permuted_and_scaled_units(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    order, scale = [2, 0, 3, 1], np.array([1e-3, -7, 1e4, 2])
    found = correlation(pair(x[:, order] * scale, y))
    np.testing.assert_allclose(found["r"], np.sign(scale)[:, None] * correlation_of(x, y)[order], atol=1e-10)


def test_correlation__of_identical_networks_is_within(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = data
    found = correlation(pair(x, x))
    np.testing.assert_allclose(found["r"], found["r_a"], atol=1e-12)
    np.testing.assert_array_equal(found["r_a"], found["r_b"])
    np.testing.assert_array_equal(np.diag(found["r_a"]), np.ones(4))


def test_correlation__dead_units_are_nan_and_left_out_of_the_summary(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    dead_a, dead_b = np.arange(4) == 1, np.arange(3) == 2
    found = correlation(pair(np.where(dead_a, 5, x), np.where(dead_b, 0, y)))
    either = np.add.outer(dead_a, dead_b)
    for name in ("r", "r_standard_error", "r_permuted"):
        np.testing.assert_array_equal(np.isnan(found[name]), either)
    np.testing.assert_array_equal(np.isnan(found["r_a"]), np.add.outer(dead_a, dead_a))
    expected = correlation_of(x, y)[~either].mean()
    assert summary_of(found) == pytest.approx(
        {
            "n_live_a": 3,
            "n_live_b": 2,
            "mean_r": expected,
            "mean_absolute_r": np.abs(correlation_of(x, y)[~either]).mean(),
        }
    )


@pytest.mark.parametrize("units", [1, 3])
def test_correlation__with_a_dead_network_is_nan(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], units: int
) -> None:
    x, y = data
    found = correlation(pair(x[:, :units], np.zeros_like(y[:, :units])))
    assert np.isnan(found["r"]).all()
    np.testing.assert_array_equal(found["summary"], [units, 0, np.nan, np.nan])


def test_correlation__of_one_unit(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (side[:, :1] for side in data)
    found = correlation(pair(x, y))
    np.testing.assert_allclose(found["r"], correlation_of(x, y), atol=1e-10)
    assert found["r_a"].values.tolist() == found["r_b"].values.tolist() == [[1]]


def test_correlation__permuted_null_is_the_mean_over_replicates(pair: Moments, generator: np.random.Generator) -> None:
    x = generator.standard_normal((500, 6))
    moments = pair(x, x, permutations=3)
    found = correlation(moments)
    apart = [correlation(moments.isel(replicate=[i])) for i in range(3)]
    null = found["summary_null"].sel(null_kind="permuted")
    np.testing.assert_allclose(null, np.mean([one["summary_null"][0] for one in apart], axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found["r_permuted"], apart[0]["r_permuted"])
    # 1/√500 = .045: what two networks share by being the same is gone.
    assert np.abs(found["r_permuted"]).max() < 0.2
    assert summary_of(found)["mean_absolute_r"] > 2 * float(null[-1])


def test_correlation__keeps_labels(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    moments = pair(*data).assign_coords(unit_a=[9, 4, 7, 1], unit_b=[3, 8, 5])
    found = correlation(moments)
    assert found["r"].dims == ("unit_a", "unit_b")
    assert float(found["r"].sel(unit_a=7, unit_b=8)) == float(found["r"][2, 1])
