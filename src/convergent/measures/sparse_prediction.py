"""Sparse prediction: each unit of one network from few units of the other, by the LASSO, from moments alone.

    min_w  ½ − wᵀr + ½ wᵀR w + α‖w‖₁            (standardised units)

R is the correlation within the predictors and r that with the target, so the exact solution costs the same
whatever the number of images. Loss ½·MSE: 0.5 predicts nothing, R² = 1 − 2·loss. The penalty λ of Li et al. 2016
(arXiv 1511.07543, section 4) is α/C, C the number of predictors. α = 0 is least squares.
"""

import warnings

import numpy as np
import xarray as xr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram, lasso_path

from convergent import folds
from convergent.folds import Array, Moments, Pair
from convergent.measures.summary import summary

LI2016_LAMBDAS = (1e-5, 1e-4, 1e-3, 10**-2.6, 1e-2, 1e-1)
LARGEST_GAP = 1e-6  # duality gap, on the scale where predicting nothing costs ½
TOLERANCE, MAX_SWEEPS = 5e-7, 5000
ZERO_EIGENVALUE = 1e-10  # share of the largest eigenvalue of R below which a direction is rounding
PER_DIRECTION = (
    "r2_least_error",
    "r2_one_standard_error",
    "mean_nonzero_one_standard_error",
    "r2_best_single",
    "r2_least_squares",
)
STATISTICS = tuple(f"{name}_{direction}" for direction in ("ab", "ba") for name in PER_DIRECTION)


def sparse_prediction(moments: xr.Dataset, *, alphas: int, smallest: float) -> xr.Dataset:
    """LASSO paths of all units of a pair in both directions, cross-validated over the folds.

    Parameters
    ----------
    moments : of the pair, from `moments.joined`
    alphas, smallest : points of the logarithmic grid and its last point as a share of its first, max|r|;
        the penalties of Li et al. 2016 and 0 are added

    Returns
    -------
    for each direction, ``ab`` (units of B from A) and ``ba``, with target ``unit_b`` or ``unit_a``:
    ``loss_{d}[alpha, target]`` on the whole probe, 0–½; ``r2_{d}[alpha, target]`` held out, ≤ 1;
    ``n_nonzero_{d}[alpha, target]``; ``gap_{d}[alpha, target]``, the duality gap; ``alpha_least_error_{d}[target]`` and
    ``alpha_one_standard_error_{d}[target]``, the penalties of the least held-out error (chosen on the folds that it is
    scored on: its R² is optimistic) and the largest within one standard error of it;
    ``coefficient_{d}[target, predictor]`` at the latter, in standardised units;
    ``r2_best_single_{d}[target]``, held out; and the summary over live units

    Raises
    ------
    ArithmeticError : where a duality gap stays above 1e-6
    """
    whole = folds.total(moments)
    # One pass over the folds serves both directions.
    grid = penalties(folds.correlation(whole), alphas, smallest)
    names = {"ab": ("unit_b", "unit_a"), "ba": ("unit_a", "unit_b")}
    training = list(folds.leave_one_out(moments, whole))
    values, errors, results = [], [], []
    for direction, (target, predictor) in names.items():
        turned = [(rest, part) if direction == "ab" else (rest.exchanged, part.exchanged) for rest, part in training]
        result, value, error = _direction(
            whole if direction == "ab" else whole.exchanged, turned, grid, target, predictor
        )
        results.append(result.rename({name: f"{name}_{direction}" for name in result.data_vars}))
        values.append(value)
        errors.append(error)
    coordinates = {"unit_a": moments["unit_a"].values, "unit_b": moments["unit_b"].values, "alpha": grid}
    table = summary(STATISTICS, np.concatenate(values), np.concatenate(errors))
    result = xr.merge([table, *results]).assign_coords(coordinates)
    result["alpha"].attrs = {
        "long_name": "LASSO penalty on standardised units; divided by the predictors: λ of Li et al. 2016"
    }
    return result


def penalties(r: Array, alphas: int, smallest: float) -> Array:
    """The penalties of a layer, from large to small, 0 last.

    A logarithmic grid from max|r|, where every coefficient is zero, and λ·C of Li et al. 2016 for both networks' C.
    """
    largest = np.abs(_zeroed(r)).max() or 1.0  # any, where nothing correlates
    published = [lam * size for lam in LI2016_LAMBDAS for size in set(r.shape)]
    return np.unique([0.0, *np.geomspace(largest, largest * smallest, alphas), *published])[::-1]


def solve(within: Array, between: Array, grid: Array) -> tuple[Array, Array]:
    """Exact LASSO path of every target.

    Parameters
    ----------
    within : correlation of the predictors, [predictor, predictor], without dead ones
    between : correlation of predictors and targets, [predictor, target], without dead ones
    grid : penalties from large to small; 0 is least squares (the solution of least norm)

    Returns
    -------
    coefficients [alpha, target, predictor] and duality gaps [alpha, target]

    Raises
    ------
    ArithmeticError : where a duality gap stays above 1e-6
    """
    size, targets = between.shape
    coefficients = np.zeros((len(grid), targets, size))
    if size == 0:
        return coefficients, np.zeros((len(grid), targets))
    # A square factor with XᵀX = p·R stands in for the samples: the same Gram matrix, the same solution.
    values, vectors = np.linalg.eigh(within)
    kept = values > ZERO_EIGENVALUE * values[-1]
    x = np.asfortranarray(np.sqrt(size * np.maximum(values, 0))[:, None] * vectors.T)
    y = np.full(size, 1.0)  # any y of squared norm p: only its norm is used
    gram = np.ascontiguousarray(size * within)
    positive = grid > 0
    for target in range(targets):
        r = between[:, target]
        # A target above its largest |r| is zero by definition, and where r = 0 scikit-learn divides by zero.
        asked = positive & (grid < np.abs(r).max())
        if asked.any():
            coefficients[asked, target] = _path(x, y, gram, size * r, grid[asked])
    least_squares = ((vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ between)).T
    coefficients[~positive] = np.where(np.abs(least_squares) > ZERO_EIGENVALUE, least_squares, 0)
    gaps = duality_gap(within, between, coefficients, grid)
    if (gaps > LARGEST_GAP).any():
        worst = np.unravel_index(gaps.argmax(), gaps.shape)
        raise ArithmeticError(
            f"LASSO of target {worst[1]} at α = {grid[worst[0]]:.3g}: "
            f"duality gap {gaps.max():.2e}, more than {LARGEST_GAP}"
        )
    return coefficients, gaps


def duality_gap(within: Array, between: Array, coefficients: Array, grid: Array) -> Array:
    """How far solutions are from the optimum, at most: [alpha, target]; at α = 0 the violation of the normal equations.

    P(w) − D(θ) with θ the residual scaled into the dual's feasible set.
    """
    fitted = coefficients @ within  # [alpha, target, predictor]
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    residual_norm = 1 - 2 * explained + np.einsum("ktp,ktp->kt", coefficients, fitted)
    violation = np.abs(between.T - fitted).max(axis=2)
    penalty = grid[:, None]
    scale = np.minimum(1, np.divide(penalty, violation, out=np.ones_like(violation), where=violation > 0))
    primal = residual_norm / 2 + penalty * np.abs(coefficients).sum(axis=2)
    dual = scale * (1 - explained) - scale**2 * residual_norm / 2
    return np.asarray(np.where(penalty > 0, primal - dual, violation**2))


def _path(x: Array, y: Array, gram: Array, xy: Array, grid: Array) -> Array:
    """Path of one target, [alpha, predictor]: coordinate descent, and where that stalls the homotopy of LARS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the duality gap tells, here and for all targets at once
        # One target at a time: a two-dimensional y would be a group LASSO.
        _, coefficients, gaps = lasso_path(
            x, y, alphas=grid, precompute=gram, Xy=xy, tol=TOLERANCE, max_iter=MAX_SWEEPS, check_input=False
        )
        if (gaps <= LARGEST_GAP).all():
            return np.asarray(coefficients.T)
        # Fewer samples than predictors, or nearly collinear ones.
        knots, _, coefficients = lars_path_gram(xy, gram, n_samples=len(y), alpha_min=grid[-1], method="lasso")
    return np.stack([np.interp(grid, knots[::-1], c[::-1]) for c in coefficients], axis=1)


def _direction(
    whole: Pair, training: list[tuple[Pair, Pair]], grid: Array, target: str, predictor: str
) -> tuple[xr.Dataset, Array, Array]:
    """Units of B from units of A: the result, the summary and its standard error."""
    live = whole.live_b
    coefficients, gaps = _fit(whole, grid)
    within, between = _zeroed(folds.correlation_within(whole.a)), _zeroed(folds.correlation(whole))
    explained = np.einsum("ktp,pt->kt", coefficients, between)
    loss = 0.5 - explained + np.einsum("ktp,ktp->kt", coefficients, coefficients @ within) / 2

    # The paths of one fold at a time: [alpha, target, predictor] is the largest array here.
    squared = np.stack([_squared_error(_fit(rest, grid)[0], rest, part) for rest, part in training])
    single = np.stack([_squared_error(_best_single(rest), rest, part) for rest, part in training])
    spread = np.stack([_total_squares(rest, part) for rest, part in training])  # [fold, target]
    lives = np.stack([rest.live_b for rest, _ in training])

    scale = np.where(live, spread.sum(axis=0), 1)
    r2 = np.where(live, 1 - squared.sum(axis=0) / scale, np.nan)
    r2_single = np.where(live, 1 - single.sum(axis=0) / scale, np.nan)
    mean_squared = squared / np.array([part.a.n for _, part in training])[:, None, None]
    least, sparse = choose(mean_squared)
    units = np.arange(len(live))
    nonzero = np.count_nonzero(coefficients, axis=2).astype(np.float64)
    nonzero[:, ~live], loss[:, ~live], gaps[:, ~live] = np.nan, np.nan, np.nan
    by_alpha = ("alpha", target)

    def summarise(kept: np.ndarray, alive: np.ndarray) -> Array:
        """Means over units of held-out R² pooled over some folds, at the penalties chosen on them."""
        low, few = choose(mean_squared[kept])
        errors = (squared[:, low, units], squared[:, few, units], single, squared[:, -1])
        ratios = [error[kept][:, alive].sum(axis=0) / spread[kept][:, alive].sum(axis=0) for error in errors]
        lower, upper, one, every = (1 - ratio.mean() if alive.any() else np.nan for ratio in ratios)
        used = nonzero[few, units][alive].mean() if alive.any() and len(kept) == len(training) else np.nan
        return np.array([lower, upper, used, one, every])

    every = np.arange(len(training))
    return (
        xr.Dataset(
            {
                "loss": (by_alpha, loss, {"long_name": "½·MSE on the whole probe, standardised"}),
                "r2": (by_alpha, r2, {"long_name": "held-out R²"}),
                "n_nonzero": (by_alpha, nonzero, {"long_name": "predictors with a coefficient that is not zero"}),
                "gap": (by_alpha, gaps, {"long_name": "duality gap"}),
                "alpha_least_error": (
                    target,
                    np.where(live, grid[least], np.nan),
                    {"long_name": "penalty of the least held-out error"},
                ),
                "alpha_one_standard_error": (
                    target,
                    np.where(live, grid[sparse], np.nan),
                    {"long_name": "largest penalty within one standard error of the least held-out error"},
                ),
                "coefficient": (
                    (target, predictor),
                    coefficients[sparse, units],
                    {"long_name": "LASSO coefficient at alpha_one_standard_error, standardised"},
                ),
                "r2_best_single": (
                    target,
                    r2_single,
                    {"long_name": "held-out R² from the single predictor of highest |r|"},
                ),
            }
        ),
        summarise(every, live),
        # A unit that lives in the left-out fold alone is dead in the others.
        folds.standard_error(summarise(every[every != k], live & lives[k]) for k in every),
    )


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


def _fit(pair: Pair, grid: Array) -> tuple[Array, Array]:
    """Paths with dead predictors and targets put back as zeros: [alpha, target, predictor], [alpha, target]."""
    live_a, live_b = pair.live_a, pair.live_b
    within = folds.correlation_within(pair.a)[np.ix_(live_a, live_a)]
    between = folds.correlation(pair)[np.ix_(live_a, live_b)]
    coefficients = np.zeros((len(grid), len(live_b), len(live_a)))
    gaps = np.zeros((len(grid), len(live_b)))
    coefficients[:, np.flatnonzero(live_b)[:, None], np.flatnonzero(live_a)], gaps[:, live_b] = solve(
        within, between, grid
    )
    return coefficients, gaps


def _best_single(pair: Pair) -> Array:
    """The least-squares coefficient on the predictor of highest |r|, standardised: [target, predictor]."""
    r = _zeroed(folds.correlation(pair)).T
    best = np.abs(r).argmax(axis=1, keepdims=True)
    coefficient = np.zeros_like(r)
    np.put_along_axis(coefficient, best, np.take_along_axis(r, best, axis=1), axis=1)
    return coefficient


def _squared_error(coefficients: Array, training: Pair, part: Pair) -> Array:
    """Σ (y − prediction)² over a held-out fold: [..., target].

    C_yy − 2wᵀC_xy + wᵀC_xx w + n(δ_y − wᵀδ_x)², δ the mean of the fold minus that of the training folds.
    """
    weights = coefficients * _scale(training.b)[:, None] / _positive(_scale(training.a))
    cross = np.einsum("...tp,pt->...t", weights, part.ab.comoment)
    square = np.einsum("...tp,...tp->...t", weights, weights @ part.a.comoment)
    shift = part.b.mean_a - training.b.mean_a - weights @ (part.a.mean_a - training.a.mean_a)
    return np.asarray(np.diag(part.b.comoment) - 2 * cross + square + part.a.n * shift**2)


def _total_squares(training: Pair, part: Pair) -> Array:
    """Σ (y − training mean)² over a held-out fold: [target]."""
    return np.diag(part.b.comoment) + part.b.n * (part.b.mean_a - training.b.mean_a) ** 2


def _scale(moments: Moments) -> Array:
    """Standard deviation of each unit, 0 for a dead one."""
    return np.where(folds.live(moments), np.sqrt(np.maximum(np.diag(moments.comoment), 0) / moments.n), 0.0)


def _positive(scale: Array) -> Array:
    return np.where(scale > 0, scale, 1.0)


def _zeroed(r: Array) -> Array:
    return np.nan_to_num(r, nan=0.0)
