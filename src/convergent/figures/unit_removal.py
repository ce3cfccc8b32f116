"""Accuracy against the share of units removed, the rarest or the most shared first, beside other orders."""

import numpy as np
from matplotlib.figure import Figure

from convergent import tables
from convergent.figures import style

ORDERS = {
    "rare": ("rarest first", style.SECOND, "-"),
    "shared": ("most shared first", style.TRAINED, "-"),
    "low_variance": ("least variance first", style.SECOND, ":"),
    "high_variance": ("most variance first", style.TRAINED, ":"),
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over pairs and both networks, error bars: standard error over seeds."""
    opened = stores["unit_removal"]
    layers, pairs = list(opened[0].layers), style.pairs(opened)
    figure, axes = style.panels(layers, sharey=True, height=2.6)
    for axis, layer in zip(axes[0], layers, strict=True):
        share = opened[0].layers[layer]["share"].values
        found = [store.layers[layer] for store in opened]
        lines = {
            order: (np.stack([of["accuracy"].sel(order=order).mean("side").values for of in found]), look)
            for order, look in ORDERS.items()
        }
        random = np.stack([of["accuracy_random"].mean(["side", "draw"]).values for of in found])
        lines["random"] = (random, ("at random", "black", "--"))
        for place, (values, (label, colour, dashes)) in enumerate(lines.values()):
            mean, error = np.array([tables.over_seeds(pairs, of_share) for of_share in values.T]).T
            # Side by side, or error bars of equal accuracies would hide one another.
            shifted = share + 0.008 * (place - 2)
            axis.errorbar(
                shifted, mean, error, color=colour, linestyle=dashes, linewidth=0.9, elinewidth=0.8, label=label
            )
        axis.set(xlim=(-0.03, 1.03), ylim=(0, 1.02), xticks=(0, 0.5, 1), xlabel="share of units removed")
    axes[0][0].set_ylabel(f"accuracy at {style.stage(opened[0])}")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7)
    return figure
