"""Forward selection: the best 1, 2, 3 … predictors of every target, from correlations alone.

At each step the predictor of highest |correlation with the residual| joins, and least squares is solved anew on those
chosen: orthogonal matching pursuit (Pati, Rezaiifar, Krishnaprasad 1993). R and r are those of `least_squares`.
"""

import numpy as np

from convergent.folds import Array
from convergent.measures.least_squares import ZERO_EIGENVALUE


def select(within: Array, between: Array, most: int) -> Array:
    """Least-squares coefficients on the best predictors of every target.

    Parameters
    ----------
    within : correlation of the predictors, [predictor, predictor]
    between : correlation of predictors and targets, [predictor, target]
    most : predictors of the last step; where there are fewer, that step is the one with all of them

    Returns
    -------
    coefficients [step, target, predictor], standardised, at most step + 1 of a target not zero
    """
    size, targets = between.shape
    coefficients = np.zeros((most, targets, size))
    chosen, row = np.zeros((targets, 0), dtype=np.intp), np.arange(targets)[:, None]
    residual, free = between.T, np.ones((targets, size), dtype=bool)
    for step in range(most):
        if step < size:
            best = np.where(free, np.abs(residual), -1.0).argmax(axis=1)[:, None]
            free[row, best] = False
            chosen = np.hstack([chosen, best])
            inverse = np.linalg.pinv(
                within[chosen[:, :, None], chosen[:, None, :]], rcond=ZERO_EIGENVALUE, hermitian=True
            )
            weights = np.einsum("tij,tj->ti", inverse, between.T[row, chosen])
            residual = between.T - sum(weights[:, [i]] * within[chosen[:, i]] for i in range(step + 1))
        if size:
            coefficients[step, row, chosen] = weights
    return coefficients
