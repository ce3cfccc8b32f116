"""Tiles against NumPy's own casts, for every float16 there is."""

import numpy as np
import pytest

from convergent.errors import InputError
from convergent.tiles import Tiles, spans

PRECISIONS = ["float64", "float32"]


def tiles(values: np.ndarray, precision: str) -> Tiles:
    return Tiles(values, np.array([f"i{i}" for i in range(len(values))]), np.arange(values.shape[-1]), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fill__every_finite_float16_is_exact(precision: str) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    found = tiles(every.reshape(-1, 1, 1), precision)
    found.centre[:] = 0
    tile = found.fill(slice(None))
    assert tile.dtype == precision
    np.testing.assert_array_equal(tile[:, 0], every.astype(precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_fill__centre_total_and_scale_give_the_values_back(
    generator: np.random.Generator, dtype: str, precision: str
) -> None:
    values = (generator.standard_normal((40, 3, 5)) * [1, 2, 3, 0, 1e-3] + [0, 50, -9, 7, 0]).astype(dtype)
    found = tiles(values, precision)
    parts = [found.fill(span).copy() for span in spans(40, 3, 10**5, precision)]
    assert len(parts) > 1
    samples = values.reshape(-1, 5).astype(np.float64)
    given = np.concatenate(parts) * found.scale + found.centre
    np.testing.assert_allclose(given, samples, rtol=1e-12 if precision == "float64" else 1e-6, atol=1e-6)
    mean = found.centre + found.total / 120 * found.scale
    np.testing.assert_allclose(mean, samples.mean(axis=0), rtol=1e-12 if precision == "float64" else 1e-6, atol=1e-7)
    assert (np.concatenate(parts)[:, 3] == 0).all()  # a constant unit is its own centre


def test_fill__takes_images_in_any_order_and_counts_them_once(generator: np.random.Generator) -> None:
    values = generator.standard_normal((6, 2, 3))
    found = tiles(values, "float64")
    first, total = found.fill(slice(None)).copy(), found.total.copy()
    moved = found.fill(np.array([5, 0, 3]), counted=False)
    np.testing.assert_array_equal(moved.reshape(3, 2, 3), first.reshape(6, 2, 3)[[5, 0, 3]])
    np.testing.assert_array_equal(found.total, total)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fill__names_what_is_not_finite(value: float, dtype: str, precision: str) -> None:
    values = np.ones((6, 2, 3), dtype)
    values[4, 1, 2] = value
    found = tiles(values, precision)
    found.fill(slice(0, 3))
    with pytest.raises(InputError, match=rf"unit 2, image i4: activation {value} is not finite"):
        found.fill(slice(3, 6))


@pytest.mark.parametrize(("positions", "units"), [(1, 10), (169, 384), (12544, 64), (1, 4096)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_spans__cover_all_images_in_tiles_of_bounded_size(positions: int, units: int, precision: str) -> None:
    found = list(spans(100, positions, units, precision))
    images = np.concatenate([np.arange(100)[span] for span in found])
    np.testing.assert_array_equal(images, np.arange(100))
    for span in found:
        count = span.stop - span.start
        assert count == 1 or count * positions * units * np.dtype(precision).itemsize <= 4 * 2**20
