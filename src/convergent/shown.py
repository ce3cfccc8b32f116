"""Which units are shown: the best and the worst matches of a layer, and one of its minimal matches.

What draws the figures and what makes the patches for them choose by the same functions.
"""

import numpy as np
import xarray as xr


def matched(matching: xr.Dataset, units: int) -> xr.Dataset:
    """The one-to-one matches that are shown of a layer.

    Parameters
    ----------
    matching : of `measures.matching`
    units : matches of each kind, at most

    Returns
    -------
    ``unit_a[match]``, ``unit_b[match]``, ``r[match]`` and ``best[match]``: the best, best first, then the worst, worst
    first; no match stands twice, and dead units have none
    """
    r = matching["r_one_to_one_a"].values
    order = np.argsort(-r, kind="stable")[: np.isfinite(r).sum()]  # NaN, of the dead, stands last
    best, rest = order[:units], order[units:][::-1][:units]
    chosen = np.concatenate([best, rest])
    return xr.Dataset(
        {
            "unit_a": ("match", matching["unit_a"].values[chosen]),
            "unit_b": ("match", matching["partner_one_to_one_a"].values[chosen]),
            "r": ("match", r[chosen], {"long_name": "correlation"}),
            "best": ("match", np.arange(len(chosen)) < len(best)),
        }
    )


def minimal(subspace_match: xr.Dataset, units: int) -> xr.Dataset:
    """The minimal match that is shown of a layer: the smallest of at least three units, for two are but a pair.

    Parameters
    ----------
    subspace_match : of `measures.subspace_match`
    units : half the members that are shown of each network, at most

    Returns
    -------
    ``unit_a[member_a]`` and ``unit_b[member_b]``, the first of its members; the attributes ``size_a`` and ``size_b``
    are the number of all, 0 where no match was found. Where all are pairs, it is one of them
    """
    labels = [subspace_match[f"unit_{side}"].values for side in "ab"]
    found = [subspace_match[f"minimal_member_{side}"].values.astype(bool) for side in "ab"]
    sizes = sum(of_side.sum(axis=1) for of_side in found)
    start = np.lexsort((sizes, sizes < 3))[:1]
    members = [label[of_side[start].any(axis=0)] for label, of_side in zip(labels, found, strict=True)]
    return xr.Dataset(
        {f"unit_{side}": (f"member_{side}", those[: 2 * units]) for side, those in zip("ab", members, strict=True)},
        attrs={f"size_{side}": len(those) for side, those in zip("ab", members, strict=True)},
    )
