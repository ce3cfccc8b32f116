"""Sparse prediction: each unit of one network from few units of the other, by the LASSO and by forward selection.

Loss ½·MSE of standardised units: 0.5 predicts nothing, R² = 1 − 2·loss. The penalty λ of Li et al. 2016
(arXiv 1511.07543, section 4) is α/C, C the number of predictors. Everything follows from the moments of the folds, at
a cost that is the same whatever the number of images. The null is the permuted one, of what needs no path of the LASSO.
Each block of targets of each fit is a call of its own and gives back errors, not paths: a call holds a few copies of a
fold's moments and `PATH_BYTES`. The blocks of wide layers share these copies, one fit after another.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array, Pair
from convergent.measures import code_types, held_out
from convergent.measures.forward_selection import select
from convergent.measures.held_out import Errors, Map, Out, Split
from convergent.measures.lasso import duality_gap, solve
from convergent.measures.least_squares import least_squares, pseudo_inverse
from convergent.measures.summary import summary

TARGETS = 128  # of a block, at most
PATH_BYTES = 128 * 2**20  # of the coefficients of a block, at most
WIDEST_REPEATED = 1024  # units of a side up to which the jackknife repeats every fit
REPEATED = "every fit repeated without each fold"
NOT_REPEATED = "fits as they are, which saw the fold left out: may be too small"

# correlations within the predictors and with the targets, the inverse of the former; training folds, held-out folds
Fit = tuple[Array, Array, Array, Pair, list[Pair]]

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
    run : calls a function with each fit and block of targets and what all share, in turn or, as ``engine.map``, beside
        each other
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
    InputError : for options that make no grid, and where a duality gap stays above 1e-6
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
    replicates = range(moments.sizes["replicate"])
    null = np.mean([_null(moments, replicate, whole, repeated, run) for replicate in replicates], axis=0)
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

    outs = held_out.each(split) + (held_out.every_two(split) if repeated else [])
    blocks = _blocks(whole.ab.comoment, size + code_types.MOST)
    errors = _held_out(_errors, split, outs, blocks, repeated, run, grid, array)
    both, spread = held_out.of_folds(errors)
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

    # A unit that lives in the left-out fold alone is dead in the others.
    error = folds.standard_error(
        means(some, total, np.delete(samples, k, axis=0), live & live_elsewhere)
        for k, ((some, total), live_elsewhere) in enumerate(
            zip(held_out.left_out(errors, len(split)), (training.live_b for training, _ in split), strict=True)
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
    """Slices of the targets whose coefficients, `paths` of each, are `PATH_BYTES` at most; one where there are none."""
    predictors, targets = between.shape
    step = max(1, min(TARGETS, PATH_BYTES // (8 * paths * max(predictors, 1))))
    return [slice(first, min(first + step, targets)) for first in range(0, max(targets, 1), step)]


def _held_out(
    errors: Callable[..., Errors],
    split: Sequence[Split],
    outs: Sequence[Out],
    blocks: Sequence[slice],
    together: bool,
    run: Map,
    *shared: Any,
) -> dict[Out, Errors]:
    """Errors of every fit, from calls with each block of targets: of all fits at once, or of one fit after another."""
    if together:
        found = run(partial(_of_block, errors), list(product(outs, blocks)), split, *shared)
    else:
        found = [part for out in outs for part in run(errors, blocks, _fit(split, out), *shared)]
    joined = {}
    for i, out in enumerate(outs):
        squared, total = zip(*found[i * len(blocks) : (i + 1) * len(blocks)], strict=True)
        joined[out] = np.concatenate(squared, axis=-1), np.concatenate(total, axis=-1)
    return joined


def _of_block(errors: Callable[..., Errors], item: tuple[Out, slice], split: Sequence[Split], *shared: Any) -> Errors:
    out, block = item
    return errors(block, _fit(split, out), *shared)


def _fit(split: Sequence[Split], out: Out) -> Fit:
    training, parts = held_out.without(split, out)
    within, between = held_out.correlations(training)
    return within, between, pseudo_inverse(within), training, parts


def _errors(block: slice, fit: Fit, grid: Array, array: Callable[[Array], Any]) -> Errors:
    """Of the path of a block of targets and of its best 1, 2, … predictors, for the jackknife its best: by path."""
    within, between, inverse, training, parts = fit
    coefficients = solve(within, between[:, block], grid, inverse, array, block.start)
    few = select(within, between[:, block], code_types.MOST if len(parts) == 1 else 1)
    return _of_parts(np.concatenate([coefficients, few]), block, training, parts)


def _of_parts(coefficients: Array, block: slice, training: Pair, parts: Sequence[Pair]) -> Errors:
    squared = [held_out.squared_error(coefficients, training, part, block) for part in parts]
    return np.stack(squared), held_out.squares(training, parts)[:, block]


def _on_whole_probe(
    whole: Pair, grid: Array, chosen: np.ndarray, run: Map, array: Callable[[Array], Any]
) -> dict[str, Array]:
    """Loss, predictors used and gap, [alpha, target], and coefficients at chosen penalties, [target, predictor]."""
    within, between = held_out.correlations(whole)
    shared = within, between, pseudo_inverse(within), grid, chosen, array
    found = run(_path_of_block, _blocks(between, len(grid)), *shared)
    paths, coefficients = zip(*found, strict=True)
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
    coefficients = solve(within, between, grid, inverse, array, block.start)
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    values = [
        0.5 - explained + np.einsum("ktp,ktp->kt", coefficients, coefficients @ within) / 2,
        np.count_nonzero(coefficients, axis=2),
        duality_gap(within, between, coefficients, grid),
    ]
    return np.stack(values), coefficients[chosen[block], np.arange(between.shape[1])]


def _null(moments: xr.Dataset, replicate: int, whole: Pair, together: bool, run: Map) -> Array:
    """The summary of both directions where A and B see other images."""
    split = held_out.splits(moments, replicate)
    sides = (split, whole), (held_out.exchanged(split), whole.exchanged)
    return np.concatenate([_null_direction(*side, together, run) for side in sides])


def _null_direction(split: Sequence[Split], whole: Pair, together: bool, run: Map) -> Array:
    """NaN where it needs a path of the LASSO, which takes as long again."""
    blocks = _blocks(whole.ab.comoment, 2)
    errors = _held_out(_null_errors, split, held_out.each(split), blocks, together, run)
    squared, spread = held_out.of_folds(errors)
    r2 = 1 - squared.sum(axis=0)[:, whole.live_b] / spread[:, whole.live_b].sum(axis=0)
    found = dict(zip(("r2_best_single", "r2_least_squares"), _mean(r2), strict=True))
    return np.array([found.get(name, np.nan) for name in PER_DIRECTION])


def _null_errors(block: slice, fit: Fit) -> Errors:
    """Of the best single predictor and of least squares."""
    within, between, inverse, training, parts = fit
    single = select(within, between[:, block], 1)
    every = least_squares(within, between[:, block], inverse)[None]
    return _of_parts(np.concatenate([single, every]), block, training, parts)


def _mean(values: Array) -> Array:
    """Mean over targets, the last axis, [...]; NaN where there are none."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
