"""The LASSO of all units of a layer from moments, against scikit-learn on samples and on the Gram matrix."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, lasso_path

from benchmarks.result import Result, alternately, seconds
from convergent import engine, folds, moments
from convergent.measures import held_out
from convergent.measures.lasso import duality_gap, solve
from convergent.measures.sparse_prediction import penalties, sparse_prediction

UNITS, SAMPLES, ALPHAS, SMALLEST = 384, 60_000, 20, 0.01
NARROW = 64
RAW_TARGETS = 2  # on samples, where one takes half a minute
WIDE, WIDE_TARGETS, WIDE_BLOCK = 4096, 64, 32


def run() -> Iterator[Result]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    generator = np.random.default_rng(0)
    with engine.threads(2):
        yield from _ordinary(generator)
        # Of two folds no fit is repeated for the jackknife: three fits a direction, not 56.
        of = _measure(generator, UNITS, count=2)
        name = "LASSO on one core / bare loop over scikit-learn's Gram solver"
        yield Result(name, of["one core"] / of["bare loop"], 1.1, True, details=of)
        name = "LASSO on two threads / the same bare loop"
        yield Result(name, of["two threads"] / of["bare loop"], 0.95, True, details=of)
        of = _measure(generator, NARROW, count=10)
        name = f"LASSO, {NARROW} × {NARROW}, 10 folds: two threads / a bare loop"
        yield Result(name, of["two threads"] / of["bare loop"], 0.95, True, details=of)
        yield from _wide(generator)


def _ordinary(generator: np.random.Generator) -> Iterator[Result]:
    x, y = (np.asfortranarray(side) for side in _layers(generator, SAMPLES, UNITS, UNITS))
    within, between = x.T @ x / SAMPLES, x.T @ y / SAMPLES
    grid = _grid(between)
    of_one = seconds(lambda: solve(within, between, grid)) / UNITS / ALPHAS
    gap = float(duality_gap(within, between, solve(within, between, grid), grid).max())
    raw = [
        seconds(lambda t=t, a=a: Lasso(a, fit_intercept=False, tol=1e-6, max_iter=5000).fit(x, y[:, t]))
        for t in range(RAW_TARGETS)
        for a in grid
    ]
    # The path makes a Gram matrix of its own for each target.
    path = seconds(lambda: lasso_path(x, y[:, 0], alphas=grid, tol=1e-6, max_iter=5000)) / ALPHAS
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


def _measure(generator: np.random.Generator, units: int, count: int) -> dict[str, Any]:
    """Seconds of sparse prediction from the moments of so many folds, and of a bare loop over all paths it needs."""
    pair = moments.of(*_layers(generator, SAMPLES, units, units), folds=count)
    whole, split = folds.total(pair), held_out.splits(pair)
    outs = held_out.each(split) + held_out.every_two(split)
    fitted = [whole, *(held_out.without(split, out)[0] for out in outs)]
    both = [held_out.correlations(side) for one in fitted for side in (one, one.exchanged)]
    grid = penalties(folds.correlation(whole), ALPHAS, SMALLEST)[:-1]  # the last is 0, least squares

    def measure(threads: int, run: held_out.Map) -> None:
        with engine.threads(threads):
            sparse_prediction(pair, alphas=ALPHAS, smallest=SMALLEST, run=run)

    found = alternately(
        3,
        lambda: [_bare(within, between, grid) for within, between in both],
        lambda: measure(1, held_out.in_turn),
        lambda: measure(2, engine.map),
    )
    return dict(zip(("bare loop", "one core", "two threads"), found, strict=True))


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
