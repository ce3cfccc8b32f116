"""Similarity of whole layers by depth: CKA raw, debiased and calibrated, and the other indices, beside their nulls."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import by_depth, style

CKA = {
    "cka_pooled": ("raw", "o"),
    "cka_pooled_debiased": ("debiased", "s"),
    "cka_pooled_calibrated": ("calibrated", "^"),
}
OTHERS = {
    "cka": "CKA of all samples",
    "procrustes_angle": "cos Procrustes angle",
    "hard_match": "mean r, one to one",
    "mean_cca": "mean CCA",
    "svcca": "SVCCA",
    "pwcca": "PWCCA",
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs, error bars: standard error over seeds; every index is 1 for layers that are equal.

    Colours are the same everywhere; shapes tell the kinds of CKA on the left alone.
    """
    trained = stores["similarity"]
    lines = by_depth.lines(trained, untrained.get("similarity", []))
    layers = list(trained[0].layers)
    figure = Figure(figsize=(max(7.6, 0.75 * len(layers)), 3.7), layout="constrained", dpi=150)
    grid = figure.add_gridspec(2, 4, width_ratios=[2.2, 1, 1, 1])
    pooled = figure.add_subplot(grid[:, 0])
    for line in lines:
        for place, (statistic, (label, marker)) in enumerate(CKA.items()):
            look = {"marker": marker, "markerfacecolor": "none", "label": f"{line[2]['label']}, {label}"}
            look["linestyle"] = "none" if place else "-"  # three lines so close would be one
            by_depth.draw(pooled, line, statistic, offset=0.12 * place, look=look)
    pooled.set_title("CKA of the spatial means of images")
    pooled.set_ylabel("similarity")
    for place, (statistic, title) in enumerate(OTHERS.items()):
        axis = figure.add_subplot(grid[place // 3, 1 + place % 3], sharex=pooled, sharey=pooled)
        transform = np.cos if statistic.endswith("angle") else np.asarray
        for line in lines:
            by_depth.draw(axis, line, statistic, transform=transform, look={"marker": ".", "markersize": 5})
        axis.set_title(title, fontsize=7)
        axis.tick_params(labelleft=place % 3 == 0, labelbottom=place >= 3, labelsize=6)
    pooled.set_xticks(np.arange(len(layers)), layers)
    pooled.set_ylim(min(-0.02, pooled.get_ylim()[0]), 1)
    for axis in figure.axes:
        axis.tick_params(axis="x", rotation=90, labelsize=6)
    handles, labels = pooled.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) // len(CKA), fontsize=6)
    return figure
