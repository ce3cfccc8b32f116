"""The joint correlation of one pair, its units sorted into clusters, and what clusters are under two nulls."""

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram

from convergent.figures import style

STATISTICS = {"share_clusters_with_both": "share\nwith both", "mean_r_within_clusters": "mean r\nwithin"}
NULLS = {
    "permuted": ("v", style.PERMUTED, "B's images permuted"),
    "permuted_labels": ("s", style.ROTATED, "labels permuted"),
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L], clustering: the first pair, by spectral cluster and by dendrogram; the strip tells the net of each unit."""
    clustering, correlation = stores["clustering"][0], stores["correlation"][0]
    layers = list(clustering.layers)
    figure = Figure(figsize=(2.3 * len(layers), 6.4), layout="constrained", dpi=150)
    grid = figure.add_gridspec(4, len(layers), height_ratios=[4, 1, 4, 2.4])
    axes = []
    for column, layer in enumerate(layers):
        joint = _joint(correlation.layers[layer])
        clusters = clustering.layers[layer]
        upper, tree, lower, beside = (figure.add_subplot(grid[row, column]) for row in range(4))
        order, net, edges = spectral_order(clusters)
        image = _sorted(upper, joint, order, net)
        for start, end in pairwise([0, *edges, len(order)]):
            upper.add_patch(Rectangle((start - 0.5, start - 0.5), end - start, end - start, fill=False, linewidth=0.5))
        upper.set_title(layer)
        leaves = clusters["leaf_order"].values
        if clusters["linkage"].sel(column="distance").any():  # no tree without weights
            dendrogram(
                clusters["linkage"].values, ax=tree, no_labels=True, color_threshold=0, above_threshold_color="black"
            )
            for line in tree.collections:
                line.set_linewidth(0.4)
        tree.set_axis_off()
        leaf_net = clusters["leaf_net"].values[leaves]
        leaf_unit = clusters["leaf_unit"].values[leaves]
        _sorted(lower, joint, _positions(clusters, leaf_net, leaf_unit), leaf_net)
        for axis in (upper, lower):
            axis.set_box_aspect(1)
        _nulls(beside, clusters)
        axes += [upper, lower, beside]
    axes[0].set_ylabel("spectral clusters", labelpad=12)
    axes[1].set_ylabel("agglomerative,\nsparse weights", labelpad=12)
    axes[2].set_ylabel("spectral clusters")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.5, label="r")
    a, b = correlation.attributes["snapshot_a"], correlation.attributes["snapshot_b"]
    figure.suptitle(f"strip: blue A = {a}, red B = {b}", fontsize=8)
    return figure


def spectral_order(clusters: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in the joint matrix by cluster, largest first; their net; where clusters end."""
    label = np.concatenate([clusters["label_a"].values, clusters["label_b"].values])
    net = np.repeat([0, 1], [clusters.sizes["unit_a"], clusters.sizes["unit_b"]])
    size = np.bincount(label[label >= 0], minlength=clusters.sizes["cluster"])
    rank = np.argsort(np.argsort(-size, kind="stable"))
    order = np.lexsort((net, np.where(label >= 0, rank[label] if len(rank) else 0, len(rank))))
    order = order[label[order] >= 0]
    return order, net[order], np.cumsum(np.sort(size)[::-1])[:-1]


def _nulls(axis: Axes, clusters: xr.Dataset) -> None:
    """How many clusters are of both networks and how alike their units are, as found and under each null."""
    chosen = clusters.sel(statistic=list(STATISTICS))
    found = {None: ("o", "black", "as recorded")} | NULLS
    for kind, (marker, colour, label) in found.items():
        values = chosen["summary"] if kind is None else chosen["summary_null"].sel(null_kind=kind)
        axis.plot(range(len(STATISTICS)), values, marker, color=colour, markersize=5, alpha=0.8, label=label)
    axis.set_xticks(range(len(STATISTICS)), STATISTICS.values())
    axis.set(xlim=(-0.5, len(STATISTICS) - 0.5), ylim=(-0.05, 1.05))


def _positions(clusters: xr.Dataset, net: np.ndarray, unit: np.ndarray) -> np.ndarray:
    a, b = list(clusters["unit_a"].values), list(clusters["unit_b"].values)
    return np.array([a.index(u) if n == 0 else len(a) + b.index(u) for n, u in zip(net, unit, strict=True)])


def _joint(correlation: xr.Dataset) -> np.ndarray:
    r = correlation["r"].values
    return np.block([[correlation["r_a"].values, r], [r.T, correlation["r_b"].values]])


def _sorted(axis: Axes, joint: np.ndarray, order: np.ndarray, net: np.ndarray) -> Any:
    if not len(order):  # all dead or isolated: a panel in grey
        return style.matrix(axis, np.full((1, 1), np.nan))
    image = style.matrix(axis, joint[np.ix_(order, order)])
    strip = axis.inset_axes((-0.06, 0, 0.04, 1))
    strip.imshow(
        net[:, None], cmap=ListedColormap([style.A, style.B]), vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    strip.set_axis_off()
    return image
