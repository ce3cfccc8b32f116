"""What the units of a cluster say about those of the other network in it: all together, and the best one alone.

Held-out R² of each unit, by folds, from least squares on the units of the other network in its cluster, and on the one
of them of highest |r|. A high R² from all where that from the best is low: the subspace is shared, the basis is not
(Li et al. 2016, arXiv 1511.07543, section 4). Units of clusters of one network alone have neither.
"""

import numpy as np

from convergent import folds
from convergent.folds import Array
from convergent.measures import held_out
from convergent.measures.forward_selection import select
from convergent.measures.held_out import Fit, Split
from convergent.measures.least_squares import least_squares


def errors(split: list[Split], label_a: np.ndarray, label_b: np.ndarray) -> tuple[Array, Array]:
    """Squared error of every held-out fold, of all and of the best: [fold, 2, unit]; and total squares, [fold, unit].

    Parameters
    ----------
    split : from `held_out.splits`
    label_a, label_b : cluster of each unit; −1: none. Units of the result are those of A, then of B.
    """
    turned, (fit_a, fit_b) = held_out.exchanged(split), _fits(label_a, label_b)
    of_a = held_out.errors(turned, fit_a), held_out.total_squares(turned)
    of_b = held_out.errors(split, fit_b), held_out.total_squares(split)
    return _joined(of_a, of_b, label_a, label_b)


def coefficients(within: Array, between: Array, of_predictor: np.ndarray, of_target: np.ndarray) -> Array:
    """From all predictors in the cluster of a target, and from the best of them: [2, target, predictor].

    Parameters
    ----------
    within, between : correlations, [predictor, predictor] and [predictor, target]
    of_predictor, of_target : cluster of each; −1: none
    """
    every = np.zeros(between.T.shape)
    for cluster in np.intersect1d(of_predictor[of_predictor >= 0], of_target):
        predictors, targets = np.flatnonzero(of_predictor == cluster), np.flatnonzero(of_target == cluster)
        every[np.ix_(targets, predictors)] = least_squares(
            within[np.ix_(predictors, predictors)], between[np.ix_(predictors, targets)]
        )
    together = (of_predictor[:, None] == of_target) & (of_target >= 0)
    return np.stack([every, select(within, np.where(together, between, 0.0), 1)[0]])


def r2(squared: Array, total: Array) -> Array:
    """Held-out R² of each unit, from all and from the best: [2, unit]; NaN where nothing predicts it."""
    return np.asarray(1 - squared.sum(axis=0) / total.sum(axis=0))


def mean_r2(squared: Array, total: Array) -> Array:
    """Its mean over the units of clusters of both networks: [2]."""
    predicted = ~np.isnan(squared[0, 0])
    return r2(squared[:, :, predicted], total[:, predicted]).mean(axis=1) if predicted.any() else np.full(2, np.nan)


def standard_error(split: list[Split], label_a: np.ndarray, label_b: np.ndarray) -> Array:
    """Of `mean_r2` over images, the clusters as they are: [2]."""
    fit_a, fit_b = _fits(label_a, label_b)
    sides = zip(
        held_out.errors_left_out(held_out.exchanged(split), fit_a), held_out.errors_left_out(split, fit_b), strict=True
    )
    return folds.standard_error(mean_r2(*_joined(of_a, of_b, label_a, label_b)) for of_a, of_b in sides)


def _fits(label_a: np.ndarray, label_b: np.ndarray) -> tuple[Fit, Fit]:
    """Of units of A from those of B, and back."""
    return (
        lambda within, between: coefficients(within, between, label_b, label_a),
        lambda within, between: coefficients(within, between, label_a, label_b),
    )


def _joined(
    of_a: tuple[Array, Array], of_b: tuple[Array, Array], label_a: np.ndarray, label_b: np.ndarray
) -> tuple[Array, Array]:
    """Squared errors and total squares of the units of A, then of B; NaN for units that nothing predicts."""
    alone = ~np.concatenate([np.isin(label_a, label_b), np.isin(label_b, label_a)])
    squared = np.concatenate([of_a[0], of_b[0]], axis=2)
    squared[:, :, alone | (np.concatenate([label_a, label_b]) < 0)] = np.nan
    return squared, np.concatenate([of_a[1], of_b[1]], axis=1)
