"""Peeling: the unit farthest from the other network's span leaves, again and again, until none is left.

d²(x, S) = min_c ‖x − S c‖² + λ‖c‖² = 1 − kᵀPk,   k = C_Sx,   P = (C_SS + λI)⁻¹        (units of length 1)
when u leaves S:   d²(x) += K_ux² / P_uu,   K = P C_Sx

A unit matches from the least distance up to its own leaving on: every ε of `subspace_match` by one pass. Gram matrices
are [unit, unit], the units of A first, then those of B. Source: Wang et al. 2018 (arXiv 1810.11750).
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dgemm
from scipy.linalg.lapack import dpotri

from convergent.folds import Array

PENDING = 64  # rank-one downdates that are carried out together, as one product
KEPT = 0.8  # share of the rows whose units are left, below which the others are dropped
CHECKED = 8  # steps of peeling at which its distances are compared with new regressions


def regressions(gram: Array, size_a: int, ridge: float) -> tuple[Array, Array]:
    """Ridge regression of every unit on all units of the other network.

    Parameters
    ----------
    gram : of live units
    size_a : how many of them are of A
    ridge : λ

    Returns
    -------
    what deletions downdate, [unit, unit]: a row's P in the columns of its own network, its K in the others; and the
    squared distance d² of each unit from the other network, 0–1

    Raises
    ------
    ArithmeticError : where the Gram matrix is none, by more than the ridge makes good
    """
    state, squared = np.empty(gram.shape), np.ones(len(gram))
    a, b = slice(0, size_a), slice(size_a, None)
    for own, other in ((a, b), (b, a)):
        within, between = gram[own, own].copy(order="F"), gram[own, other]
        within.flat[:: len(within) + 1] += ridge
        try:
            factor = cho_factor(within, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError:
            raise ArithmeticError(f"the Gram matrix has an eigenvalue below −{ridge:g}, the ridge") from None
        state[own, other] = cho_solve(factor, between)
        squared[other] -= np.einsum("ij,ij->j", between, state[own, other])
        state[own, own] = _inverse(factor[0])
    return state, squared


def critical_epsilons(gram: Array, size_a: int, ridge: float = 1e-6) -> Array:
    """The distance ε from which on each unit is in the maximum match, 0–1; NaN for a dead unit.

    Parameters
    ----------
    gram : of the units of A, then of B, from `subspace_match.unit_gram`
    size_a : how many are of A
    ridge : λ
    """
    live, of_live, live_a = _live(gram, size_a)
    return _critical(len(gram), live, *peel(of_live, live_a, ridge), ridge)


def checked_epsilons(gram: Array, size_a: int, ridge: float) -> tuple[Array, float]:
    """The same, and how far peeling's largest squared distances are from new regressions, at most, at eight steps."""
    live, of_live, live_a = _live(gram, size_a)
    order, farthest = peel(of_live, live_a, ridge)
    errors = []
    for step in range(0, len(order), -(-len(order) // CHECKED) or 1):
        rest = np.sort(order[step:])
        _, squared = regressions(of_live[np.ix_(rest, rest)], int((rest < live_a).sum()), ridge)
        errors.append(abs(squared.max() - farthest[step]))
    return _critical(len(gram), live, order, farthest, ridge), float(max(errors, default=np.nan))


def peel(gram: Array, size_a: int, ridge: float) -> tuple[np.ndarray, Array]:
    """Let the unit farthest from the other network leave until none is left.

    Parameters
    ----------
    gram, size_a, ridge : as for `critical_epsilons`, without dead units

    Returns
    -------
    the units in the order of leaving, and the squared distance of each when it left
    """
    state, squared = regressions(gram, size_a, ridge)
    units = np.arange(len(gram))  # of the rows of the state
    order, farthest = np.zeros(len(gram), dtype=np.intp), np.zeros(len(gram))
    waiting, count = np.empty((2, PENDING, len(gram))), [0, 0]  # rows of both sides
    for step in range(len(gram)):
        row_of = int(squared.argmax())
        order[step], farthest[step] = units[row_of], squared[row_of]
        side, sides = int(row_of >= size_a), (slice(0, size_a), slice(size_a, None))
        own, other = sides[side], sides[1 - side]
        # The unit's row of the state, after the deletions that still wait.
        row = state[row_of].copy()
        before = waiting[side, : count[side]]
        row -= before[:, row_of] @ before
        row /= np.sqrt(row[row_of])
        squared[other] += row[other] ** 2
        squared[row_of] = -np.inf
        waiting[side, count[side]] = row
        count[side] += 1
        if count[side] == PENDING:
            _downdate(state[own], waiting[side], own)
            count[side] = 0
            left = squared > -np.inf
            if left.mean() < KEPT:
                waiting = waiting.compress(left, axis=2)
                state, squared, units = state[np.ix_(left, left)], squared[left], units[left]
                size_a = int(left[:size_a].sum())
    return order, farthest


def _downdate(state: Array, rows: Array, own: slice) -> None:
    """Carry out deletions that wait, state −= rows[:, own]ᵀ rows, in place: the product is as large as the state."""
    dgemm(-1.0, rows.T, rows[:, own], beta=1.0, c=state.T, overwrite_c=True)


def _inverse(factor: Array) -> Array:
    """P from the lower Cholesky factor, which is overwritten."""
    if not len(factor):
        return factor
    inverse = dpotri(factor, lower=True, overwrite_c=True)[0]
    lower = np.tril(inverse)
    return np.asarray(lower + np.tril(inverse, -1).T)


def _critical(size: int, live: np.ndarray, order: np.ndarray, farthest: Array, ridge: float) -> Array:
    critical = np.full(size, np.nan)
    critical[live[order]] = np.sqrt(np.maximum(np.minimum.accumulate(farthest) - 2 * ridge, 0))
    return critical


def _live(gram: Array, size_a: int) -> tuple[np.ndarray, Array, int]:
    """The live units, their Gram matrix and how many are of A."""
    live = np.flatnonzero(np.diag(gram) > 0)
    return live, gram if len(live) == len(gram) else gram[np.ix_(live, live)], int((live < size_a).sum())
