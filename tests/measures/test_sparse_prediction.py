"""Sparse prediction against scikit-learn and explicit cross-validation on raw activations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Lasso, orthogonal_mp_gram

from convergent import engine, moments
from convergent.errors import InputError
from convergent.measures import lasso as solver
from convergent.measures import sparse_prediction as measure
from convergent.measures.lasso import LARGEST_GAP
from convergent.measures.sparse_prediction import LI2016_LAMBDAS, STATISTICS, sparse_prediction

K = 5
# A duality gap g bounds a violation of optimality by √(2g), and so the root mean square error of a prediction.
ACCURACY = np.sqrt(2 * LARGEST_GAP)
Moments = Callable[..., xr.Dataset]


def predict(moments: xr.Dataset, alphas: int = 4, smallest: float = 1e-2) -> xr.Dataset:
    return sparse_prediction(moments, alphas=alphas, smallest=smallest)


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def standardised(x: np.ndarray) -> np.ndarray:
    spread = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)


def lasso(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Coefficients [target, predictor] on standardised raw data; least squares of least norm at α = 0."""
    if alpha == 0:
        return np.linalg.lstsq(x, y, rcond=1e-6)[0].T
    model = Lasso(alpha, fit_intercept=False, tol=1e-9, max_iter=1_000_000)
    return np.stack([model.fit(x, target).coef_ for target in y.T])


@dataclass(frozen=True)
class HeldOut:
    """Squares about a prediction and about the training mean, [fold, target], by an explicit loop on raw data."""

    error: np.ndarray
    total: np.ndarray

    @property
    def r2(self) -> np.ndarray:
        return 1 - self.error.sum(axis=0) / self.total.sum(axis=0)


def held_out(
    x: np.ndarray, y: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], np.ndarray], count: int = K
) -> HeldOut:
    """Fit on the standardised images of the other folds, predict the images of each."""
    error, total = [], []
    for out in np.split(np.arange(len(x)), count):
        known_x, known_y = np.delete(x, out, axis=0), np.delete(y, out, axis=0)
        centre, scale = known_x.mean(axis=0), known_x.std(axis=0)
        w = fit(standardised(known_x), standardised(known_y)) * known_y.std(axis=0)[:, None]
        prediction = known_y.mean(axis=0) + (x[out] - centre) / np.where(scale > 1e-9, scale, 1) @ w.T
        error.append(((y[out] - prediction) ** 2).sum(axis=0))
        total.append(((y[out] - known_y.mean(axis=0)) ** 2).sum(axis=0))
    return HeldOut(np.array(error), np.array(total))


def held_out_lasso(x: np.ndarray, y: np.ndarray, alpha: float) -> HeldOut:
    return held_out(x, y, lambda known_x, known_y: lasso(known_x, known_y, alpha))


def few(x: np.ndarray, y: np.ndarray, predictors: int) -> np.ndarray:
    """Coefficients [target, predictor] by scikit-learn's orthogonal matching pursuit."""
    coefficients = orthogonal_mp_gram(x.T @ x, x.T @ y, n_nonzero_coefs=predictors)
    return coefficients.reshape(x.shape[1], y.shape[1]).T


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """5 predictors and 3 targets that need none, two and all of them; means 100 times the spread."""
    x = generator.standard_normal((60, 5))
    w = np.array([[0, 0, 0, 0, 0], [1, -1, 0, 0, 0], [1, 0.8, 0.6, -0.4, 0.2]])
    y = x @ w.T + 0.5 * generator.standard_normal((60, 3))
    return 100 + x, 7 * y - 700


def test_penalties__fall_from_the_largest_correlation_to_zero() -> None:
    r = np.array([[0.1, -0.8, np.nan], [0.2, 0.3, np.nan]])
    grid = measure.penalties(r, 5, 1e-2)
    assert (np.diff(grid) < 0).all()
    assert grid[-1] == 0
    published = {lam * size for lam in LI2016_LAMBDAS for size in r.shape}
    assert published < set(grid)
    rest = sorted(set(grid) - published - {0})
    np.testing.assert_allclose(rest, [0.008, 0.008 * 10**0.5, 0.08, 0.08 * 10**0.5, 0.8])


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_penalties__of_layers_that_share_nothing(value: float) -> None:
    grid = measure.penalties(np.full((2, 3), value), 5, 1e-2)
    assert np.isfinite(grid).all()
    assert grid[-1] == 0


def test_choose__by_hand() -> None:
    # means 1.5, 1.0, 0.9, 2.0; the least has a standard error of .1/√2 · √2 = .1
    error = np.array([[1.4, 1.0, 0.8, 2.0], [1.6, 1.0, 1.0, 2.0]])[:, :, None]
    least, sparse = measure.choose(np.concatenate([error, error[:, ::-1]], axis=2))
    assert least.tolist() == [2, 1]
    assert sparse.tolist() == [1, 1]


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_sparse_prediction__agrees_with_an_explicit_cross_validation(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], direction: str
) -> None:
    found = predict(pair(*data))
    x, y = data if direction == "ab" else data[::-1]
    grid = found["alpha"].values
    every = [held_out_lasso(x, y, alpha) for alpha in grid]
    np.testing.assert_allclose(found[f"r2_{direction}"], [one.r2 for one in every], atol=2 * ACCURACY)
    np.testing.assert_allclose(found[f"r2_{direction}"][-1], every[-1].r2, rtol=1e-8)
    for n in range(1, min(x.shape[1], 5) + 1):
        expected = held_out(x, y, lambda p, t, n=n: few(p, t, n)).r2
        np.testing.assert_allclose(found[f"r2_few_{direction}"].sel(n_predictors=n), expected, rtol=1e-8)

    error = np.stack([one.error / (len(x) // K) for one in every], axis=1)  # [fold, alpha, target]
    mean, standard = error.mean(axis=0), error.std(axis=0, ddof=1) / np.sqrt(K)
    for target in range(y.shape[1]):
        least = mean[:, target].argmin()
        allowed = np.flatnonzero(mean[:, target] <= mean[least, target] + standard[least, target])
        assert found[f"alpha_least_error_{direction}"][target] == grid[least]
        assert found[f"alpha_one_standard_error_{direction}"][target] == grid[allowed[0]]


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_sparse_prediction__on_the_whole_probe_agrees_with_scikit_learn(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], direction: str
) -> None:
    found = predict(pair(*data))
    x, y = (standardised(side) for side in (data if direction == "ab" else data[::-1]))
    target, predictor = f"unit_{direction[1]}", f"unit_{direction[0]}"
    fits = np.stack([lasso(x, y, alpha) for alpha in found["alpha"].values])
    loss = ((y - x @ fits.transpose(0, 2, 1)) ** 2).mean(axis=1) / 2
    np.testing.assert_allclose(found[f"loss_{direction}"], loss, atol=ACCURACY)
    np.testing.assert_allclose(found[f"loss_{direction}"][-1], loss[-1], rtol=1e-8)
    clear = ((fits == 0) | (np.abs(fits) > 2 * ACCURACY)).all(axis=2)
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(found[f"n_nonzero_{direction}"].values[clear], np.count_nonzero(fits, axis=2)[clear])
    coefficient = found[f"coefficient_{direction}"].transpose(target, predictor)
    for j, alpha in enumerate(found[f"alpha_one_standard_error_{direction}"].values):
        np.testing.assert_allclose(coefficient[j], lasso(x, y[:, [j]], alpha)[0], atol=2 * ACCURACY)
    assert (found[f"gap_{direction}"] <= LARGEST_GAP).all()


def test_sparse_prediction__summary_is_over_units_and_its_error_over_folds(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = predict(pair(*data))
    for direction, (x, y) in {"ab": data, "ba": data[::-1]}.items():
        units, grid = np.arange(y.shape[1]), found["alpha"].values

        def statistics(x: np.ndarray, y: np.ndarray, count: int, units=units, grid=grid) -> dict[str, float]:
            """The mean R² of some images, all of it from the beginning, with the penalties chosen on them."""
            paths = [held_out(x, y, lambda p, t, alpha=alpha: lasso(p, t, alpha), count) for alpha in grid]
            error, total = np.stack([path.error for path in paths], axis=1), paths[0].total  # [fold, alpha, target]
            mean, spread = error.mean(axis=0), error.std(axis=0, ddof=1) / np.sqrt(count)
            low = mean.argmin(axis=0)
            sparse = (mean <= mean[low, units] + spread[low, units]).argmax(axis=0)
            errors = {
                "r2_least_error": error[:, low, units],
                "r2_one_standard_error": error[:, sparse, units],
                "r2_best_single": held_out(x, y, lambda p, t: few(p, t, 1), count).error,
                "r2_least_squares": error[:, -1],
            }
            return {name: (1 - e.sum(0) / total.sum(0)).mean() for name, e in errors.items()}

        deleted = [np.delete(np.arange(len(x)), out) for out in np.split(np.arange(len(x)), K)]
        left_out = [statistics(x[kept], y[kept], K - 1) for kept in deleted]
        for name, value in statistics(x, y, K).items():
            values = np.array([one[name] for one in left_out])
            expected = np.sqrt((K - 1) / K * ((values - values.mean()) ** 2).sum())
            found_error = named(found["summary_standard_error"])[f"{name}_{direction}"]
            assert named(found["summary"])[f"{name}_{direction}"] == pytest.approx(value, abs=2 * ACCURACY)
            assert found_error == pytest.approx(expected, abs=2 * ACCURACY)
        used = np.count_nonzero(found[f"coefficient_{direction}"].transpose(..., f"unit_{direction[0]}"), axis=1).mean()
        assert named(found["summary"])[f"mean_nonzero_one_standard_error_{direction}"] == used


def test_sparse_prediction__exchanged_exchanges_the_directions(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    forth, back = predict(pair(x, y)), predict(pair(y, x))
    np.testing.assert_allclose(forth["alpha"], back["alpha"], rtol=1e-10)
    for name in ("loss", "r2", "n_nonzero", "r2_few", "n_needed", "li2016_loss", "coefficient"):
        np.testing.assert_allclose(forth[f"{name}_ab"], back[f"{name}_ba"], atol=1e-7)


def test_sparse_prediction__follows_permuted_and_scaled_units(
    pair: Moments, data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    straight, turned = predict(pair(x, y)), predict(pair(x[:, [3, 1, 4, 0, 2]] * [1, -5, 1e3, 1e-3, 2], y[:, ::-1]))
    for name in ("loss_ab", "r2_ab"):
        np.testing.assert_allclose(turned[name], straight[name][:, ::-1], atol=2 * ACCURACY)
    np.testing.assert_allclose(turned["r2_few_ab"], straight["r2_few_ab"][:, ::-1], rtol=1e-8)
    np.testing.assert_array_equal(turned["n_needed_ab"], straight["n_needed_ab"][::-1])


def test_sparse_prediction__of_identical_networks(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    found = predict(pair(data[0], data[0]))
    alpha = np.minimum(found["alpha"], 1)
    for name in ("r2_best_single_ab", "r2_least_squares_ab", "r2_least_error_ba", "share_one_ab", "share_one_ba"):
        assert named(found["summary"])[name] == pytest.approx(1)
    np.testing.assert_allclose(found["r2_few_ab"], 1, rtol=1e-10)
    np.testing.assert_allclose(found["loss_ab"], (alpha**2 / 2).broadcast_like(found["loss_ab"]), atol=ACCURACY)
    between = (alpha > 0) & (alpha < 1 - 1e-9)
    assert (found["n_nonzero_ab"][between] == 1).all()


@pytest.mark.parametrize("value", [0.0, 9.0])
def test_sparse_prediction__leaves_dead_units_out(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], value: float
) -> None:
    x, y = np.where(np.arange(5) == 1, value, data[0]), np.where(np.arange(3) == 2, value, data[1])
    found = predict(pair(x, y))
    for name in ("loss", "r2", "n_nonzero", "gap", "alpha_least_error", "alpha_one_standard_error", "r2_few"):
        dead = np.broadcast_to([False, False, True], found[f"{name}_ab"].shape)
        np.testing.assert_array_equal(np.isnan(found[f"{name}_ab"]), dead)
    assert found["n_needed_ab"][2] == -1
    assert not found["coefficient_ab"].sel(unit_a=1).any()
    assert not found["coefficient_ab"].sel(unit_b=2).any()
    alive_x, alive_y = np.delete(x, 1, axis=1), np.delete(y, 2, axis=1)
    expected = [held_out_lasso(alive_x, alive_y, a).r2 for a in found["alpha"].values]
    np.testing.assert_allclose(found["r2_ab"][:, :2], expected, atol=2 * ACCURACY)
    assert named(found["summary"])["r2_least_squares_ab"] == pytest.approx(expected[-1].mean())


@pytest.mark.parametrize("elsewhere", [0.0, 0.1])
@pytest.mark.parametrize("side", ["predictor", "target"])
def test_sparse_prediction__of_units_that_live_in_one_fold(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], side: str, elsewhere: float
) -> None:
    """Dead in the training folds, such a target is predicted by their mean and such a predictor is of no use."""
    x, y = (np.array(values) for values in data)
    (x if side == "predictor" else y)[12:, 1] = elsewhere
    found = predict(pair(x, y))
    for alpha, r2 in zip(found["alpha"].values, found["r2_ab"].values, strict=True):
        expected = held_out_lasso(x, y, alpha).r2
        np.testing.assert_allclose(r2, expected, atol=4 * ACCURACY)
    assert np.isfinite(found["summary"]).all()


def test_sparse_prediction__of_duplicate_units(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    found = predict(pair(np.column_stack([x, x]), y))
    grid = found["alpha"].values
    expected = [held_out_lasso(x, y, alpha).r2 for alpha in grid]
    np.testing.assert_allclose(found["r2_ab"], expected, atol=4 * ACCURACY)


def test_sparse_prediction__of_fewer_samples_than_units(pair: Moments, generator: np.random.Generator) -> None:
    x, y = generator.random((2, 20, 30))
    found = predict(pair(x, y), alphas=10, smallest=1e-3)
    np.testing.assert_allclose(found["loss_ab"][-1], 0, atol=1e-9)
    expected = held_out_lasso(x, y, 0).r2
    np.testing.assert_allclose(found["r2_ab"][-1], expected, rtol=1e-6)
    assert (found["gap_ab"] <= LARGEST_GAP).all()


def test_sparse_prediction__of_one_unit(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data[0][:, [0]], data[1][:, [1]]
    found = predict(pair(x, y))
    r = np.corrcoef(x, y, rowvar=False)[0, 1]
    shrunk = np.maximum(abs(r) - found["alpha"].values, 0)
    np.testing.assert_allclose(found["loss_ab"][:, 0], 0.5 - shrunk * abs(r) + shrunk**2 / 2, atol=ACCURACY)
    # With one predictor, the best two to five are that one.
    np.testing.assert_allclose(found["r2_few_ab"][:, 0], found["r2_ab"][-1].item(), rtol=1e-10)
    assert found["n_needed_ab"].item() == 1


@pytest.mark.parametrize(("alive_a", "alive_b"), [(0, 0), (1, 0), (0, 1)])
def test_sparse_prediction__with_a_dead_network(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], alive_a: int, alive_b: int
) -> None:
    found = predict(pair(data[0] * alive_a, data[1] * alive_b))
    assert np.isnan(found["r2_ab"]).all() == (alive_b == 0)
    assert np.isnan(found["r2_ba"]).all() == (alive_a == 0)
    assert not found["coefficient_ab"].any()
    values = named(found["summary"])
    assert np.isnan(values["r2_least_error_ab"]) == (alive_b == 0)
    if alive_b:  # predicted by the mean of other folds
        expected = held_out(data[0] * 0, data[1], lambda p, t: np.zeros((3, 5))).r2.mean()
        assert values["r2_least_squares_ab"] == values["r2_best_single_ab"] == pytest.approx(expected)
        assert values["mean_nonzero_one_standard_error_ab"] == 0


def test_sparse_prediction__keeps_labels(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    found = predict(pair(*data).assign_coords(unit_a=[9, 4, 7, 1, 2], unit_b=[3, 8, 5]))
    assert found["coefficient_ab"].dims == ("unit_b", "unit_a")
    assert found["coefficient_ba"].dims == ("unit_a", "unit_b")
    assert found["r2_ab"].dims == ("alpha", "unit_b")
    assert found["unit_b"].values.tolist() == [3, 8, 5]


def test_sparse_prediction__finds_planted_codes(pair: Moments, generator: np.random.Generator) -> None:
    """A unit that is copied, one that is the sum of three, one of all twelve, noise and a dead one."""
    x = generator.standard_normal((600, 12))
    y = np.column_stack(
        [x[:, 3], x[:, :3].sum(axis=1), x.sum(axis=1), 3 * generator.standard_normal(600), np.zeros(600)]
    )
    y += 0.2 * generator.standard_normal((600, 5)) * [1, 1, 1, 1, 0]
    found = predict(pair(x, y))
    assert found["n_needed_ab"].values.tolist() == [1, 3, 6, 0, -1]
    values = named(found["summary"])
    shares = [values[f"share_{name}_ab"] for name in ("one", "two_to_five", "more", "unpredictable")]
    np.testing.assert_allclose(shares, 1 / 4)
    assert np.isnan(named(found["summary_standard_error"])["share_one_ab"])
    # Each unit of the sum of three says about a third of it.
    np.testing.assert_allclose(found["r2_few_ab"][:3, 1], [1 / 3, 2 / 3, 1], atol=0.1)


def test_sparse_prediction__says_lambda_of_li2016(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    """λ is the penalty over the number of predictors, which differs between the directions."""
    x, y = data[0], np.where(np.arange(3) == 1, 0, data[1])
    found = predict(pair(x, y))
    for direction, predictors in (("ab", 5), ("ba", 3)):
        lam = found[f"li2016_lambda_{direction}"]
        np.testing.assert_allclose(lam * predictors, found["alpha"], rtol=1e-15)
        live = found[f"loss_{direction}"].notnull().all("alpha").values
        for published in (0, *LI2016_LAMBDAS):
            at = np.abs(lam.values - published).argmin()
            assert float(lam[at]) == pytest.approx(published, rel=1e-12)
            for name in ("loss", "n_nonzero"):
                shown = found[f"li2016_{name}_{direction}"].sel(li2016_lambda=published)
                expected = found[f"{name}_{direction}"][at, live].mean()
                assert float(shown) == pytest.approx(float(expected), rel=1e-12)


def test_sparse_prediction__null_is_of_permuted_images(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> None:
    """The mean over replicates of what images permuted within folds give."""
    x, y = data
    orders = [np.concatenate([generator.permutation(12) + 12 * k for k in range(K)]) for _ in range(2)]
    others = [pair(x, y[order]) for order in orders]
    permuted = xr.concat([other["comoment"] for other in others], "replicate")
    found = predict(pair(x, y).drop_vars("comoment_permuted").assign(comoment_permuted=permuted))
    null = named(found["summary_null"].sel(null_kind="permuted"))
    expected = [named(predict(other)["summary"]) for other in others]
    for name in STATISTICS:
        value = np.mean([one[name] for one in expected]) if "best_single" in name or "squares" in name else np.nan
        np.testing.assert_allclose(null[name], value, rtol=1e-8)


def test_sparse_prediction__codes_are_not_judged_by_an_overfit(pair: Moments, generator: np.random.Generator) -> None:
    """Of twelve units in a sum, five say less than the LASSO, but more than least squares on too few images."""
    x = generator.standard_normal((200, 155))
    found = predict(pair(x, x[:, :12].sum(axis=1, keepdims=True)[:, [0, 0]] + generator.standard_normal((200, 2))))
    assert (found["r2_few_ab"][4] > found["r2_ab"][-1]).all()
    assert (found["r2_few_ab"][4] < 0.9 * found["r2_ab"].max("alpha")).all()
    assert found["n_needed_ab"].values.tolist() == [6, 6]


@pytest.mark.parametrize(
    ("widest", "fits"), [(1024, {1, K, K + K * (K - 1) // 2}), (4, {1})], ids=["fits at once", "one after another"]
)
def test_sparse_prediction__is_the_same_in_blocks_read_fold_by_fold(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, widest: int, fits: set[int]
) -> None:
    """One target of one fit a call, the calls run from the last, and moments that are not kept."""
    moments, calls = pair(*data), []
    monkeypatch.setattr(measure, "WIDEST_REPEATED", widest)
    expected = predict(moments)

    def backwards(function: Callable[..., object], items: list[object], *shared: object) -> list[object]:
        calls.append(len(items))
        return [function(item, *shared) for item in items[::-1]][::-1]

    monkeypatch.setattr(measure, "TARGETS", 1)
    monkeypatch.setattr(measure.held_out, "IN_MEMORY", 0)
    found = sparse_prediction(moments, alphas=4, smallest=1e-2, run=backwards)
    xr.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert set(calls) == {targets * of for targets in (3, 5) for of in fits}


def test_sparse_prediction__is_the_same_in_processes_that_read_the_moments(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moments = pair(*data)
    moments.to_zarr(tmp_path / "moments.zarr", consolidated=False)
    with engine.of("local", 2), xr.open_zarr(tmp_path / "moments.zarr", chunks=None, consolidated=False) as read:
        for widest in (1024, 4):
            monkeypatch.setattr(measure, "WIDEST_REPEATED", widest)
            expected = predict(moments)
            with monkeypatch.context() as patch:
                patch.setattr(measure, "TARGETS", 2)
                patch.setattr(measure.held_out, "IN_MEMORY", 0)
                found = sparse_prediction(read, alphas=4, smallest=1e-2, run=engine.map)
            xr.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_sparse_prediction__of_wide_layers_repeats_no_fit_and_says_so(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The errors are the jackknife of the folds' errors as they are; nothing else changes."""
    moments = pair(*data)
    repeated = predict(moments)
    monkeypatch.setattr(measure, "WIDEST_REPEATED", 4)
    found = predict(moments)
    assert "repeated" in repeated.attrs["standard_error"]
    assert "too small" in found.attrs["standard_error"]
    xr.testing.assert_identical(found["summary"], repeated["summary"])
    x, y = data
    every = held_out(x, y, lambda known_x, known_y: lasso(known_x, known_y, 0))
    left = [
        np.mean(1 - np.delete(every.error, k, axis=0).sum(axis=0) / np.delete(every.total, k, axis=0).sum(axis=0))
        for k in range(K)
    ]
    error = named(found["summary_standard_error"])["r2_least_squares_ab"]
    assert error == pytest.approx(np.std(left) * np.sqrt(K - 1), rel=1e-6)
    assert error != pytest.approx(named(repeated["summary_standard_error"])["r2_least_squares_ab"], rel=1e-3)


def test_blocks__hold_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PATH_BYTES", 8 * 10 * 7 * 3)
    assert measure._blocks(np.zeros((10, 8)), 7) == [slice(0, 3), slice(3, 6), slice(6, 8)]
    assert measure._blocks(np.zeros((1000, 2)), 7) == [slice(0, 1), slice(1, 2)]
    assert measure._blocks(np.zeros((0, 2)), 7) == [slice(0, 2)]


def test_sparse_prediction__names_the_unit_whose_path_is_missed(
    monkeypatch: pytest.MonkeyPatch, generator: np.random.Generator
) -> None:
    """By its number in the layer, not in a block of targets: here the copy of a unit, of which r = 1 tells it."""
    x, y = generator.normal(size=(2, 60, 5))
    y[:, 3] = x[:, 0]

    def missed(within: np.ndarray, between: np.ndarray, coefficients: np.ndarray, grid: np.ndarray) -> np.ndarray:
        return np.tile(np.where(np.isclose(between.max(axis=0), 1), 1.0, 0.0), (len(grid), 1))

    monkeypatch.setattr(measure, "TARGETS", 2)
    monkeypatch.setattr(solver, "duality_gap", missed)
    with pytest.raises(InputError, match=r"\ALASSO of target 3 at α = .+: duality gap 1\.00e\+00"):
        predict(moments.of(x, y, folds=3))
