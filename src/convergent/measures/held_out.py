"""How well a linear prediction fitted on the other folds does on each fold, from moments alone.

    SSE = C_yy − 2wᵀC_xy + wᵀC_xx w + n(δ_y − wᵀδ_x)²,    SST = C_yy + n δ_y²,    R² = 1 − ΣSSE/ΣSST

C are the comoments and n the samples of the held-out fold, δ its means minus those of the training folds.
Units of B are predicted from units of A; exchange the pairs for the other direction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array, Pair

# correlations within the predictors and with the targets → coefficients [..., target, predictor], standardised
Fit = Callable[[Array, Array], Array]
Split = tuple[Pair, Pair]  # the training folds together, and the held-out fold
Out = tuple[int, ...]  # the folds that a fit has not seen, in order
Errors = tuple[Array, Array]  # of these folds: squared errors [fold, ..., target] and total squares [fold, target]
Score = Callable[[Pair, Sequence[Pair]], Errors]  # from the training folds together, and the held-out folds
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
    """Errors of a fit to all targets at once."""

    def scored(training: Pair, parts: Sequence[Pair]) -> Errors:
        coefficients = fit(*correlations(training))
        return np.stack([squared_error(coefficients, training, part) for part in parts]), squares(training, parts)

    return scored


def scores(split: Sequence[Split], score: Score) -> Errors:
    """Errors of every held-out fold, each read once."""
    return of_folds({out: score(*without(split, out)) for out in each(split)})


def scores_left_out(split: Sequence[Split], score: Score) -> Iterator[Errors]:
    """`scores` for each fold that is left out altogether, from fits that have not seen it: what the jackknife repeats.

    Yields
    ------
    errors of the other folds, in their order; NaN of a target that is dead in all of these, and of two folds, since
    nothing is left to fit on
    """
    errors = {out: score(*without(split, out)) for out in every_two(split) or each(split)}
    for (squared, total), (others, _) in zip(left_out(errors, len(split)), split, strict=True):
        yield np.where(others.live_b, squared, np.nan), np.where(others.live_b, total, np.nan)


def each(split: Sequence[Split]) -> list[Out]:
    """Every fold."""
    return [(k,) for k in range(len(split))]


def every_two(split: Sequence[Split]) -> list[Out]:
    """Every two folds; of two folds none, since nothing is left to fit on."""
    return list(combinations(range(len(split)), 2)) if len(split) > 2 else []


def without(split: Sequence[Split], out: Out) -> tuple[Pair, list[Pair]]:
    """All folds but some together, and each of these."""
    first, *others = out
    training, part = split[first]
    parts = [split[k][1] for k in others]
    return reduce(folds.rest_of, parts, training), [part, *parts]


def of_folds(errors: Mapping[Out, Errors]) -> Errors:
    """Errors of every held-out fold, from those of all fits."""
    squared, total = zip(*(found for out, found in errors.items() if len(out) == 1), strict=True)
    return np.concatenate(squared), np.concatenate(total)


def left_out(errors: Mapping[Out, Errors], count: int) -> Iterator[Errors]:
    """`of_folds` without each of `count` folds in turn; where no fit leaves out two, from fits that have seen it."""
    for out in range(count):
        found = []
        for held in (k for k in range(count) if k != out):
            # Two folds share the fit on all folds but them.
            both = (min(held, out), max(held, out))
            fit = both if both in errors else (held,)
            found.append([of_fit[fit.index(held)] for of_fit in errors[fit]])
        squared, total = (np.stack(values) for values in zip(*found, strict=True))
        yield squared * (1 if count > 2 else np.nan), total


def squared_error(coefficients: Array, training: Pair, part: Pair, targets: slice = EVERY) -> Array:
    """Σ (y − prediction)² over a held-out fold, [..., target].

    Parameters
    ----------
    coefficients : [..., target, predictor], standardised
    training, part : the folds that were fitted, and the one held out
    targets : those that the coefficients are of
    """
    scale = folds.standard_deviation(training.a)
    weights = coefficients * folds.standard_deviation(training.b)[targets, None] / np.where(scale > 0, scale, 1.0)
    cross = np.einsum("...tp,pt->...t", weights, part.ab.comoment[:, targets])
    square = np.einsum("...tp,...tp->...t", weights, weights @ part.a.comoment)
    shift = (part.b.mean_a - training.b.mean_a)[targets] - weights @ (part.a.mean_a - training.a.mean_a)
    return np.asarray(np.diag(part.b.comoment)[targets] - 2 * cross + square + part.a.n * shift**2)


def squares(training: Pair, parts: Sequence[Pair]) -> Array:
    """Σ (y − training mean)² over each held-out fold, [fold, target]."""
    return np.stack([np.diag(one.b.comoment) + one.b.n * (one.b.mean_a - training.b.mean_a) ** 2 for one in parts])
