"""The exact LASSO of many targets, from correlations alone.

    min_w  ½ − wᵀr + ½ wᵀR w + α‖w‖₁            (standardised units)

R[predictor, predictor] is the correlation within the predictors and r[predictor, target] that with the targets; rows
and columns of zeros, dead units, get no coefficient. α = 0 is least squares. Optimality is the stopping rule and the
check: the duality gap, on the scale where predicting nothing costs ½. Up to `WIDEST_DESCENT` predictors the solver is
scikit-learn's coordinate descent, one target at a time; above that, on a device and where it stalls,
`proximal_gradient`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import to_device
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

from convergent.errors import InputError
from convergent.folds import Array
from convergent.measures import proximal_gradient
from convergent.measures.least_squares import least_squares

LARGEST_GAP = 1e-6
TOLERANCE, MAX_SWEEPS = 5e-7, 5000
WIDEST_DESCENT = 1024  # predictors


def solve(
    within: Array,
    between: Array,
    grid: Array,
    inverse: Array | None = None,
    array: Callable[[Array], Any] = np.asarray,
    first: int = 0,
) -> Array:
    """Exact LASSO path of every target.

    Parameters
    ----------
    within : correlation of the predictors, [predictor, predictor]
    between : correlation of predictors and targets, [predictor, target]
    grid : penalties from large to small; 0 is least squares (the solution of least norm)
    inverse : pseudo-inverse of `within`, where it is known already
    array : puts the correlations where they are worked on, ``cupy.asarray`` on a device
    first : number of the first target, where they are a block of many; for the error

    Returns
    -------
    coefficients [alpha, target, predictor]

    Raises
    ------
    InputError : where a duality gap stays above 1e-6
    """
    size, targets = between.shape
    coefficients = np.zeros((len(grid), targets, size))
    if size == 0 or targets == 0:
        return coefficients
    positive = grid > 0
    placed = array(within)
    if size > WIDEST_DESCENT or not isinstance(placed, np.ndarray):
        path = proximal_gradient.path(placed, array(np.ascontiguousarray(between)), grid[positive], TOLERANCE)
        coefficients[positive] = to_device(path, "cpu")
    else:
        coefficients[positive] = _descent(within, between, grid[positive])
    coefficients[~positive] = least_squares(within, between, inverse)
    gaps = duality_gap(within, between, coefficients, grid)
    if (gaps > LARGEST_GAP).any():
        worst = np.unravel_index(gaps.argmax(), gaps.shape)
        raise InputError(
            f"LASSO of target {first + worst[1]} at α = {grid[worst[0]]:.3g}: "
            f"duality gap {gaps.max():.2e}, more than {LARGEST_GAP}"
        )
    return coefficients


def duality_gap(within: Array, between: Array, coefficients: Array, grid: Array) -> Array:
    """How far solutions are from the optimum, at most: [alpha, target]; at α = 0 the violation of the normal equations.

    P(w) − D(θ) with θ the residual scaled into the dual's feasible set.
    """
    fitted = coefficients @ within  # [alpha, target, predictor]
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    residual_norm = 1 - 2 * explained + np.einsum("ktp,ktp->kt", coefficients, fitted)
    violation = np.abs(between.T - fitted).max(axis=2, initial=0)
    penalty = grid[:, None]
    scale = np.minimum(1, np.divide(penalty, violation, out=np.ones_like(violation), where=violation > 0))
    primal = residual_norm / 2 + penalty * np.abs(coefficients).sum(axis=2)
    dual = scale * (1 - explained) - scale**2 * residual_norm / 2
    return np.asarray(np.where(penalty > 0, primal - dual, violation**2))


def _descent(within: Array, between: Array, grid: Array) -> Array:
    """Paths by scikit-learn, [alpha, target, predictor]."""
    coefficients = np.zeros((len(grid), *between.T.shape))
    gram = np.ascontiguousarray(within)
    with config_context(skip_parameter_validation=True):  # a quarter of the time of small layers
        for target, r in enumerate(np.ascontiguousarray(between.T)):
            # A target above its largest |r| is zero by definition, and where r = 0 scikit-learn divides by zero.
            asked = grid < np.abs(r).max()
            if asked.any():
                coefficients[asked, target] = _path(gram, r, grid[asked])
    return coefficients


def _path(gram: Array, xy: Array, grid: Array) -> Array:
    """Path of one target, [alpha, predictor]: coordinate descent, and where that stalls proximal gradient."""
    # Given its Gram matrix, of x only the shape is used, and of y the norm: one sample stands in for all.
    x, y = np.zeros((1, len(xy)), order="F"), np.ones(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the duality gap tells, here and for all targets at once
        # One target at a time: a two-dimensional y would be a group LASSO.
        _, coefficients, gaps = lasso_path(
            x, y, alphas=grid, precompute=gram, Xy=xy, tol=TOLERANCE, max_iter=MAX_SWEEPS, check_input=False
        )
        if (gaps <= LARGEST_GAP).all():
            return np.asarray(coefficients.T)
    # Fewer samples than predictors, or nearly collinear ones. LARS stops early, or goes astray, where two are copies.
    return np.asarray(proximal_gradient.path(gram, xy[:, None], grid, TOLERANCE)[:, 0])
