"""Similarity of whole layers: golden values, properties, nulls, errors and what is not defined."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.errors import InputError
from convergent.measures.similarity import COUNTED, STATISTICS, similarity

K = 5
Pair = Callable[..., xr.Dataset]
Layer = Callable[..., xr.DataArray]
Compare = Callable[..., dict[str, float]]


@pytest.fixture
def golden() -> tuple[np.ndarray, np.ndarray]:
    """METHODS, section 9."""
    rs = np.random.RandomState(0)
    x, w = rs.standard_normal((500, 20)), rs.standard_normal((20, 24))
    return x, 0.3 * (x @ w) + rs.standard_normal((500, 24))


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Networks of 6 and 5 units that share part of what they see."""
    x = generator.standard_normal((100, 6))
    return x, x[:, [3, 1, 4, 0, 5]] + generator.standard_normal((100, 5)) + 2


@pytest.fixture
def measured(pair: Pair, layer: Layer) -> Callable[..., xr.Dataset]:
    """The measure of two activations [image, ..., unit]."""

    def of(x: np.ndarray, y: np.ndarray, permutations: int = 20, folds: int = K) -> xr.Dataset:
        means = (layer(z.mean(axis=tuple(range(1, z.ndim - 1))), folds) for z in (x, y))
        return similarity(pair(x, y, folds, permutations=2), *means, permutations=permutations)

    return of


def named(values: xr.DataArray) -> dict[str, float]:
    return dict(zip(STATISTICS, values.values.tolist(), strict=True))


def test_similarity__golden_values(measured: Callable[..., xr.Dataset], golden: tuple[np.ndarray, np.ndarray]) -> None:
    found = named(measured(*golden)["summary"])
    expected = {
        "n": 500,
        "rank_a": 20,
        "rank_b": 24,
        "cka": 0.5817023521044136,
        "cka_debiased": 0.5663963330676989,
        "cka_pooled": 0.5817023521044136,
        "cka_pooled_debiased": 0.5663963330676989,
        "mean_cca": 0.711415189507,
        "mean_squared_cca": 0.5545498993214892,
        "procrustes_angle": 0.778412211748305,
        "procrustes_size_and_shape": 128.343303437430,
        "soft_match": 0.34663441885879437,
        "hard_match": 0.33449634165183395,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_similarity__pwcca_agrees_with_qr(
    measured: Callable[..., xr.Dataset], golden: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = (z - z.mean(axis=0) for z in golden)
    q, r = np.linalg.qr(x)[0], np.linalg.qr(y)[0]
    left, correlation, _ = np.linalg.svd(q.T @ r)
    weight = np.abs((q @ left).T @ x).sum(axis=1)
    expected = (weight * correlation).sum() / weight.sum()
    assert named(measured(*golden)["summary"])["pwcca"] == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(correlation.mean(), rel=1e-3)
    # From either side: the one with fewer units weighs.
    assert named(measured(*golden[::-1])["summary"])["pwcca"] == pytest.approx(expected, rel=1e-9)


def test_similarity__says_what_each_statistic_is(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = measured(*data)
    for statistic in STATISTICS:
        assert found["summary"].sel(statistic=statistic)["definition"].item() == STATISTICS[statistic]
    assert all("long_name" in variable.attrs for variable in found.data_vars.values())


def test_similarity__errors_leave_out_images(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    """The whole measure again without each fold; positions of an image go together."""
    x, y = (z.reshape(20, 5, 1, -1) for z in data)
    fold = np.arange(20) // (20 // K)
    values = np.array([measured(x[fold != k], y[fold != k], folds=K - 1)["summary"].values for k in range(K)])
    expected = np.sqrt((K - 1) / K * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
    expected[COUNTED] = np.nan
    np.testing.assert_allclose(measured(x, y)["summary_standard_error"], expected, rtol=1e-6)


def test_similarity__of_positions_has_no_debiased_value(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    flat, spatial = measured(*data), measured(*(z.reshape(25, 2, 2, -1) for z in data))
    found, expected = named(spatial["summary"]), named(flat["summary"])
    for variable in ("summary", "summary_standard_error"):
        assert np.isnan(named(spatial[variable])["cka_debiased"])
        assert named(flat[variable])["cka_debiased"] == named(flat[variable])["cka_pooled_debiased"]
    for name in ("n", "cka", "mean_cca", "svcca", "pwcca", "procrustes_angle", "soft_match", "hard_match"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9)
    assert (found["n"], found["n_images"]) == (100, 25)
    means = named(measured(*(z.reshape(25, 4, -1).mean(axis=1) for z in data))["summary"])
    for name in ("cka_pooled", "cka_pooled_debiased", "cka_pooled_calibrated"):
        assert found[name] == pytest.approx(means[name], rel=1e-9)


def test_similarity__nulls_and_p_value(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = measured(*data, permutations=400)
    value, null = named(found["summary"]), named(found["summary_null"].sel(null_kind="permuted"))
    draws = found["cka_pooled_permuted"].values
    assert null["cka_pooled"] == pytest.approx(draws.mean(), abs=4 * draws.std() / 20)
    calibrated = (value["cka_pooled"] - null["cka_pooled"]) / (1 - null["cka_pooled"])
    assert value["cka_pooled_calibrated"] == pytest.approx(calibrated, rel=1e-12)
    assert found["cka_pooled_p_value"] == 1 / 401
    assert null["cka_pooled_debiased"] == null["cka_pooled_calibrated"] == null["cka_debiased"] == 0
    for name in ("cka", "mean_cca", "svcca", "pwcca", "soft_match", "hard_match"):
        assert null[name] < value[name] - 0.1
    assert null["procrustes_angle"] > value["procrustes_angle"] + 0.1
    assert np.isnan([null[name] for name, counted in zip(STATISTICS, COUNTED, strict=True) if counted]).all()


def test_similarity__p_values_of_noise_are_uniform(pair: Pair, layer: Layer, generator: np.random.Generator) -> None:
    noise = generator.standard_normal((100, 2, 20, 3))
    moments = pair(*noise[0])
    found = [
        similarity(moments, *(layer(z) for z in sides), permutations=9, generator=generator)["cka_pooled_p_value"]
        for sides in noise
    ]
    p = np.array([float(value) for value in found])
    counts = np.bincount(np.rint(p * 10).astype(int), minlength=11)[1:]
    np.testing.assert_allclose(p * 10, np.rint(p * 10))
    assert ((counts - 10) ** 2 / 10).sum() < 27.9  # χ² with 9 degrees of freedom at .001


def test_similarity__of_equal_layers(measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    found = named(measured(data[0], data[0])["summary"])
    ones = [name for name in STATISTICS if "cca" in name and "rank" not in name] + ["soft_match", "hard_match"]
    for name in [*ones, "cka", "cka_debiased", "cka_pooled", "cka_pooled_debiased", "cka_pooled_calibrated"]:
        assert found[name] == pytest.approx(1, abs=1e-9), name
    assert found["procrustes_angle"] == pytest.approx(0, abs=1e-7)
    assert found["procrustes_size_and_shape"] == pytest.approx(0, abs=1e-5)


def test_similarity__of_a_rotated_and_scaled_layer(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> None:
    x, y = data
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    turned, found = named(measured(3 * x @ rotation, y)["summary"]), named(measured(x, y)["summary"])
    for name in ("cka", "mean_cca", "mean_squared_cca", "svcca", "procrustes_angle", "cka_pooled_debiased"):
        assert turned[name] == pytest.approx(found[name], rel=1e-9), name
    exact = named(measured(x @ rotation, x)["summary"])
    assert exact["procrustes_size_and_shape"] == pytest.approx(0, abs=1e-5)
    assert exact["hard_match"] < 0.9  # the space is the same, the units are not


def test_similarity__is_symmetric(measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    there, back = (named(measured(*sides)["summary"]) for sides in (data, data[::-1]))
    for name in STATISTICS:
        if not name.endswith(("_a", "_b")) and name != "soft_match":
            assert there[name] == pytest.approx(back[name], rel=1e-9), name
    assert (there["rank_a"], there["n_live_b"]) == (back["rank_b"], back["n_live_a"])


def test_similarity__dead_units_change_nothing(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    found = named(measured(np.insert(x, 2, 0.1, axis=1), np.insert(y, 5, 0, axis=1))["summary"])
    np.testing.assert_allclose(list(found.values()), list(named(measured(x, y)["summary"]).values()), rtol=1e-9)


@pytest.mark.parametrize("dead", ["a", "b", "both"])
@pytest.mark.parametrize("units", [1, 5])
def test_similarity__with_a_dead_network_is_undefined(
    measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray], dead: str, units: int
) -> None:
    x, y = (side[:, :units] for side in data)
    result = measured(x * (dead == "b"), y * (dead == "a"))
    found = named(result["summary"])
    counts = {"n": 100, "n_images": 100}
    for side, other in (("a", "b"), ("b", "a")):
        counts |= {f"n_live_{side}": units * (dead == other), f"rank_{side}": units * (dead == other)}
    assert {name: found[name] for name in counts} == counts
    undefined = [name for name in STATISTICS if not name.startswith(("n", "rank"))]
    for variable in (result["summary"], result["summary_standard_error"], result["summary_null"][0]):
        assert np.isnan([named(variable)[name] for name in undefined]).all()


def test_similarity__of_one_unit(measured: Callable[..., xr.Dataset], data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data[0][:, 1:2], data[1][:, 1:2]
    r = np.corrcoef(x, y, rowvar=False)[0, 1]
    found = named(measured(x, y)["summary"])
    for name in ("mean_cca", "svcca", "pwcca", "soft_match", "hard_match"):
        assert found[name] == pytest.approx(abs(r), rel=1e-9)
    for name in ("cka", "cka_pooled", "mean_squared_cca"):
        assert found[name] == pytest.approx(r**2, rel=1e-9)
    assert found["procrustes_angle"] == pytest.approx(np.arccos(abs(r)), rel=1e-9)


def test_similarity__of_fewer_images_than_ranks(
    measured: Callable[..., xr.Dataset], generator: np.random.Generator
) -> None:
    result = measured(*generator.standard_normal((2, 20, 12)))
    found = named(result["summary"])
    assert np.isnan([found[name] for name in ("mean_cca", "mean_squared_cca", "pwcca")]).all()
    assert np.isnan(result["canonical_correlation"]).all()
    assert found["cka"] > 0.3  # noise
    assert abs(found["cka_pooled_debiased"]) < 0.2


def test_similarity__follows_the_generator(pair: Pair, layer: Layer, data: tuple[np.ndarray, np.ndarray]) -> None:
    arguments = pair(*data), *(layer(z) for z in data)
    found = similarity(*arguments)
    xr.testing.assert_identical(found, similarity(*arguments, generator=np.random.default_rng(0)))
    assert found.sizes["permutation"] == 200
    other = similarity(*arguments, generator=np.random.default_rng(1))
    assert (found["cka_pooled_permuted"] != other["cka_pooled_permuted"]).all()
    xr.testing.assert_identical(found["summary"], other["summary"])


def test_similarity__refuses_rows_of_others(pair: Pair, layer: Layer, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    with pytest.raises(InputError, match="the two sides hold 100 and 50 images"):
        similarity(pair(x, y), layer(x), layer(y[:50]))
    with pytest.raises(InputError, match="rows of side b hold 6 units, its moments 5"):
        similarity(pair(x, y), layer(x), layer(x))
