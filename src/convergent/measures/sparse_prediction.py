"""Sparse prediction: each unit of one network from few units of the other, by the LASSO and by forward selection.

Loss ½·MSE of standardised units: 0.5 predicts nothing, R² = 1 − 2·loss. The penalty λ of Li et al. 2016
(arXiv 1511.07543, section 4) is α/C, C the number of predictors. Everything follows from the moments of the folds, at
a cost that is the same whatever the number of images. The null is the permuted one, of what needs no path of the LASSO.
Blocks of targets are calls of their own and give back errors, not paths: of wide layers, read fold by fold, what is
held is a few copies of one fold's moments and `PATH_BYTES` a call.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array, Pair
from convergent.measures import code_types, held_out
from convergent.measures.forward_selection import select
from convergent.measures.held_out import Map, Split
from convergent.measures.lasso import duality_gap, solve
from convergent.measures.least_squares import least_squares, pseudo_inverse
from convergent.measures.summary import summary

TARGETS = 128  # of a block, at most
PATH_BYTES = 128 * 2**20  # of the coefficients of a block, at most
WIDEST_REPEATED = 1024  # units of a side up to which the jackknife repeats every fit
REPEATED = "every fit repeated without each fold"
NOT_REPEATED = "fits as they are, which saw the fold left out: may be too small"

LI2016_LAMBDAS = (1e-5, 1e-4, 1e-3, 10**-2.6, 1e-2, 1e-1)
MEANS = ("r2_least_error", "r2_one_standard_error", "r2_best_single", "r2_least_squares")
WITHOUT_ERROR = ("mean_nonzero_one_standard_error", *code_types.STATISTICS)  # counts and shares jump
PER_DIRECTION = MEANS + WITHOUT_ERROR
STATISTICS = (
    "n_live_a",
    "n_live_b",
    *(f"{name}_{direction}" for direction in ("ab", "ba") for name in PER_DIRECTION),
)
PATH, TARGET, PUBLISHED = ("alpha", "target"), ("target",), ("li2016_lambda",)
VARIABLES = {
    "loss": (PATH, "½·MSE on the whole probe, standardised"),
    "r2": (PATH, "held-out R²"),
    "n_nonzero": (PATH, "predictors with a coefficient that is not zero"),
    "gap": (PATH, "duality gap"),
    "alpha_least_error": (TARGET, "penalty of the least held-out error"),
    "alpha_one_standard_error": (TARGET, "largest penalty within one standard error of the least held-out error"),
    "coefficient": (("target", "predictor"), "LASSO coefficient at alpha_one_standard_error, standardised"),
    "r2_few": (("n_predictors", "target"), "held-out R² from the best predictors by forward selection"),
    "n_needed": (TARGET, "fewest predictors with 90 % of the largest held-out R²; 6: more, 0: no code, −1: dead"),
    "li2016_loss": (PUBLISHED, "mean ½·MSE over live targets at the penalty of Li et al. 2016"),
    "li2016_n_nonzero": (PUBLISHED, "mean number of predictors over live targets at the penalty of Li et al. 2016"),
}


def sparse_prediction(
    moments: xr.Dataset,
    *,
    alphas: int = 20,
    smallest: float = 0.01,
    run: Map = held_out.in_turn,
    array: Callable[[Array], Any] = np.asarray,
) -> xr.Dataset:
    """Predict all units of a pair in both directions, cross-validated over the folds.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    alphas, smallest : points of the logarithmic grid of penalties and its last point as a share of its first, max|r|;
        the penalties of Li et al. 2016 and 0 are added
    run : calls a function with each block of targets and what all share, in turn or, ``engine.map``, side by side
    array : puts correlations where the LASSO of wide layers is solved, ``cupy.asarray`` on a device

    Returns
    -------
    for each direction, ``ab`` (units of B from A) and ``ba``, with target ``unit_b`` or ``unit_a``:
    ``loss_{d}[alpha, target]`` on the whole probe, 0–½; ``r2_{d}[alpha, target]`` held out, ≤ 1;
    ``n_nonzero_{d}[alpha, target]``; ``gap_{d}[alpha, target]``, the duality gap; ``alpha_least_error_{d}[target]`` and
    ``alpha_one_standard_error_{d}[target]``, the penalties of the least held-out error (chosen on the folds that it is
    scored on: its R² is optimistic) and the largest within one standard error of it;
    ``coefficient_{d}[target, predictor]`` at the latter, in standardised units;
    ``r2_few_{d}[n_predictors, target]``, held out, from the best 1 to 5 predictors, and ``n_needed_{d}[target]``, the
    fewest that reach 90 % of the largest R² along the path (6: more; 0: that R² is not above .01; −1: a dead unit);
    ``li2016_loss_{d}[li2016_lambda]`` and ``li2016_n_nonzero_{d}``, means over live targets at the penalties of Li et
    al. 2016 (``li2016_lambda_{d}[alpha]`` is λ of every α); and the summary over live units, with the null ``permuted``

    Raises
    ------
    ArithmeticError : where a duality gap stays above 1e-6
    InputError : for options that make no grid
    """
    at_least(2, alphas=alphas)
    if not 0 < smallest < 1:
        raise InputError(f"smallest is {smallest:g}; a share between 0 and 1 is needed")
    whole = folds.total(moments)
    grid = penalties(folds.correlation(whole), alphas, smallest)
    split = held_out.splits(moments)
    repeated = max(whole.ab.comoment.shape) <= WIDEST_REPEATED
    direction = partial(_direction, grid=grid, repeated=repeated, run=run, array=array)
    ab, *table_ab = direction(whole, split, target="unit_b", predictor="unit_a")
    ba, *table_ba = direction(whole.exchanged, held_out.exchanged(split), target="unit_a", predictor="unit_b")
    null = np.mean([_null(moments, replicate, whole, run) for replicate in range(moments.sizes["replicate"])], axis=0)
    value, error = (np.concatenate(sides) for sides in zip(table_ab, table_ba, strict=True))
    value = np.array([whole.live_a.sum(), whole.live_b.sum(), *value])
    no_error = [np.nan, np.nan]
    result = xr.merge(
        [
            summary(STATISTICS, value, np.array([*no_error, *error]), {"permuted": np.array([*no_error, *null])}),
            *(one.rename({name: f"{name}_{d}" for name in one.data_vars}) for d, one in (("ab", ab), ("ba", ba))),
        ]
    )
    result.attrs["standard_error"] = REPEATED if repeated else NOT_REPEATED
    return result.assign_coords(_coordinates(moments, grid))


def penalties(r: Array, alphas: int, smallest: float) -> Array:
    """The penalties of a layer, from large to small, 0 last.

    A logarithmic grid from max|r|, where every coefficient is zero, and λ·C of Li et al. 2016 for both networks' C.
    """
    largest = np.abs(np.nan_to_num(r)).max() or 1.0  # any, where nothing correlates
    published = [lam * size for lam in LI2016_LAMBDAS for size in set(r.shape)]
    return np.unique([0.0, *np.geomspace(largest, largest * smallest, alphas), *published])[::-1]


def choose(error: Array) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the penalty of least held-out error, and of the largest within one standard error of it.

    Parameters
    ----------
    error : mean squared error, [fold, alpha, target], alpha from large to small
    """
    mean = error.mean(axis=0)
    standard = error.std(axis=0, ddof=1) / np.sqrt(len(error)) if len(error) > 1 else np.zeros_like(mean)
    least = mean.argmin(axis=0)
    targets = np.arange(error.shape[2])
    bound = mean[least, targets] + standard[least, targets]
    return least, (mean <= bound).argmax(axis=0)


def _coordinates(moments: xr.Dataset, grid: Array) -> dict[str, Any]:
    lambdas = {
        f"li2016_lambda_{direction}": (
            "alpha",
            grid / moments.sizes[f"unit_{direction[0]}"],
            {"long_name": "penalty λ of Li et al. 2016: α / number of predictors"},
        )
        for direction in ("ab", "ba")
    }
    return lambdas | {
        "unit_a": moments["unit_a"].values,
        "unit_b": moments["unit_b"].values,
        "alpha": ("alpha", grid, {"long_name": "LASSO penalty on standardised units"}),
        "li2016_lambda": ("li2016_lambda", np.array([0.0, *LI2016_LAMBDAS]), {"long_name": "λ of Li et al. 2016"}),
        "n_predictors": np.arange(1, code_types.MOST + 1),
    }


def _direction(
    whole: Pair,
    split: Sequence[Split],
    grid: Array,
    target: str,
    predictor: str,
    repeated: bool,
    run: Map,
    array: Callable[[Array], Any],
) -> tuple[xr.Dataset, Array, Array]:
    """Units of B from units of A: the result, the summary and its standard error."""
    live, units, size = whole.live_b, np.arange(len(whole.live_b)), len(grid)

    def score(training: Pair, parts: Sequence[Pair], most: int) -> Array:
        within, between = held_out.correlations(training)
        blocks = _blocks(between, size + most)
        shared = within, between, pseudo_inverse(within), grid, most, array, training, parts
        return np.concatenate([np.empty((len(parts), size + most, 0)), *run(_errors, blocks, *shared)], axis=2)

    both, spread = held_out.scores(split, partial(score, most=code_types.MOST))
    squared, squared_few = both[:, :size], both[:, size:]
    samples = np.array([part.a.n for _, part in split])[:, None, None]
    least, sparse = choose(squared / samples)
    values = _on_whole_probe(whole, grid, sparse, run, array)
    scale = np.where(live, spread.sum(axis=0), np.nan)
    values["r2"], values["r2_few"] = 1 - squared.sum(axis=0) / scale, 1 - squared_few.sum(axis=0) / scale
    values["n_needed"] = code_types.n_needed(values["r2_few"], values["r2"].max(axis=0), int(whole.live_a.sum()))
    values["alpha_least_error"] = np.where(live, grid[least], np.nan)
    values["alpha_one_standard_error"] = np.where(live, grid[sparse], np.nan)
    of_lambda = [size - 1 - np.searchsorted(grid[::-1], lam * len(whole.live_a)) for lam in (0, *LI2016_LAMBDAS)]
    for name in ("loss", "n_nonzero"):
        values[f"li2016_{name}"] = _mean(values[name][of_lambda][:, live])

    def means(both: Array, spread: Array, samples: Array, alive: np.ndarray) -> Array:
        """Means over units of held-out R² pooled over folds, at the penalties chosen on them."""
        squared, single = both[:, :size], both[:, size]
        low, few = choose(squared / samples)
        errors = np.stack([squared[:, low, units], squared[:, few, units], single, squared[:, -1]])
        return _mean(1 - errors[:, :, alive].sum(axis=1) / spread[:, alive].sum(axis=0))

    left_out = held_out.scores_left_out(split, partial(score, most=1)) if repeated else _left_out(both, spread)
    # A unit that lives in the left-out fold alone is dead in the others.
    error = folds.standard_error(
        means(some, total, np.delete(samples, k, axis=0), live & live_elsewhere)
        for k, ((some, total), live_elsewhere) in enumerate(
            zip(left_out, (training.live_b for training, _ in split), strict=True)
        )
    )
    without_error = [*_mean(values["n_nonzero"][sparse, units][None, live]), *code_types.shares(values["n_needed"])]
    result = xr.Dataset({name: (dims, values[name], {"long_name": text}) for name, (dims, text) in VARIABLES.items()})
    return (
        result.rename(target=target, predictor=predictor),
        np.array([*means(both, spread, samples, live), *without_error]),
        np.array([*error, *[np.nan] * len(WITHOUT_ERROR)]),
    )


def _blocks(between: Array, paths: int) -> list[slice]:
    """Slices of the targets whose coefficients, `paths` of each, are `PATH_BYTES` at most."""
    predictors, targets = between.shape
    step = max(1, min(TARGETS, PATH_BYTES // (8 * paths * max(predictors, 1))))
    return [slice(first, min(first + step, targets)) for first in range(0, targets, step)]


def _errors(
    block: slice,
    within: Array,
    between: Array,
    inverse: Array,
    grid: Array,
    most: int,
    array: Callable[[Array], Any],
    training: Pair,
    parts: Sequence[Pair],
) -> Array:
    """Squared errors of the path of a block of targets and of its best 1, 2, … predictors: [part, path, target]."""
    coefficients = solve(within, between[:, block], grid, inverse, array)
    coefficients = np.concatenate([coefficients, select(within, between[:, block], most)])
    return np.stack([held_out.squared_error(coefficients, training, part, block) for part in parts])


def _left_out(squared: Array, total: Array) -> Iterator[tuple[Array, Array]]:
    """Without each fold in turn, the errors of the others as they are."""
    for k in range(len(squared)):
        yield np.delete(squared, k, axis=0) * (np.nan if len(squared) < 3 else 1), np.delete(total, k, axis=0)


def _on_whole_probe(
    whole: Pair, grid: Array, chosen: np.ndarray, run: Map, array: Callable[[Array], Any]
) -> dict[str, Array]:
    """Loss, predictors used and gap, [alpha, target], and coefficients at chosen penalties, [target, predictor]."""
    within, between = held_out.correlations(whole)
    shared = within, between, pseudo_inverse(within), grid, chosen, array
    found = run(_path_of_block, _blocks(between, len(grid)), *shared)
    none = np.empty((3, len(grid), 0)), np.empty((0, len(within)))
    paths, coefficients = zip(none, *found, strict=True)
    values = dict(zip(("loss", "n_nonzero", "gap"), np.concatenate(paths, axis=2), strict=True))
    values = {name: np.where(whole.live_b, value, np.nan) for name, value in values.items()}
    return values | {"coefficient": np.concatenate(coefficients)}


def _path_of_block(
    block: slice,
    within: Array,
    between: Array,
    inverse: Array,
    grid: Array,
    chosen: np.ndarray,
    array: Callable[[Array], Any],
) -> tuple[Array, Array]:
    """Loss, predictors used and gap, [3, alpha, target], and the coefficients chosen, [target, predictor]."""
    between = between[:, block]
    coefficients = solve(within, between, grid, inverse, array)
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    values = [
        0.5 - explained + np.einsum("ktp,ktp->kt", coefficients, coefficients @ within) / 2,
        np.count_nonzero(coefficients, axis=2),
        duality_gap(within, between, coefficients, grid),
    ]
    return np.stack(values), coefficients[chosen[block], np.arange(between.shape[1])]


def _null(moments: xr.Dataset, replicate: int, whole: Pair, run: Map) -> Array:
    """The summary of both directions where A and B see other images."""
    split = held_out.splits(moments, replicate)
    return np.concatenate(
        [_null_direction(split, whole.live_b, run), _null_direction(held_out.exchanged(split), whole.live_a, run)]
    )


def _null_direction(split: Sequence[Split], live: np.ndarray, run: Map) -> Array:
    """NaN where it needs a path of the LASSO, which takes as long again."""

    def score(training: Pair, parts: Sequence[Pair]) -> Array:
        within, between = held_out.correlations(training)
        shared = within, between, pseudo_inverse(within), training, parts
        blocks = run(_null_errors, _blocks(between, 2), *shared)
        return np.concatenate([np.empty((len(parts), 2, 0)), *blocks], axis=2)

    squared, spread = held_out.scores(split, score)
    r2 = 1 - squared.sum(axis=0)[:, live] / spread[:, live].sum(axis=0)
    found = dict(zip(("r2_best_single", "r2_least_squares"), _mean(r2), strict=True))
    return np.array([found.get(name, np.nan) for name in PER_DIRECTION])


def _null_errors(
    block: slice, within: Array, between: Array, inverse: Array, training: Pair, parts: Sequence[Pair]
) -> Array:
    """Squared errors of the best single predictor and of least squares: [part, 2, target]."""
    single = select(within, between[:, block], 1)
    coefficients = np.concatenate([single, least_squares(within, between[:, block], inverse)[None]])
    return np.stack([held_out.squared_error(coefficients, training, part, block) for part in parts])


def _mean(values: Array) -> Array:
    """Mean over targets, the last axis, [...]; NaN where there are none."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
