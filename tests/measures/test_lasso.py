"""The LASSO against scikit-learn and dask-ml on raw activations, and against its own optimality conditions."""

import dask.array as da
import numpy as np
import pytest
from dask_ml.linear_model import LinearRegression
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from convergent.errors import InputError
from convergent.measures import lasso as measure
from convergent.measures.lasso import LARGEST_GAP, duality_gap, solve
from convergent.measures.least_squares import least_squares

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True, database=None)
# A duality gap g bounds a violation of optimality by √(2g), and so the root mean square error of a prediction.
ACCURACY = np.sqrt(2 * LARGEST_GAP)
GRID = np.array([0.9, 0.5, 0.2, 0.05, 0.01, 0.0])


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def correlations(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within the predictors, and with the targets."""
    x, y = standardised(x), standardised(y)
    return x.T @ x / len(x), x.T @ y / len(x)


def lasso(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Coefficients [target, predictor] on standardised raw data; least squares of least norm at α = 0."""
    if alpha == 0:
        return np.linalg.lstsq(x, y, rcond=1e-6)[0].T
    model = Lasso(alpha, fit_intercept=False, tol=1e-9, max_iter=1_000_000)
    return np.stack([model.fit(x, target).coef_ for target in y.T])


def objective(within: np.ndarray, between: np.ndarray, w: np.ndarray, alpha: float) -> np.ndarray:
    """½·MSE + α‖w‖₁ of each target."""
    return 0.5 - (w * between.T).sum(axis=1) + (w @ within * w).sum(axis=1) / 2 + alpha * np.abs(w).sum(axis=1)


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """5 predictors and 3 targets that need none, two and all of them; means 100 times the spread."""
    x = generator.standard_normal((60, 5))
    w = np.array([[0, 0, 0, 0, 0], [1, -1, 0, 0, 0], [1, 0.8, 0.6, -0.4, 0.2]])
    y = x @ w.T + 0.5 * generator.standard_normal((60, 3))
    return 100 + x, 7 * y - 700


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 8), st.sampled_from([1.0, 0.1]))
def test_solve__agrees_with_scikit_learn_on_raw_data(seed: int, predictors: int, independence: float) -> None:
    """Down to predictors that correlate at .99."""
    generator = np.random.default_rng(seed)
    x = standardised(independence * generator.standard_normal((50, predictors)) + generator.standard_normal((50, 1)))
    y = standardised(x @ generator.standard_normal((predictors, 2)) + generator.standard_normal((50, 2)))
    within, between = correlations(x, y)
    found = solve(within, between, GRID)
    assert (duality_gap(within, between, found, GRID) <= LARGEST_GAP).all()
    for alpha, w in zip(GRID, found, strict=True):
        expected = lasso(x, y, alpha)
        excess = objective(within, between, w, alpha) - objective(within, between, expected, alpha)
        assert (np.abs(excess) <= LARGEST_GAP).all()
        assert (((x @ (w - expected).T) ** 2).mean(axis=0) <= ACCURACY**2).all()
    np.testing.assert_allclose(found[-1], expected, atol=1e-8)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_solve__meets_the_optimality_conditions(seed: int, predictors: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((40, predictors)) + 0.5 * generator.standard_normal((40, 1))
    within, between = correlations(
        x, x @ generator.standard_normal((predictors, 2)) + generator.standard_normal((40, 2))
    )
    found = solve(within, between, GRID)
    for alpha, w in zip(GRID, found, strict=True):
        residual = between.T - w @ within
        assert (np.abs(residual) <= alpha + ACCURACY).all()
        support = np.abs(w) > ACCURACY
        assert (np.abs(residual - alpha * np.sign(w))[support] <= ACCURACY).all()


def dask_ml(x: np.ndarray, y: np.ndarray, alpha: float, unit: float, **options: object) -> np.ndarray:
    """Coefficients by dask-ml on raw chunks of data, with predictors measured in a unit of their own."""
    model = LinearRegression(penalty="l1", C=1 / (2 * len(x) * alpha * unit), fit_intercept=False, **options)
    half = len(x) // 2
    return unit * model.fit(da.from_array(unit * x, chunks=(half, -1)), da.from_array(y, chunks=half)).coef_


@pytest.mark.parametrize(("solver", "common"), [("proximal_grad", 0), ("admm", 0), ("admm", 1)])
def test_solve__agrees_with_dask_ml(generator: np.random.Generator, solver: str, common: float) -> None:
    """On predictors that hardly correlate, and for ADMM at r = .5.

    The proximal gradient of dask-ml accepts a step only where it makes the squares fall, whatever the penalty does, and
    gives up otherwise: once past the solution it never comes back (.01 off here by default, .1 at r = .9). First steps
    that are short, on predictors in small units that it must not normalise, take it to the solution from one side.
    """
    x = standardised(generator.standard_normal((400, 5)) + common * generator.standard_normal((400, 1)))
    y = standardised(x @ np.array([1, 0.8, 0.6, -0.4, 0.2]) + 0.5 * generator.standard_normal(400))
    unit, options = {
        "proximal_grad": (0.2 / np.sqrt(2 * len(x)), {"tol": 1e-12, "solver_kwargs": {"normalize": False}}),
        "admm": (1.0, {"max_iter": 1000, "solver_kwargs": {"rho": 100, "abstol": 1e-7, "reltol": 1e-6}}),
    }[solver]
    for alpha in (0.02, 0.2):
        found = solve(*correlations(x, y[:, None]), np.array([alpha]))[0, 0]
        expected = dask_ml(x, y, alpha, unit, solver=solver, **options)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_solve__is_zero_from_the_largest_correlation_on(data: tuple[np.ndarray, np.ndarray]) -> None:
    within, between = correlations(*data)
    largest = np.abs(between).max(axis=0)
    for target, alpha in enumerate(largest):
        found = solve(within, between, np.array([9.6, alpha, 0.98 * alpha]))
        assert np.count_nonzero(found[:2, target]) == 0
        assert np.count_nonzero(found[2, target]) == 1


def test_solve__of_a_copied_unit_is_one_coefficient(generator: np.random.Generator) -> None:
    x = generator.standard_normal((50, 6)) + generator.standard_normal((50, 1))
    found = solve(*correlations(x, -x[:, [2]]), GRID[:-1])
    expected = np.zeros((5, 6))
    expected[:, 2] = -(1 - GRID[:-1])
    np.testing.assert_allclose(found[:, 0], expected, atol=ACCURACY)
    np.testing.assert_array_equal(found[:, 0] != 0, expected != 0)


def test_solve__without_correlation_or_predictors_is_zero() -> None:
    assert not solve(np.eye(3), np.zeros((3, 2)), GRID).any()
    assert solve(np.zeros((0, 0)), np.zeros((0, 2)), GRID).shape == (len(GRID), 2, 0)
    assert solve(np.eye(3), np.zeros((3, 0)), GRID).shape == (len(GRID), 0, 3)


@pytest.mark.parametrize("images", [12, 60])
def test_solve__duplicate_predictors_change_no_prediction(data: tuple[np.ndarray, np.ndarray], images: int) -> None:
    x, y = (side[:images] for side in data)
    doubled = np.column_stack([x, x[:, :2], x])
    once, twice = (solve(*correlations(side, y), GRID) for side in (x, doubled))
    difference = once @ standardised(x).T - twice @ standardised(doubled).T
    assert np.sqrt((difference**2).mean(axis=-1)).max() <= 2 * ACCURACY


@pytest.mark.parametrize("seed", range(6))
def test_solve__reaches_the_gap_where_descent_stalls_among_copies(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse units, two of them alike, as two units are that live in the same few samples: LARS went astray."""
    monkeypatch.setattr(measure, "MAX_SWEEPS", 1)
    generator = np.random.default_rng(seed)
    x = np.maximum(0.3 * generator.standard_normal((60, 30)) @ generator.standard_normal((30, 40)) - 1, 0)
    x[:, 7] = 2 * x[:, 3]
    x = x[:, x.std(axis=0) > 0]
    y = np.maximum(x[:, :5].sum(axis=1) + generator.standard_normal(60) - 1, 0)[:, None]
    within, between = correlations(x, y)
    grid = np.append(np.geomspace(0.5, 1e-3, 20), 0)
    assert duality_gap(within, between, solve(within, between, grid), grid).max() <= measure.LARGEST_GAP


def test_solve__raises_with_target_and_penalty_where_the_gap_stays(
    monkeypatch: pytest.MonkeyPatch, data: tuple[np.ndarray, np.ndarray]
) -> None:
    monkeypatch.setattr(measure, "_path", lambda gram, xy, grid: np.zeros((len(grid), len(xy))))
    within, between = correlations(*data)
    with pytest.raises(InputError, match=r"\ALASSO of target 130 at α = 0\.2: duality gap .*, more than 1e-06\Z"):
        solve(within, between[:, [0, 0, 1]], np.array([0.9, 0.2]), first=128)


@PROPERTY
@given(st.integers(0, 2**31), st.sampled_from(list(GRID[:-1])))
def test_duality_gap__bounds_the_distance_to_the_optimum(seed: int, alpha: float) -> None:
    generator = np.random.default_rng(seed)
    x, y = (standardised(generator.standard_normal((30, 4)) + generator.standard_normal((30, 1))) for _ in range(2))
    within, between = correlations(x, y)
    best = lasso(x, y, alpha)
    for w, tight in ((best, True), (best + 0.1 * generator.standard_normal(best.shape), False)):
        gap = duality_gap(within, between, w[None], np.array([alpha]))[0]
        excess = objective(within, between, w, alpha) - objective(within, between, best, alpha)
        assert (gap >= excess - 1e-8).all()
        assert (gap <= 1e-8).all() == tight


def test_duality_gap__of_least_squares_is_the_violation_of_its_normal_equations() -> None:
    gap = duality_gap(np.eye(2), np.array([[0.5], [0.3]]), np.array([[[0.4, 0.3]]]), np.array([0.0]))
    np.testing.assert_allclose(gap, [[0.01]])


def test_solve__dead_units_get_no_coefficient(data: tuple[np.ndarray, np.ndarray]) -> None:
    """Rows and columns of zeros, and nothing else changes."""
    within, between = correlations(*data)
    expected = solve(within, between, GRID)
    within, between = (np.insert(side, 2, 0, axis=0) for side in (within, between))
    found = solve(np.insert(within, 2, 0, axis=1), np.insert(between, 1, 0, axis=1), GRID)
    assert not found[:, 1].any()
    assert not found[:, :, 2].any()
    np.testing.assert_allclose(np.delete(np.delete(found, 1, axis=1), 2, axis=2), expected, atol=ACCURACY)


@pytest.mark.parametrize("grid", [[], [0.0]])
def test_solve__without_penalties(data: tuple[np.ndarray, np.ndarray], grid: list[float]) -> None:
    within, between = correlations(*data)
    found = solve(within, between, np.array(grid))
    np.testing.assert_array_equal(found, [least_squares(within, between)] * len(grid) or np.zeros((0, 3, 5)))
