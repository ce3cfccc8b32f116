"""Clusters of units of both networks together, from correlation and from sparse prediction.

spectral: of the joint correlation [[R_a, R_ab], [R_abᵀ, R_b]] with diagonal 0 and entries up to a threshold removed.
agglomerative: the dendrogram of the sparse weights.
Nulls: labels permuted between the units; images of B permuted, the units clustered anew. Standard errors hold the
clusters fixed.
Source: Li et al. 2016 (arXiv 1511.07543), section 4 and supplement.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array
from convergent.measures import cluster_subspaces, spectral
from convergent.measures.dendrogram import dendrogram
from convergent.measures.nets import NET_A, NET_B, net_of_units
from convergent.measures.summary import summary

STATISTICS = (
    "n_live_a",
    "n_live_b",
    "n_clusters",
    "n_isolated_a",
    "n_isolated_b",
    "share_clusters_with_both",
    "mean_r_within_clusters",
    "stability",
    "mean_r2_clusters",
    "mean_best_r2_clusters",
)
VARIANTS = {"normalised": spectral.normalised, "li2016": spectral.li2016}
# affinity, clusters, k-means seeds, sampled units → labels[seed, unit]: `nystroem.normalised`
Approximate = Callable[[Array, int, np.ndarray, int], np.ndarray]


def clustering(
    moments: xr.Dataset,
    coefficient: xr.DataArray,
    *,
    threshold: float = 0.2,
    units_per_cluster: float = 5,
    repeats: int = 5,
    variant: Literal["normalised", "li2016"] = "normalised",
    widest_exact: int = 4096,
    approximate: Approximate | None = None,
    array: spectral.Place = np.asarray,
    generator: np.random.Generator | None = None,
) -> xr.Dataset:
    """Cluster the units of a pair.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`
    coefficient : ``coefficient_ab[unit_b, unit_a]`` of `sparse_prediction`
    threshold : correlations up to it are no edge
    units_per_cluster : live units of both networks for each spectral cluster; a component is at least one
    repeats : k-means starts compared for stability, and permutations of the labels
    variant : of `spectral`
    widest_exact, approximate : above so many units with an edge, `approximate` clusters, from a sample of so many;
        `nystroem.normalised`
    array : puts exact eigenproblems where they are solved, ``cupy.asarray`` on a device
    generator : of the starts and permutations; none: seed 0

    Returns
    -------
    ``label_a[unit_a]``, ``label_b[unit_b]`` (spectral; −1: dead or isolated); for each ``cluster`` ``size_a``,
    ``size_b`` and mean r ``r_within_a``, ``r_within_b``, ``r_between``; means over its units of A (and of B)
    ``best_r_a``, r with the best unit of B in it, ``r2_a_from_b`` and ``best_r2_a_from_b``, held-out R² from all units
    of B in it and from the best one, each also ``…_permuted_labels[repeat, cluster]``; the variables of
    `dendrogram`; the summary with the nulls ``permuted_labels`` and ``permuted`` (the images of B permuted, the
    units clustered anew), where ``stability`` is the mean adjusted Rand index between k-means starts. Clusters are
    found on all images, so that their held-out R² is a little too high, and ``permuted`` by as much; the attributes
    ``variant`` and ``method`` (``exact`` or ``nystroem``)

    Raises
    ------
    InputError : where the graph is wider than allowed and nothing can approximate it
    """
    at_least(2, repeats=repeats)
    generator = np.random.default_rng(0) if generator is None else generator
    whole = folds.total(moments)
    joint, live_a, live_b = joint_correlation(whole), whole.live_a, whole.live_b
    del whole
    net = net_of_units(len(live_a), len(live_b))
    seeds = generator.integers(2**31, size=repeats)

    def labelled(joint: Array, seeds: np.ndarray) -> tuple[np.ndarray, int]:
        """Labels[seed, unit], and how many units have an edge."""
        affinity = spectral.affinities(joint, threshold)
        connected = np.asarray(affinity.any(axis=1))
        graph = affinity[np.ix_(connected, connected)]
        labels = np.full((len(seeds), len(net)), -1)
        if k := _clusters_asked(graph, (~np.isnan(np.diag(joint))).sum() / units_per_cluster):
            labels[:, connected] = _spectral(graph, k, seeds, variant, widest_exact, approximate, array)
        return labels, len(graph)

    labels, n_connected = labelled(joint, seeds)
    label = labels[0]
    connected = label >= 0
    permuted = [_permuted(label, generator) for _ in range(repeats)]
    of_labels = cluster_subspaces.groups(moments, [_by_side(one, net) for one in (label, *permuted)])
    size, count = len(net), moments.sizes["fold"]
    errors, *errors_permuted = (cluster_subspaces.errors(one, size, count) for one in of_labels)
    null = np.mean([_summarise(joint, *one, net) for one in zip(permuted, errors_permuted, strict=True)], axis=0)
    null[[name.startswith("n_") for name in STATISTICS]] = np.nan  # the same by construction
    null_images = np.mean(
        [
            _of_permuted_images(moments, replicate, lambda joint: labelled(joint, seeds[:1])[0][0], net)
            for replicate in range(moments.sizes["replicate"])
        ],
        axis=0,
    )
    error = np.full(len(STATISTICS), np.nan)
    error[-2:] = cluster_subspaces.standard_error(of_labels[0], size, count)
    value = _summarise(joint, label, errors, net)
    value[STATISTICS.index("stability")] = _stability(labels[:, connected])
    r2, *r2_permuted = (
        _by_cluster(cluster_subspaces.r2(*of), one, net)
        for one, of in zip((label, *permuted), (errors, *errors_permuted), strict=True)
    )
    result = xr.merge(
        [
            summary(STATISTICS, value, error, {"permuted_labels": null, "permuted": null_images}),
            _clusters(joint, label, net),
            _shared(r2, np.stack(r2_permuted)),
            dendrogram(
                coefficient.sel(unit_a=moments["unit_a"].values, unit_b=moments["unit_b"].values),
                live_a,
                live_b,
            ),
        ]
    )
    text = {"long_name": "spectral cluster; −1: dead or isolated, or, of nystroem, far from all sampled units"}
    label_a, label_b = _by_side(label, net)
    result["label_a"], result["label_b"] = ("unit_a", label_a, text), ("unit_b", label_b, text)
    result = result.assign_coords(unit_a=moments["unit_a"].values, unit_b=moments["unit_b"].values)
    return result.assign_attrs(variant=variant, method="exact" if n_connected <= widest_exact else "nystroem")


def joint_correlation(pair: folds.Pair) -> Array:
    """[[R_a, R_ab], [R_abᵀ, R_b]] over the units of A, then of B; NaN where a unit is dead."""
    r = folds.correlation(pair)
    return np.block([[folds.correlation_within(pair.a), r], [r.T, folds.correlation_within(pair.b)]])


def _by_side(label: np.ndarray, net: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels of the units of A, and of B."""
    return label[net == NET_A], label[net == NET_B]


def _clusters_asked(graph: Array, asked: float) -> int:
    """The number of clusters: at least one for each component, which have nothing in common, at most one a unit."""
    components = int(connected_components(graph, directed=False)[0])
    return min(max(round(asked), components), len(graph))


def _spectral(
    graph: Array,
    k: int,
    seeds: np.ndarray,
    variant: str,
    widest_exact: int,
    approximate: Approximate | None,
    array: spectral.Place,
) -> np.ndarray:
    """labels[seed, unit], exact where the graph is narrow enough."""
    if len(graph) <= widest_exact:
        return VARIANTS[variant](graph, k, seeds, array)
    wide = f"{len(graph)} units are to be clustered, more than widest_exact = {widest_exact}"
    if variant != "normalised":
        raise InputError(f"{wide}, and the variant {variant} cannot be approximated; raise it, or use normalised")
    if k > widest_exact:
        raise InputError(f"{wide}, into {k} clusters, more than can be sampled; raise it, or units_per_cluster")
    if approximate is None:
        raise InputError(f"{wide}; raise it, or pass approximate=nystroem.normalised")
    return approximate(graph, k, seeds, widest_exact)


def _clusters(joint: Array, label: np.ndarray, net: np.ndarray) -> xr.Dataset:
    """Size and mean correlations of each cluster."""
    rows = []
    for cluster in range(label.max() + 1):
        a, b = np.flatnonzero((label == cluster) & (net == NET_A)), np.flatnonzero((label == cluster) & (net == NET_B))
        between = joint[np.ix_(a, b)]
        of_both = (
            (between.mean(), between.max(axis=1).mean(), between.max(axis=0).mean()) if between.size else [np.nan] * 3
        )
        rows.append((len(a), len(b), _off_diagonal(joint, a), _off_diagonal(joint, b), *of_both))
    size_a, size_b, r_a, r_b, r_ab, best_a, best_b = np.array(rows).reshape(-1, 7).T
    return xr.Dataset(
        {
            "size_a": ("cluster", size_a.astype(np.int64), {"long_name": "units of A"}),
            "size_b": ("cluster", size_b.astype(np.int64), {"long_name": "units of B"}),
            "r_within_a": ("cluster", r_a, {"long_name": "mean r between its units of A"}),
            "r_within_b": ("cluster", r_b, {"long_name": "mean r between its units of B"}),
            "r_between": ("cluster", r_ab, {"long_name": "mean r of its units of A with those of B"}),
            "best_r_a": ("cluster", best_a, {"long_name": "mean r of its units of A with their best unit of B in it"}),
            "best_r_b": ("cluster", best_b, {"long_name": "mean r of its units of B with their best unit of A in it"}),
        },
        {"cluster": np.arange(len(rows))},
    )


def _shared(r2: Array, permuted: Array) -> xr.Dataset:
    """What a cluster says about its units: r2[kind, side, cluster], permuted[repeat, kind, side, cluster]."""
    variables = {}
    for i, (kind, text) in enumerate((("r2", "all units of the other net in it"), ("best_r2", "the best one of them"))):
        for j, (side, other) in enumerate((("a", "b"), ("b", "a"))):
            name, long_name = (
                f"{kind}_{side}_from_{other}",
                f"mean held-out R² of its units of {side.upper()} from {text}",
            )
            variables[name] = xr.Variable("cluster", r2[i, j], {"long_name": long_name})
            variables[f"{name}_permuted_labels"] = xr.Variable(
                ("repeat", "cluster"), permuted[:, i, j], {"long_name": f"{long_name}, labels permuted"}
            )
    return xr.Dataset(variables)


def _by_cluster(values: Array, label: np.ndarray, net: np.ndarray) -> Array:
    """Means over the units of A and of B of each cluster, [..., side, cluster] of values[..., unit]; NaN for none."""
    clusters = np.arange(label.max() + 1)
    inside = (label == clusters[:, None]) & (net == np.array([NET_A, NET_B])[:, None, None])  # [side, cluster, unit]
    sums = np.where(inside, values[..., None, None, :], 0.0).sum(axis=-1)
    size = inside.sum(axis=-1)
    return np.asarray(sums / np.where(size > 0, size, np.nan))


def _summarise(joint: Array, label: np.ndarray, errors: tuple[Array, Array], net: np.ndarray) -> Array:
    """The summary, in the order of `STATISTICS`, but for the stability."""
    both = [{NET_A, NET_B} <= set(net[label == cluster]) for cluster in range(label.max() + 1)]
    together = (label[:, None] == label[None, :]) & (label >= 0)[:, None] & ~np.eye(len(label), dtype=bool)
    r = joint[together]
    live = ~np.isnan(np.diag(joint))
    isolated = [(live & (label < 0) & (net == side)).sum() for side in (NET_A, NET_B)]
    share, mean = np.mean(both) if both else np.nan, r.mean() if r.size else np.nan
    lives = [(live & (net == side)).sum() for side in (NET_A, NET_B)]
    return np.array([*lives, len(both), *isolated, share, mean, np.nan, *cluster_subspaces.mean_r2(*errors)])


def _of_permuted_images(
    moments: xr.Dataset, replicate: int, labelled: Callable[[Array], np.ndarray], net: np.ndarray
) -> Array:
    """The summary where A and B see other images: clustered anew, so that what clusters owe to chance is in it."""
    joint = joint_correlation(folds.total(moments, replicate))
    label = labelled(joint)
    (groups,) = cluster_subspaces.groups(moments, [_by_side(label, net)], replicate)
    errors = cluster_subspaces.errors(groups, len(net), moments.sizes["fold"])
    null = _summarise(joint, label, errors, net)
    null[:2] = np.nan  # live units are the same
    return null


def _permuted(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    permuted = label.copy()
    permuted[label >= 0] = generator.permutation(label[label >= 0])
    return permuted


def _stability(labels: np.ndarray) -> float:
    if labels.shape[1] == 0:
        return np.nan
    return float(np.mean([adjusted_rand_score(p, q) for i, p in enumerate(labels) for q in labels[:i]]))


def _off_diagonal(joint: Array, units: np.ndarray) -> float:
    """Mean r between different units; NaN for fewer than two."""
    block = joint[np.ix_(units, units)]
    return float(block[~np.eye(len(units), dtype=bool)].mean()) if len(units) > 1 else np.nan
