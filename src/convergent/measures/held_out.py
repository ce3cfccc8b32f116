"""How well a linear prediction fitted on the other folds does on each fold, from moments alone.

    SSE = C_yy − 2wᵀC_xy + wᵀC_xx w + n(δ_y − wᵀδ_x)²,    SST = C_yy + n δ_y²,    R² = 1 − ΣSSE/ΣSST

C are the comoments and n the samples of the held-out fold, δ its means minus those of the training folds.
Units of B are predicted from units of A; exchange the pairs for the other direction.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array, Moments, Pair

# correlations within the predictors and with the targets → coefficients [..., target, predictor], standardised
Fit = Callable[[Array, Array], Array]
Split = tuple[Pair, Pair]  # the training folds together, and the held-out fold


def splits(moments: xr.Dataset, replicate: int | None = None) -> list[Split]:
    """Each fold with all the others; `replicate`: the permuted comoment stands in for that of A and B."""
    if replicate is not None:
        moments = moments.assign(comoment=moments["comoment_permuted"].isel(replicate=replicate))
    return list(folds.leave_one_out(moments, folds.total(moments)))


def exchanged(split: Sequence[Split]) -> list[Split]:
    """The same with A and B exchanged."""
    return [(training.exchanged, part.exchanged) for training, part in split]


def correlations(pair: Pair) -> tuple[Array, Array]:
    """Correlation within the predictors, [unit_a, unit_a], and with the targets, [unit_a, unit_b]; dead units: 0."""
    return np.nan_to_num(folds.correlation_within(pair.a)), np.nan_to_num(folds.correlation(pair))


def errors(split: Sequence[Split], fit: Fit) -> Array:
    """Squared error of every held-out fold, [fold, ..., target].

    Parameters
    ----------
    split : from `splits`
    fit : correlations within the predictors and with the targets → coefficients [..., target, predictor], standardised
    """
    return np.stack([squared_error(fit(*correlations(training)), training, part) for training, part in split])


def errors_left_out(split: Sequence[Split], fit: Fit) -> Iterator[tuple[Array, Array]]:
    """The same for each fold that is left out altogether, from fits that have not seen it: what the jackknife repeats.

    Yields
    ------
    squared errors [fold, ..., target] and total squares [fold, target] of the other folds, in their order; of two
    folds NaN, since nothing is left to fit on
    """
    if len(split) < 3:
        yield from [(errors(split, fit)[1:] * np.nan, total_squares(split)[1:])] * len(split)
        return
    found = {}
    # Folds j and k share the fit on all folds but them.
    for j, k in itertools.combinations(range(len(split)), 2):
        training = folds.rest_of(split[j][0], split[k][1])
        coefficients = fit(*correlations(training))
        for out, held in ((k, j), (j, k)):
            part = split[held][1]
            found[out, held] = squared_error(coefficients, training, part), total_squares([(training, part)])[0]
    for out in range(len(split)):
        squared, total = zip(*(found[out, held] for held in range(len(split)) if held != out), strict=True)
        yield np.stack(squared), np.stack(total)


def squared_error(coefficients: Array, training: Pair, part: Pair) -> Array:
    """Σ (y − prediction)² over a held-out fold, [..., target]; coefficients [..., target, predictor], standardised."""
    scale = _scale(training.a)
    weights = coefficients * _scale(training.b)[:, None] / np.where(scale > 0, scale, 1.0)
    cross = np.einsum("...tp,pt->...t", weights, part.ab.comoment)
    square = np.einsum("...tp,...tp->...t", weights, weights @ part.a.comoment)
    shift = part.b.mean_a - training.b.mean_a - weights @ (part.a.mean_a - training.a.mean_a)
    return np.asarray(np.diag(part.b.comoment) - 2 * cross + square + part.a.n * shift**2)


def total_squares(split: Sequence[Split]) -> Array:
    """Σ (y − training mean)² over every held-out fold: [fold, target]."""
    return np.stack(
        [np.diag(part.b.comoment) + part.b.n * (part.b.mean_a - training.b.mean_a) ** 2 for training, part in split]
    )


def _scale(moments: Moments) -> Array:
    """Standard deviation of each unit, 0 for a dead one."""
    return np.where(folds.live(moments), np.sqrt(np.maximum(np.diag(moments.comoment), 0) / moments.n), 0.0)
