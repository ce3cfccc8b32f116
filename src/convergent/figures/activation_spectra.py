"""Mean activation of the units, sorted, for each network."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] supplement: a line for each snapshot; independently trained networks nearly coincide. Grey: untrained."""
    layers = list(stores["statistics"][0].layers)
    figure, axes = style.panels(layers)
    for axis, layer in zip(axes[0], layers, strict=True):
        for opened, colour, name in (
            (untrained.get("statistics", []), style.UNTRAINED, "untrained"),
            (stores["statistics"], style.TRAINED, style.stage(stores["statistics"][0])),
        ):
            for i, tree in enumerate(opened):
                mean = np.sort(tree.layers[layer]["mean"].values)[::-1]
                axis.plot(
                    np.arange(1, len(mean) + 1),
                    mean,
                    color=colour,
                    linewidth=0.9,
                    alpha=0.8,
                    label=name if i == 0 else None,
                )
        axis.set_xlabel("unit, sorted")
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    axes[0][0].set_ylabel("mean activation")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure
