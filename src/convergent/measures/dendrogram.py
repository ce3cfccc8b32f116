"""Agglomerative clusters of the units of both networks by the sparse weights that predict one from the other.

Weights are symmetric between the nets and 0 within them; distance max|W| − |W|, average linkage. That leaf merges join
one unit of each net is forced by those zeros: not a finding. Source: Li et al. 2016 (arXiv 1511.07543), section 4.
"""

import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from convergent.folds import Array


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
            "leaf_net": ("leaf", np.repeat([0, 1], weights.shape), {"long_name": "0: unit of A, 1: unit of B"}),
            "leaf_unit": ("leaf", unit, {"long_name": "unit"}),
            "leaf_order": ("leaf", order, {"long_name": "leaves from left to right"}),
        },
        {"column": np.array(["left", "right", "distance", "size"], dtype=np.dtypes.StringDType())},
    )


def tree(weights: Array) -> Array:
    """SciPy's linkage matrix of the units of A, then B, by average linkage on sparse weights [unit_a, unit_b]."""
    a, b = weights.shape
    joint = np.zeros((a + b, a + b))
    joint[:a, a:], joint[a:, :a] = np.abs(weights), np.abs(weights).T
    distance = joint.max() - joint
    np.fill_diagonal(distance, 0.0)
    return np.asarray(linkage(squareform(distance, checks=False), "average"))
