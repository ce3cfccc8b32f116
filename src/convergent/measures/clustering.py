"""Clusters of units of both networks together, from correlation and from sparse prediction.

spectral: the joint correlation [[R_a, R_ab], [R_abᵀ, R_b]] with diagonal 0 and entries up to a threshold removed;
normalised Laplacian, rows of its leading eigenvectors scaled to unit length, k-means (Ng, Jordan, Weiss 2001).
agglomerative: W = coefficients of B from A, symmetric between the nets and 0 within them; distance max|W| − |W|,
average linkage. That leaf merges join one unit of each net is forced by those zeros: not a finding.
Source: Li et al. 2016 (arXiv 1511.07543), section 4 and supplement.
"""

import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from convergent import folds
from convergent.folds import Array
from convergent.measures.summary import summary

STATISTICS = (
    "n_clusters",
    "n_isolated_a",
    "n_isolated_b",
    "share_clusters_with_both",
    "mean_r_within_clusters",
    "stability",
)
NET_A, NET_B = 0, 1


def clustering(
    moments: xr.Dataset,
    coefficient: xr.DataArray,
    *,
    threshold: float,
    units_per_cluster: float,
    repeats: int,
    generator: np.random.Generator,
) -> xr.Dataset:
    """Cluster the units of a pair.

    Parameters
    ----------
    moments : of the pair, from `moments.joined`
    coefficient : ``coefficient_ab[unit_b, unit_a]`` of `sparse_prediction`
    threshold : correlations up to it are no edge
    units_per_cluster : live units of both networks for each spectral cluster; a component is at least one
    repeats : k-means starts compared for stability, and permutations of the nets' labels
    generator : of the starts and permutations

    Returns
    -------
    ``label_a[unit_a]``, ``label_b[unit_b]`` (spectral; −1: dead or isolated); for each ``cluster`` ``size_a``,
    ``size_b`` and mean r ``r_within_a``, ``r_within_b``, ``r_between``; ``linkage[merge, column]`` (SciPy's) over
    ``leaf`` with ``leaf_net`` (0: A, 1: B), ``leaf_unit`` and ``leaf_order``; the summary with the null
    ``permuted_labels``, and ``stability``, the mean adjusted Rand index between k-means starts
    """
    whole = folds.total(moments)
    joint = joint_correlation(whole)
    net = np.repeat([NET_A, NET_B], [len(whole.live_a), len(whole.live_b)])
    affinity = affinities(joint, threshold)
    connected = np.asarray(affinity.any(axis=1))
    # At least a cluster for each component of the graph, which have nothing in common.
    components = connected_components(affinity[np.ix_(connected, connected)], directed=False)[0]
    k = round(np.concatenate([whole.live_a, whole.live_b]).sum() / units_per_cluster)
    k = min(max(k, components), int(connected.sum()))
    seeds = generator.integers(2**31, size=repeats)
    labels = np.full((repeats, len(net)), -1)
    if k > 0:
        labels[:, connected] = spectral(affinity[np.ix_(connected, connected)], k, seeds)
    value = _summarise(joint, labels[0], net, k)
    value[-1] = _stability(labels[:, connected])
    permuted = [_summarise(joint, _permuted(labels[0], connected, generator), net, k) for _ in range(repeats)]
    null = np.mean(permuted, axis=0)
    null[:3] = np.nan  # the same by construction
    result = summary(STATISTICS, value, None, {"permuted_labels": null})
    result = result.merge(_clusters(joint, labels[0], net, k)).merge(_tree(coefficient, whole.live_a, whole.live_b))
    result["label_a"] = ("unit_a", labels[0][net == NET_A], {"long_name": "spectral cluster; −1: dead or isolated"})
    result["label_b"] = ("unit_b", labels[0][net == NET_B], {"long_name": "spectral cluster; −1: dead or isolated"})
    return result.assign_coords(unit_a=moments["unit_a"].values, unit_b=moments["unit_b"].values)


def joint_correlation(pair: folds.Pair) -> Array:
    """[[R_a, R_ab], [R_abᵀ, R_b]] over the units of A, then of B; NaN where a unit is dead."""
    r = folds.correlation(pair)
    return np.block([[folds.correlation_within(pair.a), r], [r.T, folds.correlation_within(pair.b)]])


def affinities(joint: Array, threshold: float) -> Array:
    """Correlations above a threshold; 0 elsewhere, on the diagonal and for dead units."""
    affinity = np.where(joint > threshold, joint, 0.0)  # NaN > τ is False
    np.fill_diagonal(affinity, 0.0)
    return affinity


def spectral(affinity: Array, k: int, seeds: np.ndarray) -> np.ndarray:
    """Normalised spectral clustering (Ng, Jordan, Weiss 2001), once for each k-means seed: labels[seed, unit].

    Parameters
    ----------
    affinity : symmetric, non-negative, every row with an edge
    k : clusters, at least as many as the graph has components
    seeds : of k-means
    """
    degree = np.sqrt(affinity.sum(axis=1))
    size = len(affinity)
    _, vectors = eigh(affinity / degree[:, None] / degree[None, :], subset_by_index=[size - k, size - 1])
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.stack([KMeans(k, n_init=10, random_state=int(seed)).fit_predict(rows) for seed in seeds])


def tree(weights: Array) -> Array:
    """SciPy's linkage matrix of the units of A, then B, by average linkage on sparse weights [unit_a, unit_b]."""
    a, b = weights.shape
    joint = np.zeros((a + b, a + b))
    joint[:a, a:], joint[a:, :a] = np.abs(weights), np.abs(weights).T
    distance = joint.max() - joint
    np.fill_diagonal(distance, 0.0)
    return np.asarray(linkage(squareform(distance, checks=False), "average"))


def _tree(coefficient: xr.DataArray, live_a: np.ndarray, live_b: np.ndarray) -> xr.Dataset:
    weights = coefficient.transpose("unit_a", "unit_b").values[np.ix_(live_a, live_b)]
    merges = tree(weights) if sum(weights.shape) > 1 else np.zeros((0, 4))
    unit = np.concatenate([coefficient["unit_a"].values[live_a], coefficient["unit_b"].values[live_b]])
    net = np.repeat([NET_A, NET_B], weights.shape)
    order = leaves_list(merges) if len(merges) else np.arange(len(unit))
    return xr.Dataset(
        {
            "linkage": (("merge", "column"), merges, {"long_name": "linkage matrix of SciPy, average linkage"}),
            "leaf_net": ("leaf", net, {"long_name": "0: unit of A, 1: unit of B"}),
            "leaf_unit": ("leaf", unit, {"long_name": "unit"}),
            "leaf_order": ("leaf", order, {"long_name": "leaves from left to right"}),
        },
        {"column": np.array(["left", "right", "distance", "size"], dtype=np.dtypes.StringDType())},
    )


def _clusters(joint: Array, label: np.ndarray, net: np.ndarray, k: int) -> xr.Dataset:
    """Size and mean correlations of each cluster."""
    rows = []
    for cluster in range(k):
        a, b = np.flatnonzero((label == cluster) & (net == NET_A)), np.flatnonzero((label == cluster) & (net == NET_B))
        between = joint[np.ix_(a, b)]
        rows.append(
            (
                len(a),
                len(b),
                _off_diagonal(joint, a),
                _off_diagonal(joint, b),
                between.mean() if between.size else np.nan,
            )
        )
    size_a, size_b, r_a, r_b, r_ab = np.array(rows).reshape(k, 5).T
    return xr.Dataset(
        {
            "size_a": ("cluster", size_a.astype(np.int64), {"long_name": "units of A"}),
            "size_b": ("cluster", size_b.astype(np.int64), {"long_name": "units of B"}),
            "r_within_a": ("cluster", r_a, {"long_name": "mean r between its units of A"}),
            "r_within_b": ("cluster", r_b, {"long_name": "mean r between its units of B"}),
            "r_between": ("cluster", r_ab, {"long_name": "mean r of its units of A with those of B"}),
        },
        {"cluster": np.arange(k)},
    )


def _summarise(joint: Array, label: np.ndarray, net: np.ndarray, k: int) -> Array:
    both = [{NET_A, NET_B} <= set(net[label == cluster]) for cluster in range(k)]
    together = (label[:, None] == label[None, :]) & (label >= 0)[:, None] & ~np.eye(len(label), dtype=bool)
    r = joint[together]
    live = ~np.isnan(np.diag(joint))
    isolated = [(live & (label < 0) & (net == side)).sum() for side in (NET_A, NET_B)]
    share, mean = np.mean(both) if both else np.nan, r.mean() if r.size else np.nan
    return np.array([k, *isolated, share, mean, np.nan])


def _permuted(label: np.ndarray, connected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    permuted = label.copy()
    permuted[connected] = generator.permutation(label[connected])
    return permuted


def _stability(labels: np.ndarray) -> float:
    if labels.shape[1] == 0:
        return np.nan
    return float(np.mean([adjusted_rand_score(p, q) for i, p in enumerate(labels) for q in labels[:i]]))


def _off_diagonal(joint: Array, units: np.ndarray) -> float:
    """Mean r between different units; NaN for fewer than two."""
    block = joint[np.ix_(units, units)]
    return float(block[~np.eye(len(units), dtype=bool)].mean()) if len(units) > 1 else np.nan
