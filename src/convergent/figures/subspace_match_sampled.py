"""Share of units in the maximum match by depth, at some distances, from samples drawn at random as published."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import by_depth, style

PREFIX = "similarity_at_"


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[W]: a panel for each ε; mean over pairs, error bars: standard error over seeds."""
    trained = stores["subspace_match_sampled"]
    layers = list(trained[0].layers)
    statistics = [str(name) for name in trained[0].layers[layers[0]]["statistic"].values if name.startswith(PREFIX)]
    lines = by_depth.lines(trained, untrained.get("subspace_match_sampled", []))[:2]
    lines.append((trained, "chance", {"color": style.PERMUTED, "marker": "v", "label": "only means shared"}))
    figure = Figure(figsize=(max(1.9 * len(statistics), 4), 2.6), layout="constrained", dpi=150)
    axes = np.atleast_1d(figure.subplots(1, len(statistics), sharey=True))
    for axis, statistic in zip(axes, statistics, strict=True):
        for line in lines:
            by_depth.draw(axis, line, statistic)
        by_depth.name_layers(axis, layers)
        axis.set_title(f"ε = {statistic.removeprefix(PREFIX)}")
        axis.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("share of units that match")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    return figure
