"""The parts of a match: minimal matches of a unit v, which lose v when any other of their units leaves.

A random order of `removal` finds one of them; the sizes of many are a distribution, for a unit may have very many.
Gram matrices are [unit, unit], the units of A first, then those of B, all live.
Source: Wang et al. 2018 (arXiv 1810.11750), algorithms 2 and 3, theorems 5–10.
"""

import numpy as np
import xarray as xr

from convergent.folds import Array
from convergent.measures import nets
from convergent.measures.peeling import regressions
from convergent.measures.removal import Match, all_minimal_matches, minimal_match


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
        "minimal_net": ("start", nets.net_of_units(size_a, size - size_a)[targets], {"long_name": nets.MEANING}),
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
