"""Zeros, extremes and octaves of each unit against NumPy, whatever the chunks."""

from collections import Counter
from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from convergent import histograms

Layer = Callable[..., xr.DataArray]


@pytest.fixture
def activations(generator: np.random.Generator) -> np.ndarray:
    """A wide, a rectified and a dead unit, [image, y, x, unit]."""
    wide = generator.choice([-1, 1], (20, 3, 3)) * np.exp2(generator.uniform(-13, 15, (20, 3, 3)))
    rectified = np.maximum(generator.standard_normal((20, 3, 3)), 0)
    return np.stack([wide, rectified, np.zeros((20, 3, 3))], axis=-1).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 4, 5, 20])
def test_of_units__agrees_with_numpy_in_any_chunks(layer: Layer, activations: np.ndarray, chunk: int) -> None:
    found = histograms.of_units(layer(activations, chunk=chunk))
    samples = activations.reshape(-1, 3)
    # A bin of NumPy holds its lower edge, as a bin of octaves does; zeros apart.
    edges = [*found["upper_edge"].values[:-1], np.inf]
    for unit, values in enumerate(samples.T):
        expected, _ = np.histogram(np.abs(values[values != 0]), edges)
        np.testing.assert_array_equal(found["count"][unit], [(values == 0).sum(), *expected])
    np.testing.assert_array_equal(found["minimum"], samples.min(axis=0))
    np.testing.assert_array_equal(found["maximum"], samples.max(axis=0))
    assert found["count"].dims == ("unit", "octave")
    np.testing.assert_array_equal(found["count"].sum("octave"), len(samples))


def test_of_units__reads_every_chunk_once(layer: Layer, activations: np.ndarray) -> None:
    reads: Counter[int] = Counter()

    def read(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        reads[block_info[0]["chunk-location"][0]] += 1
        return block

    a = layer(activations, chunk=4)
    a = a.copy(data=da.map_blocks(read, a.data, meta=a.data._meta))
    with dask.config.set(scheduler="synchronous"):
        histograms.of_units(a)
    assert reads == dict.fromkeys(range(5), 1)


def test_of_units__keeps_labels_and_follows_permuted_units(layer: Layer, activations: np.ndarray) -> None:
    straight = histograms.of_units(layer(activations))
    turned = histograms.of_units(layer(activations[..., [2, 0, 1]]).assign_coords(unit=[2, 0, 1]))
    xr.testing.assert_identical(straight, turned.sel(unit=[0, 1, 2]))


@pytest.mark.parametrize(
    ("value", "edge"),
    [
        (0.0, 0.0),
        (-0.0, 0.0),
        (1.0, 2.0),
        (np.nextafter(np.float32(1), np.float32(0)), 1.0),
        (-3.0, 4.0),
        (2.0**-15, 2.0**-14),  # the first bin takes what is smaller
        (1e-30, 2.0**-14),
        (65504.0, 2.0**16),  # the largest float16
        (1e30, 2.0**17),  # the last bin takes what is larger
    ],
)
def test_block__puts_a_magnitude_below_its_upper_edge(layer: Layer, value: float, edge: float) -> None:
    found = histograms.of_units(layer(np.full((5, 1), value)))
    (full,) = np.flatnonzero(found["count"][0])
    assert found["upper_edge"][full] == edge
    assert found["count"][0, full] == 5


def test_merge__adds_counts_and_keeps_extremes() -> None:
    p, q = (histograms.block(np.array([[v, -v], [0.0, v]])) for v in (1.0, 4.0))
    both = histograms.merge(p, q)
    np.testing.assert_array_equal(both.count, p.count + q.count)
    np.testing.assert_array_equal(both.minimum, [0, -4])
    np.testing.assert_array_equal(both.maximum, [4, 4])


def test_of_units__float64_beyond_float32_is_counted_where_it_is(layer: Layer) -> None:
    """By hand: 1e39 is infinite in float32, and 1e-50 is 0."""
    found = histograms.of_units(layer(np.array([[1e39, 1e-50], [-1.0, 0.0]] * 5)))
    octaves = {"first": 1, "of one": 1 - histograms.EXPONENTS[0] + 1, "last": len(histograms.EXPONENTS)}
    counts = found["count"].values
    assert counts[0, [octaves["of one"], octaves["last"]]].tolist() == [5, 5]
    assert counts[1, [0, octaves["first"]]].tolist() == [5, 5]
    assert found["maximum"].values.tolist() == [1e39, 1e-50]
    assert found["minimum"].values.tolist() == [-1.0, 0.0]
