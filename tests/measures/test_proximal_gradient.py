"""The proximal gradient against scikit-learn, and the same on NumPy and on the array standard."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, lasso_path

from convergent.measures import lasso, proximal_gradient
from convergent.measures.lasso import duality_gap, solve
from convergent.measures.proximal_gradient import path

GRID = np.array([0.5, 0.2, 0.05, 0.02, 0.01])


def problem(
    generator: np.random.Generator, kind: str, size: int = 40, targets: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised predictors and targets."""
    samples = 25 if kind == "more predictors than samples" else 300
    x = generator.standard_normal((samples, size))
    if kind == "correlated":
        # A spectrum over six decades.
        x = x * np.geomspace(1, 1e-3, size) @ generator.standard_normal((size, size))
    w = generator.standard_normal((size, targets)) * (generator.random((size, targets)) < 0.1)
    y = x @ w + x.std() * generator.standard_normal((samples, targets))
    return tuple((side - side.mean(axis=0)) / side.std(axis=0) for side in (x, y))


@pytest.mark.parametrize("kind", ["planted", "correlated", "more predictors than samples"])
def test_path__agrees_with_scikit_learn(generator: np.random.Generator, kind: str) -> None:
    x, y = problem(generator, kind)
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    found = path(within, between, GRID, 1e-14)
    for alpha, coefficients in zip(GRID, found, strict=True):
        model = Lasso(alpha, fit_intercept=False, tol=1e-14, max_iter=10_000_000)
        expected = np.stack([model.fit(x, target).coef_ for target in y.T])
        np.testing.assert_allclose(coefficients, expected, atol=1e-6)
        np.testing.assert_array_equal(np.abs(coefficients) > 1e-6, np.abs(expected) > 1e-6)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_path__stops_at_the_duality_gap(generator: np.random.Generator, tolerance: float) -> None:
    x, y = problem(generator, "correlated")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    assert (duality_gap(within, between, path(within, between, GRID, tolerance), GRID) <= 1.01 * tolerance).all()


def test_path__of_copies_and_dead_units(generator: np.random.Generator) -> None:
    """Rows of zeros get nothing, and copies predict what one of them does; a dead target is predicted by nothing."""
    x, y = problem(generator, "planted")
    x, y = np.column_stack([x, x[:, :20], np.zeros(len(x))]), np.column_stack([y, np.zeros(len(y))])
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    found, once = path(within, between, GRID, 1e-12), path(within[:40, :40], between[:40], GRID, 1e-12)
    np.testing.assert_allclose(found @ x.T, once @ x[:, :40].T, atol=1e-5)
    assert not found[:, :, -1].any()
    assert not found[:, -1].any()


def test_path__solves_supports_in_stacks(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(generator, "planted")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    expected = path(within, between, GRID, 1e-12)
    monkeypatch.setattr(proximal_gradient, "STACK", 200)
    np.testing.assert_allclose(path(within, between, GRID, 1e-12), expected, atol=1e-12)


def test_path__is_proximal_gradient_where_no_support_helps(
    generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps alone reach the solution, later."""
    x, y = problem(generator, "planted")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    expected = path(within, between, GRID, 1e-13)
    monkeypatch.setattr(proximal_gradient, "_on_support", lambda within, r, alpha, w: w)
    np.testing.assert_allclose(path(within, between, GRID, 1e-13), expected, atol=1e-6)


def test_path__is_the_same_on_the_array_standard(generator: np.random.Generator) -> None:
    """On a second device, which refuses NumPy and operands from elsewhere."""
    xp = pytest.importorskip("array_api_strict")
    x, y = problem(generator, "correlated")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    device = xp.Device("device1")
    sides = [xp.asarray(side.copy(), device=device) for side in (within, between)]
    found = path(*sides, GRID, 1e-12)
    assert found.device == device
    expected = path(within, between, GRID, 1e-12)
    np.testing.assert_allclose(np.asarray(found.to_device(xp.Device("CPU_DEVICE"))), expected, atol=1e-9)


def test_solve__of_wide_layers_is_the_same(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem(generator, "planted")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    grid = np.append(GRID, 0)
    narrow = solve(within, between, grid)
    monkeypatch.setattr(lasso, "WIDEST_DESCENT", 10)
    wide = solve(within, between, grid)
    np.testing.assert_allclose(wide[-1], narrow[-1], rtol=1e-12)
    difference = (wide - narrow) @ x.T
    assert np.sqrt((difference**2).mean(axis=-1)).max() <= 2 * np.sqrt(2e-6)
    assert np.abs(wide - narrow)[:-1].max() > 0


def test_solve__of_more_predictors_than_descent_takes_has_the_loss_of_scikit_learn() -> None:
    """To the gap; by the smallest eigenvalue μ of R that bounds coefficients too: ½ μ ‖w − w*‖² ≤ gap."""
    generator = np.random.default_rng(6)
    x = generator.standard_normal((1500, 1100))
    w = generator.standard_normal((1100, 4)) * (generator.random((1100, 4)) < 0.1)
    y = x @ w + x.std() * generator.standard_normal((1500, 4))
    x, y = ((side - side.mean(axis=0)) / side.std(axis=0) for side in (x, y))
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    assert len(within) > lasso.WIDEST_DESCENT
    grid = np.geomspace(1, 0.02, 6) * np.abs(between).max()
    found = solve(within, between, grid)
    exact = [
        lasso_path(x, target, alphas=grid, precompute=len(x) * within, Xy=x.T @ target, tol=1e-9, max_iter=10_000)[1].T
        for target in y.T
    ]
    expected = np.stack(exact, axis=1)

    def loss(w: np.ndarray) -> np.ndarray:
        squares = ((y.T - w @ x.T) ** 2).mean(axis=-1)
        return squares / 2 + grid[:, None] * np.abs(w).sum(axis=-1)

    assert np.abs(loss(found) - loss(expected)).max() <= lasso.LARGEST_GAP
    bound = np.sqrt(2 * lasso.LARGEST_GAP / np.linalg.eigvalsh(within)[0])
    assert np.linalg.norm(found - expected, axis=-1).max() <= bound


def test_solve__on_tensors_is_the_same(generator: np.random.Generator) -> None:
    x, y = problem(generator, "planted")
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    host, tensors = solve(within, between, GRID), solve(within, between, GRID, array=torch.asarray)
    np.testing.assert_allclose(tensors, host, atol=2e-3)
    assert (duality_gap(within, between, tensors, GRID) <= 1e-6).all()
    assert np.abs(tensors - host).max() > 0
