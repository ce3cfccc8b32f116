"""The parts of a match: minimal matches of a unit v, which lose v when any other of their units leaves.

    d²(x, S) = min_c ‖x − S c‖² + λ‖c‖² = 1 − kᵀPk,   k = C_Sx,   P = (C_SS + λI)⁻¹        (units of length 1)
    when u leaves S:   d²(x) += K_ux² / P_uu,   K = P C_Sx

Removing units only raises distances, and whoever is then too far from the other side leaves too: the maximum match of
the rest is left, in whatever order. Gram matrices are [unit, unit], the units of A first, then those of B, all live.
Source: Wang et al. 2018 (arXiv 1810.11750), algorithms 2 and 3, theorems 5–10.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numba import njit
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching, shortest_path

from convergent.folds import Array

NET_A, NET_B = 0, 1
PENDING = 32  # rank-one downdates that are carried out together
NODES = 500  # of the tree of one unit's minimal matches, each at most one search


@dataclass(frozen=True)
class Match:
    """A match, ready to be searched.

    Attributes
    ----------
    state : what deletions downdate, [unit, unit]: a row's P in the columns of its own network, its K in the others
    squared : squared distance d² of each unit from the other network, 0–1
    size_a : how many units are of A
    limit : squared distance up to which a unit is matched, ε² + 2λ
    """

    state: Array
    squared: Array
    size_a: int
    limit: float


def minimal_matches(
    gram: Array,
    size_a: int,
    labels: np.ndarray,
    *,
    epsilon: float,
    ridge: float,
    starts: int,
    orders: int,
    enumerated: int,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Minimal matches of units drawn from a match.

    Parameters
    ----------
    gram : of the units of the match
    size_a, labels : how many of them are of A, and their names
    epsilon, ridge : distance of the match, and λ
    starts, orders : units that are drawn, and random orders of removal for each
    enumerated : matches of a unit that are listed at most; 0: none is listed
    generator : of units and orders

    Returns
    -------
    ``minimal_unit[start]``, ``minimal_net[start]`` (0: A, 1: B), ``minimal_size[start, order]``;
    ``minimal_member[start, member]``, the smallest match found; and, where listed, ``minimal_count[start]`` and
    ``minimal_capped[start]``: there may be more
    """
    match = Match(*regressions(gram, size_a, ridge), size_a, epsilon**2 + 2 * ridge)
    size = len(gram)
    targets = generator.choice(size, min(starts, size), replace=False)
    sizes = np.zeros((len(targets), orders), dtype=np.int64)
    members = np.zeros((len(targets), size), dtype=bool)
    counts, capped = np.zeros(len(targets), dtype=np.int64), np.zeros(len(targets), dtype=bool)
    for start, target in enumerate(targets):
        found = [minimal_match(match, target, generator.permutation(size)) for _ in range(orders)]
        sizes[start] = np.sum(found, axis=1)
        if enumerated:
            found, capped[start] = all_minimal_matches(match, target, found, enumerated, generator)
            counts[start] = len(found)
        members[start] = min(found, key=np.sum)
    variables = {
        "minimal_unit": ("start", labels[targets], {"long_name": "unit whose minimal matches are searched"}),
        "minimal_net": ("start", np.where(targets < size_a, NET_A, NET_B), {"long_name": "0: unit of A, 1: unit of B"}),
        "minimal_size": (
            ("start", "order"),
            sizes,
            {"long_name": "units of the minimal match found", "epsilon": epsilon},
        ),
        "minimal_member": (("start", "member"), members, {"long_name": "unit is in the smallest match found"}),
    }
    if enumerated:
        variables["minimal_count"] = ("start", counts, {"long_name": "different minimal matches found"})
        variables["minimal_capped"] = ("start", capped, {"long_name": "there may be more minimal matches"})
    return xr.Dataset(variables)


def regressions(gram: Array, size_a: int, ridge: float) -> tuple[Array, Array]:
    """Ridge regression of every unit on all units of the other network: `state` and `squared` of a `Match`.

    Raises
    ------
    ArithmeticError : where the Gram matrix is none, by more than the ridge makes good
    """
    state, squared = np.zeros_like(gram), np.ones(len(gram))
    a, b = slice(0, size_a), slice(size_a, None)
    for own, other in ((a, b), (b, a)):
        within, between = gram[own, own], gram[own, other]
        try:
            factor = cho_factor(within + ridge * np.eye(len(within)), lower=True)
        except np.linalg.LinAlgError:
            raise ArithmeticError(f"the Gram matrix has an eigenvalue below −{ridge:g}, the ridge") from None
        state[own, own] = cho_solve(factor, np.eye(len(within)))
        state[own, other] = cho_solve(factor, between)
        squared[other] -= (between * state[own, other]).sum(axis=0)
    return state, squared


def minimal_match(match: Match, target: int, order: np.ndarray, avoided: Iterable[int] = ()) -> np.ndarray:
    """One minimal match of a unit: each other unit in turn leaves, unless the target would have to follow.

    Parameters
    ----------
    match : to search in
    target : the unit v
    order : in which the units are tried; decides which of the minimal matches is found
    avoided : units that it must not contain

    Returns
    -------
    which units are in it; none where there is no match of v without those to avoid
    """
    first = np.array(list(avoided), dtype=np.intp)
    return np.asarray(
        _search(match.state.copy(), match.squared.copy(), match.size_a, match.limit, target, first, order)
    )


def all_minimal_matches(
    match: Match, target: int, known: Iterable[np.ndarray], most: int, generator: np.random.Generator
) -> tuple[list[np.ndarray], bool]:
    """All minimal matches of a unit: one not yet known lacks a unit of each known one (algorithm 3).

    The sets of units to avoid form a hitting-set tree, depth first, which finds new matches soonest. Where a known
    match avoids them already, it takes the place of a search.

    Parameters
    ----------
    match, target : as in `minimal_match`
    known : minimal matches of the target that were found before
    most : number from which on the search ends
    generator : of the orders of removal

    Returns
    -------
    the matches, and whether there may be more
    """
    size = len(match.squared)
    found = list(dict.fromkeys(frozenset(np.flatnonzero(members).tolist()) for members in known))
    tree, seen = [frozenset[int]()], {frozenset[int]()}
    for _ in range(NODES):
        if not tree or len(found) >= most:
            break
        avoided = tree.pop()
        members = next((other for other in found if not other & avoided), None)
        if members is None:
            members = frozenset(
                np.flatnonzero(minimal_match(match, target, generator.permutation(size), avoided)).tolist()
            )
            found += [members] if members else []
        children = [avoided | {unit} for unit in sorted(members - {target})]
        tree += [child for child in children if child not in seen]
        seen.update(children)
    return [np.isin(np.arange(size), list(members)) for members in found], bool(tree)


def minimum_matches(gram: Array, size_a: int, tolerance: float = 1e-6) -> np.ndarray:
    """The least match of every unit in the exact case: independent units on both sides that span one space.

    There Y = T X, intersections of matches are matches, and the least match of v is all that v reaches along the
    support of T and back along any perfect matching in it.

    Parameters
    ----------
    gram : of the units of an exact match
    size_a : how many of them are of A
    tolerance : coefficients of T, between units of length 1, up to which they count as zero

    Returns
    -------
    [unit, member]

    Raises
    ------
    ValueError : where the two sides are no bases of one space
    """
    a, b = slice(0, size_a), slice(size_a, None)
    if 2 * size_a != len(gram):
        raise ValueError(f"{size_a} units of A and {len(gram) - size_a} of B: no bases of one space")
    transform = np.linalg.solve(gram[a, a], gram[a, b]).T
    missed = np.abs(gram[b, b] - transform @ gram[a, b]).max(initial=0)
    support = np.abs(transform) > tolerance
    partner = np.asarray(maximum_bipartite_matching(csr_array(support), perm_type="row"))  # of each unit of A
    if missed > tolerance or (partner < 0).any():
        raise ValueError(f"units of B lie outside the span of A, by squared distances up to {missed:.2g}")
    edges = np.zeros(gram.shape, dtype=bool)
    edges[b, a] = support
    edges[np.arange(size_a), size_a + partner] = True
    return np.asarray(np.isfinite(shortest_path(csr_array(edges), unweighted=True)))


@njit(cache=True, nogil=True)
def _search(
    state: Array, squared: Array, size_a: int, limit: float, target: int, avoided: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """`minimal_match`, which overwrites `state` and `squared`."""
    size = len(squared)
    alive = np.ones(size, dtype=np.bool_)
    # The target and all units that it cannot lose: nor can it later, when fewer are left.
    needed = np.zeros(size, dtype=np.bool_)
    needed[target] = True
    rows, left = np.empty((PENDING + size, size)), np.empty(PENDING + size, dtype=np.intp)
    pending = 0
    for i in range(len(avoided) + size):
        unit = avoided[i] if i < len(avoided) else order[i - len(avoided)]
        if not alive[unit] or needed[unit]:
            continue
        count = _remove(state, squared, alive, needed, size_a, limit, unit, rows, left, pending)
        if count == pending and i < len(avoided):
            return np.zeros(size, dtype=np.bool_)
        needed[unit] = count == pending
        pending = count
        if pending >= PENDING:
            _downdate(state, alive, size_a, rows, left, pending)
            pending = 0
    return alive


@njit(cache=True, nogil=True)
def _remove(
    state: Array,
    squared: Array,
    alive: np.ndarray,
    needed: np.ndarray,
    size_a: int,
    limit: float,
    unit: int,
    rows: Array,
    left: np.ndarray,
    pending: int,
) -> int:
    """Remove a unit and whoever must follow, unless that is a needed one: then all is as it was.

    The downdates of the units that `left` wait in `rows`, so that an attempt that fails costs none; returns their
    number.
    """
    before = squared.copy()
    count = pending
    while unit >= 0:
        row = rows[count]
        row[:] = state[unit]
        for j in range(count):
            if (left[j] < size_a) == (unit < size_a):
                factor = rows[j, unit]
                for w in range(len(row)):
                    row[w] -= factor * rows[j, w]
        row /= np.sqrt(row[unit])
        left[count] = unit
        alive[unit] = False
        count += 1
        start, stop = (size_a, len(row)) if unit < size_a else (0, size_a)
        for w in range(start, stop):
            squared[w] += row[w] * row[w]
        unit, farthest = -1, limit
        for w in range(len(row)):
            if alive[w] and squared[w] > limit:
                if needed[w]:
                    alive[left[pending:count]] = True
                    squared[:] = before
                    return pending
                if squared[w] > farthest:
                    unit, farthest = w, squared[w]
    return count


@njit(cache=True, nogil=True)
def _downdate(state: Array, alive: np.ndarray, size_a: int, rows: Array, left: np.ndarray, pending: int) -> None:
    """Carry out the deletions that wait; P is symmetric, so that a row of it is a column too."""
    for i in range(len(alive)):
        if alive[i]:
            for j in range(pending):
                if (left[j] < size_a) == (i < size_a):
                    factor = rows[j, i]
                    for w in range(len(alive)):
                        state[i, w] -= factor * rows[j, w]
