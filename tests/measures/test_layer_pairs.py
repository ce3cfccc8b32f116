"""Layer × layer, unit by unit: every entry against raw activations, planted depth, dead layers."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LinearRegression

from convergent import grids, moments
from convergent.measures.layer_pairs import STATISTICS, indices, layer_pairs, summarise

K = 5
IMAGES = 100
Layers = dict[str, xr.DataArray]


@pytest.fixture
def chain(layer: Callable[..., xr.DataArray], generator: np.random.Generator) -> tuple[Layers, Layers]:
    """Two networks of other depths and grids that see one chain of features; the last layer has no positions."""
    base = generator.standard_normal((IMAGES, 4, 4, 3))
    later = np.tanh(base @ generator.standard_normal((3, 3))) + 0.3 * generator.standard_normal(base.shape)
    last = later.mean(axis=(1, 2)) @ generator.standard_normal((3, 3))

    def noisy(values: np.ndarray) -> xr.DataArray:
        order = generator.permutation(values.shape[-1])
        return layer(values[..., order] + 0.2 * generator.standard_normal(values.shape))

    halves = later.reshape(IMAGES, 2, 2, 2, 2, 3).mean(axis=(2, 4))
    a = {"one": noisy(base), "two": noisy(later), "three": noisy(last)}
    b = {
        "first": noisy(np.concatenate([base, base[..., :1] ** 2], axis=-1)),
        "second": noisy(halves),
        "end": noisy(last),
    }
    return a, b


def compared(a: Layers, b: Layers) -> xr.Dataset:
    found, on = {}, {}
    for p, x in a.items():
        for q, y in b.items():
            *sides, on[p, q] = grids.matched(x, y)
            found[p, q] = indices(moments.of(*sides))
    return layer_pairs(found, on)


def samples(values: xr.DataArray) -> np.ndarray:
    return values.values.reshape(-1, values.sizes["unit"]).astype(np.float64)


def held_out_r2(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Mean over targets of R² pooled over folds, each fold about the mean of the others."""
    squared, total = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for k in np.unique(fold):
        train = fold != k
        predicted = LinearRegression().fit(x[train], y[train]).predict(x[~train])
        squared += ((y[~train] - predicted) ** 2).sum(axis=0)
        total += ((y[~train] - y[train].mean(axis=0)) ** 2).sum(axis=0)
    return float((1 - squared / total).mean())


def by_hand(a: xr.DataArray, b: xr.DataArray) -> list[float]:
    x, y, _ = grids.matched(a, b)
    fold = np.repeat(x["fold"].values, len(samples(x)) // x.sizes["image"])
    x, y = samples(x), samples(y)
    r = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    centred = x - x.mean(axis=0), y - y.mean(axis=0)
    cka = ((centred[0].T @ centred[1]) ** 2).sum() / np.prod([np.linalg.norm(c.T @ c) for c in centred])
    matched = r[linear_sum_assignment(r, maximize=True)].mean()
    return [float(cka), float(matched), held_out_r2(x, y, fold), held_out_r2(y, x, fold)]


def test_layer_pairs__agrees_with_raw_activations(chain: tuple[Layers, Layers]) -> None:
    a, b = chain
    found = compared(a, b)
    for p, x in a.items():
        for q, y in b.items():
            entry = found.sel(layer_a=p, layer_b=q)
            values = [entry[name].item() for name in ("cka", "r_one_to_one", "r2_ab", "r2_ba")]
            np.testing.assert_allclose(values, by_hand(x, y), rtol=1e-6)
    assert found["grid_y"].values.tolist() == [[4, 2, 1], [4, 2, 1], [1, 1, 1]]
    assert (found["grid_x"] == found["grid_y"]).all()
    for statistic in STATISTICS:
        assert found["summary"].sel(statistic=statistic)["definition"].item() == STATISTICS[statistic]
    assert all("long_name" in variable.attrs for variable in found.data_vars.values())


def test_layer_pairs__are_told_apart_by_name(chain: tuple[Layers, Layers]) -> None:
    """In whatever order they come."""
    a, b = ({name: side[name] for name in list(side)[:2]} for side in chain)
    found, on = {}, {}
    for q, y in b.items():
        for p, x in a.items():
            *sides, on[p, q] = grids.matched(x, y)
            found[p, q] = indices(moments.of(*sides))
    xr.testing.assert_identical(layer_pairs(found, on), compared(a, b))


@pytest.mark.parametrize("lives", ["everywhere", "in one fold"])
def test_layer_pairs__errors_leave_out_images(chain: tuple[Layers, Layers], lives: str) -> None:
    a, b = ({name: side[name] for name in list(side)[:2]} for side in chain)
    if lives == "in one fold":
        b["first"][{"unit": 1}] = b["first"][{"unit": 1}].where(b["first"]["fold"] == 2, 0)
    found, fold = compared(a, b), a["one"]["fold"].values
    values = []
    for k in range(K):
        left = ({name: one.isel(image=fold != k) for name, one in side.items()} for side in (a, b))
        values.append(compared(*left))
    for name in ("cka", "r_one_to_one", "r2_ab", "r2_ba", "summary"):
        every = np.array([value[name].values for value in values])
        expected = np.sqrt((K - 1) / K * ((every - every.mean(axis=0)) ** 2).sum(axis=0))
        np.testing.assert_allclose(found[f"{name}_standard_error"], expected, rtol=1e-6, atol=1e-12)


def test_layer_pairs__finds_the_like_layers_and_nothing_in_permuted_images(chain: tuple[Layers, Layers]) -> None:
    found = compared(*chain)
    values = dict(zip(STATISTICS, found["summary"].values.tolist(), strict=True))
    null = dict(zip(STATISTICS, found["summary_null"].sel(null_kind="permuted").values.tolist(), strict=True))
    assert found["cka"].values.argmax(axis=1).tolist() == [0, 1, 2]
    assert (values["depth_correlation_a"], values["depth_correlation_b"]) == (pytest.approx(1), pytest.approx(1))
    for name in ("best_cka_a", "best_r_one_to_one_a", "best_r2_ba_a", "best_r2_ab_b"):
        assert values[name] > null[name] + 0.3


def test_layer_pairs__are_turned_with_their_sides(chain: tuple[Layers, Layers]) -> None:
    there, back = compared(*chain), compared(*chain[::-1])
    for name, turned in (("cka", "cka"), ("r_one_to_one", "r_one_to_one"), ("r2_ab", "r2_ba"), ("r2_ba", "r2_ab")):
        np.testing.assert_allclose(there[name], back[turned].T, rtol=1e-9)
        np.testing.assert_allclose(
            there[f"{name}_standard_error"], back[f"{turned}_standard_error"].T, rtol=1e-6, atol=1e-12
        )


def test_layer_pairs__dead_layers_are_undefined(chain: tuple[Layers, Layers]) -> None:
    a, b = chain
    found = compared(a, b | {"second": b["second"] * 0})
    dead = found.sel(layer_b="second")
    assert all(np.isnan(dead[name]).all() for name in ("cka", "r_one_to_one", "r2_ab"))
    assert (dead["r2_ba"] < 1e-9).all()  # a dead layer predicts nothing
    assert np.isfinite(found["summary"].sel(statistic=["best_cka_a", "best_cka_b", "best_r2_ba_a"])).all()


def test_summarise__by_hand() -> None:
    cka = np.array([[0.9, 0.2, 0.1], [0.3, 0.8, 0.4], [0.2, 0.7, np.nan]])
    value = summarise(np.stack([cka, cka / 2, cka, cka]))
    named = dict(zip(STATISTICS, value.tolist(), strict=True))
    assert named["best_cka_a"] == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert named["best_cka_b"] == pytest.approx((0.9 + 0.8 + 0.4) / 3)
    assert named["best_r_one_to_one_a"] == pytest.approx(0.4)
    assert named["depth_correlation_a"] == pytest.approx(np.sqrt(3) / 2)  # ranks 1, 2, 3 with 1, 2½, 2½
    assert named["depth_correlation_b"] == pytest.approx(np.sqrt(3) / 2)
