"""Bins of equal mass and the codes of values in them, against NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent import bins

Layer = Callable[..., xr.DataArray]
FOLDS, BINS = 4, 5


def codes_by_definition(values: np.ndarray, edge: np.ndarray) -> np.ndarray:
    return (values.reshape(-1, len(edge)).T[:, :, None] > edge[:, None, :]).sum(axis=-1)


@pytest.mark.parametrize("count", [2, 20, 254])
def test_edges__cut_what_is_above_zero_into_equal_masses(
    layer: Layer, generator: np.random.Generator, count: int
) -> None:
    values = np.concatenate([np.zeros(70), 1e-6 * generator.random(30), 1 + generator.random(count * 7)])
    activation = layer(generator.permutation(values)[:, None], folds=2)
    found = bins.edges(activation, bins=count)
    assert found["edge"].dims == ("unit", "bin")
    assert found["edge"].shape == (1, count)
    assert found["edge"].values[0, 0] == 1e-6
    assert np.isin(found["edge"].values[0, 1:], values).all()
    codes = bins.codes(values[:, None], found["edge"].values)
    np.testing.assert_array_equal(np.bincount(codes[0]), [100, *[7] * count])


def test_edges__merge_where_they_are_equal(layer: Layer) -> None:
    # Quarters of 1 1 1 1 2 3 end at 1, 1 and 2; then a unit that is constant, and one of zeros.
    x = np.stack([[0, 0, 1, 1, 1, 1, 2, 3], np.full(8, 7), np.zeros(8)], axis=1)
    found = bins.edges(layer(x, folds=2), bins=4)["edge"].values
    inf = np.inf
    np.testing.assert_array_equal(found, [[1e-6, 1, 2, inf], [1e-6, 7, inf, inf], [1e-6, inf, inf, inf]])
    codes = bins.codes(x, found)
    np.testing.assert_array_equal(codes, [[0, 0, 1, 1, 1, 1, 2, 3], [1] * 8, [0] * 8])


@pytest.mark.parametrize(
    ("samples", "images"), [(10**6, range(40)), (60, range(0, 40, 4)), (1, [0]), (20, [0, 13, 26])]
)
def test_edges__are_of_all_positions_of_evenly_spaced_images(layer: Layer, samples: int, images: list[int]) -> None:
    x = np.maximum(np.random.default_rng(0).standard_normal((40, 3, 2, 3)), 0)
    found = bins.edges(layer(x, FOLDS), bins=BINS, samples=samples)
    assert found.attrs == {"samples": 6 * len(images)}
    of_images = bins.edges(layer(x[list(images)], 1), bins=BINS)
    np.testing.assert_array_equal(found["edge"], of_images["edge"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 300])
def test_codes__count_the_edges_below(dtype: type, samples: int) -> None:
    generator = np.random.default_rng(samples)
    values = generator.standard_normal((samples, 4)).astype(dtype)
    edge = np.sort(np.abs(values[generator.integers(0, samples, 6)]), axis=0).T.astype(np.float64)
    edge[:, 0], edge[2, 4:] = 1e-6, np.inf
    found = bins.codes(values, edge)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, codes_by_definition(values.astype(np.float64), edge))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_codes__compare_exactly_in_every_type(dtype: type) -> None:
    """Also where an edge is no value of the type: 1e-6 lies between two float16, 70 000 above all of them."""
    around = np.array([1e-6, 1.0, 0.1], dtype)
    values = np.concatenate([np.nextafter(around, dtype(-1)), around, np.nextafter(around, dtype(2)), [-0.0, -1, 6e4]])
    edge = np.array([[1e-6, 0.1, 1.0, 7e4, np.inf]])
    expected = codes_by_definition(values.astype(np.float64), edge)
    np.testing.assert_array_equal(bins.codes(values.astype(dtype)[:, None], edge), expected)


def test_codes__reach_the_last_of_254_bins() -> None:
    edge = np.arange(254.0)[None] + 1e-6
    found = bins.codes(np.array([[0.0], [253.0], [254.0], [1e9]]), edge)
    np.testing.assert_array_equal(found, [[0, 253, 254, 254]])


# --- information
