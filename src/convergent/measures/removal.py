"""Removal of units from a match, at random, that a unit v survives: what is left is a minimal match of v.

Removing units only raises distances, and whoever is then too far from the other side leaves too: the maximum match of
the rest is left, in whatever order. Distances and their downdates are those of `peeling`.
Source: Wang et al. 2018 (arXiv 1810.11750), algorithms 2 and 3.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from convergent.compiled import compiled
from convergent.folds import Array

PENDING = 32  # rank-one downdates that are carried out together
NODES = 500  # of the tree of one unit's minimal matches, each at most one search
NARROW = 1024  # units of a match: a search takes the cube of their number, so that wider ones get fewer nodes


@dataclass(frozen=True)
class Match:
    """A match, ready to be searched.

    Attributes
    ----------
    state, squared : from `peeling.regressions`
    size_a : how many units are of A
    limit : squared distance up to which a unit is matched, ε² + 2λ
    """

    state: Array
    squared: Array
    size_a: int
    limit: float


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
    for _ in range(int(NODES * min(NARROW / size, 1) ** 3)):
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


@compiled
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


@compiled
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


@compiled
def _downdate(state: Array, alive: np.ndarray, size_a: int, rows: Array, left: np.ndarray, pending: int) -> None:
    """Carry out the deletions that wait; P is symmetric, so that a row of it is a column too."""
    for i in range(len(alive)):
        if alive[i]:
            for j in range(pending):
                if (left[j] < size_a) == (i < size_a):
                    factor = rows[j, i]
                    for w in range(len(alive)):
                        state[i, w] -= factor * rows[j, w]
