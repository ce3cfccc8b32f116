"""Activation statistics against NumPy on raw activations."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent import histograms, moments
from convergent.measures.statistics import STATISTICS, statistics

Layer = Callable[..., xr.DataArray]
K = 5


def measured(activation: xr.DataArray) -> xr.Dataset:
    return statistics(moments.within(activation), histograms.of_units(activation))


@pytest.fixture
def activations(generator: np.random.Generator) -> np.ndarray:
    """Five rectified units of different scale and offset; unit 2 is zero, unit 3 constant."""
    scale, offset = np.array([1.0, 100, 0, 0, 1]), np.array([0.0, -50, 0, 0.1, 100])
    return np.maximum(scale * generator.standard_normal((40, 3, 3, 5)) + offset, 0)


def jackknife(activations: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """By leaving images out of the raw activations."""
    fold = np.arange(len(activations)) // (len(activations) // K)
    left_out = np.stack([statistic(activations[fold != k].reshape(-1, 5)) for k in range(K)])
    return np.sqrt((K - 1) / K * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))


@pytest.mark.parametrize("chunk", [2, 8])
def test_statistics__agree_with_numpy_in_any_chunks(layer: Layer, activations: np.ndarray, chunk: int) -> None:
    found, samples = measured(layer(activations, K, chunk)), activations.reshape(-1, 5)
    np.testing.assert_allclose(found["mean"], samples.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["standard_deviation"], samples.std(axis=0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found["share_zeros"], (samples == 0).mean(axis=0), rtol=1e-15)
    np.testing.assert_array_equal(found["maximum"], samples.max(axis=0))
    np.testing.assert_array_equal(found["minimum"], samples.min(axis=0))
    np.testing.assert_array_equal(found["count"].sum("octave"), [len(samples)] * 5)
    np.testing.assert_array_equal(found["dead"], [0, 0, 1, 1, 0])


def test_statistics__standard_errors_agree_with_leaving_out_images(layer: Layer, activations: np.ndarray) -> None:
    found = measured(layer(activations, K))
    expected = jackknife(activations, lambda samples: samples.mean(axis=0))
    np.testing.assert_allclose(found["mean_standard_error"], expected, rtol=1e-8, atol=1e-12)
    errors = dict(zip(STATISTICS, found["summary_standard_error"].values, strict=True))
    assert errors["mean_activation"] == pytest.approx(jackknife(activations, np.mean))
    deviation = jackknife(activations, lambda samples: samples.std(axis=0).mean())
    assert errors["mean_standard_deviation"] == pytest.approx(deviation)
    assert np.isnan([errors[name] for name in ("n_units", "n_dead", "share_zeros")]).all()


def test_statistics__summary_is_over_all_units(layer: Layer, activations: np.ndarray) -> None:
    found, samples = measured(layer(activations, K)), activations.reshape(-1, 5)
    expected = [5, 2, samples.mean(), samples.std(axis=0).mean(), (samples == 0).mean()]
    np.testing.assert_allclose(found["summary"], expected, rtol=1e-10)
    assert found["statistic"].values.tolist() == list(STATISTICS)
    assert found.sizes["null_kind"] == 0


@pytest.mark.parametrize("value", [0.0, 2.0])
@pytest.mark.parametrize("units", [1, 3])
def test_statistics__of_a_dead_layer(layer: Layer, value: float, units: int) -> None:
    found = measured(layer(np.full((10, units), value)))
    np.testing.assert_array_equal(found["summary"], [units, units, value, 0, value == 0])
    np.testing.assert_array_equal(found["mean_standard_error"], np.zeros(units))


def test_statistics__follow_permuted_units(layer: Layer, activations: np.ndarray) -> None:
    order = [4, 0, 3, 1, 2]
    straight = measured(layer(activations))
    turned = measured(layer(activations[..., order]).assign_coords(unit=order))
    xr.testing.assert_allclose(straight, turned.sel(unit=range(5)), rtol=1e-10, atol=1e-12)


def test_statistics__refuse_the_histograms_of_other_units(layer: Layer, activations: np.ndarray) -> None:
    a = layer(activations)
    with pytest.raises(ValueError, match="exact"):
        statistics(moments.within(a), histograms.of_units(a.assign_coords(unit=[1, 2, 3, 4, 5])))
