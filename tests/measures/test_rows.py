"""Rows of layers against NumPy on the images that are kept."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.errors import InputError
from convergent.measures import rows

Layer = Callable[..., xr.DataArray]


@pytest.fixture
def sides(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Layers of 4 and 3 units with means that matter."""
    return generator.standard_normal((20, 4)) + 30, generator.standard_normal((20, 3)) - 7


def test_comoments__of_all_and_without_each_fold(layer: Layer, sides: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (rows.of(layer(side)) for side in sides)
    fold = np.arange(20) // 4
    for k, (comoment, norm) in enumerate(zip(rows.comoments(a, b), rows.norms(a), strict=True)):
        x, y = (side[fold != k - 1] - side[fold != k - 1].mean(axis=0) for side in sides)
        np.testing.assert_allclose(comoment, x.T @ y, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(norm, np.linalg.norm(x, axis=0), rtol=1e-10)


def test_of__dead_units_are_zero(layer: Layer, sides: tuple[np.ndarray, np.ndarray]) -> None:
    found = rows.of(layer(np.insert(sides[0], 2, 0.7, axis=1)))
    np.testing.assert_array_equal(found.values[:, 2], 0)
    np.testing.assert_allclose(np.delete(found.values, 2, axis=1), sides[0] - sides[0].mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(rows.norms(found)), np.tile(np.arange(5) == 2, (6, 1)))


def test_norms__a_unit_of_one_fold_is_dead_without_it(layer: Layer) -> None:
    x = np.where(np.arange(20)[:, None] < 4, np.random.default_rng(0).standard_normal((20, 2)), 0.3)
    np.testing.assert_array_equal(np.isnan(rows.norms(rows.of(layer(x)))[:, 0]), [False, True, *[False] * 4])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_of__refuses_what_is_not_finite(layer: Layer, value: float) -> None:
    x = np.ones((10, 3))
    x[4, 1] = value
    with pytest.raises(InputError, match=r"\Aunit 1: .*record them anew\Z"):
        rows.of(layer(x))


def test_check__refuses_rows_of_other_units(
    layer: Layer, pair: Callable[..., xr.Dataset], sides: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = sides
    with pytest.raises(InputError, match="the rows of side b hold 2 units, its moments 3 or others"):
        rows.check(pair(x, y), layer(x), layer(y[:, :2]))
