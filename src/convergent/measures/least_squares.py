"""Least squares of many targets, from correlations alone: R w = r, of least norm where predictors are collinear.

R[predictor, predictor] is the correlation within the predictors and r[predictor, target] that with the targets; rows
and columns of zeros, dead units, get no coefficient.
"""

import numpy as np

from convergent.folds import Array

ZERO_EIGENVALUE = 1e-10  # share of the largest eigenvalue of R below which a direction is rounding


def least_squares(within: Array, between: Array, inverse: Array | None = None) -> Array:
    """Coefficients [target, predictor] from the correlations R and r, here `within` and `between`.

    `inverse`: of R by `pseudo_inverse`, where many blocks of targets share it.
    """
    coefficients = ((pseudo_inverse(within) if inverse is None else inverse) @ between).T
    return np.asarray(np.where(np.abs(coefficients) > ZERO_EIGENVALUE, coefficients, 0.0))


def pseudo_inverse(within: Array) -> Array:
    """Of R, [predictor, predictor]."""
    return np.asarray(np.linalg.pinv(within, rcond=ZERO_EIGENVALUE, hermitian=True))
