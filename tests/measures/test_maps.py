"""Maps between units, held against least squares and scikit-learn on the activations themselves."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Lasso

from convergent.errors import InputError
from convergent.measures.maps import maps

Pair = Callable[..., xr.Dataset]
HALVES = (slice(0, 40), slice(40, 100))  # of 100 images in 5 folds: two and three


@pytest.fixture
def sides(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = np.maximum(generator.standard_normal((100, 6)) * np.array([1, 2, 3, 0.5, 1, 1]), 0)
    y = x @ generator.standard_normal((6, 4)) + 0.3 * generator.standard_normal((100, 4)) + 5
    return x, y


def mapped(found: xr.Dataset, direction: str, half: int, name: str, x: np.ndarray) -> np.ndarray:
    """The units of the receiver that a map makes of those of the sender."""
    of = found.sel(half=half, map=name)
    return x @ of[f"weight_{direction}"].values.T + of[f"intercept_{direction}"].values


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_maps__of_all_units_are_least_squares(
    pair: Pair, sides: tuple[np.ndarray, np.ndarray], half: int, direction: str
) -> None:
    x, y = sides if direction == "ab" else sides[::-1]
    found = maps(pair(*sides), alphas=[0.1])
    design = np.column_stack([x, np.ones(100)])
    solution = np.linalg.lstsq(design[HALVES[half]], y[HALVES[half]], rcond=None)[0]
    np.testing.assert_allclose(mapped(found, direction, half, "least_squares", x), design @ solution, atol=2e-5)


@pytest.mark.parametrize("half", [0, 1])
def test_maps__of_few_units_are_the_lasso(pair: Pair, sides: tuple[np.ndarray, np.ndarray], half: int) -> None:
    x, y = sides
    found, fitted = maps(pair(x, y), alphas=[0.02, 0.3]), HALVES[half]
    scale, spread = x[fitted].std(axis=0), y[fitted].std(axis=0)
    for alpha in (0.3, 0.02):
        expected = np.column_stack(
            [
                Lasso(alpha=alpha, tol=1e-10).fit(x[fitted] / scale, y[fitted, i] / spread[i]).predict(x / scale)
                for i in range(4)
            ]
        )
        np.testing.assert_allclose(mapped(found, "ab", half, f"lasso_{alpha:g}", x), expected * spread, atol=0.01)


@pytest.mark.parametrize("half", [0, 1])
def test_maps__of_one_unit_are_regressions_on_it(pair: Pair, sides: tuple[np.ndarray, np.ndarray], half: int) -> None:
    x, y = sides
    found, fitted = maps(pair(x, y), alphas=[0.1]), HALVES[half]
    for i in range(4):
        line = np.polyfit(x[fitted, i], y[fitted, i], 1)
        np.testing.assert_allclose(mapped(found, "ab", half, "identity", x)[:, i], np.polyval(line, x[:, i]), atol=2e-5)
    np.testing.assert_allclose(mapped(found, "ab", half, "mean", x), np.tile(y[fitted].mean(axis=0), (100, 1)))
    # Units of a wider receiver that have no unit of their number keep their mean.
    np.testing.assert_array_equal(found["weight_ba"].sel(map="identity")[:, 4:], 0)


def test_maps__find_a_permuted_copy(pair: Pair, sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, order = sides[0], np.array([3, 5, 0, 1, 4, 2])
    found = maps(pair(x, x[:, order]), alphas=[1e-5])
    for half in (0, 1):
        np.testing.assert_allclose(mapped(found, "ab", half, "one_to_one", x), x[:, order], atol=1e-5)
        np.testing.assert_allclose(mapped(found, "ab", half, "lasso_1e-05", x), x[:, order], atol=1e-3)
        np.testing.assert_allclose(mapped(found, "ba", half, "one_to_one", x[:, order]), x, atol=1e-5)
    np.testing.assert_array_equal(found["n_weights_ab"].sel(map="one_to_one"), 1)


def test_maps__count_weights_and_name_what_they_are(pair: Pair, sides: tuple[np.ndarray, np.ndarray]) -> None:
    found = maps(pair(*sides), alphas=[0.1, 1.0, 0.01])
    assert found["map"].values.tolist() == [
        *("mean", "identity", "one_to_one"),
        *("lasso_1", "lasso_0.1", "lasso_0.01", "least_squares"),
    ]
    np.testing.assert_array_equal(found["alpha"], [np.nan, np.nan, np.nan, 1, 0.1, 0.01, np.nan])
    np.testing.assert_array_equal(found["half_of"], [0, 0, 1, 1, 1])
    counted = np.count_nonzero(found["weight_ab"], axis=-1).mean(axis=-1)
    np.testing.assert_array_equal(found["n_weights_ab"], counted)
    assert (counted[:, 3] == 0).all()
    assert (np.diff(counted[:, 3:]) >= 0).all()


def test_maps__leave_dead_units_alone(pair: Pair, sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sides[0].copy(), sides[1].copy()
    x[:, 2], y[:, 1] = 7, 3
    found = maps(pair(x, y), alphas=[0.01])
    assert not found["weight_ab"].sel(unit_a=2).any()
    assert not found["weight_ab"].sel(unit_b=1).any()
    np.testing.assert_allclose(found["intercept_ab"].sel(unit_b=1), 3)
    assert np.isfinite(found["weight_ba"]).all()
    live = np.count_nonzero(found["weight_ab"].values[:, :, [0, 2, 3]], axis=-1).mean(axis=-1)
    np.testing.assert_array_equal(found["n_weights_ab"], live)


def test_maps__need_two_folds(pair: Pair, sides: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InputError, match="1 fold; maps are fitted on half of them"):
        maps(pair(*sides).isel(fold=[0]), alphas=[0.1])
