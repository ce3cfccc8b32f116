"""Agglomerative clusters of the units of both networks by the sparse weights that predict one from the other.

Weights are symmetric between the nets and 0 within them; distance max|W| − |W|, average linkage. That leaf merges join
one unit of each net is forced by those zeros: not a finding. Source: Li et al. 2016 (arXiv 1511.07543), section 4.
"""

import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import leaves_list, linkage

from convergent.folds import Array
from convergent.measures import nets


def dendrogram(coefficient: xr.DataArray, live_a: np.ndarray, live_b: np.ndarray) -> xr.Dataset:
    """The tree of the live units.

    Parameters
    ----------
    coefficient : ``[unit_a, unit_b]``, axes in any order, units in that of the masks
    live_a, live_b : which units have variance

    Returns
    -------
    ``linkage[merge, column]`` (SciPy's) over ``leaf`` with ``leaf_net`` (0: A, 1: B), ``leaf_unit``, ``leaf_order``
    """
    weights = coefficient.transpose("unit_a", "unit_b").values[np.ix_(live_a, live_b)]
    merges = tree(weights) if sum(weights.shape) > 1 else np.zeros((0, 4))
    unit = np.concatenate([coefficient["unit_a"].values[live_a], coefficient["unit_b"].values[live_b]])
    order = leaves_list(merges) if len(merges) else np.arange(len(unit))
    return xr.Dataset(
        {
            "linkage": (("merge", "column"), merges, {"long_name": "linkage matrix of SciPy, average linkage"}),
            "leaf_net": ("leaf", nets.net_of_units(*weights.shape), {"long_name": nets.MEANING}),
            "leaf_unit": ("leaf", unit, {"long_name": "unit"}),
            "leaf_order": ("leaf", order, {"long_name": "leaves from left to right"}),
        },
        {"column": np.array(["left", "right", "distance", "size"], dtype=np.dtypes.StringDType())},
    )


def tree(weights: Array) -> Array:
    """SciPy's linkage matrix of the units of A, then B, by average linkage on sparse weights [unit_a, unit_b]."""
    a, b = weights.shape
    size = np.abs(weights)
    largest = size.max(initial=0.0)
    # The distances of each unit from all after it, as SciPy wants them: within a network all are the largest.
    condensed = np.full((a + b) * (a + b - 1) // 2, largest)
    for unit in range(a):
        stop = (unit + 1) * (2 * (a + b) - unit - 2) // 2
        condensed[stop - b : stop] -= size[unit]
    return np.asarray(linkage(condensed, "average"))
