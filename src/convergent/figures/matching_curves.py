"""Sorted correlations of the units with their partners, trained and untrained."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import style

KINDS = {"semi": "best partner", "one_to_one": "one to one"}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 3: a line for each pair, units of A in order of r; grey: the same seeds untrained."""
    layers = list(stores["matching"][0].layers)
    figure, axes = style.panels(layers, len(KINDS), sharey=True)
    for row, (kind, name) in enumerate(KINDS.items()):
        for column, layer in enumerate(layers):
            axis = axes[row][column]
            for opened, colour, label in (
                (untrained.get("matching", []), style.UNTRAINED, "untrained"),
                (stores["matching"], style.TRAINED, style.stage(stores["matching"][0])),
            ):
                for i, tree in enumerate(opened):
                    r = tree.layers[layer][f"r_{kind}_a"].values
                    r = np.sort(r[~np.isnan(r)])[::-1]
                    axis.plot(
                        np.arange(1, len(r) + 1),
                        r,
                        color=colour,
                        alpha=0.7,
                        linewidth=0.8,
                        label=label if i == 0 else None,
                    )
            axis.axhline(0, color="black", linewidth=0.4)
        axes[row][0].set_ylabel(f"r, {name}")
    for axis in axes[-1]:
        axis.set_xlabel("unit of A, sorted")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure
