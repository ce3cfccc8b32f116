"""LASSO paths of a block of targets from products of matrices, on NumPy, CuPy and any other array of the standard.

    w ← S(z + (r − R z)/L, α/L)            S: soft threshold, L: largest eigenvalue of R

Accelerated proximal gradient (FISTA: Beck, Teboulle 2009) with adaptive restart (O'Donoghue, Candès 2015), all targets
at once. Between its steps the support A that it has reached, with its signs s, is solved exactly, R_AA w_A = r_A − α s;
where that lowers the objective it is the next iterate: where predictors nearly collide, a few products, not hundreds.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

STEPS, MOST_STEPS = 2, 64  # of proximal gradient between two exact solutions, twice as many each time
MAX_ROUNDS = 200
RIDGE = 1e-12  # on a unit diagonal, so that a support of collinear predictors has a solution
STACK = 2**23  # entries of the systems solved in one call: 64 MiB


def path(within: Any, between: Any, grid: np.ndarray, tolerance: float) -> Any:
    """LASSO path of every target, each penalty begun at the solution of the one before.

    Parameters
    ----------
    within : correlation of the predictors, [predictor, predictor]
    between : correlation of predictors and targets, [predictor, target]
    grid : penalties from large to small, above 0
    tolerance : duality gap to reach; what `MAX_ROUNDS` leave above it is returned as it is

    Returns
    -------
    coefficients [alpha, target, predictor], of the namespace and on the device of `within`
    """
    xp = array_namespace(within, between)
    r = xp.asarray(between.T, copy=True)
    size = _largest_eigenvalue(within)
    w, found = xp.zeros_like(r), []
    for alpha in grid:
        w = _solution(within, r, float(alpha), w, size, tolerance)
        found.append(w)
    return xp.stack(found) if found else xp.zeros((0, *r.shape), dtype=r.dtype, device=device(r))


def _solution(within: Any, r: Any, alpha: float, start: Any, size: float, tolerance: float) -> Any:
    """The solution at one penalty, [target, predictor]; targets that have reached it leave the products."""
    xp = array_namespace(within)
    left, done = xp.arange(r.shape[0], device=device(r)), []
    w, gradient = start, r - start @ within
    z, z_gradient, time = w, gradient, xp.ones_like(w[:, 0])
    objective, _ = _objective_and_gap(w, gradient, r, alpha)
    steps = STEPS
    for _ in range(MAX_ROUNDS):
        exact = _on_support(within, r, alpha, w)
        # Coefficients that have changed sign leave the support.
        exact = _on_support(within, r, alpha, xp.where(exact * w > 0, exact, 0.0))
        exact_gradient = r - exact @ within
        exact_objective, gap = _objective_and_gap(exact, exact_gradient, r, alpha)
        # Near the solution rounding decides which objective is the lower.
        better = (exact_objective < objective) | (gap <= tolerance)
        objective = xp.where(better, exact_objective, objective)
        time = xp.where(better, 1.0, time)
        better = better[:, None]
        w, gradient = xp.where(better, exact, w), xp.where(better, exact_gradient, gradient)
        z, z_gradient = xp.where(better, exact, z), xp.where(better, exact_gradient, z_gradient)
        _, gap = _objective_and_gap(w, gradient, r, alpha)
        reached, rest = xp.nonzero(gap <= tolerance)[0], xp.nonzero(gap > tolerance)[0]
        if reached.shape[0]:
            done.append((xp.take(left, reached), xp.take(w, reached, axis=0)))
            left, r, w, gradient, z, z_gradient, time = (
                xp.take(x, rest, axis=0) for x in (left, r, w, gradient, z, z_gradient, time)
            )
        if not rest.shape[0]:
            break
        for _ in range(steps):
            moved = z + z_gradient / size
            moved = xp.sign(moved) * xp.clip(xp.abs(moved) - alpha / size, 0.0)
            moved_gradient = r - moved @ within
            restart = xp.sum((z - moved) * (moved - w), axis=1) > 0
            later = xp.where(restart, 1.0, (1 + xp.sqrt(1 + 4 * time**2)) / 2)
            momentum = xp.where(restart, 0.0, (time - 1) / later)[:, None]
            z = moved + momentum * (moved - w)
            z_gradient = moved_gradient + momentum * (moved_gradient - gradient)
            w, gradient, time = moved, moved_gradient, later
        steps = min(2 * steps, MOST_STEPS)
        objective, _ = _objective_and_gap(w, gradient, r, alpha)
    place, solutions = (xp.concat(parts) for parts in zip(*done, (left, w), strict=True))
    return xp.take(solutions, xp.argsort(place), axis=0)


def _on_support(within: Any, r: Any, alpha: float, w: Any) -> Any:
    """The least objective with the signs of w, wherever it leads, and zeros where w has them: [target, predictor]."""
    xp = array_namespace(within)
    counts = xp.sum(xp.astype(w != 0, xp.int64), axis=1)
    by_size = xp.argsort(counts)
    sizes = [int(count) for count in xp.take(counts, by_size)]
    order = xp.argsort(xp.astype(w == 0, xp.int8), axis=1)  # of each target, its support first
    solved, first = [], 0
    while first < len(sizes):
        # As many targets of about the same support as a stack holds.
        last = first + 1
        while last < len(sizes) and (last + 1 - first) * sizes[last] ** 2 <= STACK:
            last += 1
        rows, most = by_size[first:last], sizes[last - 1]
        support = xp.take(order, rows, axis=0)[:, :most]
        signs = xp.sign(xp.take_along_axis(xp.take(w, rows, axis=0), support, axis=1))
        on = xp.astype(signs != 0, r.dtype)
        system = within[support[:, :, None], support[:, None, :]] * (on[:, :, None] * on[:, None, :])
        diagonal = (1 - on + RIDGE)[:, :, None] * xp.eye(most, dtype=r.dtype, device=device(r))
        right = (xp.take_along_axis(xp.take(r, rows, axis=0), support, axis=1) - alpha * signs) * on
        solution = xp.linalg.solve(system + diagonal, right[:, :, None])[:, :, 0]
        rest = xp.zeros((last - first, w.shape[1] - most), dtype=r.dtype, device=device(r))
        solved.append(xp.concat([solution, rest], axis=1))
        first = last
    back = xp.argsort(by_size)
    return xp.take_along_axis(xp.take(xp.concat(solved), back, axis=0), xp.argsort(order, axis=1), axis=1)


def _objective_and_gap(w: Any, gradient: Any, r: Any, alpha: float) -> tuple[Any, Any]:
    """½ − wᵀr + ½ wᵀR w + α‖w‖₁, and how far it is from the least, at most: [target]; `gradient` is r − R w."""
    xp = array_namespace(w)
    explained, left = xp.sum(w * r, axis=1), xp.sum(w * gradient, axis=1)
    penalty = alpha * xp.sum(xp.abs(w), axis=1)
    scale = alpha / xp.clip(xp.max(xp.abs(gradient), axis=1), alpha)
    residual = 1 - explained - left
    dual = scale * (1 - explained) - scale**2 * residual / 2
    return 0.5 - (explained + left) / 2 + penalty, residual / 2 + penalty - dual


def _largest_eigenvalue(within: Any) -> float:
    """Of R, from above: power iteration, and the row sums where it has not settled."""
    xp = array_namespace(within)
    vector = xp.sum(within, axis=0) + 1e-3
    bound = float(xp.max(xp.sum(xp.abs(within), axis=0)))
    for _ in range(30):
        vector = vector / xp.sqrt(xp.sum(vector**2))
        vector = within @ vector
    # The estimate comes from below: a step a little too short is safe, one too long is not.
    return min(bound, 1.05 * float(xp.sqrt(xp.sum(vector**2)))) or 1.0
