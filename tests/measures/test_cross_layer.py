"""Layer × layer CKA: every entry against the pair of layers by itself, planted depth, dead and missing layers."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.errors import InputError
from convergent.measures import cka, row_blocks, rows
from convergent.measures.cross_layer import STATISTICS, cross_layer, summarise

K = 5
Rows = dict[str, xr.DataArray]
Layer = Callable[..., xr.DataArray]


@pytest.fixture(params=[(2048, 2**26), (7, 700)], autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows at once, or few images and few units, which may be of several layers."""
    for name, value in zip(("IMAGES", "TILE_BYTES"), request.param, strict=True):
        monkeypatch.setattr(row_blocks, name, value)


@pytest.fixture
def chain(layer: Layer, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Two networks of three layers that mix the same chain of features, each layer noisier than the last."""
    hidden = [generator.standard_normal((100, 4))]
    for _ in range(2):
        hidden.append(
            np.tanh(hidden[-1] @ generator.standard_normal((4, 4))) + 0.5 * generator.standard_normal((100, 4))
        )

    def mixed(features: np.ndarray, units: int) -> xr.DataArray:
        axes = np.linalg.qr(generator.standard_normal((units, 4)))[0]
        return layer(features @ axes.T + 0.2 * generator.standard_normal((100, units)))

    a, b = ({f"layer{i}": mixed(z, 6 + side) for i, z in enumerate(hidden)} for side in range(2))
    return a, b


def named(values: xr.DataArray) -> dict[str, float]:
    return dict(zip(STATISTICS, values.values.tolist(), strict=True))


def test_cross_layer__agrees_with_each_pair_of_layers(chain: tuple[Rows, Rows]) -> None:
    a, b = chain
    found = cross_layer(a, b)
    for p, x in a.items():
        for q, y in b.items():
            sides = rows.of(x), rows.of(y)
            alone = cka.similarities(*(cka.products(sides[i], sides[j]) for i, j in ((0, 1), (0, 0), (1, 1))))
            left_out = np.sqrt((K - 1) / K * ((alone[1:] - alone[1:].mean(axis=0)) ** 2).sum(axis=0))
            entry = found.sel(layer_a=p, layer_b=q)
            for variable, expected in (
                ("cka", alone[0, 0]),
                ("cka_debiased", alone[0, 1]),
                ("cka_permuted", alone[0, 3]),
                ("cka_standard_error", left_out[0]),
                ("cka_debiased_standard_error", left_out[1]),
            ):
                assert entry[variable].item() == pytest.approx(expected, rel=1e-12)
    for statistic in STATISTICS:
        assert found["summary"].sel(statistic=statistic)["definition"].item() == STATISTICS[statistic]
    assert all("long_name" in variable.attrs for variable in found.data_vars.values())


def test_cross_layer__finds_the_same_layer(chain: tuple[Rows, Rows]) -> None:
    found = cross_layer(*chain)
    values, null = named(found["summary"]), named(found["summary_null"].sel(null_kind="permuted"))
    assert [values[name] for name in list(STATISTICS)[:4]] == [3, 3, 1, 1]
    assert values["mean_same_layer"] > values["mean_other_layers"] + 0.2
    assert (null["mean_same_layer"], null["mean_other_layers"]) == (0, 0)
    assert np.isnan([null[name] for name in list(STATISTICS)[:4]]).all()


def test_cross_layer__is_turned_with_its_sides(chain: tuple[Rows, Rows]) -> None:
    there, back = cross_layer(*chain), cross_layer(*chain[::-1])
    for variable in ("cka", "cka_debiased", "cka_permuted", "cka_debiased_standard_error"):
        np.testing.assert_allclose(there[variable], back[variable].T, rtol=1e-9)
    alone = cross_layer(chain[0], chain[0])
    np.testing.assert_allclose(np.diag(alone["cka_debiased"]), 1, rtol=1e-12)


def test_cross_layer__errors_leave_out_images(chain: tuple[Rows, Rows]) -> None:
    fold = chain[0]["layer0"]["fold"].values
    values = []
    for k in range(K):
        left = ({name: rows.isel(image=fold != k) for name, rows in side.items()} for side in chain)
        values.append(cross_layer(*left)["summary"].values)
    expected = np.sqrt((K - 1) / K * ((values - np.mean(values, axis=0)) ** 2).sum(axis=0))
    expected[:4] = np.nan
    np.testing.assert_allclose(cross_layer(*chain)["summary_standard_error"], expected, rtol=1e-9)


def test_cross_layer__dead_layers_are_undefined(chain: tuple[Rows, Rows]) -> None:
    a, b = chain
    found = cross_layer(a, b | {"layer1": b["layer1"] * 0})
    dead = found.sel(layer_b="layer1")
    for variable in ("cka", "cka_debiased", "cka_permuted", "cka_standard_error", "cka_debiased_standard_error"):
        assert np.isnan(dead[variable]).all()
    values, alive = named(found["summary"]), cross_layer(a, {name: b[name] for name in ("layer0", "layer2")})
    assert values | {"n_layers_b": 2} == named(alive["summary"])
    none = named(cross_layer(a, {name: rows * 0 for name, rows in b.items()})["summary"])
    assert (none["n_layers_a"], none["n_layers_b"]) == (3, 0)
    assert np.isnan([none[name] for name in list(STATISTICS)[2:]]).all()


def test_summarise__by_hand() -> None:
    debiased = np.array([[0.9, 0.2, 0.1], [0.8, 0.3, np.nan]])
    same = np.eye(2, 3, dtype=bool)
    shares, means = summarise(debiased, same)
    # two of A is nearest to one of B; two of B is nearest to two of A; three of B has no like.
    np.testing.assert_allclose(shares, [0.5, 1])
    np.testing.assert_allclose(means, [0.6, 1.1 / 3])
    shares, means = summarise(debiased, ~np.ones((2, 3), dtype=bool))
    assert np.isnan([*shares, means[0]]).all()
    assert means[1] == pytest.approx(2.3 / 5)


def test_cross_layer__of_different_networks_knows_no_same_layers(chain: tuple[Rows, Rows]) -> None:
    found = cross_layer(*chain, one_recipe=False)
    values = named(found["summary"])
    assert np.isnan([values[name] for name in list(STATISTICS)[2:5]]).all()
    assert values["mean_other_layers"] == pytest.approx(found["cka_debiased"].mean().item())
    xr.testing.assert_equal(found["cka"], cross_layer(*chain)["cka"])


def test_cross_layer__refuses_other_images(chain: tuple[Rows, Rows]) -> None:
    a, b = chain
    with pytest.raises(InputError, match="the two sides hold 100 and 80 images"):
        cross_layer(a, b | {"layer2": b["layer2"].isel(image=slice(80))})
