"""The LASSO of all units of a layer from moments, against scikit-learn on samples and on the Gram matrix."""

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, lasso_path

from benchmarks.result import Result, alternately, seconds
from convergent import engine
from convergent.measures.lasso import duality_gap, solve

UNITS, SAMPLES, ALPHAS = 384, 60_000, 20
RAW_TARGETS = 2  # on samples, where one takes half a minute
WIDE, WIDE_TARGETS, WIDE_BLOCK = 4096, 64, 32


def run() -> Iterator[Result]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    generator = np.random.default_rng(0)
    with engine.threads(2):
        yield from _ordinary(generator)
        yield from _wide(generator)


def _ordinary(generator: np.random.Generator) -> Iterator[Result]:
    x, y = (np.asfortranarray(side) for side in _layers(generator, SAMPLES, UNITS, UNITS))
    within, between = x.T @ x / SAMPLES, x.T @ y / SAMPLES
    grid = _grid(between)
    blocks = [slice(first, first + 64) for first in range(0, UNITS, 64)]
    bare, one, two = alternately(
        3,
        lambda: _bare(within, between, grid),
        lambda: solve(within, between, grid),
        lambda: engine.map(_block, blocks, within, between, grid),
    )
    gap = float(duality_gap(within, between, solve(within, between, grid), grid).max())
    raw = [
        seconds(lambda t=t, a=a: Lasso(a, fit_intercept=False, tol=1e-6, max_iter=5000).fit(x, y[:, t]))
        for t in range(RAW_TARGETS)
        for a in grid
    ]
    # The path makes a Gram matrix of its own for each target.
    path = seconds(lambda: lasso_path(x, y[:, 0], alphas=grid, tol=1e-6, max_iter=5000)) / ALPHAS
    of_one = one / UNITS / ALPHAS
    yield Result(
        f"LASSO, {UNITS} × {UNITS}, {ALPHAS} α: scikit-learn's Lasso on {SAMPLES} samples / moments",
        float(np.mean(raw)) / of_one,
        1000,
        at_most=False,
        details={
            "Lasso on samples, one target and α": float(np.mean(raw)),
            "lasso_path on samples, one target and α": path,
            "moments, one target and α": of_one,
            "extrapolated": f"from {RAW_TARGETS} targets on samples",
            "largest duality gap": gap,
        },
    )
    details = {"bare loop": bare, "one core": one, "two threads": two}
    name = "LASSO on one core / bare loop over scikit-learn's Gram solver"
    yield Result(name, one / bare, 1.1, True, details=details)
    yield Result("LASSO on two threads / the same bare loop", two / bare, 0.95, True, "ratio", details)


def _wide(generator: np.random.Generator) -> Iterator[Result]:
    x, y = _layers(generator, 2 * WIDE, WIDE, WIDE_TARGETS)
    within, between = x.T @ x / len(x), x.T @ y / len(x)
    grid = _grid(between)
    blocks = [slice(first, first + WIDE_BLOCK) for first in range(0, WIDE_TARGETS, WIDE_BLOCK)]
    few = between[:, :2]
    one = seconds(lambda: [_block(block, within, between, grid) for block in blocks])
    two = seconds(lambda: engine.map(_block, blocks, within, between, grid))
    bare = seconds(lambda: _bare(within, few, grid)) / few.shape[1] * WIDE_TARGETS
    details = {
        "one worker, one target and α": one / WIDE_TARGETS / ALPHAS,
        "two workers, one target and α": two / WIDE_TARGETS / ALPHAS,
        "scikit-learn's Gram solver, one target and α": bare / WIDE_TARGETS / ALPHAS,
    }
    name = f"LASSO, {WIDE} predictors × {WIDE_TARGETS} targets, {ALPHAS} α"
    yield Result(f"{name}: two workers / one", two / one, 0.75, True, "ratio", details)
    yield Result(f"{name}: proximal gradient / scikit-learn's Gram solver", one / bare, 0.5, True, "ratio", details)


def _layers(generator: np.random.Generator, samples: int, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised post-ReLU units that mix shared sources of a falling spectrum, and noise of their own."""
    sources = generator.standard_normal((samples, 64)) / np.sqrt(np.arange(1, 65))
    sides = []
    for units in (a, b):
        values = sources @ generator.standard_normal((64, units))
        values = np.maximum(values + 2 * generator.standard_normal(values.shape), 0)
        sides.append((values - values.mean(axis=0)) / values.std(axis=0))
    return sides[0], sides[1]


def _grid(between: np.ndarray) -> np.ndarray:
    largest = np.abs(between).max()
    return np.geomspace(largest, largest / 100, ALPHAS)


def _block(block: slice, within: np.ndarray, between: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return solve(within, between[:, block], grid)


def _bare(within: np.ndarray, between: np.ndarray, grid: np.ndarray) -> None:
    """One call of scikit-learn a target, nothing checked and nothing kept."""
    x, y = np.zeros((1, len(within)), order="F"), np.ones(1)
    for r in np.ascontiguousarray(between.T):
        lasso_path(x, y, alphas=grid, precompute=within, Xy=r, tol=5e-7, max_iter=5000, check_input=False)
