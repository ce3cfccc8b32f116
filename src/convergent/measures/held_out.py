"""How well a linear prediction fitted on the other folds does on each fold, from moments alone.

    SSE = C_yy − 2wᵀC_xy + wᵀC_xx w + n(δ_y − wᵀδ_x)²,    SST = C_yy + n δ_y²,    R² = 1 − ΣSSE/ΣSST

C are the comoments and n the samples of the held-out fold, δ its means minus those of the training folds.
Units of B are predicted from units of A; exchange the pairs for the other direction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array, Moments, Pair

# correlations within the predictors and with the targets → coefficients [..., target, predictor], standardised
Fit = Callable[[Array, Array], Array]
Split = tuple[Pair, Pair]  # the training folds together, and the held-out fold
# the training folds, and held-out folds → squared error of each of these, [part, ..., target]
Score = Callable[[Pair, Sequence[Pair]], Array]
Map = Callable[..., list[Any]]  # as `engine.map`: function, items, what all calls share → results

EVERY = slice(None)
IN_MEMORY = 64 * 2**20  # moments of a pair up to this size are split once


@dataclass(frozen=True)
class Splits(Sequence[Split]):
    """Each fold with all the others, made when asked for: what is held does not grow with the folds."""

    moments: xr.Dataset
    whole: Pair
    replicate: int | None
    turned: bool = False

    def __len__(self) -> int:
        return int(self.moments.sizes["fold"])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index >= len(self):
            raise IndexError(index)
        part = folds.fold(self.moments, index, self.replicate)
        training = folds.rest_of(self.whole, part)
        return (training.exchanged, part.exchanged) if self.turned else (training, part)


def splits(moments: xr.Dataset, replicate: int | None = None) -> Sequence[Split]:
    """Each fold with all the others; `replicate`: the permuted comoment stands in for that of A and B."""
    every = Splits(moments, folds.total(moments, replicate), replicate)
    return list(every) if moments.nbytes <= IN_MEMORY else every


def exchanged(split: Sequence[Split]) -> Sequence[Split]:
    """The same with A and B exchanged."""
    if isinstance(split, Splits):
        return replace(split, turned=not split.turned)
    return [(training.exchanged, part.exchanged) for training, part in split]


def in_turn(function: Callable[..., Any], items: Iterable[Any], *shared: Any) -> list[Any]:
    """``[function(item, *shared) for item in items]``: `engine.map` without an engine."""
    return [function(item, *shared) for item in items]


def correlations(pair: Pair) -> tuple[Array, Array]:
    """Correlation within the predictors, [unit_a, unit_a], and with the targets, [unit_a, unit_b]; dead units: 0."""
    return np.nan_to_num(folds.correlation_within(pair.a)), np.nan_to_num(folds.correlation(pair))


def score(fit: Fit) -> Score:
    """Squared errors of a fit to all targets at once."""

    def scored(training: Pair, parts: Sequence[Pair]) -> Array:
        coefficients = fit(*correlations(training))
        return np.stack([squared_error(coefficients, training, part) for part in parts])

    return scored


def scores(split: Sequence[Split], score: Score) -> tuple[Array, Array]:
    """Squared errors [fold, ..., target] and total squares [fold, target] of every held-out fold, each read once."""
    found = [(score(training, [part])[0], _squares(training, part)) for training, part in split]
    squared, total = zip(*found, strict=True)
    return np.stack(squared), np.stack(total)


def scores_left_out(split: Sequence[Split], score: Score) -> Iterator[tuple[Array, Array]]:
    """`scores` for each fold that is left out altogether, from fits that have not seen it: what the jackknife repeats.

    Yields
    ------
    squared errors [fold, ..., target] and total squares [fold, target] of the other folds, in their order; of two
    folds NaN, since nothing is left to fit on
    """
    if len(split) < 3:
        every, squares = scores(split, score)
        yield from [(every[1:] * np.nan, squares[1:])] * len(split)
        return
    found = {}
    for j in range(len(split) - 1):
        without_j, part_j = split[j]
        # Folds j and k share the fit on all folds but them.
        for k in range(j + 1, len(split)):
            part_k = split[k][1]
            training = folds.rest_of(without_j, part_k)
            of_j, of_k = score(training, [part_j, part_k])
            found[k, j] = of_j, _squares(training, part_j)
            found[j, k] = of_k, _squares(training, part_k)
    for out in range(len(split)):
        squared, total = zip(*(found[out, held] for held in range(len(split)) if held != out), strict=True)
        yield np.stack(squared), np.stack(total)


def squared_error(coefficients: Array, training: Pair, part: Pair, targets: slice = EVERY) -> Array:
    """Σ (y − prediction)² over a held-out fold, [..., target].

    Parameters
    ----------
    coefficients : [..., target, predictor], standardised
    training, part : the folds that were fitted, and the one held out
    targets : those that the coefficients are of
    """
    scale = _scale(training.a)
    weights = coefficients * _scale(training.b)[targets, None] / np.where(scale > 0, scale, 1.0)
    cross = np.einsum("...tp,pt->...t", weights, part.ab.comoment[:, targets])
    square = np.einsum("...tp,...tp->...t", weights, weights @ part.a.comoment)
    shift = (part.b.mean_a - training.b.mean_a)[targets] - weights @ (part.a.mean_a - training.a.mean_a)
    return np.asarray(np.diag(part.b.comoment)[targets] - 2 * cross + square + part.a.n * shift**2)


def _squares(training: Pair, part: Pair) -> Array:
    """Σ (y − training mean)² over a held-out fold, [target]."""
    return np.asarray(np.diag(part.b.comoment) + part.b.n * (part.b.mean_a - training.b.mean_a) ** 2)


def _scale(moments: Moments) -> Array:
    """Standard deviation of each unit, 0 for a dead one."""
    return np.where(folds.live(moments), np.sqrt(np.maximum(np.diag(moments.comoment), 0) / moments.n), 0.0)
