"""Sparse prediction: each unit of one network from few units of the other, by the LASSO and by forward selection.

Loss ½·MSE of standardised units: 0.5 predicts nothing, R² = 1 − 2·loss. The penalty λ of Li et al. 2016
(arXiv 1511.07543, section 4) is α/C, C the number of predictors. Everything follows from the moments of the folds, at
a cost that is the same whatever the number of images. The null is the permuted one, of what needs no path of the LASSO.
"""

from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array, Pair
from convergent.measures import code_types, held_out
from convergent.measures.forward_selection import select
from convergent.measures.held_out import Split
from convergent.measures.lasso import duality_gap, solve
from convergent.measures.least_squares import least_squares
from convergent.measures.summary import summary

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


def sparse_prediction(moments: xr.Dataset, *, alphas: int = 20, smallest: float = 0.01) -> xr.Dataset:
    """Predict all units of a pair in both directions, cross-validated over the folds.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    alphas, smallest : points of the logarithmic grid of penalties and its last point as a share of its first, max|r|;
        the penalties of Li et al. 2016 and 0 are added

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
    # One pass over the folds, and one for each replicate, serves both directions.
    split = held_out.splits(moments)
    ab, *table_ab = _direction(whole, split, grid, "unit_b", "unit_a")
    ba, *table_ba = _direction(whole.exchanged, held_out.exchanged(split), grid, "unit_a", "unit_b")
    null = np.mean([_null(moments, replicate, whole) for replicate in range(moments.sizes["replicate"])], axis=0)
    value, error = (np.concatenate(sides) for sides in zip(table_ab, table_ba, strict=True))
    value = np.array([whole.live_a.sum(), whole.live_b.sum(), *value])
    no_error = [np.nan, np.nan]
    result = xr.merge(
        [
            summary(STATISTICS, value, np.array([*no_error, *error]), {"permuted": np.array([*no_error, *null])}),
            *(one.rename({name: f"{name}_{d}" for name in one.data_vars}) for d, one in (("ab", ab), ("ba", ba))),
        ]
    )
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
    whole: Pair, split: list[Split], grid: Array, target: str, predictor: str
) -> tuple[xr.Dataset, Array, Array]:
    """Units of B from units of A: the result, the summary and its standard error."""
    live, units = whole.live_b, np.arange(len(whole.live_b))
    coefficients, values = _on_whole_probe(whole, grid)

    # The paths of one fold at a time: [alpha, target, predictor] is the largest array here.
    def path(within: Array, between: Array) -> Array:
        return solve(within, between, grid)

    squared = held_out.errors(split, path)
    squared_few = held_out.errors(split, lambda within, between: select(within, between, code_types.MOST))
    spread = held_out.total_squares(split)
    scale = np.where(live, spread.sum(axis=0), np.nan)
    values["r2"], values["r2_few"] = 1 - squared.sum(axis=0) / scale, 1 - squared_few.sum(axis=0) / scale
    values["n_needed"] = code_types.n_needed(values["r2_few"], values["r2"].max(axis=0), int(whole.live_a.sum()))
    samples = np.array([part.a.n for _, part in split])[:, None, None]
    least, sparse = choose(squared / samples)
    values["alpha_least_error"] = np.where(live, grid[least], np.nan)
    values["alpha_one_standard_error"] = np.where(live, grid[sparse], np.nan)
    values["coefficient"] = coefficients[sparse, units]
    of_lambda = [len(grid) - 1 - np.searchsorted(grid[::-1], lam * len(whole.live_a)) for lam in (0, *LI2016_LAMBDAS)]
    for name in ("loss", "n_nonzero"):
        values[f"li2016_{name}"] = _mean(values[name][of_lambda][:, live])

    def means(squared: Array, single: Array, spread: Array, samples: Array, alive: np.ndarray) -> Array:
        """Means over units of held-out R² pooled over folds, at the penalties chosen on them."""
        low, few = choose(squared / samples)
        errors = np.stack([squared[:, low, units], squared[:, few, units], single, squared[:, -1]])
        return _mean(1 - errors[:, :, alive].sum(axis=1) / spread[:, alive].sum(axis=0))

    def path_and_single(within: Array, between: Array) -> Array:
        return np.concatenate([path(within, between), select(within, between, 1)])

    # A unit that lives in the left-out fold alone is dead in the others.
    error = folds.standard_error(
        means(both[:, :-1], both[:, -1], total, np.delete(samples, k, axis=0), live & split[k][0].live_b)
        for k, (both, total) in enumerate(held_out.errors_left_out(split, path_and_single))
    )
    without_error = [*_mean(values["n_nonzero"][sparse, units][None, live]), *code_types.shares(values["n_needed"])]
    result = xr.Dataset({name: (dims, values[name], {"long_name": text}) for name, (dims, text) in VARIABLES.items()})
    return (
        result.rename(target=target, predictor=predictor),
        np.array([*means(squared, squared_few[:, 0], spread, samples, live), *without_error]),
        np.array([*error, *[np.nan] * len(WITHOUT_ERROR)]),
    )


def _on_whole_probe(whole: Pair, grid: Array) -> tuple[Array, dict[str, Array]]:
    """Coefficients [alpha, target, predictor], and loss, predictors used and duality gap, [alpha, target]."""
    within, between = held_out.correlations(whole)
    coefficients = solve(within, between, grid)
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    values = {
        "loss": 0.5 - explained + np.einsum("ktp,ktp->kt", coefficients, coefficients @ within) / 2,
        "n_nonzero": np.count_nonzero(coefficients, axis=2).astype(np.float64),
        "gap": duality_gap(within, between, coefficients, grid),
    }
    return coefficients, {name: np.where(whole.live_b, value, np.nan) for name, value in values.items()}


def _null(moments: xr.Dataset, replicate: int, whole: Pair) -> Array:
    """The summary of both directions where A and B see other images, the folds of one replicate held at a time."""
    split = held_out.splits(moments, replicate)
    return np.concatenate(
        [_null_direction(split, whole.live_b), _null_direction(held_out.exchanged(split), whole.live_a)]
    )


def _null_direction(split: list[Split], live: np.ndarray) -> Array:
    """NaN where it needs a path of the LASSO, which takes as long again."""
    spread = held_out.total_squares(split)[:, live].sum(axis=0)
    r2 = {
        name: 1 - held_out.errors(split, fit).sum(axis=0)[:, live] / spread
        for name, fit in (
            ("r2_best_single", lambda within, between: select(within, between, 1)),
            ("r2_least_squares", lambda within, between: least_squares(within, between)[None]),
        )
    }
    return np.array([_mean(r2[name])[0] if name in r2 else np.nan for name in PER_DIRECTION])


def _mean(values: Array) -> Array:
    """Mean over targets, the last axis, [...]; NaN where there are none."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
